/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the first of several sends, receives and accepts.
 *
 * Try all; hang a node into the list of each; try again, for something may have happened in
 * between; sleep; take the nodes off; start over. Work is linear in the number of cases, whatever
 * they are. How it sleeps depends on what has to make progress: channels in memory only on a futex
 *   channels of one session only           as that session's reader, or on the futex if there is
 * one anything else                          in poll, over the connections that have no reader, the
 *                                          listeners, and an eventfd that stands in for the futex
 * A signal that this thread took off a list and did not use is passed on to the next sleeper there.
 */
#include "libchan/select.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include "libchan/listener.h"
#include "libchan/transport.h"

#define CASES_ON_STACK 8

struct selection {
    struct chan_case *cases;
    unsigned n, first; /* where the trying starts */
    bool last;         /* select_one of a send that ends the channel */
    bool rendezvous;   /* some case is one: claims matter */
    struct waiter waiter;
    struct wait_node *nodes;
};

static struct chan *case_chan(const struct chan_case *k)
{
    switch (k->op) {
    case CHAN_SEND:
        return chan_of_tx(k->tx);
    case CHAN_RECV:
        return chan_of_rx(k->rx);
    default:
        return NULL;
    }
}

static struct chan_session *case_session(const struct chan_case *k)
{
    struct chan *c = case_chan(k);

    if (c)
        return atomic_load(&c->session);
    return k->op == CHAN_ACCEPT ? k->session : NULL;
}

static int attempt(struct selection *sel, unsigned i, const struct waiter *self,
                   struct wharf_error *e)
{
    struct chan_case *k = &sel->cases[i];

    switch (k->op) {
    case CHAN_SEND:
        return chan_attempt_send(case_chan(k), k->msg, sel->last, self, e);
    case CHAN_RECV:
        return chan_attempt_recv(case_chan(k), k->msg, self, e);
    case CHAN_ACCEPT:
        return session_try_accept(k->session, &k->new_rx, e);
    case CHAN_LISTEN:
        return listener_try_accept(k->listener, &k->new_session, e);
    default:
        return -EAGAIN;
    }
}

/* The index of a case that happened, or -EAGAIN. */
static int attempt_all(struct selection *sel, const struct waiter *self, struct wharf_error *e)
{
    for (unsigned j = 0; j < sel->n; j++) {
        unsigned i = (sel->first + j) % sel->n;
        int r = attempt(sel, i, self, e);

        if (r != -EAGAIN) {
            sel->cases[i].result = r;
            return (int)i;
        }
    }
    return -EAGAIN;
}

static bool seen_before(const struct selection *sel, unsigned i, const struct chan_session *s)
{
    for (unsigned j = 0; j < i; j++) {
        if (case_session(&sel->cases[j]) == s)
            return true;
    }
    return false;
}

/* Reads what has arrived on each session; true if anything did. */
static bool step_sessions(struct selection *sel)
{
    struct chan_session *previous = NULL;
    bool progress = false;

    for (unsigned i = 0; i < sel->n; i++) {
        struct chan_session *s = case_session(&sel->cases[i]);

        if (s && s != previous)
            progress |= session_step_once(s);
        previous = s;
    }
    return progress;
}

/* ---- hanging into lists ---- */

static bool is_rendezvous(const struct chan *c)
{
    return !c->ring && !atomic_load(&c->session);
}

static void hang(struct selection *sel, unsigned i)
{
    struct chan_case *k = &sel->cases[i];
    struct wait_node *n = &sel->nodes[i];
    struct chan *c = case_chan(k);

    *n = (struct wait_node){ .waiter = &sel->waiter, .index = (int)i };
    if (c) {
        lock_take(&c->lock);
        n->msg = is_rendezvous(c) ? k->msg : NULL;
        wait_list_add(k->op == CHAN_SEND ? &c->senders : &c->receivers, n);
        lock_drop(&c->lock);
    } else if (k->op == CHAN_ACCEPT) {
        session_lock(k->session);
        wait_list_add(&k->session->acceptors, n);
        session_unlock(k->session);
    }
}

/* True if somebody took the node off to signal us. */
static bool unhang(struct selection *sel, unsigned i)
{
    struct chan_case *k = &sel->cases[i];
    struct wait_node *n = &sel->nodes[i];
    struct chan *c = case_chan(k);
    bool taken = false;

    if (c) {
        lock_take(&c->lock);
        taken = !n->next;
        wait_list_remove(k->op == CHAN_SEND ? &c->senders : &c->receivers, n);
        lock_drop(&c->lock);
    } else if (k->op == CHAN_ACCEPT) {
        session_lock(k->session);
        taken = !n->next;
        wait_list_remove(&k->session->acceptors, n);
        session_unlock(k->session);
    }
    return taken;
}

static void pass_on(const struct chan_case *k)
{
    if (k->op == CHAN_SEND)
        chan_wake_senders(case_chan(k), false);
    else if (k->op == CHAN_RECV)
        chan_wake_receivers(case_chan(k), false);
    else if (k->op == CHAN_ACCEPT)
        session_wake_acceptor(k->session);
}

static void unhang_all(struct selection *sel, int done)
{
    for (unsigned i = 0; i < sel->n; i++) {
        if (unhang(sel, i) && (int)i != done && done != -EAGAIN)
            pass_on(&sel->cases[i]);
    }
}

/* ---- sleeping ---- */

static void close_event(void *event)
{
    close((int)(intptr_t)event - 1);
}

static pthread_key_t event_key;
static pthread_once_t event_once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    pthread_key_create(&event_key, close_event);
}

/* An eventfd of this thread, kept until the thread ends; -errno. */
static int thread_event(void)
{
    int fd;

    pthread_once(&event_once, make_key);
    fd = (int)(intptr_t)pthread_getspecific(event_key) - 1;
    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
            return -errno;
        pthread_setspecific(event_key, (void *)(intptr_t)(fd + 1));
    }
    return fd;
}

/* poll with an absolute deadline: > 0, or 0 when it passed. */
static int poll_until(struct pollfd *fds, nfds_t n, chan_time deadline)
{
    for (;;) {
        chan_time left = deadline == CHAN_FOREVER ? 0 : deadline - time_now();
        struct timespec ts = { left / 1000000000, left % 1000000000 };
        int r;

        if (left < 0)
            ts = (struct timespec){ 0, 0 };
        r = ppoll(fds, n, deadline == CHAN_FOREVER ? NULL : &ts, NULL);
        if (r >= 0 || errno != EINTR)
            return r;
    }
}

static void drain_event(struct selection *sel)
{
    uint64_t count;

    atomic_store(&sel->waiter.word, 0);
    if (read(sel->waiter.event, &count, sizeof(count)) < 0)
        return; /* nothing was in it */
}

/* Polls everything; becomes the reader of each session that has none. */
static int sleep_in_poll(struct selection *sel, chan_time deadline)
{
    autofree struct pollfd *fds = calloc(sel->n + 1, sizeof(*fds));
    nfds_t n = 1;
    int r;

    if (!fds)
        return -ENOMEM;
    fds[0] = (struct pollfd){ .fd = sel->waiter.event, .events = POLLIN };
    for (unsigned i = 0; i < sel->n; i++) {
        struct chan_session *s = case_session(&sel->cases[i]);
        int fd = -1;

        if (s && !seen_before(sel, i, s) && session_claim_reading(s))
            fd = s->wire->fd;
        else if (sel->cases[i].op == CHAN_LISTEN)
            fd = chan_listener_pollfd(sel->cases[i].listener);
        fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
    r = atomic_load(&sel->waiter.word) ? 1 : poll_until(fds, n, deadline);
    for (unsigned i = 0; i < sel->n; i++) {
        struct chan_session *s = case_session(&sel->cases[i]);

        if (s && fds[1 + i].fd >= 0)
            session_end_reading(s, fds[1 + i].revents != 0);
    }
    drain_event(sel);
    return r == 0 ? -ETIMEDOUT : 0;
}

/* The one session that all cases belong to, or NULL; *ret_memory: none belongs to any. */
static struct chan_session *only_session(const struct selection *sel, bool *ret_memory)
{
    struct chan_session *only = NULL;
    bool memory = false, other = false;

    for (unsigned i = 0; i < sel->n; i++) {
        struct chan_session *s = case_session(&sel->cases[i]);

        if (sel->cases[i].op == CHAN_IDLE)
            continue;
        if (sel->cases[i].op == CHAN_LISTEN || (s && only && s != only))
            other = true;
        memory |= !s;
        only = s ? s : only;
    }
    *ret_memory = !other && !only;
    return other || memory ? NULL : only;
}

static int selection_sleep(struct selection *sel, struct chan_session *only, bool memory,
                           chan_time deadline)
{
    if (only)
        return session_wait(only, &sel->waiter, deadline);
    return memory ? waiter_sleep(&sel->waiter, deadline) : sleep_in_poll(sel, deadline);
}

/* ---- one round ---- */

/* Hangs in all lists, looks again, sleeps, takes off. The index of what happened, -EAGAIN: again.
 */
static int wait_round(struct selection *sel, chan_time deadline, struct wharf_error *e)
{
    bool memory, memory_now, claims = sel->rendezvous;
    struct chan_session *only = only_session(sel, &memory);
    int done, slept = 0, event = -1;

    if (!only && !memory && (event = thread_event()) < 0)
        return event == -EAGAIN ? -EMFILE : event;
    sel->waiter = (struct waiter){ .event = event, .claim = claims ? CLAIM_BUSY : CLAIM_FREE };
    for (unsigned i = 0; i < sel->n; i++)
        hang(sel, i);
    done = attempt_all(sel, &sel->waiter, e);
    if (done == -EAGAIN) {
        atomic_store(&sel->waiter.claim, CLAIM_FREE);
        if ((claims && atomic_load(&sel->waiter.missed)) ||
            only_session(sel, &memory_now) != only ||
            memory_now != memory) /* or a session has taken over a channel meanwhile */
            sched_yield();
        else
            slept = selection_sleep(sel, only, memory, deadline);
    }
    unhang_all(sel, done);
    if (done == -EAGAIN && atomic_load(&sel->waiter.claim) >= 0) {
        done = atomic_load(&sel->waiter.claim);
        sel->cases[done].result = 0;
        if (sel->last)
            chan_close(sel->cases[done].tx);
        return done;
    }
    return done == -EAGAIN && slept == -ETIMEDOUT ? -ETIMEDOUT : done;
}

static void leave_sessions(struct selection *sel)
{
    struct chan_session *previous = NULL;

    for (unsigned i = 0; i < sel->n; i++) {
        struct chan_session *s = case_session(&sel->cases[i]);

        if (s && s != previous)
            session_leave(s);
        previous = s;
    }
}

static int selection_wait(struct selection *sel, chan_time deadline, struct wharf_error *e)
{
    struct wait_node on_stack[CASES_ON_STACK];
    autofree struct wait_node *on_heap = NULL;
    int r;

    if (sel->n > CASES_ON_STACK) {
        on_heap = calloc(sel->n, sizeof(*on_heap));
        if (!on_heap)
            return err_nomem(e);
    }
    sel->nodes = on_heap ? on_heap : on_stack;
    do {
        r = wait_round(sel, deadline, e);
        if (r == -EAGAIN)
            r = attempt_all(sel, NULL, e);
    } while (r == -EAGAIN);
    leave_sessions(sel);
    if (r == -ETIMEDOUT) {
        int last_try = attempt_all(sel, NULL, e);
        if (last_try >= 0)
            return last_try;
        return err_set(e, r, WHARF_ERROR_TIMEOUT, "the deadline passed");
    }
    return r;
}

int select_one(struct chan_case *k, bool last, chan_time deadline, struct wharf_error *e)
{
    struct chan *c = case_chan(k);
    struct selection sel = {
        .cases = k, .n = 1, .last = last, .rendezvous = c && is_rendezvous(c)
    };
    int r = selection_wait(&sel, deadline, e);

    return r < 0 ? r : k->result;
}

static int check_cases(struct chan_case *cases, unsigned n, struct selection *sel,
                       struct wharf_error *e)
{
    unsigned active = 0;

    for (unsigned i = 0; i < n; i++) {
        struct chan *c = case_chan(&cases[i]);

        active += cases[i].op != CHAN_IDLE;
        sel->rendezvous |= c && is_rendezvous(c);
        if (cases[i].op == CHAN_RECV)
            chan_msg_clear(cases[i].msg);
        if (cases[i].op == CHAN_SEND && msg_ready(cases[i].msg) < 0)
            return err_code(e, msg_ready(cases[i].msg), "the message of case %u", i);
    }
    if (!active || n > CHAN_CASES_MAX)
        return err_invalid(e, "select needs 1 to %u cases", CHAN_CASES_MAX);
    return 0;
}

int chan_select(struct chan_case *cases, unsigned n, chan_time deadline, struct wharf_error *e)
{
    static _Thread_local unsigned rotation;
    struct selection sel = { .cases = cases, .n = n };
    int r = check_cases(cases, n, &sel, e);

    if (r < 0)
        return r;
    sel.first = rotation++ % n;
    r = attempt_all(&sel, NULL, e);
    if (r == -EAGAIN && deadline == CHAN_NOW && step_sessions(&sel))
        r = attempt_all(&sel, NULL, e);
    return r != -EAGAIN || deadline == CHAN_NOW ? r : selection_wait(&sel, deadline, e);
}
