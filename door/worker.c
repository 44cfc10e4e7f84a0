/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that ended its call last is the first to get the next one: its stack is warm, and the
 * others run into their time-out and end, so that a burst of calls leaves no memory behind. Each
 * idle thread sleeps on a condition of its own.
 */
#include "door/worker.h"

#include <pthread.h>
#include <time.h>

#define STACK_SIZE (256u << 10)
#define IDLE_S     10 /* an idle thread ends after this */

struct worker {
    struct worker *next; /* of the idle */
    pthread_cond_t wake;
    void (*work)(void *user);
    void *user;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t ended; /* one has */
    struct worker *idle;
    unsigned count;
    bool closing;
};

struct start {
    struct workers *all;
    struct worker first;
};

static void forget_idle(struct workers *all, struct worker *w)
{
    struct worker **at = &all->idle;

    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

/* Sleeps until there is work: false when none came in time. With the lock. */
static bool wait_for_work(struct workers *all, struct worker *w)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    w->work = NULL;
    w->next = all->idle;
    all->idle = w;
    while (!w->work && r == 0 && !all->closing)
        r = pthread_cond_clockwait(&w->wake, &all->lock, CLOCK_MONOTONIC, &until);
    if (!w->work)
        forget_idle(all, w);
    return w->work != NULL;
}

static void *run(void *arg)
{
    struct start *start = arg;
    struct workers *all = start->all;
    struct worker w = start->first;
    bool more = true;

    free(start);
    pthread_cond_init(&w.wake, NULL);
    while (more) {
        w.work(w.user);
        pthread_mutex_lock(&all->lock);
        more = wait_for_work(all, &w);
        if (!more) { /* the last touch of `all`: workers_free may run on */
            all->count--;
            pthread_cond_signal(&all->ended);
        }
        pthread_mutex_unlock(&all->lock);
    }
    pthread_cond_destroy(&w.wake);
    return NULL;
}

static int start_thread(struct workers *all, void (*work)(void *user), void *user)
{
    struct start *start = malloc(sizeof *start);
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (!start)
        return -ENOMEM;
    *start = (struct start){ .all = all, .first = { .work = work, .user = user } };
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    r = pthread_create(&thread, &attr, run, start);
    pthread_attr_destroy(&attr);
    if (r)
        free(start);
    return r ? -EAGAIN : 0;
}

int workers_new(struct workers **ret, struct wharf_error *e)
{
    struct workers *w = calloc(1, sizeof *w);

    if (!w)
        return err_nomem(e);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, NULL);
    *ret = w;
    return 0;
}

int workers_run(struct workers *all, void (*work)(void *user), void *user)
{
    struct worker *w;
    int r = 0;

    pthread_mutex_lock(&all->lock);
    w = all->idle;
    if (w) {
        all->idle = w->next;
        w->user = user;
        w->work = work;
        pthread_cond_signal(&w->wake);
    } else {
        r = all->count < WORKERS_MAX && !all->closing ? start_thread(all, work, user) : -EAGAIN;
        all->count += r == 0;
    }
    pthread_mutex_unlock(&all->lock);
    return r;
}

int workers_end(struct workers *w, int timeout_ms)
{
    struct timespec until;
    int r = 0;

    if (!w)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    for (struct worker *each = w->idle; each; each = each->next)
        pthread_cond_signal(&each->wake);
    while (w->count && r == 0)
        r = pthread_cond_clockwait(&w->ended, &w->lock, CLOCK_MONOTONIC, &until);
    r = w->count ? -ETIMEDOUT : 0;
    pthread_mutex_unlock(&w->lock);
    return r;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->ended);
    free(w);
}
