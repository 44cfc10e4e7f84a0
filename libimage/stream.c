/* SPDX-License-Identifier: Apache-2.0 */
/* Files and taps. See stream.h; decoders are in decoder.c. */
#include "libimage/stream.h"
#include "base/fd.h"

#include <string.h>

static ssize_t file_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct file_source *s = (struct file_source *)self;
    ssize_t n;

    do
        n = read(s->fd, s->buffer, STREAM_BLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(e, "cannot read '%s'", s->what);
    *ret = s->buffer;
    return n;
}

int file_source_init(struct file_source *s, int fd, const char *what, struct wharf_error *e)
{
    *s = (struct file_source){ .base.next = file_next, .fd = fd, .what = what };
    s->buffer = malloc(STREAM_BLOCK);
    return s->buffer ? 0 : err_nomem(e);
}

void file_source_done(struct file_source *s)
{
    free(s->buffer);
    s->buffer = NULL;
}

static void keep_tail(struct tap *t, const char *block, size_t len)
{
    size_t keep = sizeof(t->tail);

    if (len >= keep) {
        memcpy(t->tail, block + len - keep, keep);
    } else {
        memmove(t->tail, t->tail + len, keep - len);
        memcpy(t->tail + keep - len, block, len);
    }
}

static ssize_t tap_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct tap *t = (struct tap *)self;
    ssize_t n = t->in->next(t->in, ret, e);
    int r;

    if (n <= 0)
        return n;
    t->bytes += n;
    keep_tail(t, *ret, (size_t)n);
    r = t->guard ? t->guard(t, t->arg, e) : 0;
    if (r < 0)
        return r;
    if (t->hasher.on)
        hasher_add(&t->hasher, *ret, (size_t)n);
    if (t->copy >= 0) {
        r = fd_write_all(t->copy, *ret, (size_t)n);
        if (r < 0)
            return err_code(e, r, "cannot write to the image store");
    }
    return n;
}

void tap_init(struct tap *t, struct source *in)
{
    *t = (struct tap){ .base.next = tap_next, .in = in, .copy = -1 };
}

void tap_done(struct tap *t)
{
    hasher_done(&t->hasher);
}

int tap_drain(struct tap *t, struct wharf_error *e)
{
    const void *block;
    ssize_t n;

    while ((n = tap_next(&t->base, &block, e)) > 0)
        ;
    return (int)n;
}

bool tap_ended_with_zeros(const struct tap *t)
{
    static const char zeros[sizeof(t->tail)];

    return t->bytes >= (int64_t)sizeof(zeros) && t->bytes % (int64_t)sizeof(zeros) == 0 &&
           memcmp(t->tail, zeros, sizeof(zeros)) == 0;
}
