/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses which volume, and therefore when one may go. Uses are rows: they outlive the processes
 * that wrote them, and a container's removal deletes them by its id. */
#include "volume/internal.h"

#include <fcntl.h>
#include <sys/file.h>
#include "base/buf.h"
#include "base/copy.h"
#include "base/fd.h"
#include "base/str.h"

/* ---- use ------------------------------------------------------------------------------------- */

int volume_use(struct volume_store *s, const char *name, const char *user, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    struct volume v;
    int r = db_prepare(s->db, "INSERT OR IGNORE INTO use SELECT ?2, name FROM volume WHERE name=?1",
                       &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, user, -1, SQLITE_STATIC);
    if (sqlite3_step(q) != SQLITE_DONE)
        return db_error(s->db, e);
    if (sqlite3_changes(s->db) > 0)
        return 0;
    r = volume_find(s, 0, name, &v, e); /* used already, or not there */
    if (r == 0)
        volume_done(&v);
    return r;
}

/* The ids that use it, as docker lists them; "" when none does. */
static int users_text(struct volume_store *s, const char *name, struct buf *b,
                      struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int code, r = db_prepare(s->db, "SELECT user FROM use WHERE volume=? ORDER BY user", &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(q)) == SQLITE_ROW)
        buf_printf(b, "%s%s", b->len ? ", " : "", (const char *)sqlite3_column_text(q, 0));
    return code == SQLITE_DONE ? 0 : db_error(s->db, e);
}

/* ---- remove ---------------------------------------------------------------------------------- */

static int delete_row(struct volume_store *s, const char *name, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int r = db_prepare(s->db, "DELETE FROM volume WHERE name=?", &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    return sqlite3_step(q) == SQLITE_DONE ? 0 : db_error(s->db, e);
}

/* Inside a transaction that holds the write lock: nobody begins to use it meanwhile. */
static int remove_locked(struct volume_store *s, const char *name, char *trash,
                         struct wharf_error *e)
{
    autobuf struct buf users = BUF(4096);
    int r = users_text(s, name, &users, e);

    if (r < 0)
        return r;
    if (users.len > 0 || users.error)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "remove %s: volume is in use - [%s]", name,
                       users.data ? users.data : "..");
    r = directory_discard(s, name, trash, e);
    return r < 0 ? r : delete_row(s, name, e);
}

int volume_remove(struct volume_store *s, int64_t owner, const char *name, bool force,
                  struct wharf_error *e)
{
    char trash[TRASH_NAME_MAX] = "";
    struct volume v;
    int r = volume_find(s, owner, name, &v, e);

    if (r < 0)
        return r == -ENOENT && force ? 0 : r;
    volume_done(&v);
    r = db_run(s->db, "BEGIN IMMEDIATE", e);
    if (r < 0)
        return r;
    r = remove_locked(s, name, trash, e);
    if (db_run(s->db, r == 0 ? "COMMIT" : "ROLLBACK", r == 0 ? e : NULL) < 0)
        r = r < 0 ? r : -EIO;
    if (r == 0 && trash[0])
        path_remove_tree(s->dir, trash);
    return r;
}

static int collect_anonymous(struct volume_store *s, const char *user, char ***names,
                             struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int code, r = db_prepare(s->db, "SELECT volume FROM use WHERE user=?", &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, user, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(q)) == SQLITE_ROW) {
        struct volume v;

        if (volume_find(s, 0, (const char *)sqlite3_column_text(q, 0), &v, NULL) < 0)
            continue;
        r = volume_is_anonymous(&v) ? strv_add(names, v.name) : 0;
        volume_done(&v);
        if (r < 0)
            return err_nomem(e);
    }
    return code == SQLITE_DONE ? 0 : db_error(s->db, e);
}

int volume_release(struct volume_store *s, const char *user, bool anonymous, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    autostrv char **names = NULL;
    int r = anonymous ? collect_anonymous(s, user, &names, e) : 0;

    if (r == 0)
        r = db_prepare(s->db, "DELETE FROM use WHERE user=?", &q, e);
    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, user, -1, SQLITE_STATIC);
    if (sqlite3_step(q) != SQLITE_DONE)
        return db_error(s->db, e);
    for (char **name = names; name && *name; name++) {
        r = volume_remove(s, 0, *name, true, e);
        if (r < 0 && r != -EBUSY) /* in use: another container shares it */
            return r;
    }
    return 0;
}

/* ---- mount and fill -------------------------------------------------------------------------- */

/* One process at a time makes a volume's mount or fills it: a lock that dies with its holder. */
static int lock_volume(struct volume_store *s, const char *name)
{
    autoclose int fd = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return take_fd(&fd);
}

static int make_mount(struct volume_store *s, const struct volume *v, struct wharf_error *e)
{
    if (!options_need_mount(v->options))
        return 0;
    autoclose int lock = lock_volume(s, v->name);
    if (lock < 0)
        return err_code(e, lock, "cannot lock volume '%s'", v->name);
    return directory_is_mounted(s, v->name) == 1 ? 0 : options_mount(v, e);
}

int volume_mount(struct volume_store *s, const char *name, const char *subpath,
                 struct wharf_error *e)
{
    struct volume v;
    int r = volume_find(s, 0, name, &v, e);

    if (r < 0)
        return r;
    r = directory_make(s, name, e); /* a removal that was killed may have taken it */
    if (r == 0)
        r = make_mount(s, &v, e);
    volume_done(&v);
    if (r < 0)
        return r;
    autoclose int data = directory_open(s, name);
    if (data < 0)
        return err_code(e, data, "cannot open volume '%s'", name);
    const char *below = subpath && *subpath ? subpath : ".";
    int fd = path_open_in(data, below, O_PATH, 0);
    return fd < 0 ? err_code(e, fd, "cannot access path '%s' of volume '%s'", below, name) : fd;
}

int volume_copy_up(struct volume_store *s, const char *name, int source, struct wharf_error *e)
{
    autoclose int lock = lock_volume(s, name);
    autoclose int data = lock < 0 ? lock : directory_open(s, name);

    if (data < 0)
        return err_code(e, data, "cannot open volume '%s'", name);
    int empty = path_is_empty(data);
    if (empty <= 0)
        return empty < 0 ? err_code(e, empty, "cannot read volume '%s'", name) : 0;
    int r = tree_copy(source, data, e);
    return r < 0 ? err_wrap(e, r, "volume '%s'", name) : 0;
}
