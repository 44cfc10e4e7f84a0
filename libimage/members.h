/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of an image archive or layout. Of an archive, read once and in any order: the few
 * documents that tell the form stay in memory, every other file becomes a blob of the intake by its
 * digest, and a map keeps which name it had. Of a layout directory, blobs are fetched when asked
 * for.
 */
#ifndef LIBIMAGE_MEMBERS_H
#define LIBIMAGE_MEMBERS_H

#include "base/buf.h"
#include "libimage/feed.h"
#include "libimage/store.h"

struct members {
    const char *what;
    struct buf manifest, index; /* manifest.json, index.json; empty: not there */
    bool repositories;
    int dir;     /* of a layout directory, the caller's; -1: an archive */
    json_t *map; /* name -> {digest, size} or {link} */
    int64_t count;
};

int members_read(struct members *m, struct intake *in, int fd, const char *what,
                 struct reporter *reporter, struct wharf_error *e);
void members_done(struct members *m);
/* The blob that a name stands for, through links. */
int members_find(const struct members *m, const char *name, struct digest *ret_digest,
                 int64_t *ret_size, struct wharf_error *e);
/* Makes sure that the intake or the store has a blob; -ENOENT. */
int members_fetch(struct members *m, struct intake *in, const struct descriptor *d,
                  struct wharf_error *e);

#endif
