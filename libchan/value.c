/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a message by cursor, in place. Every body here was built by build.c or passed msg_check,
 * so heads need no second look; only positions outside the body (CHAN_NONE) do. */
#include "libchan/message.h"

#include <endian.h>
#include <string.h>
#include "libchan/channel.h"
#include "libchan/pump.h"

#define NOWHERE UINT32_MAX

static const struct chan_value none = { NULL, NOWHERE };

static bool value_head(struct chan_value v, struct head *h)
{
    return v.msg && v.at < v.msg->len &&
           head_read(msg_body(v.msg) + v.at, v.msg->len - v.at, h) == 0;
}

static const uint8_t *value_bytes(struct chan_value v)
{
    return msg_body(v.msg) + v.at;
}

/* The bytes of a string by reference that belong at offset `at`, if there is one. */
static const struct span *span_at(const struct chan_msg *m, uint32_t at)
{
    for (uint32_t i = 0; i < m->n_spans; i++) {
        if (m->spans[i].at == at)
            return &m->spans[i];
    }
    return NULL;
}

static uint32_t payload_in_body(struct chan_value v, const struct head *h)
{
    return h->bytes >= REF_MIN && v.msg->n_spans && span_at(v.msg, v.at + h->size) ? 0 : h->bytes;
}

static uint64_t big_endian(const uint8_t *p, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

struct chan_value chan_root(struct chan_msg *m)
{
    return m->len ? (struct chan_value){ m, 0 } : none;
}

enum chan_kind chan_kind_of(struct chan_value v)
{
    struct head h;

    if (!value_head(v, &h))
        return CHAN_NONE;
    if (h.kind == CHAN_UINT && !(value_bytes(v)[1] & 0x80))
        return CHAN_INT;
    return h.kind;
}

size_t chan_count(struct chan_value v)
{
    struct head h;

    if (!value_head(v, &h))
        return 0;
    switch (h.kind) {
    case CHAN_MAP:
        return h.values / 2;
    case CHAN_ARRAY:
        return h.values;
    case CHAN_STR:
    case CHAN_BIN:
        return h.bytes;
    default:
        return 0;
    }
}

struct chan_value chan_first(struct chan_value v)
{
    struct head h;

    if (!value_head(v, &h) || !h.values)
        return none;
    v.at += h.size;
    return v;
}

struct chan_value chan_next(struct chan_value v)
{
    uint64_t left = 1;
    struct head h;

    for (; left; left--) {
        if (!value_head(v, &h))
            return none;
        left += h.values;
        v.at += h.size + payload_in_body(v, &h);
    }
    return v.at < v.msg->len ? v : none;
}

struct chan_value chan_get(struct chan_value map, const char *key)
{
    size_t pairs = chan_kind_of(map) == CHAN_MAP ? chan_count(map) : 0;
    struct chan_value v = chan_first(map);

    for (; pairs; pairs--) {
        if (chan_equals(v, key))
            return chan_next(v);
        v = chan_next(chan_next(v));
    }
    return none;
}

struct chan_value chan_at(struct chan_value array, unsigned index)
{
    struct chan_value v;

    if (chan_kind_of(array) != CHAN_ARRAY || index >= chan_count(array))
        return none;
    for (v = chan_first(array); index; index--)
        v = chan_next(v);
    return v;
}

static int wrong_kind(struct chan_value v)
{
    return chan_kind_of(v) == CHAN_NONE ? -ENOENT : -EPROTOTYPE;
}

int chan_get_bool(struct chan_value v, bool *ret)
{
    if (chan_kind_of(v) != CHAN_BOOL)
        return wrong_kind(v);
    *ret = value_bytes(v)[0] == 0xc3;
    return 0;
}

/* The integer at `p`: its bits, and whether it is below zero. */
static uint64_t integer(const uint8_t *p, const struct head *h, bool *ret_negative)
{
    unsigned bytes = h->size - 1;
    uint64_t n;

    if (!bytes) {
        *ret_negative = p[0] >= 0xe0;
        return (uint64_t)(int64_t)(int8_t)p[0];
    }
    n = big_endian(p + 1, bytes);
    *ret_negative = p[0] >= 0xd0 && (p[1] & 0x80);
    if (*ret_negative && bytes < 8)
        n |= ~UINT64_C(0) << (8 * bytes);
    return n;
}

int chan_get_int(struct chan_value v, int64_t *ret)
{
    struct head h;
    bool negative;
    uint64_t n;

    if (!value_head(v, &h) || (h.kind != CHAN_INT && h.kind != CHAN_UINT))
        return wrong_kind(v);
    n = integer(value_bytes(v), &h, &negative);
    if (!negative && n > INT64_MAX)
        return -ERANGE;
    *ret = (int64_t)n;
    return 0;
}

int chan_get_uint(struct chan_value v, uint64_t *ret)
{
    struct head h;
    bool negative;
    uint64_t n;

    if (!value_head(v, &h) || (h.kind != CHAN_INT && h.kind != CHAN_UINT))
        return wrong_kind(v);
    n = integer(value_bytes(v), &h, &negative);
    if (negative)
        return -ERANGE;
    *ret = n;
    return 0;
}

int chan_get_double(struct chan_value v, double *ret)
{
    struct head h;
    uint64_t n;
    bool negative;

    if (!value_head(v, &h))
        return -ENOENT;
    if (h.kind == CHAN_INT || h.kind == CHAN_UINT) {
        n = integer(value_bytes(v), &h, &negative);
        *ret = negative ? (double)(int64_t)n : (double)n;
    } else if (h.kind != CHAN_DOUBLE) {
        return -EPROTOTYPE;
    } else if (h.size == 9) {
        n = big_endian(value_bytes(v) + 1, 8);
        memcpy(ret, &n, 8);
    } else {
        uint32_t bits = (uint32_t)big_endian(value_bytes(v) + 1, 4);
        float f;

        memcpy(&f, &bits, 4);
        *ret = f;
    }
    return 0;
}

int chan_get_time(struct chan_value v, int64_t *ret_sec, uint32_t *ret_nsec)
{
    struct head h;

    if (!value_head(v, &h) || h.kind != CHAN_TIME)
        return wrong_kind(v);
    *ret_sec = (int64_t)big_endian(value_bytes(v) + h.size, 8);
    *ret_nsec = (uint32_t)big_endian(value_bytes(v) + h.size + 8, 4);
    return 0;
}

int chan_get_bin(struct chan_value v, const void **ret, size_t *ret_len)
{
    struct head h;
    const struct span *s;

    if (!value_head(v, &h) || (h.kind != CHAN_STR && h.kind != CHAN_BIN))
        return wrong_kind(v);
    s = v.msg->n_spans ? span_at(v.msg, v.at + h.size) : NULL;
    *ret = s ? s->data : value_bytes(v) + h.size;
    *ret_len = h.bytes;
    return 0;
}

int chan_get_str(struct chan_value v, const char **ret, size_t *ret_len)
{
    const void *data;
    int r = chan_get_bin(v, &data, ret_len);

    if (r == 0)
        *ret = data;
    return r;
}

bool chan_equals(struct chan_value v, const char *text)
{
    const void *data;
    size_t len;

    return chan_get_bin(v, &data, &len) == 0 && len == strlen(text) && memcmp(data, text, len) == 0;
}

/* ---- attachments ---- */

/* The attachment that a value names: 0 and it, -ENOENT, -EPROTOTYPE, -EALREADY. */
static int attachment_of(struct chan_value v, enum chan_kind kind, struct attachment **ret)
{
    struct attachment at = { .at = v.at };
    uint64_t index;

    if (chan_kind_of(v) != kind)
        return wrong_kind(v);
    attachment_ext(v.msg, &at, &index);
    if (index >= v.msg->n_attachments || v.msg->attachments[index].kind == ATTACHED_TAKEN)
        return -EALREADY;
    *ret = &v.msg->attachments[index];
    return 0;
}

int chan_take_tx(struct chan_value v, struct chan_tx **ret)
{
    struct attachment *a;
    int r = attachment_of(v, CHAN_TX, &a);

    if (r < 0)
        return r;
    a->kind = ATTACHED_TAKEN;
    *ret = tx_of_chan(a->chan);
    return 0;
}

int chan_take_rx(struct chan_value v, struct chan_rx **ret)
{
    struct attachment *a;
    int r = attachment_of(v, CHAN_RX, &a);

    if (r < 0)
        return r;
    a->kind = ATTACHED_TAKEN;
    *ret = rx_of_chan(a->chan);
    return 0;
}

int chan_take_fd(struct chan_value v, int *ret)
{
    struct attachment *a;
    int r = attachment_of(v, CHAN_FD, &a);

    if (r < 0)
        return r;
    if (a->kind == ATTACHED_STREAM) {
        r = pump_to_fd(a, ret);
        if (r < 0)
            return r;
    } else {
        *ret = a->fd;
    }
    a->kind = ATTACHED_TAKEN;
    return 0;
}
