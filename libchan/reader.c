/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who reads a connection. There is no thread for it: of those who wait for something on a session
 * one is the reader, the others sleep until it brings what they wait for or leaves and wakes one of
 * them to take over. A reader hot on a conversation sleeps in the read itself, one system call a
 * message; after WIRE_PATIENCE_MS of quiet it moves to poll, where an eventfd can wake it too. So a
 * wait that another thread ends locally (a cancel, a kill) ends at the latest after that time.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include "libchan/select.h"
#include "libchan/session.h"

#define PATIENCE_NS (WIRE_PATIENCE_MS * INT64_C(1000000))

/* ---- input ---- */

/* Room for what the dialect waits for, or for a good read. The reader's alone. */
static int make_room(struct in_buffer *in)
{
    uint32_t len = in_len(in), need = MAX(in->want, len + 1), cap = MAX(need, IN_FIRST);
    uint8_t *data;

    if (!len)
        in->head = in->tail = 0;
    if (in->data && in->head + MAX(need, len + IN_FIRST / 4) <= in->cap)
        return 0;
    if (in->data && need <= in->cap) {
        memmove(in->data, in->data + in->head, len);
        in->head = 0;
        in->tail = len;
        return 0;
    }
    data = malloc(cap);
    if (!data)
        return -ENOMEM;
    if (len)
        memcpy(data, in->data + in->head, len);
    free(in->data);
    *in = (struct in_buffer){ .data = data, .tail = len, .cap = cap, .want = in->want };
    return 0;
}

static ssize_t read_once(struct chan_session *s, bool wait)
{
    struct in_buffer *in = &s->in;
    ssize_t n = make_room(in);

    if (n == 0)
        n = s->wire->ops->read(s->wire, in->data + in->tail, in->cap - in->tail, &s->in_fds, wait);
    if (n > 0)
        in->tail += (uint32_t)n;
    else if (n == 0)
        n = -ENODATA;
    return n;
}

/* An accepted connection whose first bytes are here: which dialect? */
static bool recognise(struct chan_session *s)
{
    const struct chan_dialect *const *d = s->options.dialects;
    bool maybe = false;

    for (unsigned i = 0; i < ARRAY_SIZE(s->options.dialects) && d[i]; i++) {
        enum recognised r =
            d[i]->recognise(s->in.data + s->in.head, in_len(&s->in), s->in_fds.len > 0);

        if (r == RECOGNISED_YES) {
            s->dialect = d[i];
            if (d[i]->start(s, &s->why) < 0)
                session_lose(s, -ENOMEM, &s->why);
            return !s->ended;
        }
        maybe |= r == RECOGNISED_MAYBE;
    }
    if (!maybe)
        session_malformed(s, "the peer does not speak libchan");
    return false;
}

bool session_process(struct chan_session *s)
{
    bool progress = false, wanted_direct = s->direct_msg, was_handling = s->handling;

    if (s->ended || !in_len(&s->in) || (!s->dialect && !recognise(s)))
        return false;
    s->handling = true;
    while (!s->ended && in_len(&s->in) && s->dialect->input(s) > 0) {
        progress = true;
        s->in.want = 0;
        if (wanted_direct && !s->direct_msg && !s->polled)
            break; /* the reader has what it came for: the rest can wait for the next call */
    }
    if (out_pending(&s->out) && session_write(s) < 0 && !s->ended)
        burst_kick(s);
    s->handling = was_handling;
    return progress;
}

/* ---- the reader ---- */

static void hand_over(struct chan_session *s)
{
    struct wake next = NO_WAKE;

    if (!s->reading && s->idle.first)
        next = wait_list_signal(&s->idle);
    wake_now(next);
}

void session_wake_reader(struct chan_session *s)
{
    uint64_t one = 1;

    if (s->wake_fd >= 0 && write(s->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

static int wake_fd_of(struct chan_session *s)
{
    session_lock(s);
    if (s->wake_fd < 0)
        s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    session_unlock(s);
    return s->wake_fd;
}

/* The next time at which a quiet connection is asked, or given up. */
static chan_time keepalive_due(struct chan_session *s)
{
    chan_time period = (chan_time)s->options.keepalive_ms * 1000000;

    if (!period || !s->dialect || !s->dialect->ping)
        return CHAN_FOREVER;
    return MAX(s->last_read, s->last_ping) + period;
}

static void keepalive(struct chan_session *s)
{
    chan_time now = time_now();

    if (keepalive_due(s) > now)
        return;
    if (s->last_ping > s->last_read) {
        struct wharf_error why = { 0 };

        err_set(&why, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the peer has been silent for %u ms",
                2 * s->options.keepalive_ms);
        session_lose(s, -ETIMEDOUT, &why);
        return;
    }
    s->dialect->ping(s);
    s->last_ping = now;
    session_write(s);
}

/* Sleeps in poll until bytes arrive, a wake, or the deadline: > 0 to read, 0, or -ETIMEDOUT. */
static int park(struct chan_session *s, chan_time deadline, bool writing)
{
    struct pollfd fds[2] = {
        { .fd = s->wire->fd, .events = POLLIN | (writing ? POLLOUT : 0) },
        { .fd = wake_fd_of(s), .events = POLLIN },
    };
    chan_time until, left;
    struct timespec ts;
    uint64_t count;
    int n;

    session_lock(s);
    until = MIN(deadline, keepalive_due(s));
    session_unlock(s);
    left = until == CHAN_FOREVER ? 0 : until - time_now();
    left = MAX(left, 0);
    ts = (struct timespec){ left / 1000000000, left % 1000000000 };
    n = ppoll(fds, 2, until == CHAN_FOREVER ? NULL : &ts, NULL);
    if (n > 0 && fds[1].revents && read(fds[1].fd, &count, sizeof(count)) < 0)
        return 0;
    if (n == 0 && until == deadline)
        return -ETIMEDOUT;
    return n > 0 && fds[0].revents & ~POLLOUT;
}

/* One read, waiting for it as suits: the bytes, -EAGAIN, -ETIMEDOUT, -ENODATA at the end, -errno.
 */
static ssize_t reader_read(struct chan_session *s, chan_time deadline, bool *quiet, bool writing)
{
    int r;

    if (!s->connected) {
        struct wharf_error why = { 0 };

        r = s->wire->ops->handshake(s->wire, deadline, &why);
        session_lock(s);
        if (r == 0)
            s->connected = true;
        else if (r != -ETIMEDOUT)
            session_lose(s, r, &why);
        session_unlock(s);
        return r < 0 ? r : -EAGAIN;
    }
    if (!*quiet && !writing && (deadline == CHAN_FOREVER || deadline - time_now() > PATIENCE_NS)) {
        ssize_t n = read_once(s, true);

        *quiet = n == -EAGAIN;
        return n;
    }
    r = park(s, deadline, writing);
    return r > 0 ? read_once(s, false) : r < 0 ? r : -EAGAIN;
}

/* What a read has brought: with the lock. */
static void handle_read(struct chan_session *s, ssize_t n)
{
    struct wharf_error why = { 0 };

    s->handling = n > 0;
    if (n > 0) {
        if (s->options.keepalive_ms)
            s->last_read = time_now();
        session_process(s);
    } else if (n == -ENODATA) {
        bool fine;

        if (s->dialect && s->dialect->eof && !in_len(&s->in))
            s->dialect->eof(s);
        fine = s->goodbye_sent && s->goodbye_received;
        if (s->dialect && s->dialect->eof_is_goodbye && !s->streams.len && !in_len(&s->in))
            fine = true;

        err_set(&why, -ECONNRESET, WHARF_ERROR_UNAVAILABLE,
                fine ? "the connection has ended" : "the peer closed the connection");
        session_lose(s, fine ? -ESHUTDOWN : -ECONNRESET, &why);
    } else if (n == -EBADMSG) {
        session_malformed(s, "more than %u descriptors that no frame has claimed", s->in_fds.limit);
    } else if (n != -EAGAIN && n != -ETIMEDOUT && !s->ended) {
        if (n == -EPROTO && s->wire->fault)
            err_set(&why, (int)n, WHARF_ERROR_CORRUPT, "%s", s->wire->fault);
        else
            err_code(&why, (int)n, "cannot read from the connection");
        session_lose(s, (int)n, &why);
    }
    keepalive(s);
    session_write(s);
    s->handling = false;
}

/* The reader: s->reading is ours. Returns with the lock held and without the role. */
static ssize_t read_and_handle(struct chan_session *s, chan_time deadline, bool *quiet)
{
    bool writing;
    ssize_t n;

    writing = out_pending(&s->out);
    session_unlock(s);
    n = reader_read(s, deadline, quiet, writing);
    session_lock(s);
    s->reading = false;
    handle_read(s, n);
    return n;
}

int session_wait(struct chan_session *s, struct waiter *w, chan_time deadline)
{
    bool quiet = false;
    ssize_t n = 0;

    session_lock(s);
    if (atomic_load(&w->word) || s->ended) {
        session_unlock(s);
        return 0;
    }
    if (s->reading) {
        struct wait_node node = { .waiter = w };

        wait_list_add(&s->idle, &node);
        session_unlock(s);
        n = waiter_sleep(w, deadline);
        session_lock(s);
        wait_list_remove(&s->idle, &node);
    } else if (!session_process(s)) {
        s->reading = true;
        n = read_and_handle(s, deadline, &quiet);
        hand_over(s);
    }
    session_unlock(s);
    return n == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

void session_leave(struct chan_session *s)
{
    session_lock(s);
    hand_over(s);
    session_unlock(s);
}

bool session_claim_reading(struct chan_session *s)
{
    bool mine;

    session_lock(s);
    mine = !s->reading && !s->ended;
    if (mine)
        s->reading = true;
    session_unlock(s);
    return mine;
}

void session_end_reading(struct chan_session *s, bool readable)
{
    bool quiet = true;

    session_lock(s);
    if (readable && s->connected) {
        ssize_t n;

        session_unlock(s);
        n = read_once(s, false);
        session_lock(s);
        s->reading = false;
        handle_read(s, n);
    } else if (readable) {
        read_and_handle(s, time_now() + PATIENCE_NS, &quiet);
    }
    s->reading = false;
    hand_over(s);
    session_unlock(s);
}

bool session_step_once(struct chan_session *s)
{
    bool progress;

    if (!s)
        return false;
    session_lock(s);
    progress = !s->reading && session_process(s);
    if (!progress && !s->reading && !s->ended) {
        ssize_t n;

        s->reading = true;
        session_unlock(s);
        n = s->connected ? read_once(s, false) : -EAGAIN;
        if (!s->connected) {
            struct wharf_error why = { 0 };
            int r = s->wire->ops->handshake(s->wire, CHAN_NOW, &why);

            n = r == -EAGAIN || r == -ETIMEDOUT ? -EAGAIN : r;
            s->connected = r == 0;
        }
        session_lock(s);
        s->reading = false;
        handle_read(s, n);
        hand_over(s);
        progress = n != -EAGAIN;
    }
    session_unlock(s);
    return progress;
}

void session_settle(struct chan_session *s, chan_time deadline)
{
    if (s->options.no_threads) /* otherwise the flusher sees to it */
        chan_session_flush(s, deadline, NULL);
}

int chan_session_flush(struct chan_session *s, chan_time deadline, struct wharf_error *e)
{
    struct waiter w = WAITER;
    int r;

    for (;;) {
        session_lock(s);
        r = session_write(s);
        session_unlock(s);
        if (r != -EAGAIN)
            return r == 0 ? 0 : err_code(e, -ECONNRESET, "cannot write to the connection");
        if (deadline == CHAN_NOW)
            return r;
        if (s->reading) { /* it may be asleep in a read: poll for room ourselves */
            struct pollfd p = { .fd = s->wire->fd, .events = POLLOUT };
            poll(&p, 1, WIRE_PATIENCE_MS);
        } else if (session_wait(s, &w, deadline) == -ETIMEDOUT) {
            return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the deadline passed");
        }
        atomic_store(&w.word, 0);
        if (deadline != CHAN_FOREVER && time_now() >= deadline)
            return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the deadline passed");
    }
}

/* ---- receiving ---- */

int session_recv(struct chan *c, struct chan_msg *m, chan_time deadline, struct wharf_error *e)
{
    struct chan_session *s = atomic_load(&c->session);
    bool quiet = false;
    ssize_t n = 0;
    int r;

    session_lock(s);
    for (;;) {
        bool delivered;

        r = session_take(c, m);
        if (r != -EAGAIN || s->reading || n == -ETIMEDOUT)
            break;
        s->direct = c;
        s->direct_msg = m;
        if (!session_process(s)) {
            s->reading = true;
            n = read_and_handle(s, deadline, &quiet);
        }
        delivered = !s->direct_msg;
        s->direct = NULL;
        s->direct_msg = NULL;
        if (delivered) {
            r = 0;
            break;
        }
    }
    if (r == -EAGAIN && s->reading) {
        session_unlock(s);
        return select_one(&(struct chan_case){ .op = CHAN_RECV, .rx = rx_of_chan(c), .msg = m },
                          false, deadline, e);
    }
    hand_over(s);
    session_unlock(s);
    if (r == -EAGAIN)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the deadline passed");
    return r == -ENODATA ? chan_rx_fault(c, e) : r;
}
