/* SPDX-License-Identifier: Apache-2.0 */
#include "libswarm/passing.h"

#include "base/macros.h"

static void lock(struct passing *p)
{
    if (p->lock)
        pthread_mutex_lock(p->lock);
}

static void unlock(struct passing *p)
{
    if (p->lock)
        pthread_mutex_unlock(p->lock);
}

static int pass_headers(struct passing *p)
{
    for (size_t i = 0; i < p->reply.header_count; i++)
        reply_header(p->to, p->reply.headers[i].name, p->reply.headers[i].value);
    return 0;
}

static int pass_head(struct reply *r, unsigned status, enum form form)
{
    struct passing *p = (struct passing *)r;
    int n = 0;

    lock(p);
    p->status = status;
    if (p->to->state == REPLY_OPEN) {
        pass_headers(p);
        p->to->whole = r->whole && !p->shared_end;
        n = reply_begin(p->to, status, form);
    } else if (!p->shared_end) {
        n = -EALREADY;
    }
    unlock(p);
    return n;
}

static int pass_write(struct reply *r, const void *data, size_t len)
{
    struct passing *p = (struct passing *)r;
    int n;

    lock(p);
    n = reply_write(p->to, data, len);
    p->bytes += len;
    unlock(p);
    return n;
}

static void pass_end(struct reply *r, const struct wharf_error *e)
{
    struct passing *p = (struct passing *)r;

    if (e)
        p->failure = *e;
    if (p->shared_end)
        return;
    lock(p);
    if (e) /* what reply_error wrote in band went through pass_write already */
        p->to->ops->end(p->to, e), p->to->state = REPLY_ENDED;
    else
        reply_end(p->to);
    unlock(p);
}

static int pass_take(struct reply *r, enum form form, struct connection *ret)
{
    struct passing *p = (struct passing *)r;

    p->status = 101;
    pass_headers(p);
    return reply_take(p->to, form, ret, NULL);
}

void passing_init(struct passing *p, struct reply *to)
{
    static const struct reply_ops ops = {
        .head = pass_head, .write = pass_write, .end = pass_end, .take = pass_take
    };

    *p = (struct passing){ .to = to };
    reply_init(&p->reply, &ops);
    p->reply.gone_fd = to->gone_fd;
    p->reply.api = to->api;
}

struct message *message_copy(const struct message *m)
{
    struct message *copy = calloc(1, sizeof *copy);

    if (!copy)
        return NULL;
    *copy = *m;
    copy->stream = -1;
    copy->args = json_deep_copy(m->args);
    copy->body = m->body ? json_deep_copy(m->body) : NULL;
    if (copy->args && (copy->body || !m->body))
        return copy;
    message_free(copy);
    return NULL;
}
