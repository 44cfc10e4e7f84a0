/* SPDX-License-Identifier: Apache-2.0 */
/* Tells of every message and its reply on stderr, as the filter of that name did in 2014. */
#include <stdio.h>
#include "base/buf.h"
#include "base/json.h"
#include "libswarm/adapters/adapters.h"
#include "libswarm/passing.h"

#define DEBUG_LINE_MAX (64u << 10)

struct debug {
    struct service service;
    struct service *inner;
};

static int debug_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    struct debug *d = (struct debug *)s;
    autofree char *args = json_write(m->args, JSON_COMPACT);
    autofree char *body = m->body ? json_write(m->body, JSON_COMPACT) : NULL;
    struct passing p;

    fprintf(stderr, "--> %s %s %s%s%s\n", m->principal.name, m->op->name, args ? args : "",
            body ? " " : "", body ? body : "");
    passing_init(&p, r);
    service_call(d->inner, m, &p.reply);
    if (p.failure.code)
        fprintf(stderr, "<-- %s failed in the middle: %s\n", m->op->name, p.failure.message);
    else
        fprintf(stderr, "<-- %s %u, %llu bytes\n", m->op->name, p.status,
                (unsigned long long)p.bytes);
    reply_done(&p.reply);
    return 0;
}

static void debug_free(struct service *s)
{
    service_unref(((struct debug *)s)->inner);
}

static const struct service_ops debug_ops = { .name = "debug",
                                              .call = debug_call,
                                              .free = debug_free };

int debug_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e)
{
    struct debug *d;

    if (a->word_count || a->inner_count != 1)
        return err_invalid(e, "one service is expected: debug | SERVICE");
    d = (struct debug *)service_new(sizeof *d, &debug_ops);
    if (!d)
        return err_nomem(e);
    d->inner = service_ref(a->inner[0]);
    *ret = &d->service;
    return 0;
}
