/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDY/3 frames. See spdy-frame.h.
 *
 * Every length is checked against its frame before use; what a peer can make us decompress is
 * bounded by SPDY_HEADERS_BYTES_MAX (a small block can inflate a thousandfold). The contexts are
 * written with a small window: the peer's inflate takes any, and an idle connection should cost
 * kilobytes.
 */
#include "libchan/spdy-frame.h"
#include "libchan/spdy-dictionary.h"
#include "base/str.h"

#include <zlib.h>

enum {
    CONTROL_BIT = 0x80,
    VERSION = 3,
    DEFLATE_LEVEL = 1,
    DEFLATE_WINDOW = 11, /* 2 KiB: holds the dictionary's tail and a few blocks */
    DEFLATE_MEMORY = 1,
    SYNC_TAIL = 64, /* room beyond deflateBound for Z_SYNC_FLUSH's marker */
};

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static void put24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
}

static uint32_t stream_id(const uint8_t *p)
{
    return get32(p) & 0x7fffffff;
}

#define malformed(e, ...) err_set((e), -EBADMSG, WHARF_ERROR_CORRUPT, __VA_ARGS__)

/* ---- parsing ---- */

/* Control frames: how long the payload is, exactly or at least. */
static const struct {
    const char *name; /* NULL: no such frame */
    uint32_t least;
    bool exact;
} controls[] = {
    [SPDY_SYN_STREAM] = { "SYN_STREAM", 10, false },
    [SPDY_SYN_REPLY] = { "SYN_REPLY", 4, false },
    [SPDY_RST_STREAM] = { "RST_STREAM", 8, true },
    [SPDY_SETTINGS] = { "SETTINGS", 4, false },
    [SPDY_PING] = { "PING", 4, true },
    [SPDY_GOAWAY] = { "GOAWAY", 8, true },
    [SPDY_HEADERS] = { "HEADERS", 4, false },
    [SPDY_WINDOW_UPDATE] = { "WINDOW_UPDATE", 8, true },
};

static int parse_settings(struct spdy_frame *f, struct wharf_error *e)
{
    uint32_t count = get32(f->data);

    if (f->length != 4 + (uint64_t)count * 8)
        return malformed(e, "SETTINGS of %u bytes cannot hold %u entries", f->length, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = f->data + 4 + i * 8; /* u8 flags, u24 id, u32 value */

        if (get24(entry + 1) == SPDY_SETTINGS_INITIAL_WINDOW)
            f->initial_window = get32(entry + 4) & 0x7fffffff;
    }
    return 0;
}

/* The fixed fields in front of a payload; what follows them stays in data. */
static int parse_control(const uint8_t *p, struct spdy_frame *f, struct wharf_error *e)
{
    uint32_t fixed = 0;

    f->data = p;
    switch (f->type) {
    case SPDY_SYN_STREAM:
        f->associated = stream_id(p + 4);
        fixed = 10; /* priority and slot mean nothing here: jschan leaves the slot unset */
        break;
    case SPDY_SYN_REPLY:
    case SPDY_HEADERS:
        fixed = 4;
        break;
    case SPDY_RST_STREAM:
    case SPDY_WINDOW_UPDATE:
        f->value = stream_id(p + 4);
        break;
    case SPDY_GOAWAY:
        f->last_good = stream_id(p);
        f->value = get32(p + 4);
        return 0;
    case SPDY_PING:
        f->value = get32(p);
        return 0;
    case SPDY_SETTINGS:
        return parse_settings(f, e);
    default:
        return malformed(e, "unknown SPDY frame");
    }
    f->stream = stream_id(p);
    f->data += fixed;
    f->length -= fixed;
    return 0;
}

static int check_control(const uint8_t *p, const struct spdy_frame *f, struct wharf_error *e)
{
    unsigned version = (unsigned)(p[0] & 0x7f) << 8 | p[1];

    if (version != VERSION)
        return malformed(e, "SPDY version %u, expected %d", version, VERSION);
    if (f->type >= ARRAY_SIZE(controls) || !controls[f->type].name)
        return malformed(e, "unknown SPDY frame type %d", f->type);
    if (f->length < controls[f->type].least ||
        (controls[f->type].exact && f->length != controls[f->type].least))
        return malformed(e, "%s frame with %u bytes", controls[f->type].name, f->length);
    if (f->length > SPDY_CONTROL_MAX)
        return malformed(e, "%s frame with %u bytes, the limit is %d", controls[f->type].name,
                         f->length, SPDY_CONTROL_MAX);
    return 0;
}

int spdy_frame_parse(const uint8_t *p, size_t len, struct spdy_frame *ret, size_t *ret_want,
                     struct wharf_error *e)
{
    struct spdy_frame f = { 0 };
    bool control;
    int r;

    if (len < SPDY_HEAD) {
        *ret_want = SPDY_HEAD;
        return 0;
    }
    control = p[0] & CONTROL_BIT;
    f.flags = p[4];
    f.length = get24(p + 5);
    f.size = SPDY_HEAD + (size_t)f.length;
    if (control) {
        f.type = (enum spdy_type)(p[2] << 8 | p[3]);
        r = check_control(p, &f, e);
        if (r < 0)
            return r;
    }
    if (len < f.size) {
        *ret_want = f.size;
        return 0;
    }
    if (control) {
        r = parse_control(p + SPDY_HEAD, &f, e);
        if (r < 0)
            return r;
    } else {
        f.stream = stream_id(p);
        f.data = p + SPDY_HEAD;
    }
    *ret = f;
    return 1;
}

/* ---- header blocks ---- */

struct spdy_codec {
    z_stream in, out;
    uint8_t text[SPDY_HEADERS_BYTES_MAX + 1];
    struct spdy_header headers[SPDY_HEADERS_MAX];
};

int spdy_codec_new(struct spdy_codec **ret, struct wharf_error *e)
{
    struct spdy_codec *c = calloc(1, sizeof(*c));

    if (!c)
        return err_nomem(e);
    if (inflateInit(&c->in) != Z_OK) {
        free(c);
        return err_nomem(e);
    }
    if (deflateInit2(&c->out, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_WINDOW, DEFLATE_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(&c->out, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_SIZE) !=
            Z_OK) {
        spdy_codec_free(c);
        return err_nomem(e);
    }
    *ret = c;
    return 0;
}

void spdy_codec_free(struct spdy_codec *c)
{
    if (!c)
        return;
    inflateEnd(&c->in);
    deflateEnd(&c->out);
    free(c);
}

/* One block out of the peer's endless stream: its length, or -EBADMSG. */
static int inflate_block(struct spdy_codec *c, const uint8_t *block, size_t len,
                         struct wharf_error *e)
{
    int r;

    c->in.next_in = (Bytef *)(uintptr_t)block;
    c->in.avail_in = (uInt)len;
    c->in.next_out = c->text;
    c->in.avail_out = SPDY_HEADERS_BYTES_MAX;
    r = inflate(&c->in, Z_SYNC_FLUSH);
    if (r == Z_NEED_DICT && c->in.adler == SPDY_DICTIONARY_ADLER) {
        inflateSetDictionary(&c->in, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_SIZE);
        r = inflate(&c->in, Z_SYNC_FLUSH);
    }
    if (r != Z_OK && r != Z_BUF_ERROR)
        return malformed(e, "header block: %s", c->in.msg ? c->in.msg : "bad compressed data");
    if (c->in.avail_in > 0 || c->in.avail_out == 0)
        return malformed(e, "header block longer than %d bytes", SPDY_HEADERS_BYTES_MAX);
    return (int)(SPDY_HEADERS_BYTES_MAX - c->in.avail_out);
}

/* Takes u32 length and text at *at, and ends the text with NUL (over the next length, already
 * read). */
static const uint8_t *take_text(const uint8_t **at, const uint8_t *end, uint32_t *ret_len)
{
    const uint8_t *text;

    if (end - *at < 4)
        return NULL;
    *ret_len = get32(*at);
    text = *at + 4;
    if ((size_t)(end - text) < *ret_len)
        return NULL;
    *at = text + *ret_len;
    return text;
}

static bool is_lower(const uint8_t *s, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (s[i] == 0 || (s[i] >= 'A' && s[i] <= 'Z'))
            return false;
    }
    return len > 0;
}

/* Texts become C strings in place: each moves down over the last byte of its own length. */
static const char *settle(uint8_t *text, uint32_t len)
{
    memmove(text - 1, text, len);
    (text + len)[-1] = 0;
    return (const char *)text - 1;
}

static int read_headers(struct spdy_codec *c, size_t len, size_t *ret_count, struct wharf_error *e)
{
    const uint8_t *at = c->text, *end = c->text + len;
    uint32_t count, n, m;

    if (len < 4)
        return malformed(e, "header block without a count");
    count = get32(at);
    at += 4;
    if (count > SPDY_HEADERS_MAX)
        return malformed(e, "%u headers in one block, the limit is %d", count, SPDY_HEADERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *name = take_text(&at, end, &n);
        const uint8_t *value = name ? take_text(&at, end, &m) : NULL;

        if (!value)
            return malformed(e, "header block ends inside header %u of %u", i + 1, count);
        if (!is_lower(name, n))
            return malformed(e, "header %u: its name is empty or has upper-case letters", i + 1);
        c->headers[i].name = settle(c->text + (name - c->text), n);
        c->headers[i].value = settle(c->text + (value - c->text), m);
        for (uint32_t k = 0; k < i; k++) {
            if (streq(c->headers[k].name, c->headers[i].name))
                return malformed(e, "header '%.32s' stands twice", c->headers[i].name);
        }
    }
    *ret_count = count;
    return 0;
}

int spdy_headers_read(struct spdy_codec *c, const uint8_t *block, size_t len,
                      const struct spdy_header **ret, size_t *ret_count, struct wharf_error *e)
{
    int n = inflate_block(c, block, len, e);

    if (n < 0)
        return n;
    n = read_headers(c, (size_t)n, ret_count, e);
    if (n < 0)
        return n;
    *ret = c->headers;
    return 0;
}

const char *spdy_header_find(const struct spdy_header *headers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (streq(headers[i].name, name))
            return headers[i].value;
    }
    return NULL;
}

/* ---- writing ---- */

static uint8_t *control(struct buf *out, enum spdy_type type, uint8_t flags, uint32_t length)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, SPDY_HEAD + length);

    if (!p)
        return NULL;
    p[0] = CONTROL_BIT;
    p[1] = VERSION;
    p[2] = 0;
    p[3] = (uint8_t)type;
    p[4] = flags;
    put24(p + 5, length);
    out->len += SPDY_HEAD + length;
    return p + SPDY_HEAD;
}

static void plain_block(struct buf *plain, const struct spdy_header *headers, size_t count)
{
    uint8_t number[4];

    put32(number, (uint32_t)count);
    buf_add(plain, number, 4);
    for (size_t i = 0; i < count; i++) {
        const char *texts[] = { headers[i].name, headers[i].value };

        for (int t = 0; t < 2; t++) {
            put32(number, (uint32_t)strlen(texts[t]));
            buf_add(plain, number, 4);
            buf_str(plain, texts[t]);
        }
    }
}

/* The compressed block behind what is in `out` already. */
static void deflate_block(struct spdy_codec *c, struct buf *out, const struct buf *plain)
{
    size_t room = deflateBound(&c->out, plain->len) + SYNC_TAIL;
    char *at = buf_reserve(out, room);

    if (!at)
        return;
    c->out.next_in = (Bytef *)plain->data;
    c->out.avail_in = (uInt)plain->len;
    c->out.next_out = (Bytef *)at;
    c->out.avail_out = (uInt)room;
    if (deflate(&c->out, Z_SYNC_FLUSH) != Z_OK || c->out.avail_in > 0) {
        out->error = -EIO;
        return;
    }
    out->len += room - c->out.avail_out;
}

void spdy_write_headers(struct spdy_codec *c, struct buf *out, enum spdy_type type, uint32_t stream,
                        uint32_t associated, uint8_t flags, const struct spdy_header *headers,
                        size_t count)
{
    bool syn = type == SPDY_SYN_STREAM;
    size_t begin = out->len;
    autobuf struct buf plain = BUF(SPDY_HEADERS_BYTES_MAX);
    uint8_t *p = control(out, type, flags, syn ? 10 : 4);

    if (!p)
        return;
    put32(p, stream);
    if (syn) {
        put32(p + 4, associated);
        p[8] = p[9] = 0;
    }
    plain_block(&plain, headers, count);
    if (plain.error)
        out->error = plain.error;
    else
        deflate_block(c, out, &plain);
    if (!out->error)
        put24((uint8_t *)out->data + begin + 5, (uint32_t)(out->len - begin - SPDY_HEAD));
}

static void two_words(struct buf *out, enum spdy_type type, uint32_t a, uint32_t b)
{
    uint8_t *p = control(out, type, 0, 8);

    if (!p)
        return;
    put32(p, a);
    put32(p + 4, b);
}

void spdy_write_rst(struct buf *out, uint32_t stream, uint32_t status)
{
    two_words(out, SPDY_RST_STREAM, stream, status);
}

void spdy_write_goaway(struct buf *out, uint32_t last_good, uint32_t status)
{
    two_words(out, SPDY_GOAWAY, last_good, status);
}

void spdy_write_window_update(struct buf *out, uint32_t stream, uint32_t bytes)
{
    two_words(out, SPDY_WINDOW_UPDATE, stream, bytes);
}

void spdy_write_ping(struct buf *out, uint32_t id)
{
    uint8_t *p = control(out, SPDY_PING, 0, 4);

    if (p)
        put32(p, id);
}

void spdy_write_settings_window(struct buf *out, uint32_t initial_window)
{
    uint8_t *p = control(out, SPDY_SETTINGS, 0, 12);

    if (!p)
        return;
    put32(p, 1);
    p[4] = 0;
    put24(p + 5, SPDY_SETTINGS_INITIAL_WINDOW);
    put32(p + 8, initial_window);
}

void spdy_data_head(uint8_t head[SPDY_HEAD], uint32_t stream, uint8_t flags, uint32_t len)
{
    put32(head, stream & 0x7fffffff);
    head[4] = flags;
    put24(head + 5, len);
}
