/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a message: msgpack written in place
 * (https://github.com/msgpack/msgpack/blob/master/spec.md).
 *
 * m->missing[depth] counts the values that the container at that depth still lacks; at depth 0
 * there is one root. Numbers take the forms that the Go library of 2015 writes: int64 never as an
 * unsigned form (200 is d1 00c8), uint64 above 127 only as one, double always cb.
 */
#include "libchan/message.h"

#include <endian.h>
#include <string.h>
#include "base/str.h"
#include "libchan/channel.h"

/* Room for a value of `len` bytes, or NULL with m->error set. */
static uint8_t *value_begin(struct chan_msg *m, size_t len)
{
    if (m->error)
        return NULL;
    if (m->depth == 0 && m->len) {
        m->error = -EINVAL;
        return NULL;
    }
    return msg_reserve(m, len);
}

static int value_end(struct chan_msg *m, size_t len)
{
    m->len += len;
    while (m->depth && --m->missing[m->depth] == 0)
        m->depth--;
    return 0;
}

/* A head of one byte and a big-endian number of 1, 2, 4 or 8 bytes. */
static size_t head_write(uint8_t *p, uint8_t form, uint64_t value, unsigned bytes)
{
    uint64_t big = htobe64(value << (64 - 8 * bytes));

    p[0] = form;
    memcpy(p + 1, &big, 8);
    return 1 + bytes;
}

#define HEAD_ROOM 9 /* head_write always stores that much */

static int container_begin(struct chan_msg *m, uint64_t values, size_t head)
{
    if (!values)
        return value_end(m, head);
    if (m->depth == CHAN_DEPTH_MAX || values > CHAN_MESSAGE_MAX)
        return m->error = -EMSGSIZE;
    m->len += head;
    m->missing[++m->depth] = values;
    return 0;
}

static size_t count_write(uint8_t *p, uint8_t fix, uint8_t form16, unsigned n)
{
    if (n < 16) {
        p[0] = fix | n;
        return 1;
    }
    return n < 65536 ? head_write(p, form16, n, 2) : head_write(p, form16 + 1, n, 4);
}

int chan_put_map(struct chan_msg *m, unsigned pairs)
{
    uint8_t *p = value_begin(m, HEAD_ROOM);

    return p ? container_begin(m, (uint64_t)pairs * 2, count_write(p, 0x80, 0xde, pairs))
             : m->error;
}

int chan_put_array(struct chan_msg *m, unsigned values)
{
    uint8_t *p = value_begin(m, HEAD_ROOM);

    return p ? container_begin(m, values, count_write(p, 0x90, 0xdc, values)) : m->error;
}

static int put_byte(struct chan_msg *m, uint8_t byte)
{
    uint8_t *p = value_begin(m, 1);

    if (!p)
        return m->error;
    *p = byte;
    return value_end(m, 1);
}

int chan_put_nil(struct chan_msg *m)
{
    return put_byte(m, 0xc0);
}

int chan_put_bool(struct chan_msg *m, bool value)
{
    return put_byte(m, value ? 0xc3 : 0xc2);
}

static int put_number(struct chan_msg *m, uint8_t form, uint64_t value, unsigned bytes)
{
    uint8_t *p = value_begin(m, HEAD_ROOM);

    return p ? value_end(m, head_write(p, form, value, bytes)) : m->error;
}

int chan_put_int(struct chan_msg *m, int64_t value)
{
    if (value >= -32 && value <= 127)
        return put_byte(m, (uint8_t)value);
    if (value >= INT8_MIN && value <= INT8_MAX)
        return put_number(m, 0xd0, (uint64_t)value, 1);
    if (value >= INT16_MIN && value <= INT16_MAX)
        return put_number(m, 0xd1, (uint64_t)value, 2);
    if (value >= INT32_MIN && value <= INT32_MAX)
        return put_number(m, 0xd2, (uint64_t)value, 4);
    return put_number(m, 0xd3, (uint64_t)value, 8);
}

int chan_put_uint(struct chan_msg *m, uint64_t value)
{
    if (value <= 127)
        return put_byte(m, value);
    if (value <= UINT8_MAX)
        return put_number(m, 0xcc, value, 1);
    if (value <= UINT16_MAX)
        return put_number(m, 0xcd, value, 2);
    return value <= UINT32_MAX ? put_number(m, 0xce, value, 4) : put_number(m, 0xcf, value, 8);
}

int chan_put_double(struct chan_msg *m, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return put_number(m, 0xcb, bits, 8);
}

static size_t str_head(uint8_t *p, size_t len)
{
    if (len < 32) {
        p[0] = 0xa0 | len;
        return 1;
    }
    if (len < 256)
        return head_write(p, 0xd9, len, 1);
    return len < 65536 ? head_write(p, 0xda, len, 2) : head_write(p, 0xdb, len, 4);
}

static size_t bin_head(uint8_t *p, size_t len)
{
    if (len < 256)
        return head_write(p, 0xc4, len, 1);
    return len < 65536 ? head_write(p, 0xc5, len, 2) : head_write(p, 0xc6, len, 4);
}

static int put_bytes(struct chan_msg *m, const void *data, size_t len,
                     size_t (*head)(uint8_t *, size_t))
{
    uint8_t *p;
    size_t n;

    if (len > CHAN_MESSAGE_MAX)
        return m->error = m->error ? m->error : -EMSGSIZE;
    p = value_begin(m, len + HEAD_ROOM);
    if (!p)
        return m->error;
    n = head(p, len);
    if (len)
        memcpy(p + n, data, len);
    return value_end(m, n + len);
}

int chan_put_strn(struct chan_msg *m, const char *text, size_t len)
{
    if (!m->error && !utf8_valid(text, len))
        return m->error = -EINVAL;
    return put_bytes(m, text, len, str_head);
}

int chan_put_str(struct chan_msg *m, const char *text)
{
    return chan_put_strn(m, text, strlen(text));
}

int chan_put_bin(struct chan_msg *m, const void *data, size_t len)
{
    return put_bytes(m, data, len, bin_head);
}

static struct span *span_add(struct chan_msg *m)
{
    struct span *spans;

    if (m->n_spans && (m->n_spans < 4 || (m->n_spans & (m->n_spans - 1))))
        return &m->spans[m->n_spans++];
    spans = realloc(m->spans, (m->n_spans ? (size_t)m->n_spans * 2 : 4) * sizeof(*spans));
    if (!spans) {
        m->error = -ENOMEM;
        return NULL;
    }
    m->spans = spans;
    return &spans[m->n_spans++];
}

int chan_put_bin_ref(struct chan_msg *m, const void *data, size_t len, void (*done)(void *arg),
                     void *arg)
{
    struct span *s;
    uint8_t *p;
    size_t n;

    if (len < REF_MIN) {
        int r = chan_put_bin(m, data, len);
        if (r == 0 && done)
            done(arg);
        return r;
    }
    if (!m->error && chan_msg_size(m) + len > CHAN_MESSAGE_MAX)
        m->error = -EMSGSIZE;
    p = value_begin(m, HEAD_ROOM);
    s = p ? span_add(m) : NULL;
    if (!s)
        return m->error;
    n = bin_head(p, len);
    *s = (struct span){ .at = m->len + n, .len = len, .data = data, .done = done, .arg = arg };
    return value_end(m, n);
}

int chan_put_time(struct chan_msg *m, int64_t sec, uint32_t nsec)
{
    uint64_t big_sec = htobe64((uint64_t)sec);
    uint32_t big_nsec = htobe32(nsec);
    uint8_t *p;

    if (nsec > 999999999)
        return m->error = m->error ? m->error : -EINVAL;
    p = value_begin(m, 15);
    if (!p)
        return m->error;
    memcpy(p, (const uint8_t[]){ 0xc7, 12, EXT_TIME }, 3);
    memcpy(p + 3, &big_sec, 8);
    memcpy(p + 11, &big_nsec, 4);
    return value_end(m, 15);
}

/* The place of an attachment: fixext 8, so that any id fits later. */
static struct attachment *put_attachment(struct chan_msg *m, unsigned ext)
{
    uint8_t *p = value_begin(m, 10);
    struct attachment *a = p ? msg_attach(m, m->len) : NULL;

    if (!a)
        return NULL;
    p[0] = 0xd7;
    attachment_set(m, a, ext, m->n_attachments - 1);
    value_end(m, 10);
    return a;
}

static int put_end(struct chan_msg *m, struct chan *c, unsigned ext, enum attachment_kind kind)
{
    struct attachment *a = put_attachment(m, ext);

    if (!a)
        return m->error;
    a->kind = kind;
    a->chan = c;
    return 0;
}

int chan_put_tx(struct chan_msg *m, struct chan_tx *tx)
{
    return put_end(m, chan_of_tx(tx), EXT_CHANNEL_IN, ATTACHED_TX);
}

int chan_put_rx(struct chan_msg *m, struct chan_rx *rx)
{
    return put_end(m, chan_of_rx(rx), EXT_CHANNEL_OUT, ATTACHED_RX);
}

int chan_put_fd(struct chan_msg *m, int fd, unsigned how)
{
    struct attachment *a;

    if (fd < 0 || !how || (how & ~(CHAN_READ | CHAN_WRITE)))
        return m->error = m->error ? m->error : -EINVAL;
    if (!m->error && msg_fds(m) == CHAN_FDS_MAX)
        return m->error = -EMSGSIZE;
    a = put_attachment(m, EXT_FD);
    if (!a)
        return m->error;
    a->kind = ATTACHED_FD;
    a->fd = fd;
    a->how = how;
    return 0;
}

int chan_put_return(struct chan_msg *m, struct chan_rx **ret_rx)
{
    struct chan_tx *tx;
    struct chan_rx *rx;
    int r = m->error ? m->error : chan_pipe(1, &tx, &rx);

    if (r < 0)
        return m->error = r;
    r = chan_put_tx(m, tx);
    if (r < 0) {
        chan_tx_unref(tx);
        chan_rx_unref(rx);
        return r;
    }
    *ret_rx = rx;
    return 0;
}

/* ---- copying a value out of another message ---- */

/* One value without what is inside it. */
static int copy_shallow(struct chan_msg *m, struct chan_value v, const struct head *h)
{
    const uint8_t *p = msg_body(v.msg) + v.at;
    const void *data;
    size_t len;

    switch (h->kind) {
    case CHAN_MAP:
        return chan_put_map(m, h->values / 2);
    case CHAN_ARRAY:
        return chan_put_array(m, h->values);
    case CHAN_STR:
    case CHAN_BIN:
        chan_get_bin(v, &data, &len);
        return put_bytes(m, data, len, h->kind == CHAN_STR ? str_head : bin_head);
    default: {
        uint8_t *to = value_begin(m, h->size + h->bytes);
        if (!to)
            return m->error;
        memcpy(to, p, h->size + h->bytes);
        return value_end(m, h->size + h->bytes);
    }
    }
}

static int move_attachment(struct chan_msg *m, struct chan_value v)
{
    uint64_t index;
    struct attachment *from, *to;
    unsigned ext = attachment_ext(v.msg, &(struct attachment){ .at = v.at }, &index);

    from = index < v.msg->n_attachments ? &v.msg->attachments[index] : NULL;
    if (!from || from->kind == ATTACHED_TAKEN)
        return m->error = m->error ? m->error : -EALREADY;
    if (from->kind == ATTACHED_FD && msg_fds(m) == CHAN_FDS_MAX)
        return m->error = m->error ? m->error : -EMSGSIZE;
    to = put_attachment(m, ext);
    if (!to)
        return m->error;
    from->at = to->at;
    *to = *from;
    from->at = v.at;
    from->kind = ATTACHED_TAKEN;
    return 0;
}

int chan_put_value(struct chan_msg *m, struct chan_value v)
{
    uint64_t left = 1;
    int r = m->error;

    if (!r && (!v.msg || v.msg == m))
        r = m->error = v.msg ? -EINVAL : -ENOENT;
    for (; r == 0 && left; left--) {
        struct head h;

        r = head_read(msg_body(v.msg) + v.at, v.msg->len - v.at, &h);
        if (r < 0)
            return m->error = r;
        left += h.values;
        if (h.kind == CHAN_TX || h.kind == CHAN_RX || h.kind == CHAN_FD)
            r = move_attachment(m, v);
        else
            r = copy_shallow(m, v, &h);
        v.at += h.size + h.bytes;
        if (h.kind == CHAN_BIN || h.kind == CHAN_STR) {
            for (uint32_t i = 0; i < v.msg->n_spans; i++)
                if (v.msg->spans[i].at == v.at - h.bytes)
                    v.at -= h.bytes;
        }
    }
    return r;
}
