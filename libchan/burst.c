/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small messages in quick succession, and bytes that a full socket left behind.
 *
 * A message is written at once, except in a burst: BURST_FIRST messages less than BURST_GAP_NS
 * apart with no message received in between. Those are gathered, and written when there are
 * BURST_BYTES, when anything else is written, or by the flusher after BURST_DELAY_NS. A
 * conversation never is a burst, for it receives. A sender that had to wait for credit or for the
 * socket is ahead of its reader, so its burst goes on however long it waited.
 *
 * While the flusher is armed, nobody needs to know the time: a message that joins what it will
 * write leaves in time. So a burst reads the clock once a flush and not once a message.
 *
 * The flusher is a thread that is started when it is first needed and sleeps while nothing is left
 * over. It holds a reference to the session while it has work. It may thus be the one that lets go
 * of the session: then burst_stop, called on this very thread, only marks it as orphaned.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include "libchan/session.h"

#define BURST_FIRST    8
#define BURST_GAP_NS   20000
#define BURST_DELAY_NS 50000
#define FLUSHER_STACK  (128u << 10)

struct flusher {
    pthread_t thread;
    struct chan_session *session;
    _Atomic uint32_t word; /* 1: there is work or an end */
    bool armed;            /* with the session's lock */
    bool orphaned;         /* the flusher's own */
    _Atomic bool stop;
};

static void flush_until_empty(struct chan_session *s)
{
    int r;

    do {
        session_lock(s);
        r = session_write(s);
        if (r != -EAGAIN) {
            s->flusher->armed = false;
            s->last_send = time_now(); /* of those that were held: the latest that it can be */
        }
        session_unlock(s);
        if (r == -EAGAIN) {
            struct pollfd p = { .fd = s->wire->fd, .events = s->connected ? POLLOUT : 0 };

            poll(&p, 1, WIRE_PATIENCE_MS);
        }
    } while (r == -EAGAIN);
}

static void *flusher_run(void *arg)
{
    struct flusher *f = arg;
    const struct timespec delay = { 0, BURST_DELAY_NS };

    while (!atomic_load(&f->stop)) {
        if (!atomic_exchange(&f->word, 0)) {
            futex_wait(&f->word, 0, CHAN_FOREVER);
            continue;
        }
        if (atomic_load(&f->stop))
            break;
        nanosleep(&delay, NULL);
        flush_until_empty(f->session);
        session_drop(f->session);
        if (f->orphaned) {
            free(f);
            return NULL;
        }
    }
    return NULL;
}

static struct flusher *flusher_start(struct chan_session *s)
{
    struct flusher *f = calloc(1, sizeof(*f));
    pthread_attr_t attr;
    sigset_t all, before;
    int r;

    if (!f)
        return NULL;
    f->session = s;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, FLUSHER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&f->thread, &attr, flusher_run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        free(f);
        return NULL;
    }
    return f;
}

/* False if there is no flusher to be had. */
static bool arm(struct chan_session *s)
{
    struct flusher *f = s->flusher;

    if (s->options.no_threads || s->ended || (!f && !(f = s->flusher = flusher_start(s))))
        return false;
    if (!f->armed) {
        f->armed = true;
        session_hold(s);
        atomic_store(&f->word, 1);
        futex_wake(&f->word, 1);
    }
    return true;
}

bool burst_hold(struct chan_session *s)
{
    chan_time now, gap;

    if (s->burst >= BURST_FIRST && s->flusher && s->flusher->armed)
        return true;
    now = time_now();
    gap = now - s->last_send;
    s->last_send = now;
    if (gap > BURST_GAP_NS) {
        s->burst = 0;
        return false;
    }
    return ++s->burst >= BURST_FIRST && arm(s);
}

void burst_blocked(struct chan_session *s)
{
    s->last_send = CHAN_FOREVER;
}

void burst_kick(struct chan_session *s)
{
    arm(s);
}

void burst_stop(struct chan_session *s)
{
    struct flusher *f = take_ptr(&s->flusher);

    if (!f)
        return;
    if (pthread_equal(f->thread, pthread_self())) {
        f->orphaned = true;
        pthread_detach(f->thread);
        return;
    }
    atomic_store(&f->stop, true);
    atomic_store(&f->word, 1);
    futex_wake(&f->word, 1);
    pthread_join(f->thread, NULL);
    free(f);
}
