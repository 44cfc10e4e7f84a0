/* SPDX-License-Identifier: Apache-2.0 */
/* Which volumes there are: rows, and how they come and go (who uses them: use.c). */
#include "volume/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"

#define DB_VERSION  1
#define OPTIONS_MAX (64u << 10)

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS volume(name TEXT PRIMARY KEY, owner INTEGER NOT NULL, created_ns "
    "INTEGER NOT NULL, options TEXT NOT NULL, labels TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS use(user TEXT NOT NULL, volume TEXT NOT NULL, PRIMARY KEY(user, "
    "volume)) WITHOUT ROWID; CREATE INDEX IF NOT EXISTS used ON use(volume)";

#define SELECT                                                                                     \
    "SELECT name, owner, created_ns, options, labels, (SELECT count(*) FROM use WHERE "            \
    "volume=name)"                                                                                 \
    " FROM volume WHERE "

/* ---- opening --------------------------------------------------------------------------------- */

int volume_store_open(struct volume_store **ret, const char *root, struct wharf_error *e)
{
    autofree char *path = str_format("%s/volumes.db", root);
    auto_of(volume_store_close) struct volume_store *s = calloc(1, sizeof(*s));

    if (!s || !path)
        return err_nomem(e);
    s->dir = -1;
    s->root = str_format("%s/" VOLUMES_DIR, root);
    if (!s->root)
        return err_nomem(e);
    int r = path_make_dirs(s->root, 0711);
    if (r < 0)
        return err_code(e, r, "cannot make '%s'", s->root);
    s->dir = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0)
        return err_sys(e, "cannot open '%s'", s->root);
    r = db_open(&s->db, path, schema, DB_VERSION, NULL, e);
    if (r == 0)
        *ret = take_ptr(&s);
    return r;
}

void volume_store_close(struct volume_store *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    fd_close(s->dir);
    free(s->root);
    free(s);
}

void volume_done(struct volume *v)
{
    free(v->name);
    free(v->mountpoint);
    json_decref(v->options);
    json_decref(v->labels);
    *v = (struct volume){ 0 };
}

/* ---- rows ------------------------------------------------------------------------------------ */

static json_t *column_json(sqlite3_stmt *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    struct json_limits limits = { .size = OPTIONS_MAX, .depth = 2 };
    json_t *tree = NULL;

    return text && json_read(text, strlen(text), limits, "volume", &tree, NULL) == 0
               ? tree
               : json_object();
}

static int read_row(struct volume_store *s, sqlite3_stmt *q, struct volume *ret)
{
    const char *name = (const char *)sqlite3_column_text(q, 0);
    struct volume v = {
        .name = name ? strdup(name) : NULL,
        .mountpoint = str_format("%s/%s/" DATA_DIR, s->root, name ? name : ""),
        .owner = sqlite3_column_int64(q, 1),
        .created_ns = sqlite3_column_int64(q, 2),
        .options = column_json(q, 3),
        .labels = column_json(q, 4),
        .use_count = sqlite3_column_int64(q, 5),
    };

    if (!v.name || !v.mountpoint || !v.options || !v.labels) {
        volume_done(&v);
        return -ENOMEM;
    }
    *ret = v;
    return 0;
}

int volume_find(struct volume_store *s, int64_t owner, const char *name, struct volume *ret,
                struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int r = db_prepare(s->db, SELECT "name=?1 AND (?2=0 OR owner=?2)", &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, owner);
    r = sqlite3_step(q);
    if (r == SQLITE_DONE)
        return err_not_found(e, "get %s: no such volume", name);
    if (r != SQLITE_ROW)
        return db_error(s->db, e);
    return read_row(s, q, ret) < 0 ? err_nomem(e) : 0;
}

int volume_each(struct volume_store *s, int64_t owner,
                int (*each)(void *user, const struct volume *v), void *user, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    int code, r = db_prepare(s->db, SELECT "?1=0 OR owner=?1 ORDER BY name", &q, e);

    if (r < 0)
        return r;
    sqlite3_bind_int64(q, 1, owner);
    while ((code = sqlite3_step(q)) == SQLITE_ROW) {
        struct volume v;

        if (read_row(s, q, &v) < 0)
            return err_nomem(e);
        r = each(user, &v);
        volume_done(&v);
        if (r != 0)
            return r;
    }
    return code == SQLITE_DONE ? 0 : db_error(s->db, e);
}

/* ---- create ---------------------------------------------------------------------------------- */

static int check_name(const char *name, struct wharf_error *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(name);

    if (len == 1)
        return err_invalid(e,
                           "create %s: volume name is too short, names should be at least two "
                           "alphanumeric characters",
                           name);
    if (len > VOLUME_NAME_MAX)
        return err_invalid(e, "create: volume name is longer than %d bytes", VOLUME_NAME_MAX);
    if (!strchr(letters, name[0]) || name[strspn(name, all)])
        return err_invalid(e,
                           "create %s: \"%s\" includes invalid characters for a local volume name, "
                           "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to "
                           "pass a host directory, use absolute path",
                           name, name);
    return 0;
}

static json_t *pairs_json(const field_pairs *pairs)
{
    json_t *object = json_object();

    for (size_t i = 0; i < pairs->count; i++)
        json_object_set_new(object, pairs->items[i].key, json_string(pairs->items[i].value));
    return object;
}

static int insert(struct volume_store *s, const char *name, int64_t owner, const json_t *options,
                  const json_t *labels, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    autofree char *o = json_dumps(options, JSON_COMPACT), *l = json_dumps(labels, JSON_COMPACT);
    struct timespec now;
    int r;

    if (!o || !l)
        return err_nomem(e);
    if (strlen(o) > OPTIONS_MAX || strlen(l) > OPTIONS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                       "create %s: options or labels are longer than %u bytes", name, OPTIONS_MAX);
    r = db_prepare(s->db, "INSERT INTO volume VALUES(?,?,?,?,?) ON CONFLICT DO NOTHING", &q, e);
    if (r < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, owner);
    sqlite3_bind_int64(q, 3, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    sqlite3_bind_text(q, 4, o, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, l, -1, SQLITE_STATIC);
    if (sqlite3_step(q) != SQLITE_DONE)
        return db_error(s->db, e);
    return sqlite3_changes(s->db);
}

static int random_name(char ret[65], struct wharf_error *e)
{
    unsigned char bytes[32];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        return err_sys(e, "cannot make a name");
    hex_encode(bytes, sizeof(bytes), ret);
    return 0;
}

int volume_create(struct volume_store *s, const struct volume_spec *spec, struct volume *ret,
                  bool *ret_new, struct wharf_error *e)
{
    autojson json_t *options = pairs_json(&spec->options), *labels = pairs_json(&spec->labels);
    bool named = spec->name && *spec->name;
    const char *name = spec->name;
    struct volume v = { 0 };
    char random[65];
    int r = 0;

    if (!options || !labels)
        return err_nomem(e);
    if (spec->driver && *spec->driver && !streq(spec->driver, "local"))
        return err_not_found(
            e, "create %s: error looking up volume plugin %s: plugin \"%s\" not found",
            named ? name : "volume", spec->driver, spec->driver);
    if (!named) {
        r = random_name(random, e);
        name = random;
        json_object_set_new(labels, VOLUME_ANONYMOUS, json_string(""));
    }
    if (r == 0)
        r = check_name(name, e);
    if (r == 0)
        r = options_check(options, e);
    if (r < 0)
        return r == -EINVAL && e && e->message[0] == 'i' ? err_wrap(e, r, "create %s", name) : r;
    r = directory_make(s, name, e);
    if (r == 0)
        r = insert(s, name, spec->owner, options, labels, e);
    if (r < 0)
        return r;
    bool fresh = r > 0;
    r = volume_find(s, spec->owner, name, &v, NULL);
    if (r == -ENOENT)
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                       "create %s: volume name is taken by another user", name);
    if (r < 0)
        return err_code(e, r, "create %s", name);
    if (ret)
        *ret = v;
    else
        volume_done(&v);
    if (ret_new)
        *ret_new = fresh;
    return 0;
}
