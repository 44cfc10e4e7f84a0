/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we say in the SPDY dialects, and their tables of functions. See spdy.h.
 *
 * Streams are opened in front of the message that names them, under the session's lock, so that
 * their ids increase on the wire. We always send :method and :path, without which some peers refuse
 * a stream and which the others ignore.
 */
#include <string.h>
#include "base/str.h"
#include "libchan/spdy.h"

#define COPY_MAX        4096u /* bodies up to this are copied into the out buffer */
#define RECOGNISE_BYTES (256u << 10)

/* ---- frames ---- */

int spdy_say(struct chan_session *s)
{
    struct buf *frame = &spdy_of(s)->frame;
    uint8_t *p = frame->error ? NULL : out_bytes(s, frame->len);

    if (p)
        memcpy(p, frame->data, frame->len);
    else
        session_fail(s, -ENOMEM, WHARF_ERROR_INTERNAL, "out of memory");
    frame->error = 0;
    buf_reset(frame);
    return p ? 0 : -ENOMEM;
}

static uint8_t *data_frame(struct chan_session *s, uint32_t id, uint8_t flags, uint32_t len,
                           uint32_t room)
{
    uint8_t *p = out_bytes(s, SPDY_HEAD + room);

    if (!p)
        return NULL;
    spdy_data_head(p, id, flags, len);
    return p + SPDY_HEAD;
}

int spdy_say_fin(struct chan_session *s, struct spdy_stream *st)
{
    if (st->fin_sent || st->reset)
        return 0;
    st->fin_sent = true;
    return data_frame(s, st->id, SPDY_FLAG_FIN, 0, 0) ? 0 : -ENOMEM;
}

int spdy_say_reset(struct chan_session *s, struct spdy_stream *st, uint32_t status)
{
    st->reset = true;
    spdy_write_rst(&spdy_of(s)->frame, st->id, status);
    return spdy_say(s);
}

int spdy_say_reply(struct chan_session *s, uint32_t id)
{
    struct spdy *d = spdy_of(s);
    const struct spdy_header ok[] = { { ":status", "200" }, { "status", "200" } };

    /* the Go library of 0.1 says "status"; what reads a status at all reads ":status" */
    spdy_write_headers(d->codec, &d->frame, SPDY_SYN_REPLY, id, 0, 0, ok, d->old ? 2 : 1);
    return spdy_say(s);
}

int spdy_say_window(struct chan_session *s, uint32_t id, uint32_t bytes)
{
    spdy_write_window_update(&spdy_of(s)->frame, id, bytes);
    return spdy_say(s);
}

enum opened { OPEN_TOP, OPEN_CHANNEL, OPEN_BYTES };

/* `on`: the stream whose message names this one. For 0.1 it is the associated stream of what a
 * server opens, as of a push: jschan refuses it otherwise. Libraries of SPDY/3.1 take it for a real
 * push then, and refuse that. */
static int say_open(struct chan_session *s, const struct spdy_stream *st, enum opened what,
                    const struct spdy_stream *on)
{
    struct spdy *d = spdy_of(s);
    bool push = on && d->old && s->accepting && !d->is_31;
    char ref[24], parent[24] = "0";
    struct spdy_header headers[] = {
        { ":method", "POST" },
        { ":path", "/" },
        { "libchan-ref", ref },
        { "libchan-parent-ref", parent },
    };

    snprintf(ref, sizeof(ref), "%llu", (unsigned long long)st->ref);
    if (what == OPEN_CHANNEL || (what == OPEN_BYTES && !d->old))
        snprintf(parent, sizeof(parent), "%llu", (unsigned long long)st->parent);
    else if (what == OPEN_BYTES)
        parent[0] = '\0'; /* in 0.1 a byte stream has no parent */
    spdy_write_headers(d->codec, &d->frame, SPDY_SYN_STREAM, st->id, push ? on->id : 0, 0, headers,
                       what == OPEN_TOP && !d->old ? 3 : 4);
    return spdy_say(s);
}

/* ---- life ---- */

static int start(struct chan_session *s, bool old, struct wharf_error *e)
{
    struct spdy *d = calloc(1, sizeof(*d));

    if (!d)
        return err_nomem(e);
    *d = (struct spdy){ .old = old,
                        .frame = BUF(SPDY_CONTROL_MAX),
                        .pending_end = &d->pending,
                        .next_id = s->accepting ? 2 : 1,
                        .next_ref = !old           ? 2
                                    : s->accepting ? 2
                                                   : 1,
                        .next_ping = s->accepting ? 2 : 1,
                        .send_window = SPDY_WINDOW,
                        .initial_window = SPDY_WINDOW };
    s->dialect_data = d;
    s->peer_window = SPDY_UNLIMITED;
    s->peer_max_message = MIN(SPDY_DATA_MAX, CHAN_MESSAGE_MAX);
    s->peer_max_channels = SPDY_STREAMS_MAX / 2;
    if (spdy_codec_new(&d->codec, e) < 0)
        return -ENOMEM;
    spdy_write_settings_window(&d->frame, s->options.window);
    spdy_write_window_update(&d->frame, 0, SPDY_CONNECTION_WINDOW - SPDY_WINDOW);
    spdy_say(s);
    session_greeted(s);
    return 0;
}

static int start_2015(struct chan_session *s, struct wharf_error *e)
{
    return start(s, false, e);
}

static int start_010(struct chan_session *s, struct wharf_error *e)
{
    return start(s, true, e);
}

static void stop(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);

    spdy_streams_free(d);
    spdy_codec_free(d->codec);
    buf_done(&d->frame);
    free(d);
    s->dialect_data = NULL;
}

/* ---- channels and messages ---- */

static struct spdy_stream *new_stream(struct chan_session *s, uint64_t parent)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st =
        d->next_id > INT32_MAX - 2 ? NULL : spdy_stream_new(s, d->next_id, d->next_ref, parent);

    if (st) {
        d->next_id += 2;
        d->next_ref += d->old ? 2 : 1;
    }
    return st;
}

static int spdy_open(struct chan_session *s, struct chan *c)
{
    struct spdy_stream *st;
    int r;

    if (spdy_of(s)->goaway_received)
        return -ESHUTDOWN;
    st = new_stream(s, 0);
    if (!st)
        return -EMLINK;
    r = session_add(s, c, spdy_number(st, true));
    if (r < 0) {
        st->reset = true;
        spdy_maybe_done(s, st);
        return r;
    }
    spdy_join(s, st, c, true);
    return say_open(s, st, OPEN_TOP, NULL);
}

static int adopt(struct chan_session *s, struct spdy_stream *st, struct chan *end, bool is_tx)
{
    int r = session_adopt(s, end, is_tx, spdy_number(st, !is_tx));

    if (r == 0)
        spdy_join(s, st, end, !is_tx);
    return r;
}

/* Opens the stream of an attachment and names it in the body. A sender end that goes to the peer
 * leaves us the receiving end. */
static int open_attachment(struct chan_session *s, const struct spdy_stream *on, struct chan_msg *m,
                           struct attachment *a)
{
    struct spdy_stream *st = new_stream(s, on->ref);
    int r = st ? 0 : -ENOMEM;

    if (r == 0 && a->kind == ATTACHED_STREAM) {
        st->bytes = true;
        attachment_set(m, a,
                       spdy_of(s)->old ? EXT_DUPLEX
                       : !a->sink      ? EXT_STREAM_OUT
                       : !a->source    ? EXT_STREAM_IN
                                       : EXT_DUPLEX,
                       st->ref);
        if (a->source)
            r = adopt(s, st, a->source, false);
        if (r == 0 && a->sink)
            r = adopt(s, st, a->sink, true);
    } else if (r == 0) {
        attachment_set(m, a, a->kind == ATTACHED_TX ? EXT_CHANNEL_IN : EXT_CHANNEL_OUT, st->ref);
        r = adopt(s, st, a->chan, a->kind == ATTACHED_TX);
    }
    return r < 0 ? r : say_open(s, st, st->bytes ? OPEN_BYTES : OPEN_CHANNEL, on);
}

/* In 0.1 every byte stream goes both ways: end the way that we shall not use. */
static void end_unused(struct chan_session *s, const struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        const struct attachment *a = &m->attachments[i];

        if (a->kind == ATTACHED_STREAM && !a->source)
            spdy_say_fin(s, a->sink->dialect_data);
    }
}

static void charge(struct chan_session *s, struct spdy_stream *st, struct chan *c, uint32_t bytes)
{
    struct spdy *d = spdy_of(s);
    bool was_open = d->send_window > 0;

    st->window -= bytes;
    d->send_window -= bytes;
    c->credit = spdy_credit(d, st);
    if (d->enforced && was_open && d->send_window <= 0)
        spdy_recredit_all(s);
}

/* The body behind its frame's head, copied or by reference. */
static int say_body(struct chan_session *s, struct spdy_stream *st, const struct chan_msg *m)
{
    uint32_t len = body_encoded_size(m, spdy_of(s)->old), from = 0;
    bool copy = m->n_attachments || len <= COPY_MAX;
    uint8_t *p = data_frame(s, st->id, 0, len, copy ? len : 0);
    int r = 0;

    if (!p)
        return -ENOMEM;
    if (copy) {
        body_encode(m, spdy_of(s)->old, p);
        return (int)len;
    }
    for (uint32_t i = 0; i < m->n_spans && r == 0; i++) {
        const struct span *sp = &m->spans[i];

        r = out_ref(s, msg_body(m) + from, sp->at - from);
        if (r == 0)
            r = out_ref(s, sp->data, sp->len);
        from = sp->at;
    }
    if (r == 0 && m->len > from)
        r = out_ref(s, msg_body(m) + from, m->len - from);
    return r < 0 ? r : (int)len;
}

/* A byte string as the bytes of a stream. */
static int say_bytes(struct chan_session *s, struct spdy_stream *st, const struct chan_msg *m)
{
    const void *data = m->n_spans ? m->spans[0].data : NULL;
    size_t len = m->n_spans ? m->spans[0].len : 0;
    uint8_t *p;

    if (!m->n_spans && chan_get_bin(chan_root((struct chan_msg *)m), &data, &len) < 0)
        return -EPROTOTYPE;
    p = data_frame(s, st->id, 0, (uint32_t)len, (uint32_t)len);
    if (!p)
        return -ENOMEM;
    memcpy(p, data, len);
    return (int)len;
}

static bool can_carry(const struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        if (m->attachments[i].kind == ATTACHED_TAKEN)
            return false;
    }
    return true;
}

static int spdy_message(struct chan_session *s, struct chan *c, struct chan_msg *m, bool last)
{
    struct spdy_stream *st = c->dialect_data;
    int r = 0;

    if (!can_carry(m))
        return -EALREADY;
    if (spdy_of(s)->old && !st->bytes && body_has_time(m))
        return -EOPNOTSUPP; /* 0.1 has no time: send a text */
    if (spdy_of(s)->n_streams + m->n_attachments > SPDY_STREAMS_MAX)
        return -EMLINK;
    for (uint32_t i = 0; i < m->n_attachments && r == 0; i++)
        r = open_attachment(s, st, m, &m->attachments[i]);
    if (r == 0)
        r = st->bytes ? say_bytes(s, st, m) : say_body(s, st, m);
    if (r == -EPROTOTYPE)
        return r;
    if (r < 0) /* half of it is in the buffer: there is no way back */
        return session_fail(s, r, WHARF_ERROR_INTERNAL, "out of memory");
    if (spdy_of(s)->old)
        end_unused(s, m);
    m->cost = 0; /* the credit follows the stream's window */
    charge(s, st, c, (uint32_t)r);
    if (last)
        spdy_say_fin(s, st);
    return 0;
}

static int spdy_give_credit(struct chan_session *s, struct chan *c, uint64_t bytes)
{
    const struct spdy_stream *st = c->dialect_data;

    return st->fin_received ? 0 : spdy_say_window(s, st->id, (uint32_t)bytes);
}

static int spdy_close(struct chan_session *s, struct chan *c)
{
    return spdy_say_fin(s, c->dialect_data);
}

static int spdy_abort(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    struct spdy_stream *st = c->dialect_data;

    return st->in ? spdy_say_fin(s, st) : spdy_say_reset(s, st, SPDY_CANCEL);
}

/* Streams that the peer has opened for messages on this channel: nobody will decode those. */
static void drop_pending_of(struct chan_session *s, uint64_t parent)
{
    struct spdy_stream *st = spdy_of(s)->pending, *next;

    for (; st; st = next) {
        next = st->list_next;
        if (st->parent == parent) {
            spdy_say_reset(s, st, SPDY_CANCEL);
            spdy_maybe_done(s, st);
        }
    }
}

static int spdy_cancel(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    struct spdy_stream *st = c->dialect_data;

    if (!st->bytes)
        drop_pending_of(s, st->ref);
    if (st->out)
        return 0; /* of a byte stream that goes on the other way: what still comes is discarded */
    return st->fin_received ? spdy_say_fin(s, st) : spdy_say_reset(s, st, SPDY_CANCEL);
}

static void spdy_drained(struct chan_session *s, struct chan *c)
{
    struct spdy_stream *st = c->dialect_data;

    if (st->fin_received && !st->held_len && !st->ready)
        spdy_finish(s, st);
}

static void spdy_forget(struct chan_session *s, struct chan *c)
{
    struct spdy_stream *st = c->dialect_data;

    c->dialect_data = NULL;
    if (!st)
        return;
    if (st->in == c)
        st->in = NULL;
    else
        st->out = NULL;
    if (s->ended)
        return;
    if (!st->in && st->held_len && !st->pending)
        spdy_unhold(st, st->held_len);
    if (st->fin_received && !st->in && !st->out)
        spdy_say_fin(s, st); /* e.g. the other way of a byte stream ended first */
    spdy_maybe_done(s, st);
}

static int spdy_ping(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);

    spdy_write_ping(&d->frame, d->next_ping);
    d->next_ping += 2;
    return spdy_say(s);
}

/* GOAWAY itself waits until every stream has ended on both sides: some peers stop reading at it. */
static int spdy_goodbye(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st = d->all, *next;

    d->goaway_wanted = true;
    for (; st; st = next) {
        next = st->all_next;
        if (st->in && st->fin_received && !st->held_len)
            spdy_finish(s, st); /* can still be read, but the peer need not wait for that */
        else
            spdy_maybe_done(s, st);
    }
    spdy_maybe_goaway(s);
    return 0;
}

static void spdy_fault(struct chan_session *s, const struct wharf_error *why)
{
    struct spdy *d = spdy_of(s);
    uint8_t *p;

    buf_reset(&d->frame);
    spdy_write_goaway(&d->frame, d->last_id, 1);
    p = d->frame.error ? NULL : out_bytes(s, d->frame.len);
    if (p)
        memcpy(p, d->frame.data, d->frame.len);
}

/* ---- recognising an accepted connection ---- */

/* What the first SYN_STREAM tells: 0.1 says a parent of "0" and counts the dialler's refs 1, 3, 5;
 * the dialect of 2015 leaves the parent away and begins at 2. */
static enum recognised judge(const struct spdy_header *headers, size_t n, bool old)
{
    const char *ref = spdy_header_find(headers, n, "libchan-ref");
    const char *parent = spdy_header_find(headers, n, "libchan-parent-ref");
    uint64_t number;
    bool is_old;

    if (!ref || parse_u64(ref, 1, UINT64_MAX, &number) < 0)
        return RECOGNISED_NO;
    is_old = parent && streq(parent, "0") ? true : number & 1;
    return is_old == old ? RECOGNISED_YES : RECOGNISED_NO;
}

static enum recognised recognise(const uint8_t *p, size_t len, bool has_fd, bool old)
{
    enum recognised r = RECOGNISED_MAYBE;
    struct spdy_codec *codec = NULL;
    const struct spdy_header *headers;
    struct spdy_frame f;
    size_t at = 0, want, n;

    if (has_fd || (len >= 1 && p[0] != 0x80) || (len >= 2 && p[1] != 3) || len > RECOGNISE_BYTES)
        return RECOGNISED_NO;
    while (r == RECOGNISED_MAYBE && at < len) {
        int whole = spdy_frame_parse(p + at, len - at, &f, &want, NULL);

        if (whole == 0)
            break;
        if (whole < 0 || f.type == SPDY_DATA)
            return RECOGNISED_NO;
        at += f.size;
        if (f.type != SPDY_SYN_STREAM)
            continue;
        if (spdy_codec_new(&codec, NULL) < 0)
            return RECOGNISED_MAYBE;
        r = spdy_headers_read(codec, f.data, f.length, &headers, &n, NULL) < 0
                ? RECOGNISED_NO
                : judge(headers, n, old);
    }
    spdy_codec_free(codec);
    return r;
}

static enum recognised recognise_2015(const uint8_t *p, size_t len, bool has_fd)
{
    return recognise(p, len, has_fd, false);
}

static enum recognised recognise_010(const uint8_t *p, size_t len, bool has_fd)
{
    return recognise(p, len, has_fd, true);
}

/* ---- the tables ---- */

#define SPDY_FUNCTIONS                                                                             \
    .byte_streams = true, .eof_is_goodbye = true, .stop = stop, .open = spdy_open,                 \
    .message = spdy_message, .credit = spdy_give_credit, .close = spdy_close, .abort = spdy_abort, \
    .cancel = spdy_cancel, .drained = spdy_drained, .ping = spdy_ping, .goodbye = spdy_goodbye,    \
    .fault = spdy_fault, .forget = spdy_forget, .input = spdy_input

const struct chan_dialect *chan_dialect_spdy_2015(void)
{
    static const struct chan_dialect dialect = {
        .name = "spdy-2015", .recognise = recognise_2015, .start = start_2015, SPDY_FUNCTIONS
    };

    return &dialect;
}

const struct chan_dialect *chan_dialect_spdy_010(void)
{
    static const struct chan_dialect dialect = {
        .name = "spdy-0.1", .recognise = recognise_010, .start = start_010, SPDY_FUNCTIONS
    };

    return &dialect;
}
