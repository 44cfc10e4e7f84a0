/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: its life, and the two ways in which it ends.
 *
 * Orderly: each side says goodbye once it will send nothing more, that is when it wants to shut
 * down or has heard the other's goodbye, and none of its sender ends is open. After both goodbyes
 * the connection closes, and everything that was sent has been received: the peer's goodbye came
 * behind it. Otherwise: session_lose marks every channel LOST, with one reason for all.
 *
 * References: the user's handles together hold one, each channel bound to the session one, the
 * flusher one. Channels that nobody has accepted are dropped with the last handle, or they would
 * hold it for ever.
 */
#include <string.h>
#include "libchan/select.h"
#include "libchan/session.h"

#define WINDOW_MIN       (4u << 10)
#define WINDOW_DEFAULT   (256u << 10)
#define WINDOW_MAX       (1u << 30)
#define CHANNELS_DEFAULT 65536u
#define FDS_DEFAULT      1024u
#define PENDING_DEFAULT  1024u

/* ---- lock and trash ---- */

void session_unlock_and_free(struct chan_session *s)
{
    struct chan_msg *m = take_ptr(&s->trash);
    struct chan *c = take_ptr(&s->chan_trash);

    lock_drop(&s->lock);
    while (m) {
        struct chan_msg *next = m->next;

        chan_msg_free(m);
        m = next;
    }
    while (c) {
        struct chan *next = c->trash_next;
        unsigned n = c->trash_refs;

        c->trash_next = NULL;
        c->trash_refs = 0;
        while (n--)
            chan_unref(c);
        c = next;
    }
}

void session_discard(struct chan_session *s, struct chan_msg *m)
{
    m->next = s->trash;
    s->trash = m;
}

void session_discard_chan(struct chan_session *s, struct chan *c)
{
    if (!c->trash_refs++) {
        c->trash_next = s->chan_trash;
        s->chan_trash = c;
    }
}

/* ---- beginning ---- */

static int fill_options(struct chan_options *to, const struct chan_options *from,
                        struct wharf_error *e)
{
    *to = from ? *from : (struct chan_options){ 0 };
    to->window = to->window ? to->window : WINDOW_DEFAULT;
    to->max_message = to->max_message ? to->max_message : CHAN_MESSAGE_MAX;
    to->max_channels = to->max_channels ? to->max_channels : CHANNELS_DEFAULT;
    to->max_fds = to->max_fds ? to->max_fds : FDS_DEFAULT;
    to->max_pending = to->max_pending ? to->max_pending : PENDING_DEFAULT;
    if (!to->dialects[0])
        to->dialects[0] = chan_dialect_native();
    to->tls_ca = to->tls_cert = to->tls_key = to->tls_name = NULL;
    if (to->window < WINDOW_MIN || to->window > WINDOW_MAX)
        return err_invalid(e, "window of %u bytes: use %u to %u", to->window, WINDOW_MIN,
                           WINDOW_MAX);
    if (to->max_message > CHAN_MESSAGE_MAX)
        return err_invalid(e, "max_message of %u bytes: use at most %u", to->max_message,
                           CHAN_MESSAGE_MAX);
    return 0;
}

static void session_free(struct chan_session *s)
{
    if (s->dialect && s->dialect_data)
        s->dialect->stop(s);
    if (s->wire)
        s->wire->ops->free(s->wire);
    fd_queue_done(&s->in_fds);
    out_done(&s->out);
    free(s->in.data);
    free(s->streams.entries);
    fd_close(s->wake_fd);
    free(s);
}

int session_new(struct wire *w, bool accepting, const struct chan_options *o,
                struct chan_session **ret, struct wharf_error *e)
{
    struct chan_session *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return err_nomem(e);
    atomic_init(&s->refs, 1);
    atomic_init(&s->handles, 1);
    s->wake_fd = -1;
    s->accepting = accepting;
    s->accept_end = &s->accept;
    s->connected = !w->ops->handshake;
    r = fill_options(&s->options, o, e);
    s->in_fds.limit = s->options.max_fds;
    /* with a choice of dialects the accepting side listens first */
    if (r == 0 && !(accepting && s->options.dialects[1])) {
        s->wire = w;
        s->dialect = s->options.dialects[0];
        r = s->dialect->start(s, e);
    }
    if (r < 0) {
        s->wire = NULL; /* stays the caller's */
        session_free(s);
        return r;
    }
    s->wire = w;
    session_lock(s);
    session_write(s);
    session_unlock(s);
    *ret = s;
    return 0;
}

struct chan_session *chan_session_ref(struct chan_session *s)
{
    atomic_fetch_add(&s->handles, 1);
    session_hold(s);
    return s;
}

void session_hold(struct chan_session *s)
{
    atomic_fetch_add(&s->refs, 1);
}

void session_drop(struct chan_session *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1) {
        burst_stop(s);
        session_lock(s);
        session_maybe_goodbye(s);
        session_write(s);
        session_unlock(s);
        session_free(s);
    }
}

static void drop_unaccepted(struct chan_session *s)
{
    struct chan *c;

    session_lock(s);
    c = s->accept;
    s->accept = NULL;
    s->accept_end = &s->accept;
    s->accept_len = 0;
    s->shutting = true;
    session_unlock(s);
    while (c) {
        struct chan *next = c->accept_next;

        chan_rx_unref(rx_of_chan(c));
        c = next;
    }
}

void chan_session_unref(struct chan_session *s)
{
    if (!s)
        return;
    if (atomic_fetch_sub(&s->handles, 1) == 1)
        drop_unaccepted(s);
    session_drop(s);
}

/* ---- waking ---- */

void session_wake_acceptor(struct chan_session *s)
{
    wake_now(wait_list_signal(&s->acceptors));
}

void session_wake_all(struct chan_session *s)
{
    wait_list_wake_all(&s->acceptors);
    wait_list_wake_all(&s->idle);
}

/* ---- the end ---- */

static void lose_channel(struct chan_session *s, struct chan *c)
{
    atomic_fetch_or(&c->state, LOST);
    if (s->dialect->forget)
        s->dialect->forget(s, c);
    c->id = 0;
    if (atomic_load(&c->state) & RX_REMOTE) {
        struct chan_msg *m;

        while ((m = chan_dequeue(c)))
            session_discard(s, m);
    }
    chan_wake_receivers(c, true);
    chan_wake_senders(c, true);
    session_discard_chan(s, c);
}

void session_lose(struct chan_session *s, int code, const struct wharf_error *why)
{
    if (s->ended)
        return;
    s->ended = code;
    s->why = *why;
    for (uint32_t i = 0; i < s->streams.cap; i++) {
        if (s->streams.entries[i].id)
            lose_channel(s, s->streams.entries[i].chan);
    }
    free(s->streams.entries);
    s->streams = (struct stream_table){ 0 };
    s->sending = s->opened_by_peer = s->opened_by_us = 0;
    s->wire->ops->shutdown(s->wire);
    session_wake_all(s);
    session_wake_reader(s);
}

int session_fail(struct chan_session *s, int code, enum wharf_error_kind kind, const char *format,
                 ...)
{
    struct wharf_error why = { .code = -code, .kind = kind };
    va_list args;

    if (s->ended)
        return code;
    va_start(args, format);
    vsnprintf(why.message, sizeof(why.message), format, args);
    va_end(args);
    if (s->dialect && s->dialect->fault) {
        s->dialect->fault(s, &why);
        session_write(s);
    }
    session_lose(s, code, &why);
    return code;
}

void session_maybe_goodbye(struct chan_session *s)
{
    if (s->goodbye_sent || s->sending || s->ended || !s->dialect)
        return;
    if (s->goodbye_received || s->shutting) {
        s->goodbye_sent = true;
        s->dialect->goodbye(s);
        if (s->goodbye_received)
            session_wake_all(s);
    }
}

void session_goodbye(struct chan_session *s)
{
    s->goodbye_received = true;
    session_maybe_goodbye(s);
    session_wake_all(s);
}

void session_greeted(struct chan_session *s)
{
    s->greeted = true;
    for (uint32_t i = 0; i < s->streams.cap; i++) {
        struct chan *c = s->streams.entries[i].id ? s->streams.entries[i].chan : NULL;

        if (c && (atomic_load(&c->state) & RX_REMOTE)) {
            c->credit += s->peer_window;
            chan_wake_senders(c, true);
        }
    }
    session_wake_all(s);
}

int session_await_greeting(struct chan_session *s, chan_time deadline, struct wharf_error *e)
{
    for (;;) {
        struct waiter w = WAITER;
        int r = s->dialect->has_hello ? 0 : s->connected;
        bool ready;

        session_lock(s);
        ready = s->greeted || r;
        if (s->ended && e)
            *e = s->why;
        r = s->ended;
        session_unlock(s);
        if (r || ready)
            return r;
        if (session_wait(s, &w, deadline) == -ETIMEDOUT)
            return err_set(e, deadline == CHAN_NOW ? -EAGAIN : -ETIMEDOUT, WHARF_ERROR_TIMEOUT,
                           "the peer did not greet in time");
    }
}

/* Both goodbyes are exchanged and written: or the connection has ended otherwise. */
static bool shutdown_done(struct chan_session *s)
{
    bool done;

    session_lock(s);
    s->shutting = true;
    session_maybe_goodbye(s);
    session_write(s);
    done = s->ended || (s->goodbye_sent && s->goodbye_received && !out_pending(&s->out));
    session_unlock(s);
    return done;
}

int chan_session_shutdown(struct chan_session *s, chan_time deadline, struct wharf_error *e)
{
    struct wharf_error why = { 0 };
    int r = 0;

    while (!shutdown_done(s) && r == 0) {
        struct waiter w = WAITER;

        r = session_wait(s, &w, deadline);
    }
    session_lock(s);
    if (r < 0 && !s->ended && !(s->goodbye_sent && s->goodbye_received)) {
        err_set(&why, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the session was not done at the deadline");
        session_lose(s, -ETIMEDOUT, &why);
    } else {
        r = 0;
        err_set(&why, -ESHUTDOWN, WHARF_ERROR_UNAVAILABLE, "the session was shut down");
        session_lose(s, -ESHUTDOWN, &why);
    }
    r = s->ended == -ESHUTDOWN ? 0 : s->ended;
    if (r < 0 && e)
        *e = s->why;
    session_unlock(s);
    return r;
}

void chan_session_kill(struct chan_session *s, const struct wharf_error *why)
{
    struct wharf_error killed = { 0 };

    err_set(&killed, -ECONNRESET, WHARF_ERROR_UNAVAILABLE, "the session was killed");
    session_lock(s);
    session_lose(s, -ECONNRESET, why ? why : &killed);
    session_unlock(s);
}

/* ---- looking at it ---- */

int chan_accept(struct chan_session *s, chan_time deadline, struct chan_rx **ret,
                struct wharf_error *e)
{
    struct chan_case k = { .op = CHAN_ACCEPT, .session = s };
    int r = session_try_accept(s, ret, e);

    if (r != -EAGAIN)
        return r;
    if (deadline == CHAN_NOW)
        return session_step_once(s) ? session_try_accept(s, ret, e) : -EAGAIN;
    r = select_one(&k, false, deadline, e);
    if (r == 0)
        *ret = k.new_rx;
    return r;
}

int chan_session_peer(struct chan_session *s, chan_time deadline, struct chan_peer *ret,
                      struct wharf_error *e)
{
    struct chan_peer peer = { .pidfd = -1, .transport = s->wire->ops->name };
    int r = 0;

    while (!s->connected && r == 0) {
        struct waiter w = WAITER;

        r = session_wait(s, &w, deadline);
        if (s->ended) {
            if (e)
                *e = s->why;
            return s->ended;
        }
    }
    if (r == 0 && s->wire->ops->peer)
        r = s->wire->ops->peer(s->wire, &peer, e);
    if (r == 0)
        *ret = peer;
    return r;
}

int chan_session_pollfd(struct chan_session *s)
{
    session_lock(s);
    s->polled = true; /* whole frames in our buffer would be invisible to poll */
    if (!s->reading)
        session_process(s);
    session_unlock(s);
    return s->wire->fd;
}

int chan_session_step(struct chan_session *s, struct wharf_error *e)
{
    int r;

    for (int i = 0; i < 16 && session_step_once(s); i++)
        ;
    session_lock(s);
    r = s->ended;
    if (r && e)
        *e = s->why;
    session_unlock(s);
    return r;
}
