/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of bytes that are pulled block by block, each byte touched once:
 *
 *     file -> [hash] [copy] -> decoder -> [hash] [limits] -> tar reader
 *
 * A source hands out blocks of its own buffer, valid until the next call: nothing is copied between
 * the stages, and memory is one buffer a stage, whatever the length.
 */
#ifndef LIBIMAGE_STREAM_H
#define LIBIMAGE_STREAM_H

#include "libimage/digest.h"

enum { STREAM_BLOCK = 256 << 10 };

struct source {
    /* Bytes at *ret_block; 0 at the end; -errno. */
    ssize_t (*next)(struct source *self, const void **ret_block, struct wharf_error *e);
};

/* A descriptor read from its offset on. */
struct file_source {
    struct source base;
    int fd; /* the caller's */
    char *buffer;
    const char *what;
};
int file_source_init(struct file_source *s, int fd, const char *what, struct wharf_error *e);
void file_source_done(struct file_source *s);

/* Looks at what passes: counts, hashes, copies to a descriptor, asks a guard. */
struct tap {
    struct source base;
    struct source *in;
    struct hasher hasher; /* used if it is on */
    int copy;             /* -1: none */
    int64_t bytes;
    char tail[512]; /* the last bytes, for tap_ended_with_zeros */
    /* Called with every block; a negative errno ends the stream. May be NULL. */
    int (*guard)(struct tap *self, void *arg, struct wharf_error *e);
    void *arg;
};
void tap_init(struct tap *t, struct source *in);
void tap_done(struct tap *t);
/* Reads to the end, so that the digest covers everything. */
int tap_drain(struct tap *t, struct wharf_error *e);
/* A tar that was not cut ends with a block of zeros, at a multiple of 512. */
bool tap_ended_with_zeros(const struct tap *t);

/* Undoes a compression found by its magic: gzip (several members), zstd (several frames, skippable
 * ones), bzip2, xz; anything else passes unchanged. */
struct decoder;
int decoder_open(struct decoder **ret, struct source *in, const char *what, struct wharf_error *e);
struct source *decoder_source(struct decoder *d);
/* "gzip", "zstd", "bzip2", "xz", or "" for none. */
const char *decoder_name(const struct decoder *d);
void decoder_free(struct decoder *d);
DEFINE_AUTO(struct decoder, decoder_free)

#endif
