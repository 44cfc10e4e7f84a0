/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unix dialect of 2014: one channel each way over one unix socket; messages are netstrings and
 * at most one descriptor.
 *
 *     u32 big-endian: bit 31: a descriptor belongs to this message; the rest: bytes of payload
 *     payload: "000;", then netstring(key), netstring(netstring(value)...), ...; or anything else
 *
 * A payload of that form is a map from keys to arrays of texts (a text that is no UTF-8: bytes),
 * any other payload a byte string. With a descriptor the message is an array [payload, descriptor].
 * It is the same when sending. Descriptors are what channels are made of here: give one end of a
 * socket pair away and chan_attach the other with this dialect.
 *
 * There are no windows; a channel of which UNREAD_MAX bytes are unread ends. Once the peer's bytes
 * have ended nothing more can be sent to it either.
 */
#include <string.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "base/str.h"
#include "libchan/session.h"

#define WITH_FD    0x80000000u
#define HEADER     4u
#define UNREAD_MAX (64 << 20) /* bytes received and not taken */
#define PREFIX     "000;"
#define CREDIT     (1 << 30) /* we are never asked to wait but by the socket */

enum { ID_IN = 1, ID_OUT = 2 };

struct unix_dialect {
    bool opened;
    struct buf payload; /* scratch */
};

/* ---- netstrings ---- */

/* The netstring at *at: its text, or NULL; *at behind it. */
static const uint8_t *netstring(const uint8_t **at, const uint8_t *end, size_t *ret_len)
{
    const uint8_t *p = *at;
    size_t len = 0;

    if (p == end || *p < '0' || *p > '9')
        return NULL;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        len = len * 10 + (size_t)(*p - '0');
        if (len > CHAN_MESSAGE_MAX)
            return NULL;
    }
    if (p == end || *p++ != ':' || (size_t)(end - p) <= len || p[len] != ',')
        return NULL;
    *at = p + len + 1;
    *ret_len = len;
    return p;
}

/* How many netstrings the bytes are; -1: something else. */
static int count(const uint8_t *p, const uint8_t *end)
{
    size_t len;
    int n = 0;

    for (; p < end; n++) {
        if (!netstring(&p, end, &len))
            return -1;
    }
    return n;
}

static bool is_map(const uint8_t *p, const uint8_t *end)
{
    size_t len;

    for (int n = 0; p < end; n++) {
        const uint8_t *text = netstring(&p, end, &len);

        if (!text || (n & 1 ? count(text, text + len) < 0 : !utf8_valid((const char *)text, len)))
            return false;
    }
    return true;
}

static void put_text(struct chan_msg *m, const uint8_t *p, size_t len)
{
    if (utf8_valid((const char *)p, len))
        chan_put_strn(m, (const char *)p, len);
    else
        chan_put_bin(m, p, len);
}

static void put_values(struct chan_msg *m, const uint8_t *p, const uint8_t *end)
{
    size_t len;

    chan_put_array(m, (unsigned)count(p, end));
    while (p < end) {
        const uint8_t *text = netstring(&p, end, &len);

        put_text(m, text, len);
    }
}

static void put_payload(struct chan_msg *m, const uint8_t *p, size_t size)
{
    const uint8_t *end = p + size, *at = p + strlen(PREFIX);
    size_t len;

    if (size < strlen(PREFIX) || memcmp(p, PREFIX, strlen(PREFIX)) != 0 ||
        count(at, end) % 2 != 0 || !is_map(at, end)) {
        chan_put_bin(m, p, size);
        return;
    }
    chan_put_map(m, (unsigned)count(at, end) / 2);
    while (at < end) {
        const uint8_t *key = netstring(&at, end, &len), *values;

        put_text(m, key, len);
        values = netstring(&at, end, &len);
        put_values(m, values, values + len);
    }
}

static int add_netstring(struct buf *to, struct chan_value v)
{
    const char *text;
    size_t len;

    if (chan_get_str(v, &text, &len) < 0)
        return -EPROTOTYPE;
    buf_printf(to, "%zu:", len);
    buf_add(to, text, len);
    buf_char(to, ',');
    return to->error;
}

/* An array of texts, or one text. */
static int add_values(struct buf *to, struct chan_value v)
{
    autobuf struct buf values = BUF(CHAN_MESSAGE_MAX);
    bool one = chan_kind_of(v) != CHAN_ARRAY;
    struct chan_value item = one ? v : chan_first(v);
    int r = 0;

    for (size_t i = one ? 1 : chan_count(v); i && r == 0; i--, item = chan_next(item))
        r = add_netstring(&values, item);
    buf_printf(to, "%zu:", values.len);
    buf_add(to, values.data, values.len);
    buf_char(to, ',');
    return r ? r : values.error ? values.error : to->error;
}

static int add_payload(struct buf *to, struct chan_value v)
{
    struct chan_value key = chan_first(v);
    const void *data;
    size_t len;
    int r = 0;

    if (chan_get_bin(v, &data, &len) == 0) {
        buf_add(to, data, len);
        return to->error;
    }
    if (chan_kind_of(v) != CHAN_MAP)
        return -EPROTOTYPE;
    buf_str(to, PREFIX);
    for (size_t i = chan_count(v); i && r == 0; i--) {
        struct chan_value value = chan_next(key);

        r = add_netstring(to, key);
        if (r == 0)
            r = add_values(to, value);
        key = chan_next(value);
    }
    return r;
}

/* ---- the dialect ---- */

static int unix_start(struct chan_session *s, struct wharf_error *e)
{
    struct unix_dialect *d = calloc(1, sizeof(*d));
    struct chan *c;

    if (!d)
        return err_nomem(e);
    d->payload = BUF(CHAN_MESSAGE_MAX);
    s->dialect_data = d;
    s->peer_window = CREDIT;
    s->peer_max_message = CHAN_MESSAGE_MAX;
    s->peer_max_channels = 1 + 2 * CHAN_ATTACHMENTS_MAX; /* unix_open and unix_message decide */
    session_greeted(s);
    c = session_incoming(s, ID_IN, false);
    if (!c)
        return -ENOMEM;
    session_offer(s, c);
    return 0;
}

static void unix_stop(struct chan_session *s)
{
    struct unix_dialect *d = s->dialect_data;

    buf_done(&d->payload);
    free(d);
    s->dialect_data = NULL;
}

static int unix_open(struct chan_session *s, struct chan *c)
{
    struct unix_dialect *d = s->dialect_data;

    if (d->opened)
        return -EMLINK; /* one connection is one channel each way */
    d->opened = true;
    return session_add(s, c, ID_OUT);
}

/* The end of the channel is the end of our bytes: at once if the socket has taken them, otherwise
 * with the session. */
static int say_end(struct chan_session *s)
{
    if (session_write(s) == 0)
        shutdown(s->wire->fd, SHUT_WR);
    return 0;
}

/* [payload, descriptor], or the payload alone. */
static int unix_message(struct chan_session *s, struct chan *c, struct chan_msg *m, bool last)
{
    struct unix_dialect *d = s->dialect_data;
    struct chan_value v = chan_root(m);
    bool with_fd = m->n_attachments;
    uint32_t header;
    uint8_t *p;
    int r;

    if (with_fd && (m->n_attachments != 1 || m->attachments[0].kind != ATTACHED_FD ||
                    chan_kind_of(v) != CHAN_ARRAY || chan_count(v) != 2 ||
                    chan_kind_of(chan_at(v, 1)) != CHAN_FD))
        return -EOPNOTSUPP;
    buf_reset(&d->payload);
    d->payload.error = 0;
    r = add_payload(&d->payload, with_fd ? chan_at(v, 0) : v);
    if (r < 0)
        return r == -EPROTOTYPE ? -EOPNOTSUPP : r;
    p = out_bytes(s, HEADER + d->payload.len);
    if (!p)
        return -ENOMEM;
    header = (uint32_t)d->payload.len | (with_fd ? WITH_FD : 0);
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(header >> (24 - 8 * i));
    if (d->payload.len)
        memcpy(p + HEADER, d->payload.data, d->payload.len);
    if (with_fd && out_fd(s, m->attachments[0].fd) < 0)
        return session_fail(s, -ENOMEM, WHARF_ERROR_INTERNAL, "out of memory");
    m->cost = 0;
    if (last)
        say_end(s);
    return 0;
}

static int unix_credit(struct chan_session *s, struct chan *c, uint64_t bytes)
{
    return 0;
}

static int unix_close(struct chan_session *s, struct chan *c)
{
    return say_end(s);
}

/* There are no errors on this wire: an abort is an end. */
static int unix_abort(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    return say_end(s);
}

static int unix_cancel(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    shutdown(s->wire->fd, SHUT_RD); /* the peer's next send fails */
    return 0;
}

static int unix_goodbye(struct chan_session *s)
{
    return say_end(s);
}

static void unix_eof(struct chan_session *s)
{
    struct chan *c = session_find(s, ID_IN);

    if (c)
        session_closed(s, c);
    session_goodbye(s);
}

static uint32_t header_read(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int take(struct chan_session *s, struct chan *c, const uint8_t *p, size_t len, bool with_fd)
{
    struct chan_msg *m = session_slot(s, c);
    int fd = with_fd ? fd_queue_take(&s->in_fds) : -1;

    if (m && with_fd)
        chan_put_array(m, 2);
    if (m)
        put_payload(m, p, len);
    if (!m || (with_fd && chan_put_fd(m, fd, CHAN_READ | CHAN_WRITE) < 0) || msg_ready(m) < 0) {
        if (with_fd)
            fd_close(fd);
        if (m)
            session_reject(s, m);
        return session_malformed(s, "a message cannot be decoded");
    }
    m->cost = HEADER + (uint32_t)len;
    c->outstanding += m->cost;
    session_deliver(s, c, m);
    if (c->outstanding > UNREAD_MAX)
        return session_fail(s, -EMSGSIZE, WHARF_ERROR_LIMIT, "more than %d bytes are unread",
                            UNREAD_MAX);
    return s->ended;
}

static int unix_input(struct chan_session *s)
{
    const uint8_t *p = s->in.data + s->in.head;
    uint32_t have = in_len(&s->in), header, len;
    struct chan *c = session_find(s, ID_IN);
    int r = 0;

    s->in.want = HEADER;
    if (have < HEADER)
        return 0;
    header = header_read(p);
    len = header & ~WITH_FD;
    if (len > s->options.max_message)
        return session_fail(s, -EMSGSIZE, WHARF_ERROR_LIMIT, "a message of %u bytes; we accept %u",
                            len, s->options.max_message);
    s->in.want = HEADER + len;
    if (have < HEADER + len)
        return 0;
    if ((header & WITH_FD) && !s->in_fds.len)
        return session_malformed(s, "a message promises a descriptor that did not come");
    if (c)
        r = take(s, c, p + HEADER, len, header & WITH_FD);
    else if (header & WITH_FD)
        fd_close(fd_queue_take(&s->in_fds));
    if (r < 0)
        return r;
    s->in.head += HEADER + len;
    return 1;
}

/* SPDY begins 80 03 without a descriptor; here 80 comes only with one. */
static enum recognised unix_recognise(const uint8_t *p, size_t len, bool has_fd)
{
    if (has_fd)
        return p[0] & 0x80 ? RECOGNISED_YES : RECOGNISED_NO;
    return p[0] < 0x02 ? RECOGNISED_YES : RECOGNISED_NO;
}

const struct chan_dialect *chan_dialect_unix_2014(void)
{
    static const struct chan_dialect dialect = {
        .name = "unix-2014",
        .passes_fds = true,
        .eof_is_goodbye = true,
        .recognise = unix_recognise,
        .start = unix_start,
        .stop = unix_stop,
        .open = unix_open,
        .message = unix_message,
        .credit = unix_credit,
        .close = unix_close,
        .abort = unix_abort,
        .cancel = unix_cancel,
        .goodbye = unix_goodbye,
        .eof = unix_eof,
        .input = unix_input,
    };

    return &dialect;
}
