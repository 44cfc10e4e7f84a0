/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a layer goes while it is written: tar members in, a gzip file out, hashed at both ends. The
 * same members give the same bytes.
 */
#ifndef LIBIMAGE_BUILD_SINK_H
#define LIBIMAGE_BUILD_SINK_H

#include "libimage/digest.h"
#include "libimage/tar-head.h"

struct sink;

/* `fd` is the caller's. */
int sink_open(struct sink **ret, int fd, struct wharf_error *e);
void sink_free(struct sink *s);
DEFINE_AUTO(struct sink, sink_free)

/* The header; the bytes of a file follow by sink_data, st.st_size of them. */
int sink_entry(struct sink *s, const struct tar_member *entry, struct wharf_error *e);
int sink_data(struct sink *s, const void *data, size_t len, struct wharf_error *e);
/* Behind the last entry: everything is in the file. */
int sink_end(struct sink *s, struct digest *ret_diff, struct digest *ret_blob, int64_t *ret_size,
             struct wharf_error *e);

#endif
