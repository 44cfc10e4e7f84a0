/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in and out of containers. Of a running one the root is /proc/PID/root, with all that is
 * mounted in it; of a stopped one the layers, and where a path lies below a volume or bind, that
 * one's directory. Paths are the container's: openat2 with RESOLVE_IN_ROOT, and from the parent's
 * descriptor on only single names that are not followed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "base/treetar.h"
#include "engine/mounts.h"
#include "libimage/into.h"

/* A place in a container: a root, and a path in it. */
struct place {
    int root;
    char *path;     /* absolute, clean */
    bool read_only; /* the mount that it lies in */
    bool running;
};

static void place_done(struct place *p)
{
    fd_close(p->root);
    free(p->path);
}
#define autoplace __attribute__((cleanup(place_done)))

int container_root(struct engine *en, const struct record *r, struct wharf_error *e)
{
    char path[64];

    if (!record_is_running(r) || r->pid <= 0)
        return container_mount_root(en, r->id, NULL, e);
    snprintf(path, sizeof(path), "/proc/%lld/root", (long long)r->pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(e, "cannot look into container %s", r->id) : fd;
}

/* The mount of a stopped container that `path` lies in, the deepest one; NULL: none. */
static const struct mount_point *mount_of(const struct mounts *mounts, const char *path,
                                          const char **ret_rest)
{
    const struct mount_point *found = NULL;
    size_t best = 0;

    for (size_t i = 0; i < mounts->list.count; i++) {
        const struct mount_point *m = &mounts->list.items[i];
        const char *rest = str_after(path, m->destination);

        if (rest && (!*rest || *rest == '/') && strlen(m->destination) > best &&
            !streq(m->type, "tmpfs")) {
            found = m;
            best = strlen(m->destination);
            *ret_rest = *rest ? rest : "/";
        }
    }
    return found;
}

static int open_mount(struct engine *en, const struct mount_point *m, struct wharf_error *e)
{
    struct volume_store *volumes;

    if (streq(m->type, "volume")) {
        int r = engine_volumes(en, &volumes, e);
        return r < 0 ? r : volume_mount(volumes, m->name, m->subpath, e);
    }
    int fd = open(m->source, O_PATH | O_CLOEXEC);
    return fd < 0 ? err_sys(e, "cannot open '%s'", m->source) : fd;
}

static int find_place(struct engine *en, struct principal who, const char *reference,
                      const char *path, struct record *record, struct place *ret,
                      struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autoplace struct place p = { .root = -1 };
    autofree char *absolute = NULL;
    const struct mount_point *m;
    const char *rest = NULL;
    struct settings s;
    struct mounts mounts;
    int r;

    if (!settings_text(path))
        return err_invalid(e, "bad parameter: path cannot be empty");
    r = arena ? container_find(en, who, reference, record, NULL, e) : err_nomem(e);
    if (r == 0)
        r = mounts_read(record->mounts, arena, &mounts, e);
    if (r == 0)
        r = settings_read(record->settings, strlen(record->settings), arena, &s, e);
    if (r < 0)
        return r;
    absolute = str_format("/%s", path);
    p.path = absolute ? path_clean(absolute) : NULL;
    if (!p.path)
        return err_nomem(e);
    p.running = record_is_running(record);
    m = mount_of(&mounts, p.path, &rest);
    p.read_only = m ? !m->rw : s.host->readonly_rootfs;
    if (m && !p.running) {
        char *inside = strdup(rest);

        if (!inside)
            return err_nomem(e);
        p.root = open_mount(en, m, e);
        free(p.path);
        p.path = inside;
    } else {
        p.root = container_root(en, record, e);
    }
    if (p.root < 0)
        return p.root;
    *ret = p;
    p = (struct place){ .root = -1 };
    return 0;
}

static int not_found(const char *reference, const char *path, int r, struct wharf_error *e)
{
    if (r == -ENOENT || r == -ENOTDIR)
        return err_not_found(e, "Could not find the file %s in container %s", path, reference);
    return err_code(e, r, "cannot open '%s' in container %s", path, reference);
}

/* Splits the path: its parent, open, and the last name. "/": "." in the root. */
static int open_parent(const struct place *p, const char **ret_name)
{
    char *slash = strrchr(p->path, '/');
    autofree char *parent = strndup(p->path, (size_t)(slash - p->path));

    *ret_name = slash[1] ? slash + 1 : ".";
    if (!parent)
        return -ENOMEM;
    return path_open_in(p->root, *parent ? parent : "/", O_PATH | O_DIRECTORY, 0);
}

/* ---- stat ------------------------------------------------------------------------------------ */

/* Go's FileMode (io/fs): permissions below, kinds at the top. */
static uint32_t go_mode(mode_t mode)
{
    static const struct {
        mode_t kind;
        uint32_t bits;
    } kinds[] = {
        { S_IFDIR, 1u << 31 }, { S_IFLNK, 1u << 27 },  { S_IFBLK, 1u << 26 },
        { S_IFIFO, 1u << 25 }, { S_IFSOCK, 1u << 24 }, { S_IFCHR, 1u << 26 | 1u << 21 },
    };
    uint32_t bits = mode & 0777;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        bits |= (mode & S_IFMT) == kinds[i].kind ? kinds[i].bits : 0;
    return bits | (mode & S_ISUID ? 1u << 23 : 0) | (mode & S_ISGID ? 1u << 22 : 0) |
           (mode & S_ISVTX ? 1u << 20 : 0);
}

/* Where a link leads, as an absolute path of the container. */
static char *link_target(int parent, const char *name, const char *path)
{
    char target[4096];
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
    const char *slash = strrchr(path, '/');

    if (n < 0)
        return strdup("");
    target[n] = '\0';
    autofree char *whole = target[0] == '/'
                               ? strdup(target)
                               : str_format("%.*s/%s", (int)(slash - path), path, target);
    return whole ? path_clean(whole) : NULL;
}

int engine_archive_stat(struct engine *en, struct principal who, const char *reference,
                        const char *path, json_t **ret, struct wharf_error *e)
{
    autorecord struct record record = { 0 };
    autoplace struct place p = { .root = -1 };
    char stamp[LOG_TIME_MAX];
    const char *name;
    struct stat st;
    int r = find_place(en, who, reference, path, &record, &p, e);

    if (r < 0)
        return r;
    autoclose int parent = open_parent(&p, &name);
    if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return not_found(reference, path, parent < 0 ? parent : -errno, e);
    autofree char *link = S_ISLNK(st.st_mode) ? link_target(parent, name, p.path) : strdup("");
    log_time(stamp, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    const char *slash = strrchr(p.path, '/');
    *ret = json_pack("{s:s s:I s:I s:s s:s}", "name", slash[1] ? slash + 1 : "/", "size",
                     (json_int_t)st.st_size, "mode", (json_int_t)go_mode(st.st_mode), "mtime",
                     stamp, "linkTarget", link ? link : "");
    return *ret ? 0 : err_nomem(e);
}

char *archive_stat_header(const json_t *stat)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    autofree char *text = json_dumps(stat, JSON_COMPACT | JSON_PRESERVE_ORDER);
    size_t len = text ? strlen(text) : 0;
    struct buf b = BUF(64u << 10);

    for (size_t i = 0; i < len; i += 3) {
        size_t have = MIN(len - i, (size_t)3);
        uint32_t bits = 0;

        for (size_t n = 0; n < 3; n++)
            bits = bits << 8 | (n < have ? (unsigned char)text[i + n] : 0);
        for (size_t n = 0; n < 4; n++)
            buf_char(&b, n <= have ? digits[bits >> (18 - 6 * n) & 63] : '=');
    }
    return buf_take(&b);
}

/* ---- out ------------------------------------------------------------------------------------- */

int engine_archive_get(struct engine *en, struct principal who, const char *reference,
                       const char *path, const char *as, int fd, struct wharf_error *e)
{
    autorecord struct record record = { 0 };
    autoplace struct place p = { .root = -1 };
    struct treetar tar = { .fd = fd };
    size_t len = settings_text(path) ? strlen(path) : 0;
    const char *name;
    int r = find_place(en, who, reference, path, &record, &p, e);

    if (r < 0)
        return r;
    autoclose int parent = open_parent(&p, &name);
    if (parent < 0)
        return not_found(reference, path, parent, e);
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return not_found(reference, path, -errno, e);
    /* "/etc/." is what is in it: entries below "./" */
    bool inside = streq(name, ".") || (len >= 2 && streq(path + len - 2, "/."));
    r = treetar_add(&tar, parent, name, as ? as : inside ? "." : name, e);
    int ended = treetar_end(&tar, r == 0 ? e : NULL);
    return r < 0 ? r : ended;
}

int engine_container_export(struct engine *en, struct principal who, const char *reference, int fd,
                            struct wharf_error *e)
{
    autorecord struct record record = { 0 };
    struct treetar tar = { .fd = fd, .one_device = true };
    int r = container_find(en, who, reference, &record, NULL, e);

    if (r < 0)
        return r;
    autoclose int root = container_root(en, &record, e);
    if (root < 0)
        return root;
    r = treetar_add(&tar, root, ".", "", e);
    int ended = treetar_end(&tar, r == 0 ? e : NULL);
    return r < 0 ? r : ended;
}

/* ---- in -------------------------------------------------------------------------------------- */

int engine_archive_put(struct engine *en, struct principal who, const char *reference,
                       const struct engine_archive_put *ask, struct wharf_error *e)
{
    autorecord struct record record = { 0 };
    autoplace struct place p = { .root = -1 };
    autoplan struct plan plan = { 0 };
    int r = find_place(en, who, reference, ask->path, &record, &p, e);

    if (r < 0)
        return r;
    if (p.read_only)
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN, "container rootfs is marked read-only");
    autoclose int dir = path_open_in(p.root, p.path, O_RDONLY | O_DIRECTORY, 0);
    if (dir == -ENOTDIR)
        return err_invalid(e, "extraction point is not a directory");
    if (dir < 0)
        return not_found(reference, ask->path, dir, e);
    struct into into = {
        .dir = dir, .fd = ask->fd, .keep_kind = ask->keep_kind, .owned = ask->copy_owner
    };
    if (ask->copy_owner) {
        r = plan_make(en, &record, p.root, NULL, &plan, e);
        into.uid = plan.user.uid;
        into.gid = plan.user.gid;
    }
    return r < 0 ? r : archive_into(&into, e);
}
