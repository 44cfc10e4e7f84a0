/* SPDX-License-Identifier: Apache-2.0 */
/* The whole pipe of stream.h in one: bytes that come in, decoder, tar reader; hashes at both ends;
 * bombs refused, progress reported and cancelling heard on the way. */
#ifndef LIBIMAGE_FEED_H
#define LIBIMAGE_FEED_H

#include <pthread.h>
#include "libimage/tar.h"

/* The caller's functions for programs (progress) and for people (tell), which several threads may
 * want to call: one at a time. */
struct reporter {
    int (*progress)(const struct image_progress *progress, void *arg);
    void *arg;
    image_tell tell;
    void *tell_arg;
    const char *unpacking, *unpacked; /* what people are told of a layer at work; NULL: nothing */
    pthread_mutex_t lock;
};
/* Both take NULL for `r`, and give -ECANCELED when the caller wants no more. */
int reporter_tell(struct reporter *r, enum image_step step, const char *what, int64_t done,
                  int64_t total, struct wharf_error *e);
/* A message about a layer (`digest` is cut to 12 digits; a tag stays; NULL: about the whole). */
int reporter_say(struct reporter *r, const char *digest, const char *status, int64_t current,
                 int64_t total, struct wharf_error *e);
int reporter_message(struct reporter *r, const struct image_message *m, struct wharf_error *e);

struct feed_options {
    const char *what; /* names it in messages and progress */
    const struct image_limits *limits;
    int64_t bytes_max; /* plain bytes; the limit's name in messages: */
    const char *bytes_name;
    int copy;  /* keeps the raw bytes, and hashes them; -1: neither */
    bool hash; /* hash the plain bytes */
    struct reporter *reporter;
    enum image_step step;
    int64_t total; /* for progress, -1: not known */
};

struct feed {
    struct feed_options o;
    struct tap raw, plain;
    struct decoder *decoder;
    struct tar tar;
    int64_t told;
};
int feed_open(struct feed *f, struct source *in, struct feed_options options,
              struct wharf_error *e);
/* Reads what is left, so that the hashes are whole. */
int feed_finish(struct feed *f, struct wharf_error *e);
void feed_close(struct feed *f);
#define autofeed __attribute__((cleanup(feed_close)))

#endif
