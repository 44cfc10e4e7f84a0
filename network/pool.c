/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pool.h. One mutex over a stack of descriptors; the thread waits while the stack is full, and
 * gives up for a second when the kernel refuses. It never holds the lock while it makes one.
 */
#include "network/pool.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include "network/link.h"

struct netns_pool {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    size_t size, count;
    int fds[];
};

static void wait_a_second(struct netns_pool *pool)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
}

static void *fill(void *user)
{
    struct netns_pool *pool = user;

    pthread_mutex_lock(&pool->lock);
    while (!pool->closing) {
        if (pool->count == pool->size) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        int fd = netns_make(NULL);
        pthread_mutex_lock(&pool->lock);
        if (fd >= 0)
            pool->fds[pool->count++] = fd;
        else if (!pool->closing)
            wait_a_second(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the threads that know what to do with them. */
static int run_thread(struct netns_pool *pool)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&pool->thread, NULL, fill, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int netns_pool_open(struct netns_pool **ret, size_t size, struct wharf_error *e)
{
    struct netns_pool *pool = calloc(1, sizeof(*pool) + size * sizeof(pool->fds[0]));

    if (!pool)
        return err_nomem(e);
    pool->size = size;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    int r = run_thread(pool);
    if (r < 0) {
        free(pool);
        return err_code(e, r, "cannot start a thread");
    }
    *ret = pool;
    return 0;
}

void netns_pool_close(struct netns_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->thread, NULL);
    for (size_t i = 0; i < pool->count; i++)
        fd_close(pool->fds[i]);
    free(pool);
}

int netns_pool_take(struct netns_pool *pool, struct wharf_error *e)
{
    int fd = -1;

    if (pool) {
        pthread_mutex_lock(&pool->lock);
        if (pool->count > 0)
            fd = pool->fds[--pool->count];
        pthread_cond_signal(&pool->changed);
        pthread_mutex_unlock(&pool->lock);
    }
    return fd >= 0 ? fd : netns_make(e);
}
