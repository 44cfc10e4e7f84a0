/* SPDX-License-Identifier: Apache-2.0 */
/* Services: their life, and the one way of calling them. */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/json.h"
#include "swarm.h"

#define ANSWER_MAX (256u << 20) /* bytes of a JSON reply that service_ask reads */

struct service *service_new(size_t size, const struct service_ops *ops)
{
    struct service *s = calloc(1, size);

    if (s) {
        s->ops = ops;
        s->references = 1;
    }
    return s;
}

struct service *service_ref(struct service *s)
{
    __atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED);
    return s;
}

void service_unref(struct service *s)
{
    if (!s || __atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (s->ops->free)
        s->ops->free(s);
    free(s);
}

int service_unknown(struct service *s, const struct message *m, struct wharf_error *e)
{
    return err_unsupported(e, "%s does not do %s", s->ops->name, m->op->name);
}

void service_call(struct service *s, struct message *m, struct reply *r)
{
    struct wharf_error e = { 0 };
    int n;

    r->api = m->api;
    n = s->ops->call(s, m, r, &e);
    if (r->state == REPLY_ENDED)
        return;
    if (n < 0 && !e.code)
        err_code(&e, n, "%s: %s", s->ops->name, m->op->name);
    if (n >= 0)
        err_set(&e, -EIO, WHARF_ERROR_INTERNAL, "%s gave no answer to %s", s->ops->name,
                m->op->name);
    reply_error(r, &e);
}

/* A reply that is kept: for service_ask. */
struct kept {
    struct reply reply;
    struct buf bytes;
    unsigned status;
    enum form form;
    struct wharf_error failure;
};

static int kept_head(struct reply *r, unsigned status, enum form form)
{
    struct kept *k = (struct kept *)r;

    k->status = status;
    k->form = form;
    return 0;
}

static int kept_write(struct reply *r, const void *data, size_t len)
{
    struct kept *k = (struct kept *)r;

    buf_add(&k->bytes, data, len);
    return k->bytes.error;
}

static void kept_end(struct reply *r, const struct wharf_error *e)
{
    if (e)
        ((struct kept *)r)->failure = *e;
}

static const struct reply_ops kept_ops = { .head = kept_head,
                                           .write = kept_write,
                                           .end = kept_end };

/* The kind whose HTTP status this is; several share one, the first stands for them. */
static enum wharf_error_kind kind_of_status(unsigned status)
{
    if (status == 500)
        return WHARF_ERROR_INTERNAL;
    for (int kind = WHARF_ERROR_INVALID; kind < WHARF_ERROR_KINDS; kind++) {
        struct wharf_error e = { .code = EIO, .kind = (enum wharf_error_kind)kind };

        if ((unsigned)wharf_error_http(&e) == status)
            return e.kind;
    }
    return WHARF_ERROR_INTERNAL;
}

static int read_answer(struct kept *k, json_t **ret, struct wharf_error *e)
{
    struct json_limits limits = { .size = ANSWER_MAX, .depth = 64 };
    autojson json_t *tree = NULL;
    const char *message;
    int r;

    if (k->failure.code) {
        if (e)
            *e = k->failure;
        return -k->failure.code;
    }
    if (k->bytes.error)
        return err_code(e, k->bytes.error, "the answer is too long");
    if (k->bytes.len && k->form == FORM_JSON) {
        r = json_read(k->bytes.data, k->bytes.len, limits, "the answer", &tree, e);
        if (r < 0)
            return r;
    }
    if (k->status >= 400) {
        message = json_string_value(json_object_get(tree, "message"));
        return err_set(e, -EREMOTEIO, kind_of_status(k->status), "%s",
                       message ? message : "the request failed without a reason");
    }
    if (ret)
        *ret = take_ptr(&tree);
    return 0;
}

int service_ask(struct service *s, struct message *m, json_t **ret, struct wharf_error *e)
{
    struct kept k = { .bytes = BUF(ANSWER_MAX) };
    int r = message_check(m, e);

    reply_init(&k.reply, &kept_ops);
    if (r == 0) {
        service_call(s, m, &k.reply);
        r = read_answer(&k, ret, e);
    }
    reply_done(&k.reply);
    buf_done(&k.bytes);
    message_free(m);
    return r;
}
