/* SPDX-License-Identifier: Apache-2.0 */
/* See growing.h. */
#include "libimage/growing.h"

void growing_init(struct growing *g)
{
    *g = (struct growing){ .fd = -1 };
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
}

void growing_done(struct growing *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

void growing_set(struct growing *g, int fd, int64_t have)
{
    pthread_mutex_lock(&g->lock);
    g->fd = fd;
    g->have = have;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void growing_end(struct growing *g)
{
    pthread_mutex_lock(&g->lock);
    g->whole = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void growing_fail(struct growing *g, int fault)
{
    pthread_mutex_lock(&g->lock);
    if (!g->whole)
        g->fault = fault;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* Waits until there is something behind `at`: how many bytes, 0 at the end, or -errno. */
static int64_t wait_for(struct growing *g, int64_t at, int *ret_fd)
{
    int64_t n;

    pthread_mutex_lock(&g->lock);
    while (!g->fault && !g->whole && g->have <= at)
        pthread_cond_wait(&g->changed, &g->lock);
    n = g->fault ? g->fault : MAX(g->have - at, 0);
    *ret_fd = g->fd;
    pthread_mutex_unlock(&g->lock);
    return n;
}

static ssize_t growing_next(struct source *self, const void **ret, struct wharf_error *e)
{
    struct growing_source *s = (struct growing_source *)self;
    int64_t there;
    ssize_t n;
    int fd;

    do { /* 0 bytes: the writer has just begun again */
        there = wait_for(s->file, s->at, &fd);
        if (there < 0)
            return err_set(e, (int)there, WHARF_ERROR_UNAVAILABLE, "the download failed");
        if (there == 0)
            return 0;
        n = pread(fd, s->buffer, (size_t)MIN(there, STREAM_BLOCK), s->at);
    } while (n == 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        return err_sys(e, "cannot read what was downloaded");
    s->at += n;
    *ret = s->buffer;
    return n;
}

int growing_source_init(struct growing_source *s, struct growing *file, struct wharf_error *e)
{
    *s = (struct growing_source){ .base.next = growing_next, .file = file };
    s->buffer = malloc(STREAM_BLOCK);
    return s->buffer ? 0 : err_nomem(e);
}

void growing_source_done(struct growing_source *s)
{
    free(s->buffer);
    s->buffer = NULL;
}
