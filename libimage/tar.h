/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading tar from a source, by libarchive. (POSIX pax, ustar and GNU forms; old sparse forms.)
 * Names come out as the bytes that they are: the reader runs in the C.UTF-8 locale of its own
 * thread, since libarchive would otherwise replace what the host's locale cannot say.
 */
#ifndef LIBIMAGE_TAR_H
#define LIBIMAGE_TAR_H

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include "libimage/stream.h"

struct tar {
    struct source *in;
    struct archive *archive; /* NULL: the source was empty */
    const char *what;
    const void *first; /* the block read ahead */
    size_t first_len;
    struct wharf_error fault; /* what the source said */
    int code;
    locale_t locale, before;
};

int tar_open(struct tar *t, struct source *in, const char *what, struct wharf_error *e);
/* In the thread that opened it. */
void tar_close(struct tar *t);

/* 1 and the next member, 0 at the end, -errno. */
int tar_next(struct tar *t, struct archive_entry **ret, struct wharf_error *e);
/* 1 and a block of the member's data at *ret_offset, 0 behind the last. */
int tar_block(struct tar *t, const void **ret, size_t *ret_len, int64_t *ret_offset,
              struct wharf_error *e);

/* A member's data as a source (holes filled with zeros: none is expected). */
struct member_source {
    struct source base;
    struct tar *tar;
    int64_t at;
};
void member_source_init(struct member_source *m, struct tar *t);

#endif
