/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the SPDY dialects. See spdy-body.h. */
#include "libchan/spdy-body.h"

#include <string.h>
#include "base/str.h"

enum {
    OLD_CHANNEL = 1, /* ext types of 0.1 */
    OLD_STREAM = 2,
    OLD_SENDS = 1, /* directions in OLD_CHANNEL */
    OLD_RECEIVES = 2,
    HEAD_MAX = 6, /* bytes of the longest value head */
};

int body_scan(struct body_scan *scan, const uint8_t *p, uint32_t len, uint32_t max,
              const char **ret_fault)
{
    while (scan->left) {
        uint32_t rest = len - scan->at;
        struct head h;

        if (head_read(p + scan->at, rest, &h) < 0) {
            if (rest < HEAD_MAX)
                return 0;
            *ret_fault = "an unknown value";
            return -EBADMSG;
        }
        if (h.values > max || h.bytes > max) {
            *ret_fault = "a value that is longer than a message may be";
            return -EBADMSG;
        }
        if (rest < h.size + h.bytes)
            return 0;
        if (h.ext ? h.kind != CHAN_TIME
                  : h.kind == CHAN_STR && !utf8_valid((const char *)p + scan->at + h.size, h.bytes))
            scan->rewrite = true;
        scan->left = scan->left - 1 + h.values;
        scan->at += h.size + h.bytes;
    }
    return 1;
}

/* ---- receiving ---- */

static uint64_t number(const uint8_t *p, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

static void number_write(uint8_t *p, uint64_t n, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
}

/* An ext of 0.1 as one of ours; false: none that we take. */
static bool old_ext(const struct head *h, const uint8_t *payload, unsigned *ret_ext,
                    uint64_t *ret_ref)
{
    if (h->ext == OLD_CHANNEL && (h->bytes == 5 || h->bytes == 9) &&
        (payload[0] == OLD_SENDS || payload[0] == OLD_RECEIVES)) {
        *ret_ext = payload[0] == OLD_SENDS ? EXT_CHANNEL_OUT : EXT_CHANNEL_IN;
        *ret_ref = number(payload + 1, h->bytes - 1);
        return true;
    }
    *ret_ext = EXT_DUPLEX;
    *ret_ref = h->bytes == 4 || h->bytes == 8 ? number(payload, h->bytes) : 0;
    return h->ext == OLD_STREAM && *ret_ref;
}

static bool new_ext(const struct head *h, const uint8_t *payload, unsigned *ret_ext,
                    uint64_t *ret_ref)
{
    *ret_ext = h->ext;
    *ret_ref = h->bytes == 4 || h->bytes == 8 ? number(payload, h->bytes) : 0;
    return h->ext >= EXT_DUPLEX && h->ext <= EXT_CHANNEL_OUT && *ret_ref;
}

static bool decode_ext(struct chan_msg *m, const struct head *h, const uint8_t *payload, bool old)
{
    uint64_t ref;
    unsigned ext;
    uint8_t *to;

    if (!(old ? old_ext : new_ext)(h, payload, &ext, &ref))
        return false;
    to = msg_reserve(m, 10);
    if (!to)
        return false;
    to[0] = 0xd7;
    to[1] = (uint8_t)ext;
    number_write(to + 2, ref, 8);
    m->len += 10;
    return true;
}

/* A text that is none, as bytes. */
static bool decode_bytes(struct chan_msg *m, const uint8_t *data, uint32_t len)
{
    uint8_t *to = msg_reserve(m, 5 + (size_t)len);

    if (!to)
        return false;
    to[0] = 0xc6;
    number_write(to + 1, len, 4);
    memcpy(to + 5, data, len);
    m->len += 5 + len;
    return true;
}

static bool decode_plain(struct chan_msg *m, const uint8_t *p, uint32_t len)
{
    uint8_t *to = msg_reserve(m, len);

    if (!to)
        return false;
    memcpy(to, p, len);
    m->len += len;
    return true;
}

static bool translate(struct chan_msg *m, const uint8_t *p, uint32_t len, bool old)
{
    for (uint32_t at = 0; at < len;) {
        const uint8_t *payload;
        struct head h;
        bool done;

        if (head_read(p + at, len - at, &h) < 0)
            return false;
        payload = p + at + h.size;
        if (h.ext && (old || h.kind != CHAN_TIME))
            done = decode_ext(m, &h, payload, old);
        else if (h.kind == CHAN_STR && !utf8_valid((const char *)payload, h.bytes))
            done = decode_bytes(m, payload, h.bytes);
        else
            done = decode_plain(m, p + at, h.size + h.bytes);
        if (!done)
            return false;
        at += h.size + h.bytes;
    }
    return true;
}

int body_decode(struct chan_msg *m, const uint8_t *p, uint32_t len, bool rewrite, bool old,
                const char **ret_fault)
{
    if (rewrite ? !translate(m, p, len, old) : !decode_plain(m, p, len)) {
        *ret_fault = m->error ? "out of memory" : "an extended value of unknown type or form";
        return m->error ? m->error : -EBADMSG;
    }
    return msg_check(m, &(struct body_limits){ CHAN_ATTACHMENTS_MAX, false }, ret_fault);
}

/* ---- sending ---- */

static uint32_t size_here(const struct chan_msg *m, const struct attachment *a)
{
    return msg_body(m)[a->at] == 0xd7 ? 10 : 6;
}

static bool is_channel(unsigned ext)
{
    return ext == EXT_CHANNEL_IN || ext == EXT_CHANNEL_OUT;
}

static uint32_t size_there(unsigned ext, uint64_t ref, bool old)
{
    uint32_t wide = ref > UINT32_MAX ? 4 : 0;

    return (old && is_channel(ext) ? 8 : 6) + wide;
}

uint32_t body_encoded_size(const struct chan_msg *m, bool old)
{
    uint32_t size = (uint32_t)chan_msg_size(m);

    for (uint32_t i = 0; i < m->n_attachments; i++) {
        uint64_t ref;
        unsigned ext = attachment_ext(m, &m->attachments[i], &ref);

        size = size - size_here(m, &m->attachments[i]) + size_there(ext, ref, old);
    }
    return size;
}

bool body_has_time(const struct chan_msg *m)
{
    for (uint32_t at = 0, span = 0; at < m->len;) {
        struct head h;

        if (head_read(msg_body(m) + at, m->len - at, &h) < 0)
            return false;
        if (h.kind == CHAN_TIME)
            return true;
        at += h.size;
        if (span < m->n_spans && m->spans[span].at == at)
            span++; /* its bytes are elsewhere */
        else
            at += h.bytes;
    }
    return false;
}

/* The body up to `end`, with the byte strings by reference that belong there. */
struct copier {
    const struct chan_msg *m;
    uint32_t at, span;
    uint8_t *to;
};

static void copy_part(struct copier *c, uint32_t end)
{
    memcpy(c->to, msg_body(c->m) + c->at, end - c->at);
    c->to += end - c->at;
    c->at = end;
}

static void copy_until(struct copier *c, uint32_t end)
{
    for (; c->span < c->m->n_spans && c->m->spans[c->span].at <= end; c->span++) {
        const struct span *sp = &c->m->spans[c->span];

        copy_part(c, sp->at);
        memcpy(c->to, sp->data, sp->len);
        c->to += sp->len;
    }
    copy_part(c, end);
}

static void encode_ext(struct copier *c, unsigned ext, uint64_t ref, bool old)
{
    unsigned bytes = ref > UINT32_MAX ? 8 : 4;
    uint8_t *p = c->to;

    if (old && is_channel(ext)) {
        *p++ = 0xc7;
        *p++ = (uint8_t)(1 + bytes);
        *p++ = OLD_CHANNEL;
        *p++ = ext == EXT_CHANNEL_OUT ? OLD_SENDS : OLD_RECEIVES;
    } else {
        *p++ = bytes == 8 ? 0xd7 : 0xd6;
        *p++ = (uint8_t)(old ? OLD_STREAM : ext);
    }
    number_write(p, ref, bytes);
    c->to = p + bytes;
}

void body_encode(const struct chan_msg *m, bool old, uint8_t *to)
{
    struct copier c = { .m = m, .to = to };

    for (uint32_t i = 0; i < m->n_attachments; i++) {
        const struct attachment *a = &m->attachments[i];
        uint64_t ref;
        unsigned ext = attachment_ext(m, a, &ref);

        copy_until(&c, a->at);
        encode_ext(&c, ext, ref, old);
        c.at += size_here(m, a);
    }
    copy_until(&c, m->len);
}
