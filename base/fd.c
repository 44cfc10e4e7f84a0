/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and whole files. See fd.h; paths are in path.c. */
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int fd_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_read_exact(int fd, void *data, size_t len)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = read(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENODATA;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_read_all(int fd, struct buf *b)
{
    for (;;) {
        size_t want = MAX(b->cap > b->len + 1 ? b->cap - b->len - 1 : 0, (size_t)4096);
        char *at = buf_reserve(b, MIN(want, b->max - b->len));
        char probe;
        ssize_t n;

        if (!at)
            return b->error;
        /* a full buffer may still be the whole file: one more byte decides */
        n = b->len == b->max ? read(fd, &probe, 1) : read(fd, at, MIN(want, b->max - b->len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n > 0 && b->len == b->max)
            return b->error = -EFBIG;
        b->len += (size_t)n;
        if (b->data)
            b->data[b->len] = 0;
        if (n == 0)
            return 0;
    }
}

ssize_t file_read(int dirfd, const char *path, size_t max, char **ret)
{
    autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    autobuf struct buf b = BUF(max);
    ssize_t len;
    int r;

    if (fd < 0)
        return -errno;
    r = fd_read_all(fd, &b);
    if (r < 0)
        return r;
    len = (ssize_t)b.len;
    *ret = buf_take(&b);
    return *ret ? len : -ENOMEM;
}

int file_write(int dirfd, const char *path, const char *text)
{
    autoclose int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_new(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
                     bool sync)
{
    autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int r;

    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, data, len);
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    return r;
}

int file_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode, bool sync)
{
    char temporary[300];
    uint64_t random;
    int r;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    r = snprintf(temporary, sizeof(temporary), "%s.%016llx.tmp", name, (unsigned long long)random);
    if (r < 0 || (size_t)r >= sizeof(temporary))
        return -ENAMETOOLONG;
    r = write_new(dirfd, temporary, data, len, mode, sync);
    if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dirfd, temporary, 0);
    return r;
}
