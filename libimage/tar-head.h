/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of tar members, for all that writes archives: ustar, and what does not fit there (long
 * names, large numbers, extended attributes) in a pax header before it [POSIX pax, "ustar
 * Interchange Format"]. Nothing depends on the host but what the caller gives: no names of users,
 * no times of access. Equal members give equal bytes.
 */
#ifndef LIBIMAGE_TAR_HEAD_H
#define LIBIMAGE_TAR_HEAD_H

#include <sys/stat.h>
#include "base/buf.h"

enum { TAR_BLOCK = 512, TAR_XATTRS_MAX = 1 << 20, TAR_HEAD_MAX = 3 << 20 };

struct tar_member {
    const char *name;         /* directories without a slash behind */
    struct stat st;           /* mode, uid, gid, size, mtime (seconds), rdev */
    const char *link;         /* target of a symbolic link */
    bool hard;                /* `link` is an earlier member */
    const struct buf *xattrs; /* "name\0" u32 length, value; NULL: none */
};

/* Adds all that stands before the content. 0 or -errno: no memory, or more than `out` may hold. */
int tar_head(const struct tar_member *member, struct buf *out);

/* Zeros behind a content of `size` bytes. */
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)(-size & (TAR_BLOCK - 1));
}

#endif
