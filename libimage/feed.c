/* SPDX-License-Identifier: Apache-2.0 */
/* See feed.h. */
#include "libimage/feed.h"

#include <stdio.h>
#include <string.h>

/* bytes between two calls of the progress function */
enum { REPORT_EVERY = 4 << 20 };

static int cancelled(const char *what, struct wharf_error *e)
{
    return err_set(e, -ECANCELED, WHARF_ERROR_CONFLICT, "'%s': cancelled", what);
}

int reporter_tell(struct reporter *r, enum image_step step, const char *what, int64_t done,
                  int64_t total, struct wharf_error *e)
{
    struct image_progress p = { .step = step, .what = what, .done = done, .total = total };
    int stop;

    if (!r)
        return 0;
    if (step == IMAGE_STEP_UNPACK && r->unpacking) {
        int code = reporter_say(r, what, r->unpacking, done, total, e);

        if (code < 0)
            return code;
    }
    if (!r->progress)
        return 0;
    pthread_mutex_lock(&r->lock);
    stop = r->progress(&p, r->arg);
    pthread_mutex_unlock(&r->lock);
    return stop ? cancelled(what, e) : 0;
}

int reporter_message(struct reporter *r, const struct image_message *m, struct wharf_error *e)
{
    int stop;

    if (!r || !r->tell)
        return 0;
    pthread_mutex_lock(&r->lock);
    stop = r->tell(m, r->tell_arg);
    pthread_mutex_unlock(&r->lock);
    return stop ? cancelled(m->id ? m->id : "image", e) : 0;
}

int reporter_say(struct reporter *r, const char *digest, const char *status, int64_t current,
                 int64_t total, struct wharf_error *e)
{
    const char *hex = digest && digest_valid(digest) ? strchr(digest, ':') + 1 : NULL;
    char cut[13];
    struct image_message m = {
        .id = hex ? cut : digest, .status = status, .current = current, .total = MAX(total, 0)
    };

    if (hex)
        snprintf(cut, sizeof(cut), "%.12s", hex);
    return reporter_message(r, &m, e);
}

static int guard(struct tap *plain, void *arg, struct wharf_error *e)
{
    struct feed *f = arg;
    const struct image_limits *l = f->o.limits;

    if (plain->bytes > f->o.bytes_max)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                       "'%s': unpacks to more than %lld bytes (limit %s)", f->o.what,
                       (long long)f->o.bytes_max, f->o.bytes_name);
    if (plain->bytes > l->ratio_after && plain->bytes / l->ratio > f->raw.bytes)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                       "'%s': unpacks to more than %lld times its size (limit ratio)", f->o.what,
                       (long long)l->ratio);
    if (plain->bytes - f->told < REPORT_EVERY)
        return 0;
    f->told = plain->bytes;
    return reporter_tell(f->o.reporter, f->o.step, f->o.what, f->raw.bytes, f->o.total, e);
}

int feed_open(struct feed *f, struct source *in, struct feed_options options, struct wharf_error *e)
{
    int r = 0;

    *f = (struct feed){ .o = options };
    tap_init(&f->raw, in);
    f->raw.copy = options.copy;
    if (options.copy >= 0)
        r = hasher_init(&f->raw.hasher, NULL);
    if (r < 0)
        return err_nomem(e);
    r = decoder_open(&f->decoder, &f->raw.base, options.what, e);
    if (r < 0)
        return r;
    tap_init(&f->plain, decoder_source(f->decoder));
    f->plain.guard = guard;
    f->plain.arg = f;
    if (options.hash && hasher_init(&f->plain.hasher, NULL) < 0)
        return err_nomem(e);
    return tar_open(&f->tar, &f->plain.base, options.what, e);
}

int feed_finish(struct feed *f, struct wharf_error *e)
{
    return tap_drain(&f->plain, e);
}

void feed_close(struct feed *f)
{
    tar_close(&f->tar);
    decoder_free(f->decoder);
    f->decoder = NULL;
    tap_done(&f->raw);
    tap_done(&f->plain);
}
