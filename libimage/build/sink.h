/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a layer goes while it is written: tar entries in, a gzip file out, hashed at both ends. The
 * headers are ustar; what does not fit there (long names, large sizes, extended attributes) stands
 * in a pax header before it. Nothing depends on the host but what the caller gives: no names of
 * users, no times of access. The same entries give the same bytes.
 */
#ifndef LIBIMAGE_BUILD_SINK_H
#define LIBIMAGE_BUILD_SINK_H

#include <sys/stat.h>
#include "base/buf.h"
#include "libimage/digest.h"

struct sink;

/* `fd` is the caller's. */
int sink_open(struct sink **ret, int fd, struct wharf_error *e);
void sink_free(struct sink *s);
DEFINE_AUTO(struct sink, sink_free)

enum { SINK_XATTRS_MAX = 1 << 20 };

struct sink_entry {
    const char *name;         /* directories without a slash behind */
    struct stat st;           /* mode, uid, gid, size, mtime (seconds), rdev */
    const char *link;         /* target of a symbolic link */
    bool hard;                /* `link` is an earlier entry */
    const struct buf *xattrs; /* "name\0" u32 length, value; NULL: none */
};
/* The header; the bytes of a file follow by sink_data, st.st_size of them. */
int sink_entry(struct sink *s, const struct sink_entry *entry, struct wharf_error *e);
int sink_data(struct sink *s, const void *data, size_t len, struct wharf_error *e);
/* Behind the last entry: everything is in the file. */
int sink_end(struct sink *s, struct digest *ret_diff, struct digest *ret_blob, int64_t *ret_size,
             struct wharf_error *e);

#endif
