/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that one thread writes while others read it as a source of bytes (stream.h): a layer is
 * unpacked while it is still on its way. Readers wait at the end of what is there; they see the end
 * of the file only when the writer says that the content is whole and verified, so whatever was
 * read from a lie ends in an error, never in a result. Between the two lies the page cache: neither
 * waits for the other's speed, and memory is one buffer a reader.
 */
#ifndef LIBIMAGE_GROWING_H
#define LIBIMAGE_GROWING_H

#include <pthread.h>
#include "libimage/stream.h"

struct growing {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd;       /* the writer's; -1: not open yet */
    int64_t have; /* bytes that may be read */
    bool whole;
    int fault; /* the writer gave up */
};
void growing_init(struct growing *g);
void growing_done(struct growing *g);
/* By the writer: how much is there; that it is all; that it never will be (a negative errno). */
void growing_set(struct growing *g, int fd, int64_t have);
void growing_end(struct growing *g);
void growing_fail(struct growing *g, int fault);

struct growing_source {
    struct source base;
    struct growing *file;
    int64_t at;
    char *buffer;
};
int growing_source_init(struct growing_source *s, struct growing *file, struct wharf_error *e);
void growing_source_done(struct growing_source *s);

#endif
