/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into a root. See target.h. */
#include "libimage/build/target.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>
#include "base/fd.h"
#include "base/str.h"

enum { LINKS_MAX = 40, COPY_BLOCK = 1 << 20 };

static int fail(int r, const char *verb, const char *path, struct wharf_error *e)
{
    if (r == -ENOTDIR)
        return err_set(e, -ENOTDIR, WHARF_ERROR_INVALID, "cannot copy to non-directory: %.200s",
                       path);
    return err_code(e, r, "cannot %s '%.200s'", verb, path);
}

static struct owner owner_of(const struct target *t, const struct stat *st)
{
    return t->owner ? *t->owner
           : st     ? (struct owner){ st->st_uid, st->st_gid }
                    : (struct owner){ 0, 0 };
}

/* ---- directories ----------------------------------------------------------------------------- */

/* Each part by itself, so that those that are made get their owner. */
int target_directory(struct target *t, const char *path, struct wharf_error *e)
{
    char part[IMAGE_PATH_MAX + 1];
    size_t len = strlen(path);
    int fd = path_open_in(t->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);

    if (fd != -ENOENT)
        return fd < 0 ? fail(fd, "open", path, e) : fd;
    if (len > IMAGE_PATH_MAX)
        return fail(-ENAMETOOLONG, "make", path, e);
    for (size_t n = 1; n <= len; n++) {
        struct owner owner = owner_of(t, NULL);

        if (n < len && path[n] != '/')
            continue;
        snprintf(part, sizeof(part), "%.*s", (int)n, path);
        fd_close(fd);
        fd = path_open_in(t->root, part, O_RDONLY | O_DIRECTORY, 0);
        if (fd != -ENOENT)
            continue;
        int made = path_make_dirs_in(t->root, part, 0755);
        if (made >= 0)
            fd = openat(made, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (made < 0 || fd < 0 || fchown(fd, owner.uid, owner.gid) < 0 || fchmod(fd, 0755) < 0) {
            int r = made < 0 ? made : -errno;

            fd_close(made);
            fd_close(fd);
            return fail(r, "make", part, e);
        }
        fd_close(made);
    }
    return fd < 0 ? fail(fd, "open", path, e) : fd;
}

bool target_is_directory(struct target *t, const char *path)
{
    autoclose int fd = path_open_in(t->root, path, O_PATH | O_DIRECTORY, 0);

    return fd >= 0;
}

/* The parent of a path, opened, and its last part; a link there is followed. */
static int find_place(struct target *t, const char *path, char name[NAME_MAX + 1],
                      struct wharf_error *e)
{
    char now[IMAGE_PATH_MAX + 1], link[IMAGE_PATH_MAX + 1];

    snprintf(now, sizeof(now), "%s", path);
    for (int turn = 0; turn < LINKS_MAX; turn++) {
        char *slash = strrchr(now, '/');
        const char *last = slash ? slash + 1 : now;
        autofree char *clean = NULL;
        ssize_t n;

        if (strlen(last) > NAME_MAX || !*last)
            return fail(*last ? -ENAMETOOLONG : -EISDIR, "write", path, e);
        snprintf(name, NAME_MAX + 1, "%s", last);
        if (slash)
            *slash = 0;
        autoclose int dir = target_directory(t, slash ? now : ".", e);
        if (dir < 0)
            return dir;
        n = readlinkat(dir, name, link, sizeof(link) - 1);
        if (n < 0)
            return take_fd(&dir);
        link[n] = 0;
        clean = *link == '/' ? path_clean(link) : NULL;
        autofree char *next = clean ? strdup(clean) : str_format("%s/%s", slash ? now : "", link);
        if (!next)
            return err_nomem(e);
        snprintf(now, sizeof(now), "%s", next);
    }
    return fail(-ELOOP, "write", path, e);
}

/* ---- one thing ------------------------------------------------------------------------------- */

/* What is there goes, unless both are directories. */
static int clear(int dir, const char *name, bool directory)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (directory && S_ISDIR(st.st_mode))
        return 0;
    if (S_ISDIR(st.st_mode) && !directory)
        return path_remove_tree(dir, name);
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to)
{
    autofree char *block = NULL;
    ssize_t n;

    do
        n = copy_file_range(from, NULL, to, NULL, (size_t)1 << 30, 0);
    while (n > 0);
    if (n == 0)
        return 0;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS &&
        errno != EPERM)
        return -errno;
    block = malloc(COPY_BLOCK);
    if (!block)
        return -ENOMEM;
    while ((n = read(from, block, COPY_BLOCK)) != 0) {
        int r = n > 0 ? fd_write_all(to, block, (size_t)n) : errno == EINTR ? 0 : -errno;

        if (r < 0)
            return r;
    }
    return 0;
}

static int mode_for(struct target *t, const struct stat *st, mode_t *ret, struct wharf_error *e)
{
    *ret = st->st_mode & 07777;
    return t->mode ? mode_apply(t->mode, *ret, S_ISDIR(st->st_mode), ret, e) : 0;
}

static int write_file(struct target *t, int dir, const char *name, int from, const struct stat *st,
                      struct wharf_error *e)
{
    struct timespec times[2] = { st->st_mtim, st->st_mtim };
    struct owner owner = owner_of(t, st);
    mode_t mode;
    int r = mode_for(t, st, &mode, e);

    if (r < 0)
        return r;
    r = clear(dir, name, false);
    autoclose int to =
        r < 0 ? -1 : openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r == 0 && to < 0)
        r = -errno;
    if (r == 0)
        r = copy_bytes(from, to);
    if (r == 0 &&
        (fchown(to, owner.uid, owner.gid) < 0 || fchmod(to, mode) < 0 || futimens(to, times) < 0))
        r = -errno;
    return r < 0 ? fail(r, "write", name, e) : 0;
}

int target_file(struct target *t, const char *path, int from, const struct stat *st,
                struct wharf_error *e)
{
    char name[NAME_MAX + 1];
    autoclose int dir = find_place(t, path, name, e);

    return dir < 0 ? dir : write_file(t, dir, name, from, st, e);
}

/* Capabilities and user attributes of what comes out of an image. */
static void copy_xattrs(const struct tree_entry *entry, int dir, const char *name)
{
    char from[64 + IMAGE_PATH_MAX], to[64 + NAME_MAX], list[4096], value[4096];
    ssize_t n;

    snprintf(from, sizeof(from), "/proc/self/fd/%d%s%s", entry->fd, *entry->path ? "/" : "",
             entry->path);
    snprintf(to, sizeof(to), "/proc/self/fd/%d/%s", dir, name);
    n = *entry->path ? llistxattr(from, list, sizeof(list)) : listxattr(from, list, sizeof(list));
    for (const char *p = list; p < list + n; p += strlen(p) + 1) {
        if (!streq(p, "security.capability") && !str_after(p, "user."))
            continue;
        ssize_t len = *entry->path ? lgetxattr(from, p, value, sizeof(value))
                                   : getxattr(from, p, value, sizeof(value));
        if (len >= 0 && !str_after(p, "user.overlay."))
            lsetxattr(to, p, value, (size_t)len, 0);
    }
}

static int copy_directory(struct target *t, const struct tree_entry *entry, int dir,
                          const char *name, struct wharf_error *e)
{
    struct owner owner = owner_of(t, &entry->st);
    mode_t mode;
    int r = mode_for(t, &entry->st, &mode, e);

    if (r < 0)
        return r;
    r = clear(dir, name, true);
    if (r == 0 && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
        r = -errno;
    if (r == 0 && (fchownat(dir, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
                   fchmodat(dir, name, mode, 0) < 0))
        r = -errno;
    return r < 0 ? fail(r, "make", name, e) : 0;
}

static int copy_special(struct target *t, const struct tree_entry *entry, int dir, const char *name,
                        struct wharf_error *e)
{
    struct timespec times[2] = { entry->st.st_mtim, entry->st.st_mtim };
    struct owner owner = owner_of(t, &entry->st);
    int r = clear(dir, name, false);

    if (r == 0 && entry->link)
        r = symlinkat(entry->link, dir, name) < 0 ? -errno : 0;
    else if (r == 0)
        r = mknodat(dir, name, entry->st.st_mode, entry->st.st_rdev) < 0 ? -errno : 0;
    if (r == 0 && (fchownat(dir, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
                   utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0))
        r = -errno;
    return r < 0 ? fail(r, "make", name, e) : 0;
}

static int copy_entry(struct target *t, const struct tree *tree, const struct tree_entry *entry,
                      int dir, const char *name, struct wharf_error *e)
{
    int r;

    if (S_ISDIR(entry->st.st_mode))
        r = copy_directory(t, entry, dir, name, e);
    else if (!S_ISREG(entry->st.st_mode))
        r = copy_special(t, entry, dir, name, e);
    else {
        autoclose int from = tree_open_file(entry);

        r = from < 0 ? fail(from, "open", entry->to, e)
                     : write_file(t, dir, name, from, &entry->st, e);
    }
    if (r == 0 && tree->owners && !S_ISLNK(entry->st.st_mode))
        copy_xattrs(entry, dir, name);
    return r;
}

/* ---- sources --------------------------------------------------------------------------------- */

/* The directory that the children of a source go to: made with the source's own attributes, or left
 * as it is. */
static int open_top(struct target *t, const struct tree_entry *top, const char *path,
                    bool *ret_made, struct wharf_error *e)
{
    struct owner owner = owner_of(t, &top->st);
    autoclose int there = path_open_in(t->root, path, O_RDONLY | O_DIRECTORY, 0);
    mode_t mode;

    if (there >= 0 || there == -ENOTDIR)
        return there < 0 ? fail(there, "open", path, e) : take_fd(&there);
    int r = mode_for(t, &top->st, &mode, e);
    if (r < 0)
        return r;
    autoclose int made = target_directory(t, path, e);
    if (made < 0)
        return made;
    if (fchown(made, owner.uid, owner.gid) < 0 || fchmod(made, mode) < 0)
        return fail(-errno, "make", path, e);
    *ret_made = true;
    return take_fd(&made);
}

/* Directories change while their children are written: their times come last, deepest first. */
static void set_times(int base, size_t count, const struct tree_entry *top, bool made)
{
    for (size_t i = count; i-- > (*top->to ? 0 : 1);) {
        struct timespec times[2] = { top[i].st.st_mtim, top[i].st.st_mtim };
        autoclose int fd = -1;

        if (!S_ISDIR(top[i].st.st_mode))
            continue;
        fd = path_open_plain(base, top[i].to, O_RDONLY | O_DIRECTORY, 0);
        if (fd >= 0)
            futimens(fd, times);
    }
    if (made)
        futimens(base, (struct timespec[2]){ top->st.st_mtim, top->st.st_mtim });
}

static int copy_below(struct target *t, const struct tree *tree, const struct tree_source *source,
                      const char *path, struct wharf_error *e)
{
    const struct tree_entry *top = &tree->entries.items[source->first];
    /* --parents: the source is below the destination, not in its place */
    bool made = false, whole = *top->to != '\0';
    autoclose int base = whole ? target_directory(t, path, e) : open_top(t, top, path, &made, e);
    struct target inner = *t; /* links below the destination lead nowhere outside of it */
    autoclose int parent = -1;
    const char *parent_path = NULL;
    size_t parent_len = 0;
    int r = base < 0 ? base : 0;

    inner.root = base;
    for (size_t i = !whole; i < source->count && r == 0; i++) {
        const struct tree_entry *entry = top + i;
        const char *slash = strrchr(entry->to, '/'), *name = slash ? slash + 1 : entry->to;
        size_t len = slash ? (size_t)(slash - entry->to) : 0;
        char dir[IMAGE_PATH_MAX + 1];

        /* entries of one directory follow each other: it is opened once */
        if (!parent_path || len != parent_len || memcmp(parent_path, entry->to, len) != 0) {
            fd_close(parent);
            snprintf(dir, sizeof(dir), "%.*s", (int)len, entry->to);
            parent = target_directory(&inner, len ? dir : ".", e);
            parent_path = entry->to;
            parent_len = len;
        }
        r = parent < 0 ? parent : copy_entry(&inner, tree, entry, parent, name, e);
    }
    if (r == 0)
        set_times(base, source->count, top, made);
    return r;
}

int target_copy(struct target *t, const struct tree *tree, const struct tree_source *source,
                const char *path, struct wharf_error *e)
{
    const struct tree_entry *top = &tree->entries.items[source->first];
    char name[NAME_MAX + 1];

    if (S_ISDIR(top->st.st_mode))
        return copy_below(t, tree, source, path, e);
    autoclose int dir = find_place(t, path, name, e);
    return dir < 0 ? dir : copy_entry(t, tree, top, dir, name, e);
}
