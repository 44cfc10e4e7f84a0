/* SPDX-License-Identifier: Apache-2.0 */
/* See copy.h. Only descriptors and single names: nothing that is renamed meanwhile leads outside.
 */
#include "base/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

enum { DEPTH_MAX = 2048, XATTRS_MAX = 64 << 10 };

struct copy {
    int top;       /* of the copy */
    json_t *links; /* "device:inode" -> path in the copy, of files with several names */
    struct wharf_error *e;
};

static int copy_tree(struct copy *c, int from, int to, const char *path, unsigned depth);

static int copy_xattrs(int from, int to)
{
    autofree char *names = malloc(XATTRS_MAX), *value = malloc(XATTRS_MAX);
    ssize_t len = names && value ? flistxattr(from, names, XATTRS_MAX) : -1;

    for (const char *n = names; len > 0 && n < names + len; n += strlen(n) + 1) {
        ssize_t size;

        if (str_after(n, "trusted.overlay.") || str_after(n, "user.overlay."))
            continue;
        size = fgetxattr(from, n, value, XATTRS_MAX);
        if (size < 0 ||
            (fsetxattr(to, n, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM))
            return -errno;
    }
    return names && value ? 0 : -ENOMEM;
}

static int copy_attributes(const struct stat *st, int from, int to)
{
    struct timespec times[2] = { st->st_atim, st->st_mtim };
    int r;

    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        return -errno;
    r = copy_xattrs(from, to);
    return r < 0 ? r : futimens(to, times) < 0 ? -errno : 0;
}

static int copy_data(int from, int to, int64_t size)
{
    ssize_t n;

    if (size == 0 || ioctl(to, FICLONE, from) == 0)
        return 0;
    while ((n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0)) > 0)
        ;
    if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL))
        while ((n = sendfile(to, from, NULL, 1 << 30)) > 0)
            ;
    return n < 0 ? -errno : 0;
}

static int copy_file(const struct stat *st, int from_dir, int to_dir, const char *name)
{
    autoclose int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    autoclose int to = -1;
    int r;

    if (from >= 0)
        to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        return -errno;
    r = copy_data(from, to, st->st_size);
    return r < 0 ? r : copy_attributes(st, from, to);
}

/* Links, devices and pipes. */
static int copy_node(const struct stat *st, int from_dir, int to_dir, const char *name)
{
    struct timespec times[2] = { st->st_atim, st->st_mtim };
    char target[4096];
    ssize_t n;

    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(from_dir, name, target, sizeof(target) - 1);
        if (n < 0)
            return -errno;
        target[n] = 0;
        if (symlinkat(target, to_dir, name) < 0)
            return -errno;
    } else if (mknodat(to_dir, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0) {
        return -errno;
    }
    if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISLNK(st->st_mode) && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0) ||
        utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_directory(struct copy *c, const struct stat *st, int from_dir, int to_dir,
                          const char *name, const char *path, unsigned depth)
{
    autoclose int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    autoclose int to = -1;
    char value[4];
    int r = 0;

    if (from < 0)
        return -errno;
    if (fgetxattr(from, "trusted.overlay.opaque", value, sizeof(value)) > 0 ||
        fgetxattr(from, "user.overlay.opaque", value, sizeof(value)) > 0)
        r = path_remove_tree(to_dir, name);
    if (r == 0 && mkdirat(to_dir, name, 0700) < 0 && errno != EEXIST)
        r = -errno;
    to = r < 0 ? r : openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        return r < 0 ? r : -errno;
    r = copy_tree(c, from, to, path, depth + 1);
    return r < 0 ? r : copy_attributes(st, from, to);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, const char *path,
                      unsigned depth)
{
    const char *before;
    struct stat st, there;
    char key[64];
    int r = 0;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (fstatat(to, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        !(S_ISDIR(st.st_mode) && S_ISDIR(there.st_mode)))
        r = path_remove_tree(to, name);
    if (r < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)))
        return r;
    if (S_ISDIR(st.st_mode))
        return copy_directory(c, &st, from, to, name, path, depth);
    snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    before = st.st_nlink > 1 ? json_string_value(json_object_get(c->links, key)) : NULL;
    if (before)
        return linkat(c->top, before, to, name, 0) < 0 ? -errno : 0;
    r = S_ISREG(st.st_mode) ? copy_file(&st, from, to, name) : copy_node(&st, from, to, name);
    if (r == 0 && st.st_nlink > 1)
        json_object_set_new_nocheck(c->links, key, json_stringn_nocheck(path, strlen(path)));
    return r;
}

static int copy_tree(struct copy *c, int from, int to, const char *path, unsigned depth)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir || depth > DEPTH_MAX) {
        r = dir ? -ELOOP : -errno;
        if (dir)
            closedir(dir);
        else
            fd_close(fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir))) {
        autofree char *below = NULL;

        if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
            continue;
        below = str_format("%s%s%s", path, *path ? "/" : "", entry->d_name);
        r = below ? copy_entry(c, from, to, entry->d_name, below, depth) : -ENOMEM;
        if (r < 0 && !(c->e && c->e->code))
            err_code(c->e, r, "cannot copy '%.200s'", below ? below : entry->d_name);
    }
    closedir(dir);
    return r;
}

int tree_copy(int from, int to, struct wharf_error *e)
{
    autojson json_t *links = json_object();
    autoclose int source = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct copy c = { .top = to, .links = links, .e = e };
    struct stat st;

    if (source < 0 || fstat(source, &st) < 0)
        return err_sys(e, "cannot read the directory to copy");
    int r = copy_tree(&c, source, to, "", 0);
    if (r == 0)
        r = copy_attributes(&st, source, to);
    return r < 0 && !(e && e->code) ? err_code(e, r, "cannot copy a directory") : r;
}
