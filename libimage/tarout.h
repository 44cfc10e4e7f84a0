/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a tar (tar-head.h) to a descriptor of any kind. Contents that stand in files go out by
 * copy_file_range or sendfile: they never pass through this process. What goes in here decides
 * every byte that comes out: owners are root, times are what the caller says.
 */
#ifndef LIBIMAGE_TAROUT_H
#define LIBIMAGE_TAROUT_H

#include <stdbool.h>
#include <stdint.h>

struct tarout {
    int fd;
    bool plain;    /* neither of the two calls works here: read and write */
    int64_t bytes; /* written so far */
    /* Called after each piece; a negative errno ends. May be NULL. */
    int (*step)(struct tarout *self, int64_t done);
    void *arg;
};
/* 0 or -errno. */
int tarout_directory(struct tarout *t, const char *name, int64_t mtime);
int tarout_text(struct tarout *t, const char *name, const void *data, int64_t len, int64_t mtime);
int tarout_file(struct tarout *t, const char *name, int from, int64_t len, int64_t mtime);
int tarout_end(struct tarout *t);

#endif
