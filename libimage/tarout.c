/* SPDX-License-Identifier: Apache-2.0 */
/* See tarout.h. (POSIX.1-2017, pax: "ustar Interchange Format".) */
#include "libimage/tarout.h"
#include "base/fd.h"
#include "base/macros.h"

#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>

enum { BLOCK = 512, PIECE = 8 << 20 };

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

static const char zeros[2 * BLOCK];

/* Octal, or the binary form of GNU where octal has no room. */
static void put_number(char *field, size_t size, int64_t value)
{
    if (value < INT64_C(1) << (3 * (size - 1))) {
        snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
        return;
    }
    for (size_t i = size; i-- > 0; value >>= 8)
        field[i] = (char)(value & 0xff);
    field[0] |= (char)0x80;
}

static int put_all(struct tarout *t, const void *data, size_t len)
{
    int r = fd_write_all(t->fd, data, len);

    t->bytes += (int64_t)len;
    return r;
}

static int put_header(struct tarout *t, const char *name, char type, int mode, int64_t len,
                      int64_t mtime);
static int pad(struct tarout *t);

/* A pax header before the member: one record, whose length counts its own digits. */
static int put_long_name(struct tarout *t, const char *name)
{
    char record[TAROUT_NAME_MAX + 32];
    int len = (int)strlen(name) + (int)strlen(" path=\n") + 3, r;

    if (strlen(name) > TAROUT_NAME_MAX)
        return -ENAMETOOLONG;
    len -= len <= 99;
    snprintf(record, sizeof(record), "%d path=%s\n", len, name);
    r = put_header(t, "././@PaxHeader", 'x', 0644, len, 0);
    if (r == 0)
        r = put_all(t, record, (size_t)len);
    return r < 0 ? r : pad(t);
}

static int put_header(struct tarout *t, const char *name, char type, int mode, int64_t len,
                      int64_t mtime)
{
    struct header h = { .type = type, .magic = "ustar", .version = { '0', '0' } };
    unsigned sum = 0;
    int r = strlen(name) > sizeof(h.name) ? put_long_name(t, name) : 0;

    if (r < 0)
        return r;
    memcpy(h.name, name, MIN(strlen(name), sizeof(h.name)));
    put_number(h.mode, sizeof(h.mode), mode);
    put_number(h.uid, sizeof(h.uid), 0);
    put_number(h.gid, sizeof(h.gid), 0);
    put_number(h.size, sizeof(h.size), len);
    put_number(h.mtime, sizeof(h.mtime), MAX(mtime, 0));
    memset(h.checksum, ' ', sizeof(h.checksum));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += ((unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof(h.checksum), "%06o", sum);
    return put_all(t, &h, sizeof(h));
}

static int pad(struct tarout *t)
{
    size_t over = (size_t)(t->bytes % BLOCK);

    return over ? put_all(t, zeros, BLOCK - over) : 0;
}

int tarout_directory(struct tarout *t, const char *name, int64_t mtime)
{
    return put_header(t, name, '5', 0755, 0, mtime);
}

int tarout_text(struct tarout *t, const char *name, const void *data, int64_t len, int64_t mtime)
{
    int r = put_header(t, name, '0', 0644, len, mtime);

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
    int r = put_header(t, name, '0', 0644, len, mtime);

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
