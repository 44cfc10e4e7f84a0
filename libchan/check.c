/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Msgpack that came from outside. Everything that reads a body later (value.c, build.c) relies on
 * this walk: one well-formed value, nothing behind it, all lengths inside, a bounded depth. The
 * walk is iterative; a count that promises more values than there are bytes left is refused at
 * once, so that work is bounded by the size.
 */
#include "libchan/message.h"

#include <string.h>
#include "base/str.h"

enum form { FORM_NONE, FORM_PLAIN, FORM_COUNTED, FORM_EXT };

/* The forms c0 to df: what they are, and the size of the number behind the first byte. */
static const struct {
    uint8_t form, kind, number, payload;
} forms[32] = {
    [0x00] = { FORM_PLAIN, CHAN_NIL, 0, 0 },     /* c0 */
    [0x02] = { FORM_PLAIN, CHAN_BOOL, 0, 0 },    /* c2 false */
    [0x03] = { FORM_PLAIN, CHAN_BOOL, 0, 0 },    /* c3 true */
    [0x04] = { FORM_COUNTED, CHAN_BIN, 1, 0 },   /* c4 bin 8 */
    [0x05] = { FORM_COUNTED, CHAN_BIN, 2, 0 },   /* c5 bin 16 */
    [0x06] = { FORM_COUNTED, CHAN_BIN, 4, 0 },   /* c6 bin 32 */
    [0x07] = { FORM_EXT, CHAN_NONE, 1, 0 },      /* c7 ext 8 */
    [0x0a] = { FORM_PLAIN, CHAN_DOUBLE, 4, 0 },  /* ca float 32 */
    [0x0b] = { FORM_PLAIN, CHAN_DOUBLE, 8, 0 },  /* cb float 64 */
    [0x0c] = { FORM_PLAIN, CHAN_INT, 1, 0 },     /* cc uint 8 */
    [0x0d] = { FORM_PLAIN, CHAN_INT, 2, 0 },     /* cd */
    [0x0e] = { FORM_PLAIN, CHAN_INT, 4, 0 },     /* ce */
    [0x0f] = { FORM_PLAIN, CHAN_UINT, 8, 0 },    /* cf uint 64 */
    [0x10] = { FORM_PLAIN, CHAN_INT, 1, 0 },     /* d0 int 8 */
    [0x11] = { FORM_PLAIN, CHAN_INT, 2, 0 },     /* d1 */
    [0x12] = { FORM_PLAIN, CHAN_INT, 4, 0 },     /* d2 */
    [0x13] = { FORM_PLAIN, CHAN_INT, 8, 0 },     /* d3 int 64 */
    [0x16] = { FORM_EXT, CHAN_NONE, 0, 4 },      /* d6 fixext 4 */
    [0x17] = { FORM_EXT, CHAN_NONE, 0, 8 },      /* d7 fixext 8 */
    [0x19] = { FORM_COUNTED, CHAN_STR, 1, 0 },   /* d9 str 8 */
    [0x1a] = { FORM_COUNTED, CHAN_STR, 2, 0 },   /* da str 16 */
    [0x1b] = { FORM_COUNTED, CHAN_STR, 4, 0 },   /* db str 32 */
    [0x1c] = { FORM_COUNTED, CHAN_ARRAY, 2, 0 }, /* dc array 16 */
    [0x1d] = { FORM_COUNTED, CHAN_ARRAY, 4, 0 }, /* dd array 32 */
    [0x1e] = { FORM_COUNTED, CHAN_MAP, 2, 0 },   /* de map 16 */
    [0x1f] = { FORM_COUNTED, CHAN_MAP, 4, 0 },   /* df map 32 */
};

static uint32_t number_read(const uint8_t *p, unsigned bytes)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

static void set_count(struct head *h, uint32_t n)
{
    if (h->kind == CHAN_ARRAY)
        h->values = n;
    else if (h->kind == CHAN_MAP)
        h->values = n < UINT32_MAX / 2 ? n * 2 : UINT32_MAX;
    else
        h->bytes = n;
}

/* The value that an ext type stands for; CHAN_NONE: not one of ours. */
static enum chan_kind ext_kind(uint8_t type, uint32_t bytes)
{
    static const uint8_t kinds[] = {
        [EXT_DUPLEX] = CHAN_FD,     [EXT_STREAM_IN] = CHAN_FD,   [EXT_STREAM_OUT] = CHAN_FD,
        [EXT_CHANNEL_IN] = CHAN_TX, [EXT_CHANNEL_OUT] = CHAN_RX, [EXT_TIME] = CHAN_TIME,
        [EXT_FD] = CHAN_FD,
    };

    if (type >= ARRAY_SIZE(kinds) || (type == EXT_TIME) != (bytes == 12))
        return CHAN_NONE;
    return kinds[type];
}

static int ext_read(const uint8_t *p, size_t len, unsigned number, uint8_t payload, struct head *h)
{
    if (len < 2 + number)
        return -EBADMSG;
    h->size = 2 + number;
    h->bytes = number ? number_read(p + 1, number) : payload;
    h->ext = p[1 + number];
    h->kind = ext_kind(h->ext, h->bytes);
    return h->kind == CHAN_NONE ? -EBADMSG : 0;
}

int head_read_any(const uint8_t *p, size_t len, struct head *ret)
{
    struct head h = { .size = 1 };
    unsigned form;

    if (!len)
        return -EBADMSG;
    if (p[0] < 0xa0) {
        h.kind = p[0] < 0x90 ? CHAN_MAP : CHAN_ARRAY;
        set_count(&h, p[0] & 0x0f);
    } else {
        form = p[0] - 0xc0;
        h.kind = forms[form].kind;
        h.size += forms[form].number;
        if (forms[form].form == FORM_NONE || len < h.size)
            return -EBADMSG;
        if (forms[form].form == FORM_COUNTED)
            set_count(&h, number_read(p + 1, forms[form].number));
        if (forms[form].form == FORM_EXT &&
            ext_read(p, len, forms[form].number, forms[form].payload, &h) < 0)
            return -EBADMSG;
    }
    *ret = h;
    return 0;
}

static bool is_attachment(enum chan_kind kind)
{
    return kind == CHAN_TX || kind == CHAN_RX || kind == CHAN_FD;
}

/* What is wrong with one value as such, or NULL. */
static const char *value_fault(struct chan_msg *m, uint32_t at, const struct head *h,
                               const struct body_limits *limits)
{
    if (h->bytes > m->len - at - h->size)
        return "a value runs past the end of the message";
    if (h->values > m->len - at)
        return "a container promises more values than the message can hold";
    if (h->kind == CHAN_STR && limits->utf8 &&
        !utf8_valid((const char *)msg_body(m) + at + h->size, h->bytes))
        return "a text is not UTF-8";
    if (!is_attachment(h->kind))
        return NULL;
    if (h->size != 2)
        return "a channel, stream or descriptor is not written as fixext 4 or 8";
    if (m->n_attachments >= limits->attachments || !msg_attach(m, at))
        return "too many attachments";
    return NULL;
}

int msg_check(struct chan_msg *m, const struct body_limits *limits, const char **ret_fault)
{
    uint32_t missing[CHAN_DEPTH_MAX + 1];
    unsigned depth = 0;
    uint32_t at = 0;

    missing[0] = 1; /* the deeper ones are set as they are entered */
    while (missing[depth]) {
        struct head h;
        const char *fault;

        missing[depth]--;
        if (head_read(msg_body(m) + at, m->len - at, &h) < 0) {
            *ret_fault = at < m->len ? "an unknown or cut value" : "the message is cut";
            return -EBADMSG;
        }
        fault = value_fault(m, at, &h, limits);
        if (fault) {
            *ret_fault = fault;
            return -EBADMSG;
        }
        at += h.size + h.bytes;
        if (h.values) {
            if (depth == CHAN_DEPTH_MAX) {
                *ret_fault = "nested too deeply";
                return -EBADMSG;
            }
            missing[++depth] = h.values;
        }
        while (depth && !missing[depth])
            depth--;
    }
    if (at != m->len) {
        *ret_fault = "bytes behind the value";
        return -EBADMSG;
    }
    m->depth = 0;
    return 0;
}
