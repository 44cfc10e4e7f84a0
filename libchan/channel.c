/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: two ends, what is in between, and who may do what.
 *
 * A `struct chan` is both ends at once; struct chan_tx and struct chan_rx are names for a pointer
 * to it. Each end is either here (handles: tx_refs, rx_refs) or at the peer of a session
 * (TX_REMOTE, RX_REMOTE). With both ends here it is "in memory": a ring (ring.c), or, with capacity
 * 0, a rendezvous. With one end remote it is "bound": the session's lock guards its queue and
 * credit (session.c). Never both remote: pump.c joins two channels then.
 *
 * WHO COMPLETES. A message is handed over by exactly one of: ring_push and ring_pop (the stamps of
 * a slot decide), a rendezvous (below), or a session under its lock. Waking somebody hands over
 * nothing: the woken thread tries again, and sleeps again if another was faster.
 *
 * RENDEZVOUS. Under c->lock the thread that comes second moves the message between its own
 * container and the sleeper's, having claimed the sleeper: waiter.claim goes from CLAIM_FREE to the
 * index of the case that happened, once. A select that waits in many lists is claimed by the first
 * partner only. A thread that is in lists itself and wants to act puts CLAIM_BUSY there meanwhile;
 * partners that pass by then set `missed`, and it looks again.
 *
 * WHO CLOSES AND CANCELS. State bits are only added, by anyone who holds a handle or, for remote
 * ends, by the session. Closing does not touch what was sent; cancelling drops it. Both wake all
 * sleepers.
 *
 * WHO FREES. c->refs counts "some sender handle exists", "some receiver handle exists" and "a
 * session's table names it". The last one to go frees; by then nobody can sleep on it, as sleepers
 * hold handles.
 *
 * MOVING INTO A SESSION. chan_claim (the remote bit, atomically, so one mover wins) then chan_bind
 * under the session's and the channel's lock: the ring is closed, its messages move to c->queue,
 * c->session is set. A sender that finds the ring closed but the channel not, was overtaken by this
 * and tries again.
 */
#include "libchan/channel.h"

#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include "libchan/ring.h"
#include "libchan/select.h"
#include "libchan/transport.h"

/* ---- life ---- */

chan_time chan_after_ms(int64_t ms)
{
    chan_time now = time_now();

    return ms < 0 || ms > (CHAN_FOREVER - now) / 1000000 ? CHAN_FOREVER : now + ms * 1000000;
}

struct chan *chan_new(unsigned capacity)
{
    struct chan *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    if (capacity && !(c->ring = ring_new(capacity))) {
        free(c);
        return NULL;
    }
    c->capacity = capacity;
    c->queue_end = &c->queue;
    atomic_init(&c->refs, 2);
    atomic_init(&c->tx_refs, 1);
    atomic_init(&c->rx_refs, 1);
    atomic_init(&c->event_fd, -1);
    c->poll_fd = -1;
    return c;
}

static void free_list(struct chan_msg *m)
{
    while (m) {
        struct chan_msg *next = m->next;

        chan_msg_free(m);
        m = next;
    }
}

void chan_unref(struct chan *c)
{
    struct chan_session *s;

    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    s = atomic_load(&c->session);
    ring_free(c->ring);
    free_list(c->queue);
    free(c->why_tx);
    free(c->why_rx);
    fd_close(c->poll_fd);
    fd_close(atomic_load(&c->event_fd));
    free(c);
    session_drop(s);
}

int chan_pipe(unsigned capacity, struct chan_tx **ret_tx, struct chan_rx **ret_rx)
{
    struct chan *c;

    if (capacity > CHAN_CAPACITY_MAX)
        return -EINVAL;
    c = chan_new(capacity);
    if (!c)
        return -ENOMEM;
    *ret_tx = tx_of_chan(c);
    *ret_rx = rx_of_chan(c);
    return 0;
}

/* ---- queue ---- */

void chan_enqueue(struct chan *c, struct chan_msg *m)
{
    m->next = NULL;
    *c->queue_end = m;
    c->queue_end = &m->next;
    c->queue_len++;
}

struct chan_msg *chan_dequeue(struct chan *c)
{
    struct chan_msg *m = c->queue;

    if (m) {
        c->queue = m->next;
        c->queue_len--;
        m->next = NULL;
        if (!c->queue)
            c->queue_end = &c->queue;
    }
    return m;
}

/* ---- waking ---- */

static void wake(struct chan *c, struct wait_list *list, bool all)
{
    struct wake first = NO_WAKE;

    if (!atomic_load(&list->count))
        return;
    lock_take(&c->lock);
    if (all)
        wait_list_wake_all(list);
    else
        first = wait_list_signal(list);
    lock_drop(&c->lock);
    wake_now(first);
}

void chan_wake_receivers(struct chan *c, bool all)
{
    wake(c, &c->receivers, all);
    if (atomic_load(&c->event_fd) >= 0)
        chan_poll_update(c, true);
}

void chan_wake_senders(struct chan *c, bool all)
{
    wake(c, &c->senders, all);
}

void chan_poll_update(struct chan *c, bool readable)
{
    int fd = atomic_load(&c->event_fd);
    uint64_t count = 1;

    if (fd < 0 || atomic_exchange(&c->event_set, readable) == readable)
        return;
    if ((readable ? write(fd, &count, sizeof(count)) : read(fd, &count, sizeof(count))) < 0)
        return; /* EAGAIN: it has that state already */
}

/* ---- reasons ---- */

void chan_keep_reason(struct chan *c, bool of_tx, const struct wharf_error *why)
{
    struct wharf_error **place = of_tx ? &c->why_tx : &c->why_rx;

    lock_take(&c->lock);
    if (why && !*place) {
        *place = malloc(sizeof(*why));
        if (*place) {
            **place = *why;
            (*place)->message[WHARF_ERROR_MESSAGE_MAX - 1] = '\0';
        }
    }
    lock_drop(&c->lock);
}

static int tell(struct chan *c, struct wharf_error *const *place, int code, const char *otherwise,
                struct wharf_error *e)
{
    if (!e)
        return code;
    lock_take(&c->lock);
    if (*place)
        *e = **place;
    else
        err_set(e, code, WHARF_ERROR_UNAVAILABLE, "%s", otherwise);
    lock_drop(&c->lock);
    return code;
}

static int tell_lost(struct chan *c, struct wharf_error *e)
{
    struct chan_session *s = atomic_load(&c->session);

    if (e) {
        session_lock(s);
        *e = s->why;
        session_unlock(s);
    }
    return -ECONNRESET;
}

int chan_tx_fault(struct chan *c, struct wharf_error *e)
{
    unsigned state = atomic_load(&c->state);

    if (state & TX_CLOSED)
        return err_set(e, -ESHUTDOWN, WHARF_ERROR_CONFLICT, "the channel was closed by its sender");
    if (state & RX_CLOSED)
        return tell(c, &c->why_rx, -EPIPE, "the receiver is gone", e);
    return tell_lost(c, e);
}

int chan_rx_fault(struct chan *c, struct wharf_error *e)
{
    unsigned state = atomic_load(&c->state);

    if (state & RX_CLOSED)
        return err_set(e, -ECANCELED, WHARF_ERROR_CONFLICT,
                       "the channel was cancelled by its receiver");
    if (state & TX_ABORTED)
        return tell(c, &c->why_tx, -ECONNABORTED, "the sender aborted the channel", e);
    if (state & TX_CLOSED)
        return err_set(e, -ENODATA, WHARF_ERROR_NONE, "end of channel");
    return tell_lost(c, e);
}

/* ---- in memory ---- */

static void drop_queued(struct chan *c)
{
    struct chan_msg *m = chan_msg_new();

    while (m && c->ring && ring_pop(c->ring, m) == 0)
        chan_msg_clear(m);
    chan_msg_free(m);
}

/* Claims a sleeper: false if another partner did. */
static bool claim(struct waiter *w, int index)
{
    int expected = CLAIM_FREE;

    if (atomic_compare_exchange_strong(&w->claim, &expected, index))
        return true;
    if (expected == CLAIM_BUSY)
        atomic_store(&w->missed, true);
    return false;
}

/* Finds a partner that can be had in `list` and takes it off. Under c->lock. */
static struct wait_node *partner(struct wait_list *list, const struct waiter *self)
{
    struct wait_node *n = list->first;
    uint32_t left = atomic_load(&list->count);

    for (; left; left--, n = n->next) {
        if (n->waiter != self && n->msg && claim(n->waiter, n->index)) {
            wait_list_remove(list, n);
            return n;
        }
    }
    return NULL;
}

/* Completes with a sleeping partner; -EAGAIN: there is none. */
static int rendezvous(struct chan *c, bool sending, struct chan_msg *m, const struct waiter *self)
{
    struct wait_node *n;
    struct wake sleeper = NO_WAKE;

    lock_take(&c->lock);
    n = atomic_load(&c->session) ? NULL : partner(sending ? &c->receivers : &c->senders, self);
    if (n) {
        msg_swap(n->msg, m);
        sleeper = waiter_signal(n->waiter);
    }
    lock_drop(&c->lock);
    wake_now(sleeper);
    return n ? 0 : -EAGAIN;
}

/* The end of a channel in memory, when nothing is left in it. A session that has taken over
 * meanwhile may have closed it too, behind messages in its queue: so look for the session last. */
static int memory_end(struct chan *c, int otherwise, struct wharf_error *e)
{
    bool closed = atomic_load(&c->state) & TX_CLOSED;

    if (atomic_load(&c->session))
        return -EXDEV;
    return closed ? chan_rx_fault(c, e) : otherwise;
}

/* -EXDEV: the channel was bound meanwhile. */
static int memory_send(struct chan *c, struct chan_msg *m, const struct waiter *self,
                       struct wharf_error *e)
{
    int r;

    if (atomic_load(&c->state) & (RX_CLOSED | TX_CLOSED))
        return chan_tx_fault(c, e);
    if (!c->ring)
        return rendezvous(c, true, m, self);
    r = ring_push(c->ring, m);
    if (r == -ESHUTDOWN)
        return atomic_load(&c->state) & TX_CLOSED ? chan_tx_fault(c, e) : -EXDEV;
    if (r < 0)
        return r;
    if (atomic_load(&c->receivers.count))
        chan_wake_receivers(c, false);
    else if (atomic_load(&c->event_fd) >= 0)
        chan_poll_update(c, true);
    if (atomic_load(&c->state) & RX_CLOSED)
        drop_queued(c);
    return 0;
}

static int memory_recv(struct chan *c, struct chan_msg *m, const struct waiter *self,
                       struct wharf_error *e)
{
    int r;

    if (atomic_load(&c->state) & RX_CLOSED)
        return chan_rx_fault(c, e);
    if (!c->ring) {
        r = rendezvous(c, false, m, self);
        return r == -EAGAIN ? memory_end(c, r, e) : r;
    }
    r = ring_pop(c->ring, m);
    if (r == -ENODATA)
        return memory_end(c, -EXDEV, e);
    if (r == 0 && atomic_load(&c->senders.count))
        chan_wake_senders(c, false);
    if (atomic_load(&c->event_fd) >= 0 && !ring_readable(c->ring)) {
        chan_poll_update(c, false);
        if (ring_readable(c->ring)) /* one came in between */
            chan_poll_update(c, true);
    }
    return r;
}

int chan_attempt_send(struct chan *c, struct chan_msg *m, bool last, const struct waiter *self,
                      struct wharf_error *e)
{
    int r;

    while (!atomic_load(&c->session)) {
        r = memory_send(c, m, self, e);
        if (r == 0 && last)
            chan_close(tx_of_chan(c));
        if (r != -EXDEV)
            return r;
        sched_yield(); /* between chan_bind's closing of the ring and its end */
    }
    return session_try_send(c, m, last, e);
}

int chan_attempt_recv(struct chan *c, struct chan_msg *m, const struct waiter *self,
                      struct wharf_error *e)
{
    int r;

    while (!atomic_load(&c->session)) {
        r = memory_recv(c, m, self, e);
        if (r != -EXDEV)
            return r;
        sched_yield();
    }
    return session_try_recv(c, m, e);
}

/* ---- the public calls ---- */

/* Once, before sleeping: see ring_in_flow. */
static bool worth_a_yield(struct chan *c, bool sending)
{
    if (!c->ring || atomic_load(&c->session) || !ring_in_flow(c->ring, sending))
        return false;
    sched_yield();
    return true;
}

static int send_message(struct chan *c, struct chan_msg *m, bool last, chan_time deadline,
                        struct wharf_error *e)
{
    int r = msg_ready(m);

    if (r < 0)
        return err_code(e, r, "the message is not complete");
    r = chan_attempt_send(c, m, last, NULL, e);
    if (r == -EAGAIN && deadline == CHAN_NOW && session_step_once(atomic_load(&c->session)))
        r = chan_attempt_send(c, m, last, NULL, e);
    if (r == 0 && deadline != CHAN_NOW && atomic_load(&c->session))
        session_settle(atomic_load(&c->session), deadline);
    if (r == -EAGAIN && deadline != CHAN_NOW && worth_a_yield(c, true))
        r = chan_attempt_send(c, m, last, NULL, e);
    if (r != -EAGAIN || deadline == CHAN_NOW)
        return r;
    return select_one(&(struct chan_case){ .op = CHAN_SEND, .tx = tx_of_chan(c), .msg = m }, last,
                      deadline, e);
}

int chan_send(struct chan_tx *tx, struct chan_msg *m, chan_time deadline, struct wharf_error *e)
{
    return send_message(chan_of_tx(tx), m, false, deadline, e);
}

int chan_send_last(struct chan_tx *tx, struct chan_msg *m, chan_time deadline,
                   struct wharf_error *e)
{
    return send_message(chan_of_tx(tx), m, true, deadline, e);
}

int chan_recv(struct chan_rx *rx, struct chan_msg *m, chan_time deadline, struct wharf_error *e)
{
    struct chan *c = chan_of_rx(rx);
    int r;

    chan_msg_clear(m);
    if (deadline != CHAN_NOW && atomic_load(&c->session))
        return session_recv(c, m, deadline, e);
    r = chan_attempt_recv(c, m, NULL, e);
    if (r == -EAGAIN && deadline == CHAN_NOW && session_step_once(atomic_load(&c->session)))
        r = chan_attempt_recv(c, m, NULL, e);
    if (r == -EAGAIN && deadline != CHAN_NOW && worth_a_yield(c, false))
        r = chan_attempt_recv(c, m, NULL, e);
    if (r != -EAGAIN || deadline == CHAN_NOW)
        return r;
    return select_one(&(struct chan_case){ .op = CHAN_RECV, .rx = rx, .msg = m }, false, deadline,
                      e);
}

/* Ends the sender's side, closing or aborting. */
static void end_tx(struct chan *c, const struct wharf_error *abort)
{
    bool bound;

    chan_keep_reason(c, true, abort);
    lock_take(&c->lock);
    bound = atomic_load(&c->session);
    if (!bound) {
        atomic_fetch_or(&c->state, TX_CLOSED | (abort ? TX_ABORTED : 0));
        if (c->ring)
            ring_close(c->ring);
        wait_list_wake_all(&c->receivers);
        wait_list_wake_all(&c->senders);
    }
    lock_drop(&c->lock);
    if (bound)
        session_end_tx(c, abort);
    else
        chan_poll_update(c, true);
}

static void end_rx(struct chan *c, const struct wharf_error *why)
{
    bool bound;

    chan_keep_reason(c, false, why);
    lock_take(&c->lock);
    bound = atomic_load(&c->session);
    if (!bound) {
        atomic_fetch_or(&c->state, RX_CLOSED);
        wait_list_wake_all(&c->receivers);
        wait_list_wake_all(&c->senders);
    }
    lock_drop(&c->lock);
    if (bound) {
        session_end_rx(c, why);
    } else {
        drop_queued(c);
        chan_poll_update(c, true);
    }
}

void chan_close(struct chan_tx *tx)
{
    struct chan *c = chan_of_tx(tx);

    if (!(atomic_load(&c->state) & TX_CLOSED))
        end_tx(c, NULL);
}

void chan_abort(struct chan_tx *tx, const struct wharf_error *why)
{
    struct chan *c = chan_of_tx(tx);

    if (!(atomic_load(&c->state) & TX_CLOSED))
        end_tx(c, why);
}

void chan_cancel(struct chan_rx *rx, const struct wharf_error *why)
{
    struct chan *c = chan_of_rx(rx);

    if (!(atomic_load(&c->state) & RX_CLOSED))
        end_rx(c, why);
}

struct chan_tx *chan_tx_ref(struct chan_tx *tx)
{
    atomic_fetch_add(&chan_of_tx(tx)->tx_refs, 1);
    return tx;
}

void chan_tx_unref(struct chan_tx *tx)
{
    if (tx && atomic_fetch_sub(&chan_of_tx(tx)->tx_refs, 1) == 1) {
        chan_close(tx);
        chan_unref(chan_of_tx(tx));
    }
}

struct chan_rx *chan_rx_ref(struct chan_rx *rx)
{
    atomic_fetch_add(&chan_of_rx(rx)->rx_refs, 1);
    return rx;
}

void chan_rx_unref(struct chan_rx *rx)
{
    if (rx && atomic_fetch_sub(&chan_of_rx(rx)->rx_refs, 1) == 1) {
        chan_cancel(rx, NULL);
        chan_unref(chan_of_rx(rx));
    }
}

/* ---- moving into a session ---- */

int chan_claim(struct chan *c, bool sender_leaves)
{
    unsigned state = atomic_load(&c->state);
    unsigned handles = atomic_load(sender_leaves ? &c->tx_refs : &c->rx_refs);

    do {
        if (handles != 1 || (state & (TX_REMOTE | RX_REMOTE)))
            return -EXDEV;
    } while (!atomic_compare_exchange_weak(&c->state, &state,
                                           state | (sender_leaves ? TX_REMOTE : RX_REMOTE)));
    return 0;
}

void chan_unclaim(struct chan *c)
{
    atomic_fetch_and(&c->state, ~(unsigned)(TX_REMOTE | RX_REMOTE));
}

int chan_bind(struct chan *c, struct chan_session *s)
{
    struct chan_msg *m = c->ring ? chan_msg_new() : NULL;
    int r = c->ring && !m ? -ENOMEM : 0;

    lock_take(&c->lock);
    if (c->ring)
        ring_close(c->ring);
    while (m && (r = ring_pop(c->ring, m)) == 0) {
        chan_enqueue(c, m);
        m = chan_msg_new();
    }
    chan_msg_free(m);
    session_hold(s);
    atomic_store(&c->session, s);
    wait_list_wake_all(&c->senders);
    wait_list_wake_all(&c->receivers);
    lock_drop(&c->lock);
    return r == -ENOMEM ? r : 0;
}

/* ---- polling ---- */

/* Bytes on the connection and messages in our queue are two sources: an epoll descriptor unites
 * them. */
static int poll_bound(int connection, int event)
{
    struct epoll_event in = { .events = EPOLLIN };
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, event, &in) < 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, connection, &in) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static bool chan_readable(struct chan *c)
{
    struct chan_session *s = atomic_load(&c->session);
    bool readable;

    if (!s)
        return (atomic_load(&c->state) & (TX_CLOSED | RX_CLOSED)) || c->senders.first ||
               (c->ring && ring_readable(c->ring));
    session_lock(s);
    readable = c->queue || (atomic_load(&c->state) & (TX_CLOSED | RX_CLOSED | LOST));
    session_unlock(s);
    return readable;
}

int chan_rx_pollfd(struct chan_rx *rx)
{
    struct chan *c = chan_of_rx(rx);
    struct chan_session *s = atomic_load(&c->session);
    int event, connection = s ? chan_session_pollfd(s) : -1;

    lock_take(&c->lock);
    event = atomic_load(&c->event_fd);
    if (event < 0) {
        event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (event < 0)
            event = -errno;
        else
            atomic_store(&c->event_fd, event);
    }
    if (event >= 0 && s && c->poll_fd < 0)
        c->poll_fd = poll_bound(connection, event);
    lock_drop(&c->lock);
    if (event < 0)
        return event;
    if (chan_readable(c))
        chan_poll_update(c, true);
    return s ? c->poll_fd : event;
}
