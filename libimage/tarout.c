/* SPDX-License-Identifier: Apache-2.0 */
/* See tarout.h. */
#include "libimage/tarout.h"
#include "base/fd.h"
#include "base/macros.h"
#include "libimage/tar-head.h"

#include <string.h>
#include <sys/sendfile.h>

enum { PIECE = 8 << 20 };

static const char zeros[2 * TAR_BLOCK];

static int put_all(struct tarout *t, const void *data, size_t len)
{
    int r = fd_write_all(t->fd, data, len);

    t->bytes += (int64_t)len;
    return r;
}

static int put_header(struct tarout *t, const char *name, mode_t mode, int64_t len, int64_t mtime)
{
    struct tar_member m = { .name = name,
                            .st = { .st_mode = mode, .st_size = len, .st_mtim.tv_sec = mtime } };
    autobuf struct buf head = BUF(TAR_HEAD_MAX);
    int r = tar_head(&m, &head);

    return r < 0 ? r : put_all(t, head.data, head.len);
}

static int pad(struct tarout *t)
{
    size_t over = tar_padding((uint64_t)t->bytes);

    return over ? put_all(t, zeros, over) : 0;
}

int tarout_directory(struct tarout *t, const char *name, int64_t mtime)
{
    return put_header(t, name, S_IFDIR | 0755, 0, MAX(mtime, 0));
}

int tarout_text(struct tarout *t, const char *name, const void *data, int64_t len, int64_t mtime)
{
    int r = put_header(t, name, S_IFREG | 0644, len, MAX(mtime, 0));

    if (r == 0)
        r = put_all(t, data, (size_t)len);
    return r < 0 ? r : pad(t);
}

static ssize_t copy_plain(struct tarout *t, int from, off_t *at, size_t len)
{
    autofree char *block = malloc(256 << 10);
    ssize_t n = block ? pread(from, block, MIN(len, (size_t)256 << 10), *at) : -1;
    int r;

    if (n <= 0)
        return n < 0 ? -errno : 0;
    r = fd_write_all(t->fd, block, (size_t)n);
    *at += n;
    return r < 0 ? r : n;
}

static ssize_t copy_piece(struct tarout *t, int from, off_t *at, size_t len)
{
    ssize_t n = -1;

    if (!t->plain)
        n = copy_file_range(from, at, t->fd, NULL, len, 0);
    if (n < 0 && !t->plain)
        n = sendfile(t->fd, from, at, len);
    if (n >= 0)
        return n;
    if (!t->plain && errno != EINVAL && errno != ENOSYS && errno != EOVERFLOW)
        return errno == EINTR ? copy_plain(t, from, at, len) : -errno;
    t->plain = true;
    return copy_plain(t, from, at, len);
}

int tarout_file(struct tarout *t, const char *name, int from, int64_t len, int64_t mtime)
{
    int r = put_header(t, name, S_IFREG | 0644, len, MAX(mtime, 0));

    for (off_t at = 0; r == 0 && at < len;) {
        ssize_t n = copy_piece(t, from, &at, (size_t)MIN(len - at, PIECE));

        if (n <= 0)
            return n < 0 ? (int)n : -ENODATA; /* the file is shorter than it was said to be */
        t->bytes += n;
        r = t->step ? t->step(t, at) : 0;
    }
    return r < 0 ? r : pad(t);
}

int tarout_end(struct tarout *t)
{
    return put_all(t, zeros, sizeof(zeros));
}
