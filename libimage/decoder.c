/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression as a source. One row per format: a magic and three functions; `step` turns input at
 * d->in into output in d->out and says whether it reached the end of a member. Behind a member
 * there may be another one of the same format; bytes that are neither are an error, because two
 * readers that disagree about them would see two archives. gzip runs in ISA-L where the build has
 * it (2.7 times zlib).
 */
#include "libimage/stream.h"
#include "base/str.h"

#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>
#if HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

/* memory that an xz or zstd stream may demand for its window */
enum { XZ_MEMORY_MAX = 20 << 20, ZSTD_WINDOW_LOG_MAX = 23 };

struct codec {
    const char *name;
    const char *magic;
    size_t magic_len;
    int (*open)(struct decoder *d);
    /* 1: a member ended; 0: go on; -EBADMSG, -ENOMEM */
    int (*step)(struct decoder *d);
    void (*close)(struct decoder *d);
};

struct decoder {
    struct source base;
    struct source *in;
    const struct codec *codec;
    const char *what;
    const uint8_t *next_in; /* what is left of the input block */
    size_t avail_in;
    uint8_t head[8]; /* the first bytes, collected for the magic */
    uint8_t *out;
    size_t produced;
    bool inside; /* in the middle of a member: the end here is a cut */
    bool ended;
    union {
#if HAVE_ISAL
        struct inflate_state *isal;
#else
        z_stream zlib;
#endif
        ZSTD_DStream *zstd;
        bz_stream bzip2;
        lzma_stream xz;
    };
};

#if HAVE_ISAL
static int gzip_open(struct decoder *d)
{
    d->isal = malloc(sizeof(*d->isal));
    if (!d->isal)
        return -ENOMEM;
    isal_inflate_init(d->isal);
    d->isal->crc_flag = ISAL_GZIP;
    return 0;
}

static int gzip_step(struct decoder *d)
{
    struct inflate_state *s = d->isal;
    int r;

    s->next_in = (uint8_t *)d->next_in;
    s->avail_in = (uint32_t)d->avail_in;
    s->next_out = d->out;
    s->avail_out = STREAM_BLOCK;
    r = isal_inflate(s);
    d->next_in = s->next_in;
    d->avail_in = s->avail_in;
    d->produced = STREAM_BLOCK - s->avail_out;
    if (r != ISAL_DECOMP_OK)
        return -EBADMSG;
    if (s->block_state != ISAL_BLOCK_FINISH)
        return 0;
    isal_inflate_reset(s);
    s->crc_flag = ISAL_GZIP;
    return 1;
}

static void gzip_close(struct decoder *d)
{
    free(d->isal);
}
#else
static int gzip_open(struct decoder *d)
{
    return inflateInit2(&d->zlib, 15 + 16) == Z_OK ? 0 : -ENOMEM;
}

static int gzip_step(struct decoder *d)
{
    z_stream *s = &d->zlib;
    int r;

    s->next_in = (Bytef *)d->next_in;
    s->avail_in = (uInt)d->avail_in;
    s->next_out = d->out;
    s->avail_out = STREAM_BLOCK;
    r = inflate(s, Z_NO_FLUSH);
    d->next_in = s->next_in;
    d->avail_in = s->avail_in;
    d->produced = STREAM_BLOCK - s->avail_out;
    if (r == Z_STREAM_END)
        return inflateReset(s) == Z_OK ? 1 : -ENOMEM;
    return r == Z_OK || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

static void gzip_close(struct decoder *d)
{
    inflateEnd(&d->zlib);
}
#endif

static int zstd_open(struct decoder *d)
{
    d->zstd = ZSTD_createDStream();
    if (!d->zstd)
        return -ENOMEM;
    ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    return 0;
}

static int zstd_step(struct decoder *d)
{
    ZSTD_inBuffer in = { d->next_in, d->avail_in, 0 };
    ZSTD_outBuffer out = { d->out, STREAM_BLOCK, 0 };
    size_t r = ZSTD_decompressStream(d->zstd, &out, &in);

    d->next_in += in.pos;
    d->avail_in -= in.pos;
    d->produced = out.pos;
    if (ZSTD_isError(r))
        return -EBADMSG;
    return r == 0;
}

static void zstd_close(struct decoder *d)
{
    ZSTD_freeDStream(d->zstd);
}

static int bzip2_open(struct decoder *d)
{
    return BZ2_bzDecompressInit(&d->bzip2, 0, 0) == BZ_OK ? 0 : -ENOMEM;
}

static int bzip2_step(struct decoder *d)
{
    bz_stream *s = &d->bzip2;
    int r;

    s->next_in = (char *)d->next_in;
    s->avail_in = (unsigned)d->avail_in;
    s->next_out = (char *)d->out;
    s->avail_out = STREAM_BLOCK;
    r = BZ2_bzDecompress(s);
    d->next_in = (const uint8_t *)s->next_in;
    d->avail_in = s->avail_in;
    d->produced = STREAM_BLOCK - s->avail_out;
    if (r == BZ_OK)
        return 0;
    if (r != BZ_STREAM_END)
        return -EBADMSG;
    BZ2_bzDecompressEnd(s);
    *s = (bz_stream){ 0 };
    r = bzip2_open(d);
    return r < 0 ? r : 1;
}

static void bzip2_close(struct decoder *d)
{
    BZ2_bzDecompressEnd(&d->bzip2);
}

static int xz_open(struct decoder *d)
{
    d->xz = (lzma_stream)LZMA_STREAM_INIT;
    return lzma_stream_decoder(&d->xz, XZ_MEMORY_MAX, 0) == LZMA_OK ? 0 : -ENOMEM;
}

static int xz_step(struct decoder *d)
{
    lzma_stream *s = &d->xz;
    lzma_ret r;

    s->next_in = d->next_in;
    s->avail_in = d->avail_in;
    s->next_out = d->out;
    s->avail_out = STREAM_BLOCK;
    r = lzma_code(s, LZMA_RUN);
    d->next_in = s->next_in;
    d->avail_in = s->avail_in;
    d->produced = STREAM_BLOCK - s->avail_out;
    if (r == LZMA_STREAM_END)
        return lzma_stream_decoder(s, XZ_MEMORY_MAX, 0) == LZMA_OK ? 1 : -ENOMEM;
    return r == LZMA_OK || r == LZMA_BUF_ERROR ? 0 : -EBADMSG;
}

static void xz_close(struct decoder *d)
{
    lzma_end(&d->xz);
}

static const struct codec codecs[] = {
    { "gzip", "\x1f\x8b", 2, gzip_open, gzip_step, gzip_close },
    { "zstd", "\x28\xb5\x2f\xfd", 4, zstd_open, zstd_step, zstd_close },
    { "bzip2", "BZh", 3, bzip2_open, bzip2_step, bzip2_close },
    { "xz",
      "\xfd"
      "7zXZ\0",
      6, xz_open, xz_step, xz_close },
};

/* zstd's skippable frames (5? 2a 4d 18) may come first. */
static bool is_skippable(const uint8_t *p, size_t len)
{
    return len >= 4 && (p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0;
}

static const struct codec *find_codec(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
        if (len >= codecs[i].magic_len && memcmp(p, codecs[i].magic, codecs[i].magic_len) == 0)
            return &codecs[i];
    }
    return is_skippable(p, len) ? &codecs[1] : NULL;
}

static ssize_t refill(struct decoder *d, struct wharf_error *e)
{
    const void *block;
    ssize_t n = d->in->next(d->in, &block, e);

    if (n > 0) {
        d->next_in = block;
        d->avail_in = (size_t)n;
    } else if (n == 0) {
        d->ended = true;
    }
    return n;
}

/* The first bytes, whatever sizes they come in. A short first block is gathered in d->head. */
static int look(struct decoder *d, struct wharf_error *e)
{
    size_t have = 0;

    while (have < sizeof(d->head) && !d->ended) {
        ssize_t n = refill(d, e);

        if (n < 0)
            return (int)n;
        if (have == 0 && (size_t)n >= sizeof(d->head)) {
            d->codec = find_codec(d->next_in, (size_t)n);
            return 0;
        }
        n = (ssize_t)MIN(d->avail_in, sizeof(d->head) - have);
        memcpy(d->head + have, d->next_in, (size_t)n);
        have += (size_t)n;
        if ((size_t)n < d->avail_in) /* cannot happen with blocks of 8 and more */
            return err_invalid(e, "'%s': comes in blocks too small to read", d->what);
    }
    d->next_in = d->head;
    d->avail_in = have;
    d->codec = find_codec(d->head, have);
    return 0;
}

static ssize_t pass(struct decoder *d, const void **ret, struct wharf_error *e)
{
    size_t n = d->avail_in;
    ssize_t r;

    if (n == 0) {
        r = d->ended ? 0 : refill(d, e);
        if (r <= 0)
            return r;
        n = d->avail_in;
    }
    *ret = d->next_in;
    d->avail_in = 0;
    return (ssize_t)n;
}

static ssize_t decoder_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct decoder *d = (struct decoder *)self;

    if (!d->codec)
        return pass(d, ret, e);
    for (;;) {
        int r;

        if (d->avail_in == 0 && !d->ended) {
            ssize_t n = refill(d, e);

            if (n < 0)
                return n;
        }
        if (d->ended && d->avail_in == 0 && !d->inside)
            return 0;
        d->inside = true;
        r = d->codec->step(d);
        if (r < 0)
            return err_set(e, r, WHARF_ERROR_CORRUPT, "'%s': damaged %s data", d->what,
                           d->codec->name);
        if (r == 1)
            d->inside = false;
        *ret = d->out;
        if (d->produced)
            return (ssize_t)d->produced;
        if (r == 0 && d->ended && d->avail_in == 0)
            return err_set(e, -ENODATA, WHARF_ERROR_CORRUPT, "'%s': %s data is cut short", d->what,
                           d->codec->name);
    }
}

int decoder_open(struct decoder **ret, struct source *in, const char *what, struct wharf_error *e)
{
    auto_of(decoder_free) struct decoder *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return err_nomem(e);
    d->base.next = decoder_next;
    d->in = in;
    d->what = what;
    r = look(d, e);
    if (r < 0)
        return r;
    if (d->codec) {
        const struct codec *codec = d->codec;

        d->codec = NULL;
        d->out = malloc(STREAM_BLOCK);
        if (!d->out || codec->open(d) < 0)
            return err_nomem(e);
        d->codec = codec;
    }
    *ret = take_ptr(&d);
    return 0;
}

struct source *decoder_source(struct decoder *d)
{
    return &d->base;
}

const char *decoder_name(const struct decoder *d)
{
    return d->codec ? d->codec->name : "";
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->codec)
        d->codec->close(d);
    free(d->out);
    free(d);
}
