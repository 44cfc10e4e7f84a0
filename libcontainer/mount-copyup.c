/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "tmpcopyup": a tmpfs that begins with what the directory below it holds.
 *
 * It runs in the child, so it walks with raw getdents64(2) into a buffer on the stack, and only on
 * descriptors: names are single components, opened O_NOFOLLOW, so that nothing outside the
 * directory is read. Files, directories, symbolic links, devices and fifos are copied with mode,
 * owner and times; sockets are left out, they mean nothing without their listener.
 */
#include "libcontainer/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/fd.h"
#include "base/str.h"

enum { COPY_DEPTH_MAX = 64, COPY_CHUNK = 1 << 20 };

static int copy_directory(int from, int to, unsigned depth);

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
    autoclose int in = path_open_plain(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    autoclose int out = -1;
    ssize_t n;

    if (in < 0)
        return in;
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
    if (out < 0)
        return -errno;
    while ((n = sendfile(out, in, NULL, COPY_CHUNK)) > 0)
        ;
    return n < 0 ? -errno : 0;
}

static int copy_link(int from, int to, const char *name)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from, name, text, sizeof(text) - 1);

    if (n < 0)
        return -errno;
    text[n] = 0;
    return symlinkat(text, to, name) < 0 ? -errno : 0;
}

static int copy_subdirectory(int from, int to, const char *name, const struct stat *st,
                             unsigned depth)
{
    autoclose int in = -1, out = -1;

    if (depth >= COPY_DEPTH_MAX)
        return -ELOOP;
    in = path_open_plain(from, name, O_RDONLY | O_DIRECTORY, 0);
    if (in < 0)
        return in;
    if (mkdirat(to, name, st->st_mode & 07777) < 0)
        return -errno;
    out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return out < 0 ? -errno : copy_directory(in, out, depth + 1);
}

/* Owner, mode and times, after the content. */
static int copy_attributes(int to, const char *name, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };

    if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
        return -errno;
    return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth)
{
    struct stat st;
    int r;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISREG(st.st_mode))
        r = copy_file(from, to, name, &st);
    else if (S_ISDIR(st.st_mode))
        r = copy_subdirectory(from, to, name, &st, depth);
    else if (S_ISLNK(st.st_mode))
        r = copy_link(from, to, name);
    else if (S_ISSOCK(st.st_mode))
        return 0;
    else
        r = mknodat(to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
    return r < 0 ? r : copy_attributes(to, name, &st);
}

static int copy_directory(int from, int to, unsigned depth)
{
    _Alignas(struct dirent64) char batch[2048];
    long len;

    while ((len = syscall(SYS_getdents64, from, batch, sizeof(batch))) > 0) {
        for (long at = 0; at < len;) {
            const struct dirent64 *entry = (const struct dirent64 *)(batch + at);
            int r = 0;

            if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                r = copy_entry(from, to, entry->d_name, depth);
            if (r < 0)
                return r;
            at += entry->d_reclen;
        }
    }
    return len < 0 ? -errno : 0;
}

int mount_copy_up(int from, int to)
{
    autoclose int in = path_open_plain(from, ".", O_RDONLY | O_DIRECTORY, 0);
    autoclose int out = path_open_plain(to, ".", O_RDONLY | O_DIRECTORY, 0);
    struct stat st;
    int r;

    if (in < 0 || out < 0)
        return MIN(in, out);
    r = copy_directory(in, out, 0);
    if (r < 0)
        return r;
    return fstat(in, &st) < 0 || fchmod(out, st.st_mode & 07777) < 0 ||
                   fchown(out, st.st_uid, st.st_gid) < 0
               ? -errno
               : 0;
}
