/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a SPDY peer says. See spdy.h.
 *
 * A message that names a stream waits where it is, held with all behind it, until that stream has
 * arrived: the sender should have opened it first, and SPDY_ARRIVALS later streams are its last
 * chance. Whatever becomes decodable by a frame is decoded at the end of that frame (the ready
 * list), never in the middle of a message: so nested channels cost no depth of stack.
 */
#include <string.h>
#include "base/str.h"
#include "libchan/spdy.h"

enum taken { TAKEN, TAKEN_LATER, TAKEN_FAULT, TAKEN_GONE };

/* ---- ends ---- */

void spdy_finish(struct chan_session *s, struct spdy_stream *st)
{
    struct chan *c = st->in;

    if (!st->out)
        spdy_say_fin(s, st);
    if (!c)
        spdy_maybe_done(s, st);
    else
        session_closed(s, c); /* forgets the channel, and with it perhaps the stream */
}

static void cut_short(struct chan_session *s, struct spdy_stream *st)
{
    struct wharf_error why = { 0 };

    err_set(&why, -EBADMSG, WHARF_ERROR_CORRUPT, "the channel ends within a message");
    if (!st->out)
        spdy_say_fin(s, st);
    session_aborted(s, st->in, &why);
}

/* FIN has been received, and all before it is decoded. */
static void take_end(struct chan_session *s, struct spdy_stream *st)
{
    if (st->in && st->held_len)
        cut_short(s, st);
    else if (!st->in || !st->in->queue || spdy_of(s)->goaway_wanted)
        spdy_finish(s, st);
}

static void reset_for(struct chan_session *s, struct spdy_stream *st, const struct wharf_error *why)
{
    struct chan *in = st->in, *out = st->out;

    st->reset = true;
    if (in)
        session_aborted(s, in, why);
    if (out)
        session_cancelled(s, out, why);
    if (!in && !out)
        spdy_maybe_done(s, st);
}

/* The peer sends far beyond every window: that stream ends, its siblings do not notice. */
static enum taken flood(struct chan_session *s, struct spdy_stream *st)
{
    struct wharf_error why = { 0 };

    err_set(&why, -EMSGSIZE, WHARF_ERROR_LIMIT, "more than %u bytes or %u messages are unread",
            s->options.window + SPDY_UNREAD_MAX, SPDY_MESSAGES_MAX);
    spdy_say_reset(s, st, SPDY_FLOW_CONTROL_ERROR);
    reset_for(s, st, &why);
    return s->ended ? TAKEN_FAULT : TAKEN_GONE;
}

/* ---- attachments ---- */

static void make_ready(struct spdy *d, struct spdy_stream *st)
{
    if (st->ready)
        return;
    st->ready = true;
    st->list_next = d->ready;
    d->ready = st;
}

static void unclaim(struct chan_session *s, const struct chan_msg *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t ref;

        attachment_ext(m, &m->attachments[i], &ref);
        spdy_find_pending(spdy_of(s), ref)->claimed = false;
    }
}

/* Are the streams here that the message names? */
static enum taken claim(struct chan_session *s, const struct chan_msg *m, const char **ret_fault)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        struct spdy_stream *named;
        uint64_t ref;

        attachment_ext(m, &m->attachments[i], &ref);
        named = spdy_find_pending(spdy_of(s), ref);
        if (!named) {
            unclaim(s, m, i);
            return TAKEN_LATER;
        }
        if (named->claimed) {
            *ret_fault = "two values name one stream";
            return TAKEN_FAULT;
        }
        named->claimed = true;
    }
    return TAKEN;
}

static struct chan *make_end(struct chan_session *s, struct spdy_stream *st, bool out)
{
    struct chan *c = session_incoming(s, spdy_number(st, out), out);

    if (c)
        spdy_join(s, st, c, out);
    return c;
}

static int make_attachment(struct chan_session *s, struct chan_msg *m, uint32_t index)
{
    struct attachment *a = &m->attachments[index];
    struct spdy_stream *st;
    uint64_t ref;
    unsigned ext = attachment_ext(m, a, &ref);
    bool in = ext == EXT_DUPLEX || ext == EXT_STREAM_OUT || ext == EXT_CHANNEL_OUT;
    bool out = ext == EXT_DUPLEX || ext == EXT_STREAM_IN || ext == EXT_CHANNEL_IN;
    struct chan *source = NULL, *sink = NULL;

    st = spdy_find_pending(spdy_of(s), ref);
    spdy_unpend(spdy_of(s), st);
    st->bytes = ext <= EXT_STREAM_OUT;
    if ((in && !(source = make_end(s, st, false))) || (out && !(sink = make_end(s, st, true))))
        return s->ended;
    a->kind = st->bytes ? ATTACHED_STREAM : out ? ATTACHED_TX : ATTACHED_RX;
    a->how = (in ? CHAN_READ : 0) | (out ? CHAN_WRITE : 0);
    if (st->bytes)
        a->sink = sink;
    a->chan = st->bytes || in ? source : sink;
    attachment_set(m, a, ext, index);
    if (st->held_len || st->fin_received)
        make_ready(spdy_of(s), st);
    return 0;
}

/* ---- messages ---- */

static bool too_much(const struct chan_session *s, const struct chan *c)
{
    return c->outstanding > (int64_t)s->options.window + SPDY_UNREAD_MAX ||
           c->queue_len >= SPDY_MESSAGES_MAX;
}

static void wait_for_ref(struct spdy *d, struct spdy_stream *st)
{
    if (!st->give_up) {
        st->give_up = d->arrivals + SPDY_ARRIVALS;
        d->n_waiting++;
    }
}

static void waited(struct spdy *d, struct spdy_stream *st)
{
    if (st->give_up) {
        st->give_up = 0;
        d->n_waiting--;
    }
}

static enum taken message_fault(struct chan_session *s, const struct spdy_stream *st,
                                const char *fault)
{
    session_malformed(s, "a message on stream %u: %s", st->id, fault);
    return TAKEN_FAULT;
}

/* One whole message. */
static enum taken take_message(struct chan_session *s, struct spdy_stream *st, const uint8_t *p,
                               uint32_t len, bool rewrite)
{
    struct chan *c = st->in;
    struct chan_msg *m = session_slot(s, c);
    const char *fault = NULL;
    enum taken r = TAKEN_FAULT;

    if (m && body_decode(m, p, len, rewrite, spdy_of(s)->old, &fault) == 0)
        r = m->n_attachments ? claim(s, m, &fault) : TAKEN;
    if (r != TAKEN) {
        if (m)
            session_reject(s, m);
        if (r == TAKEN_LATER)
            wait_for_ref(spdy_of(s), st);
        return r == TAKEN_LATER ? r : message_fault(s, st, fault ? fault : "out of memory");
    }
    waited(spdy_of(s), st);
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        if (make_attachment(s, m, i) < 0) {
            session_reject(s, m);
            return TAKEN_FAULT;
        }
    }
    m->cost = len;
    c->outstanding += len;
    session_deliver(s, c, m);
    if (too_much(s, c))
        return flood(s, st);
    return s->ended ? TAKEN_FAULT : TAKEN;
}

/* Whole messages off the front of the bytes; *ret_used of them are done with. */
static enum taken take_messages(struct chan_session *s, struct spdy_stream *st, const uint8_t *p,
                                uint32_t len, uint32_t *ret_used)
{
    enum taken r = TAKEN;
    uint32_t at = 0;

    while (at < len && r == TAKEN) {
        const char *fault = NULL;
        int whole = body_scan(&st->scan, p + at, len - at, s->options.max_message, &fault);

        if (whole < 0)
            return message_fault(s, st, fault);
        if (MAX(st->scan.at, whole ? 0 : len - at) > s->options.max_message) {
            session_fail(s, -EMSGSIZE, WHARF_ERROR_LIMIT,
                         "a message of more than %u bytes on stream %u", s->options.max_message,
                         st->id);
            return TAKEN_FAULT;
        }
        if (!whole)
            break;
        r = take_message(s, st, p + at, st->scan.at, st->scan.rewrite);
        if (r == TAKEN) {
            at += st->scan.at;
            st->scan = BODY_SCAN;
        }
    }
    *ret_used = at;
    return r;
}

/* ---- bytes ---- */

static enum taken take_bytes(struct chan_session *s, struct spdy_stream *st, const uint8_t *p,
                             uint32_t len)
{
    struct chan *c = st->in;
    struct chan_msg *m = session_slot(s, c);

    if (!m || chan_put_bin(m, p, len) < 0) {
        if (m)
            session_reject(s, m);
        return message_fault(s, st, "out of memory");
    }
    m->cost = len;
    c->outstanding += len;
    session_deliver(s, c, m);
    return too_much(s, c) ? flood(s, st) : TAKEN;
}

/* Nobody reads this direction: the peer may go on and must not be stuck. */
static void discard(struct chan_session *s, struct spdy_stream *st, uint32_t len)
{
    st->discarded += len;
    if (st->discarded >= s->options.window / 2 && !st->fin_received) {
        spdy_say_window(s, st->id, st->discarded);
        st->discarded = 0;
    }
}

static enum taken keep(struct chan_session *s, struct spdy_stream *st, const uint8_t *p,
                       uint32_t len)
{
    if (st->held_len + (uint64_t)len > s->options.max_message + (uint64_t)SPDY_UNREAD_MAX)
        return flood(s, st);
    if (len && spdy_hold(st, p, len) < 0)
        return message_fault(s, st, "out of memory");
    return TAKEN;
}

static enum taken take_data(struct chan_session *s, struct spdy_stream *st, const uint8_t *p,
                            uint32_t len)
{
    enum taken r = TAKEN;
    uint32_t used = 0;

    if (st->pending)
        return keep(s, st, p, len);
    if (!st->in) {
        discard(s, st, len);
        return TAKEN;
    }
    if (st->bytes)
        return take_bytes(s, st, p, len);
    if (!st->held_len) {
        r = take_messages(s, st, p, len, &used);
        if (r <= TAKEN_LATER && used < len)
            r = keep(s, st, p + used, len - used);
        return r;
    }
    r = keep(s, st, p, len);
    if (r == TAKEN && !st->give_up)
        r = take_messages(s, st, st->held, st->held_len, &used);
    if (r <= TAKEN_LATER && used)
        spdy_unhold(st, used);
    return r;
}

/* What is held can perhaps be decoded now. */
static void take_held(struct chan_session *s, struct spdy_stream *st)
{
    enum taken r = TAKEN;

    if (st->in && st->held_len && st->bytes) {
        r = take_bytes(s, st, st->held, st->held_len);
        if (r == TAKEN)
            spdy_unhold(st, st->held_len);
    } else if (st->in && st->held_len) {
        uint32_t used = 0;

        r = take_messages(s, st, st->held, st->held_len, &used);
        if (r <= TAKEN_LATER && used)
            spdy_unhold(st, used);
    } else if (st->held_len) {
        discard(s, st, st->held_len);
        spdy_unhold(st, st->held_len);
    }
    if (r == TAKEN && st->fin_received)
        take_end(s, st);
}

static void take_ready(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);

    while (d->ready && !s->ended) {
        struct spdy_stream *st = d->ready;

        d->ready = st->list_next;
        st->list_next = NULL;
        if (!st->reset)
            take_held(s, st); /* `ready` keeps the stream until it returns */
        st->ready = false;
        if (!s->ended)
            spdy_maybe_done(s, st);
    }
}

/* ---- frames ---- */

static bool of_peer(const struct chan_session *s, uint32_t id)
{
    return (id & 1) == (s->accepting ? 1u : 0u);
}

/* The stream of a frame. NULL: it has ended, the frame is late; or there never was one. */
static struct spdy_stream *stream_of(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st = spdy_find(d, f->stream);

    if (!st && (!f->stream || f->stream > (of_peer(s, f->stream) ? d->last_id : d->next_id - 2)))
        session_malformed(s, "a frame for stream %u, which was never opened", f->stream);
    return st;
}

static int in_data(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st = stream_of(s, f);

    d->received += f->length;
    if (d->received >= SPDY_CONNECTION_WINDOW / 2) {
        spdy_say_window(s, 0, d->received);
        d->received = 0;
    }
    if (!st)
        return s->ended;
    if (st->fin_received)
        return session_malformed(s, "data behind the end of stream %u", st->id);
    if (f->length && take_data(s, st, f->data, f->length) >= TAKEN_FAULT)
        return s->ended;
    if (f->flags & SPDY_FLAG_FIN) {
        st->fin_received = true;
        if (!st->pending && !st->give_up)
            take_end(s, st);
    }
    return s->ended;
}

/* Messages that wait for a stream are tried again with each that arrives. */
static int retry_waiting(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);

    d->arrivals++;
    if (!d->n_waiting)
        return 0;
    for (struct spdy_stream *st = d->all; st; st = st->all_next) {
        if (st->give_up && d->arrivals > st->give_up)
            return session_malformed(s, "a message on stream %u names a stream that was not opened",
                                     st->id);
        if (st->give_up)
            make_ready(d, st);
    }
    return 0;
}

static bool is_top(const struct spdy *d, const char *parent)
{
    return parent ? streq(parent, "0") : !d->old;
}

static int open_top(struct chan_session *s, struct spdy_stream *st)
{
    struct chan *c = session_incoming(s, spdy_number(st, false), false);

    if (!c)
        return s->ended;
    spdy_join(s, st, c, false);
    session_offer(s, c);
    return s->ended;
}

/* A stream for an attachment, whose message comes next. */
static int open_nested(struct chan_session *s, struct spdy_stream *st)
{
    struct spdy *d = spdy_of(s);

    if (spdy_find_pending(d, st->ref))
        return session_malformed(s, "ref %llu is opened twice", (unsigned long long)st->ref);
    if (d->n_pending >= s->options.max_pending)
        return session_fail(s, -EMLINK, WHARF_ERROR_LIMIT,
                            "more than %u streams that no message has named",
                            s->options.max_pending);
    spdy_pend(d, st);
    return 0;
}

static int in_syn(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    const struct spdy_header *headers;
    struct wharf_error why = { 0 };
    struct spdy_stream *st;
    uint64_t ref = 0, parent = 0;
    const char *text;
    size_t n;
    bool top;
    int r;

    if (spdy_headers_read(d->codec, f->data, f->length, &headers, &n, &why) < 0)
        return session_malformed(s, "stream %u: %s", f->stream, why.message);
    if (f->stream <= d->last_id || !of_peer(s, f->stream))
        return session_malformed(s, "stream %u is opened out of order", f->stream);
    d->last_id = f->stream;
    text = spdy_header_find(headers, n, "libchan-ref");
    if (!text || parse_u64(text, 1, UINT64_MAX, &ref) < 0) {
        spdy_write_rst(&d->frame, f->stream, SPDY_CANCEL); /* one stream, not the connection */
        return spdy_say(s);
    }
    text = spdy_header_find(headers, n, "libchan-parent-ref");
    if (text && *text && parse_u64(text, 0, UINT64_MAX, &parent) < 0)
        return session_malformed(s, "stream %u: no number: libchan-parent-ref", f->stream);
    st = spdy_stream_new(s, f->stream, ref, parent);
    if (!st)
        return session_fail(s, -EMLINK, WHARF_ERROR_LIMIT, "more than %d streams are half open",
                            SPDY_STREAMS_MAX);
    st->fin_received = f->flags & SPDY_FLAG_FIN;
    st->fin_sent = f->flags & SPDY_FLAG_UNIDIRECTIONAL; /* we must not reply */
    if (!st->fin_sent)
        spdy_say_reply(s, st->id);
    top = is_top(d, text);
    r = top ? open_top(s, st) : open_nested(s, st);
    if (r == 0 && top && (st = spdy_find(d, f->stream)) && st->fin_received)
        take_end(s, st);
    return r < 0 ? r : retry_waiting(s);
}

/* SYN_REPLY and HEADERS: only a refusal matters. */
static int in_headers(struct chan_session *s, const struct spdy_frame *f)
{
    const struct spdy_header *headers;
    struct wharf_error why = { 0 };
    struct spdy_stream *st;
    const char *status;
    size_t n;

    if (spdy_headers_read(spdy_of(s)->codec, f->data, f->length, &headers, &n, &why) < 0)
        return session_malformed(s, "stream %u: %s", f->stream, why.message);
    st = stream_of(s, f);
    if (!st || !(f->flags & SPDY_FLAG_FIN))
        return s->ended;
    status = spdy_header_find(headers, n, ":status");
    status = status ? status : spdy_header_find(headers, n, "status");
    st->fin_received = true;
    if (status && strncmp(status, "200", 3) != 0) {
        err_set(&why, -ECONNREFUSED, WHARF_ERROR_UNAVAILABLE,
                "the peer refused the channel: status %.32s", status);
        spdy_say_fin(s, st);
        reset_for(s, st, &why);
    } else {
        take_end(s, st);
    }
    return s->ended;
}

static int in_rst(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy_stream *st = stream_of(s, f);
    struct wharf_error why = { 0 };

    if (!st)
        return s->ended;
    err_set(&why, -ECANCELED, WHARF_ERROR_UNAVAILABLE,
            f->value == SPDY_CANCEL ? "the peer cancelled the stream"
                                    : "the peer reset the stream: status %u",
            f->value);
    reset_for(s, st, &why);
    return s->ended;
}

/* From now on the peer's windows are meant. */
static void enforce(struct chan_session *s)
{
    if (!spdy_of(s)->enforced) {
        spdy_of(s)->enforced = true;
        spdy_recredit_all(s);
    }
}

static int in_settings(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    int64_t change = f->initial_window ? f->initial_window - d->initial_window : 0;

    d->initial_window += change;
    for (struct spdy_stream *st = d->all; st && change; st = st->all_next)
        st->window += change;
    enforce(s);
    if (change)
        spdy_recredit_all(s);
    return s->ended;
}

static int in_window(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st = f->stream ? stream_of(s, f) : NULL;
    int64_t *window = f->stream ? (st ? &st->window : NULL) : &d->send_window;
    bool was_shut = d->send_window <= 0;

    if (!window)
        return s->ended;
    *window += f->value;
    d->is_31 |= !f->stream && !d->last_id;
    if (*window > INT32_MAX)
        return session_malformed(s, "a window above 2^31 on stream %u", f->stream);
    enforce(s);
    if (st)
        spdy_recredit(s, st);
    else if (was_shut && d->send_window > 0)
        spdy_recredit_all(s);
    return s->ended;
}

static int in_ping(struct chan_session *s, const struct spdy_frame *f)
{
    struct spdy *d = spdy_of(s);
    bool theirs = (f->value & 1) == (s->accepting ? 1u : 0u);

    if (theirs && out_pending(&s->out) < OUT_MAX) {
        spdy_write_ping(&d->frame, f->value);
        spdy_say(s);
    } else if (d->goaway_sent && f->value == d->last_ping) {
        d->goaway_received = true;
        spdy_maybe_goaway(s);
    }
    return s->ended;
}

static int in_goaway(struct chan_session *s, const struct spdy_frame *f)
{
    spdy_of(s)->goaway_received = true;
    spdy_maybe_goaway(s);
    return s->ended;
}

static int (*const handlers[])(struct chan_session *, const struct spdy_frame *) = {
    [SPDY_DATA] = in_data,      [SPDY_SYN_STREAM] = in_syn,    [SPDY_SYN_REPLY] = in_headers,
    [SPDY_RST_STREAM] = in_rst, [SPDY_SETTINGS] = in_settings, [SPDY_PING] = in_ping,
    [SPDY_GOAWAY] = in_goaway,  [SPDY_HEADERS] = in_headers,   [SPDY_WINDOW_UPDATE] = in_window,
};

int spdy_input(struct chan_session *s)
{
    struct wharf_error why = { 0 };
    struct spdy_frame f;
    size_t want = 0;
    int r = spdy_frame_parse(s->in.data + s->in.head, in_len(&s->in), &f, &want, &why);

    if (r < 0)
        return session_malformed(s, "%s", why.message);
    s->in.want = (uint32_t)want;
    if (r == 0)
        return 0;
    r = handlers[f.type](s, &f);
    if (r < 0)
        return r;
    take_ready(s);
    if (s->ended)
        return s->ended;
    s->in.head += (uint32_t)f.size;
    return 1;
}
