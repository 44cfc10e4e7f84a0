/* SPDX-License-Identifier: Apache-2.0 */
/* Paths below a directory descriptor: the openat2 forms that containers and archives need. See
 * fd.h. */
#include "base/fd.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

static int openat2_retry(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
        .resolve = resolve,
    };
    long fd;

    /* openat2(2): EAGAIN when a rename raced the ".." checks of scoped resolution */
    for (int tries = 0; tries < 64; tries++) {
        fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

int path_open_in(int root, const char *path, int flags, mode_t mode)
{
    return openat2_retry(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_open_plain(int dir, const char *path, int flags, mode_t mode)
{
    return openat2_retry(dir, path, flags, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* Opens one plain component below `dir`, made first if it is missing: a directory or an empty file,
 * as the type in `mode` says. -ELOOP: it is a symbolic link. */
static int step_in(int dir, const char *name, mode_t mode)
{
    const int flags = S_ISDIR(mode) ? O_PATH | O_DIRECTORY : O_PATH;
    int fd = path_open_plain(dir, name, flags, 0), r;

    if (fd != -ENOENT)
        return fd;
    r = S_ISDIR(mode) ? mkdirat(dir, name, mode & 07777) : mknodat(dir, name, mode, 0);
    if (r < 0 && errno != EEXIST)
        return -errno;
    return path_open_plain(dir, name, flags, 0);
}

/* The longest leading part of `path` that is an existing directory, opened; *rest is what is
 * missing behind it. */
static int open_existing(int root, char *path, char **rest)
{
    char *cut = path + strlen(path);

    for (;;) {
        char saved = *cut;
        int fd;

        *cut = 0;
        fd = path_open_in(root, *path ? path : ".", O_PATH | O_DIRECTORY, 0);
        *cut = saved;
        if (fd != -ENOENT || cut == path) {
            *rest = cut;
            return fd;
        }
        while (cut > path && cut[-1] == '/')
            cut--;
        while (cut > path && cut[-1] != '/')
            cut--;
    }
}

/* Puts the text of the symbolic link `name` in `dir`, which stands at `at` in `path`, in its place.
 */
static int follow_link(int dir, const char *name, char path[PATH_MAX], size_t at, const char *rest)
{
    char link[PATH_MAX], tail[PATH_MAX];
    ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
    int len;

    if (n < 0)
        return -errno;
    link[n] = 0;
    if (*link == '/')
        at = 0;
    memcpy(tail, rest, strlen(rest) + 1);
    len = snprintf(path + at, PATH_MAX - at, "%s/%s", link, tail);
    return (size_t)len < PATH_MAX - at ? 0 : -ENAMETOOLONG;
}

/* One pass over `path`: the last part opened, or -EAGAIN when a dangling link was written out into
 * `path` and the pass is to be repeated. */
static int make_pass(int root, char path[PATH_MAX], mode_t mode)
{
    char name[NAME_MAX + 1], *rest = NULL;
    autoclose int dir = open_existing(root, path, &rest);

    if (dir < 0)
        return dir;
    for (rest += strspn(rest, "/"); *rest;) {
        size_t n = strcspn(rest, "/"), at = (size_t)(rest - path);
        int next;

        if (n > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, rest, n);
        name[n] = 0;
        rest += n;
        rest += strspn(rest, "/");
        /* ".." behind a part that does not exist has no meaning that a link could not change */
        if (streq(name, ".."))
            return -ENOENT;
        if (streq(name, "."))
            continue;
        next = step_in(dir, name, *rest && !S_ISDIR(mode) ? S_IFDIR | 0755 : mode);
        if (next == -ELOOP) {
            int r = follow_link(dir, name, path, at, rest);

            return r < 0 ? r : -EAGAIN;
        }
        if (next < 0)
            return next;
        fd_close(dir);
        dir = next;
    }
    return take_fd(&dir);
}

static int make_in(int root, const char *path, mode_t mode)
{
    char text[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(text, path, len + 1);
    /* as many links as the kernel follows: path_resolution(7) */
    for (int links = 0; links <= 40; links++) {
        int fd = make_pass(root, text, mode);

        if (fd != -EAGAIN)
            return fd;
    }
    return -ELOOP;
}

int path_make_dirs_in(int root, const char *path, mode_t mode)
{
    return make_in(root, path, S_IFDIR | mode);
}

int path_make_file_in(int root, const char *path, mode_t mode)
{
    int fd = path_open_in(root, path, O_PATH, 0);

    return fd == -ENOENT ? make_in(root, path, S_IFREG | mode) : fd;
}

enum { REMOVE_DEPTH_MAX = 4096, SIZE_DEPTH_MAX = 512 };

static int remove_at(int dirfd, const char *name, dev_t device, unsigned depth);

static int remove_children(int fd, dev_t device, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    int first = 0;

    if (!dir) {
        fd_close(fd);
        return -errno;
    }
    while ((entry = readdir(dir))) {
        int r;

        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
            continue;
        r = remove_at(dirfd(dir), entry->d_name, device, depth + 1);
        if (r < 0 && first == 0)
            first = r;
    }
    closedir(dir);
    return first;
}

static int remove_at(int dirfd, const char *name, dev_t device, unsigned depth)
{
    struct stat st;
    int fd, r;

    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth > REMOVE_DEPTH_MAX)
        return -ELOOP;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0 || (device && st.st_dev != device)) {
        fd_close(fd);
        return -EXDEV;
    }
    r = remove_children(fd, st.st_dev, depth);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
        r = -errno;
    return r;
}

int path_remove_tree(int dirfd, const char *name)
{
    return remove_at(dirfd, name, 0, 0);
}

int path_make_dirs(const char *path, mode_t mode)
{
    /* mostly it is there, or its parent is */
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    autofree char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *p = copy + 1;; p++) {
        char saved = *p;

        if (saved && saved != '/')
            continue;
        *p = 0;
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return -errno;
        *p = saved;
        if (!saved)
            return 0;
    }
}

int path_is_empty(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    int empty = 1;

    if (!list) {
        int r = -errno;
        fd_close(fd);
        return r;
    }
    for (struct dirent *d; empty && (d = readdir(list));)
        empty = streq(d->d_name, ".") || streq(d->d_name, "..");
    closedir(list);
    return empty;
}

static int64_t tree_size(int dir, const char *name, dev_t device, unsigned depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    int64_t sum = 0;
    struct stat st;

    if (!list) {
        fd_close(fd);
        return 0;
    }
    for (struct dirent *d; (d = readdir(list));) {
        if (streq(d->d_name, ".") || streq(d->d_name, "..") ||
            fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
            continue;
        if (S_ISREG(st.st_mode)) /* of several names each has its share */
            sum += st.st_size / (int64_t)MAX(st.st_nlink, (nlink_t)1);
        else if (S_ISDIR(st.st_mode) && depth < SIZE_DEPTH_MAX)
            sum += tree_size(fd, d->d_name, device, depth + 1);
    }
    closedir(list);
    return sum;
}

int64_t path_tree_size(int dir)
{
    struct stat st;

    return fstat(dir, &st) < 0 ? 0 : tree_size(dir, ".", st.st_dev, 0);
}

char *path_clean(const char *path)
{
    bool absolute = *path == '/';
    char *out = malloc(strlen(path) + 2), *end;

    if (!out)
        return NULL;
    end = out;
    if (absolute)
        *end++ = '/';
    while (*path) {
        size_t n = strcspn(path, "/");
        char *base = out + absolute;

        if (n == 2 && path[0] == '.' && path[1] == '.') {
            char *last = end;

            while (last > base && last[-1] != '/')
                last--;
            if (end > base && !(end - last == 2 && last[0] == '.' && last[1] == '.')) {
                end = last > base ? last - 1 : base;
                n = 0;
            } else if (absolute) {
                n = 0;
            }
        } else if (n == 1 && path[0] == '.') {
            n = 0;
        }
        if (n > 0) {
            if (end > base)
                *end++ = '/';
            memmove(end, path, n);
            end += n;
        }
        path += strcspn(path, "/");
        path += strspn(path, "/");
    }
    if (end == out)
        *end++ = '.';
    *end = 0;
    return out;
}
