/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels of a session. While a channel is in the session's table both ends are open;
 * whichever side ends it takes it off at once (numbers are never used again, so late frames for it
 * are recognised and ignored). What was received stays in c->queue for its reader.
 *
 * Credit: a sender may send while its credit is above 0, and a message may take it below. So a
 * reader that stalls holds at most one window and one message, and any message can pass.
 */
#include <string.h>
#include "libchan/pump.h"
#include "libchan/session.h"

/* ---- the table ---- */

struct chan *session_find(struct chan_session *s, uint64_t id)
{
    return stream_table_find(&s->streams, id);
}

static bool we_send_on(const struct chan *c)
{
    return atomic_load(&c->state) & RX_REMOTE;
}

int session_add(struct chan_session *s, struct chan *c, uint64_t id)
{
    if (stream_table_add(&s->streams, id, c) < 0)
        return -ENOMEM;
    c->id = id;
    if (c->opened_by_peer)
        s->opened_by_peer++;
    else
        s->opened_by_us++;
    if (we_send_on(c)) {
        c->credit = s->greeted ? s->peer_window : 0;
        s->sending++;
    }
    return 0;
}

void stream_remove(struct chan_session *s, struct chan *c)
{
    if (!c->id)
        return;
    if (s->dialect->forget)
        s->dialect->forget(s, c);
    stream_table_remove(&s->streams, c->id);
    c->id = 0;
    if (c->opened_by_peer)
        s->opened_by_peer--;
    else
        s->opened_by_us--;
    if (we_send_on(c))
        s->sending--;
    session_discard_chan(s, c);
    session_maybe_goodbye(s);
}

/* A channel with one end here: the handle, and the table's reference. */
static struct chan *half_channel(struct chan_session *s, bool we_send, bool by_peer)
{
    struct chan *c = chan_new(0);

    if (!c)
        return NULL;
    atomic_init(we_send ? &c->rx_refs : &c->tx_refs, 0);
    atomic_init(&c->state, we_send ? RX_REMOTE : TX_REMOTE);
    c->opened_by_peer = by_peer;
    session_hold(s);
    atomic_init(&c->session, s);
    return c;
}

struct chan *session_incoming(struct chan_session *s, uint64_t id, bool we_send)
{
    struct chan *c;

    if (s->opened_by_peer >= s->options.max_channels) {
        session_fail(s, -EMLINK, WHARF_ERROR_LIMIT, "the peer opened more than %u channels",
                     s->options.max_channels);
        return NULL;
    }
    c = half_channel(s, we_send, true);
    if (!c || session_add(s, c, id) < 0) {
        session_fail(s, -ENOMEM, WHARF_ERROR_INTERNAL, "out of memory");
        return NULL; /* the connection is gone; so may this small piece be */
    }
    return c;
}

int session_adopt(struct chan_session *s, struct chan *end, bool end_is_tx, uint64_t id)
{
    int r = chan_bind(end, s);

    if (r == 0)
        r = session_add(s, end, id);
    if (r < 0)
        return r;
    /* the handle's share of end->refs becomes the table's */
    atomic_store(end_is_tx ? &end->tx_refs : &end->rx_refs, 0);
    return 0;
}

/* What happened to an adopted channel before it was one. */
static void settle_adopted(struct chan_session *s, struct chan *c)
{
    unsigned state = atomic_load(&c->state);

    if (we_send_on(c)) {
        stream_pump(s, c);
    } else if (state & RX_CLOSED) {
        s->dialect->cancel(s, c, c->why_rx);
        stream_remove(s, c);
    } else if (c->queue) {
        chan_wake_receivers(c, true);
    }
}

/* ---- attachments of a message that is to be sent ---- */

/* An end that cannot move, as it came by a session or has other holders, gets a pipe and a pump. */
static int claim_end(struct chan_session *s, struct chan **end, bool is_tx, struct wharf_error *e)
{
    int r = chan_claim(*end, is_tx);

    if (r == -EXDEV && s->options.no_threads)
        return err_unsupported(e, "a channel that belongs elsewhere cannot pass without a thread");
    if (r == -EXDEV) {
        r = pump_rehome(end, is_tx, e);
        if (r == 0)
            r = chan_claim(*end, is_tx);
    }
    return r;
}

static int claim_attachment(struct chan_session *s, struct attachment *a, struct wharf_error *e)
{
    bool passes = s->wire->ops->passes_fds && s->dialect->passes_fds && !s->peer_takes_no_fds;
    int r = 0;

    if (a->kind == ATTACHED_FD && !passes) {
        if (s->options.no_threads)
            return err_unsupported(e, "a descriptor cannot pass this connection without a thread");
        r = pump_from_fd(a, e);
    }
    if (r == 0 && a->kind == ATTACHED_TX)
        r = claim_end(s, &a->chan, true, e);
    if (r == 0 && (a->kind == ATTACHED_RX || (a->kind == ATTACHED_STREAM && a->source)))
        r = claim_end(s, &a->source, false, e);
    if (r == 0 && a->kind == ATTACHED_STREAM && a->sink) {
        r = claim_end(s, &a->sink, true, e);
        if (r < 0 && a->source)
            chan_unclaim(a->source);
    }
    return r;
}

static void unclaim_attachments(struct chan_msg *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct attachment *a = &m->attachments[i];

        if (a->kind == ATTACHED_TX || a->kind == ATTACHED_RX)
            chan_unclaim(a->chan);
        if (a->kind == ATTACHED_STREAM) {
            if (a->source)
                chan_unclaim(a->source);
            if (a->sink)
                chan_unclaim(a->sink);
        }
    }
}

static int claim_attachments(struct chan_session *s, struct chan_msg *m, struct wharf_error *e)
{
    if (s->opened_by_us + 2 * m->n_attachments > s->peer_max_channels)
        return err_set(e, -EMLINK, WHARF_ERROR_LIMIT, "the peer allows %u channels at once",
                       s->peer_max_channels);
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        int r = claim_attachment(s, &m->attachments[i], e);

        if (r < 0) {
            unclaim_attachments(m, i);
            return r;
        }
    }
    return 0;
}

static void settle_attachments(struct chan_session *s, struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        struct attachment a = m->attachments[i];

        m->attachments[i].kind = ATTACHED_TAKEN;
        if (a.kind == ATTACHED_TX || a.kind == ATTACHED_RX)
            settle_adopted(s, a.chan);
        if (a.kind == ATTACHED_STREAM && a.source)
            settle_adopted(s, a.source);
        if (a.kind == ATTACHED_STREAM && a.sink)
            settle_adopted(s, a.sink);
    }
}

/* ---- sending ---- */

/* One message, all conditions being met. The message is used up but for its storage and references.
 */
static int emit(struct chan_session *s, struct chan *c, struct chan_msg *m, bool last,
                struct wharf_error *e)
{
    int r = 0;

    if (chan_msg_size(m) > s->peer_max_message)
        return err_set(e, -EMSGSIZE, WHARF_ERROR_LIMIT, "the peer accepts messages up to %u bytes",
                       s->peer_max_message);
    if (m->n_attachments)
        r = claim_attachments(s, m, e);
    if (r < 0)
        return r;
    r = s->dialect->message(s, c, m, last);
    if (r < 0) {
        unclaim_attachments(m, m->n_attachments);
        return err_code(e, r, "cannot encode the message");
    }
    c->credit -= m->cost;
    if (last) {
        atomic_fetch_or(&c->state, TX_CLOSED);
        stream_remove(s, c);
    }
    if (m->n_attachments)
        settle_attachments(s, m);
    return 0;
}

/* The end of a channel whose messages have all gone out. */
static void announce_end(struct chan_session *s, struct chan *c)
{
    if (atomic_load(&c->state) & TX_ABORTED)
        s->dialect->abort(s, c, c->why_tx);
    else
        s->dialect->close(s, c);
    stream_remove(s, c);
}

void stream_pump(struct chan_session *s, struct chan *c)
{
    while (c->id && c->queue && c->credit > 0) {
        struct chan_msg *m = chan_dequeue(c);
        struct wharf_error why = { 0 };

        if (emit(s, c, m, false, &why) < 0) {
            s->dialect->abort(s, c, &why);
            stream_remove(s, c);
        }
        out_settle(&s->out);
        session_discard(s, m);
    }
    if (c->id && !c->queue && (atomic_load(&c->state) & TX_CLOSED))
        announce_end(s, c);
}

static void write_out(struct chan_session *s)
{
    if (session_write(s) == -EAGAIN)
        burst_kick(s);
}

int session_try_send(struct chan *c, struct chan_msg *m, bool last, struct wharf_error *e)
{
    struct chan_session *s = atomic_load(&c->session);
    int r;

    session_lock(s);
    if (atomic_load(&c->state) & ENDED) {
        session_unlock(s);
        return chan_tx_fault(c, e);
    }
    if (c->queue || c->credit <= 0 || out_pending(&s->out) >= OUT_MAX) {
        r = -EAGAIN;
        if (out_pending(&s->out))
            write_out(s);
        if (out_pending(&s->out) < OUT_MAX && !c->queue && c->credit > 0 && !s->ended)
            r = emit(s, c, m, last, e);
    } else {
        r = emit(s, c, m, last, e);
    }
    if (r == -EAGAIN)
        burst_blocked(s);
    if (r == 0 && (s->out.n_refs || out_pending(&s->out) > s->write_at || !burst_hold(s)))
        write_out(s);
    session_unlock(s);
    if (r == 0)
        chan_msg_clear(m);
    return r;
}

void session_end_tx(struct chan *c, const struct wharf_error *why_abort)
{
    struct chan_session *s = atomic_load(&c->session);

    session_lock(s);
    if (!(atomic_load(&c->state) & TX_CLOSED)) {
        atomic_fetch_or(&c->state, TX_CLOSED | (why_abort ? TX_ABORTED : 0));
        if (c->id && !c->queue)
            announce_end(s, c);
        chan_wake_senders(c, true);
        write_out(s);
    }
    session_unlock(s);
}

/* ---- receiving ---- */

static void consumed(struct chan_session *s, struct chan *c, uint32_t cost)
{
    c->credit += cost;
    if (c->id && c->credit >= s->options.window / 2) {
        s->dialect->credit(s, c, (uint64_t)c->credit);
        c->outstanding -= c->credit;
        c->credit = 0;
        write_out(s);
    }
}

int session_take(struct chan *c, struct chan_msg *m)
{
    struct chan_session *s = atomic_load(&c->session);
    unsigned state = atomic_load(&c->state);
    struct chan_msg *first;

    if (state & RX_CLOSED)
        return -ENODATA;
    first = chan_dequeue(c);
    if (first) {
        uint32_t cost = first->cost;

        if (first->n_attachments)
            s->queued_fds -= msg_fds(first);
        msg_swap(m, first);
        chan_msg_free(first); /* the caller's empty container: nothing is attached */
        consumed(s, c, cost);
        if (!c->queue && c->id && s->dialect->drained) {
            s->dialect->drained(s, c);
            write_out(s);
        }
        return 0;
    }
    if (state & ENDED)
        return -ENODATA;
    chan_poll_update(c, false);
    return -EAGAIN;
}

int session_try_recv(struct chan *c, struct chan_msg *m, struct wharf_error *e)
{
    struct chan_session *s = atomic_load(&c->session);
    int r;

    session_lock(s);
    r = session_take(c, m);
    if (r == -EAGAIN && !s->reading && session_process(s))
        r = session_take(c, m);
    session_unlock(s);
    return r == -ENODATA ? chan_rx_fault(c, e) : r;
}

static void discard_queue(struct chan_session *s, struct chan *c)
{
    struct chan_msg *m;

    while ((m = chan_dequeue(c))) {
        if (!we_send_on(c) && m->n_attachments)
            s->queued_fds -= msg_fds(m);
        session_discard(s, m);
    }
}

void session_end_rx(struct chan *c, const struct wharf_error *why)
{
    struct chan_session *s = atomic_load(&c->session);

    session_lock(s);
    atomic_fetch_or(&c->state, RX_CLOSED);
    discard_queue(s, c);
    if (c->id) {
        s->dialect->cancel(s, c, why);
        stream_remove(s, c);
        write_out(s);
    }
    chan_wake_receivers(c, true);
    session_wake_reader(s);
    session_unlock(s);
}

/* ---- events from the dialect ---- */

struct chan_msg *session_slot(struct chan_session *s, struct chan *c)
{
    if (s->direct == c && s->direct_msg && !c->queue)
        return s->direct_msg;
    return chan_msg_new();
}

void session_deliver(struct chan_session *s, struct chan *c, struct chan_msg *slot)
{
    s->burst = 0;
    if (slot == s->direct_msg) {
        s->direct_msg = NULL;
        consumed(s, c, slot->cost);
        return;
    }
    chan_enqueue(c, slot);
    if (slot->n_attachments) {
        s->queued_fds += msg_fds(slot);
        if (s->queued_fds > s->options.max_fds)
            session_fail(s, -EMFILE, WHARF_ERROR_LIMIT,
                         "more than %u descriptors received and not taken", s->options.max_fds);
    }
    chan_wake_receivers(c, false);
}

void session_reject(struct chan_session *s, struct chan_msg *slot)
{
    if (slot == s->direct_msg)
        slot = msg_move(slot); /* out of memory: it stays, and goes with the next clear */
    if (slot)
        session_discard(s, slot);
}

void session_credited(struct chan_session *s, struct chan *c, uint64_t bytes)
{
    if (bytes > UINT32_MAX || c->credit + (int64_t)bytes > UINT32_MAX) {
        session_malformed(s, "credit above 2^32 on channel %llu", (unsigned long long)c->id);
        return;
    }
    c->credit += (int64_t)bytes;
    stream_pump(s, c);
    if (c->credit > 0)
        chan_wake_senders(c, true);
}

void session_closed(struct chan_session *s, struct chan *c)
{
    atomic_fetch_or(&c->state, TX_CLOSED);
    stream_remove(s, c);
    chan_wake_receivers(c, true);
}

void session_aborted(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    chan_keep_reason(c, true, why);
    atomic_fetch_or(&c->state, TX_ABORTED);
    session_closed(s, c);
}

void session_cancelled(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    chan_keep_reason(c, false, why);
    atomic_fetch_or(&c->state, RX_CLOSED);
    discard_queue(s, c);
    stream_remove(s, c);
    chan_wake_senders(c, true);
}

/* ---- channels that belong to no message ---- */

void session_offer(struct chan_session *s, struct chan *c)
{
    if (!atomic_load(&s->handles) || s->accept_len >= s->options.max_pending) {
        struct wharf_error why = { 0 };

        err_set(&why, -EBUSY, WHARF_ERROR_LIMIT, "nobody accepts channels here");
        atomic_fetch_or(&c->state, RX_CLOSED);
        s->dialect->cancel(s, c, &why);
        stream_remove(s, c);
        session_discard_chan(s, c); /* the handle that nobody will get */
        return;
    }
    c->accept_next = NULL;
    *s->accept_end = c;
    s->accept_end = &c->accept_next;
    s->accept_len++;
    session_wake_acceptor(s);
}

int session_try_accept(struct chan_session *s, struct chan_rx **ret, struct wharf_error *e)
{
    int r = -EAGAIN;

    session_lock(s);
    if (!s->accept && !s->reading)
        session_process(s);
    if (s->accept) {
        struct chan *c = s->accept;

        s->accept = c->accept_next;
        if (!s->accept)
            s->accept_end = &s->accept;
        s->accept_len--;
        *ret = rx_of_chan(c);
        r = 0;
    } else if (s->goodbye_received) {
        r = err_set(e, -ENODATA, WHARF_ERROR_NONE, "the peer has said goodbye");
    } else if (s->ended) {
        if (e)
            *e = s->why;
        r = s->ended == -ESHUTDOWN ? -ENODATA : -ECONNRESET;
    }
    session_unlock(s);
    return r;
}

int chan_open(struct chan_session *s, struct chan_tx **ret, struct wharf_error *e)
{
    struct chan *c = NULL;
    int r;

    session_lock(s);
    if (s->ended || s->goodbye_sent || s->goodbye_received || s->shutting)
        r = err_set(e, -ESHUTDOWN, WHARF_ERROR_UNAVAILABLE, "the session is shut down%s%s",
                    s->why.code ? ": " : "", s->why.code ? s->why.message : "");
    else if (!s->dialect)
        r = err_set(e, -EAGAIN, WHARF_ERROR_UNAVAILABLE,
                    "the peer has not spoken yet, so its dialect is not known");
    else if (s->greeted && s->opened_by_us >= s->peer_max_channels)
        r = err_set(e, -EMLINK, WHARF_ERROR_LIMIT, "the peer allows %u channels at once",
                    s->peer_max_channels);
    else
        r = (c = half_channel(s, true, false)) ? s->dialect->open(s, c) : -ENOMEM;
    if (r == 0)
        write_out(s);
    session_unlock(s);
    if (r < 0) {
        if (c) { /* it is in no table: the handle and the table's share */
            chan_unref(c);
            chan_unref(c);
            err_code(e, r, "cannot open a channel");
        }
        return r;
    }
    *ret = tx_of_chan(c);
    return 0;
}
