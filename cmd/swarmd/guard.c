/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `authorize POLICY [AUDIT-LOG]` as a part of a composition. The log is a word of the filter that
 * decides, not a filter of its own in front: a decision is on the disk before it takes effect, and
 * one that cannot be written is a refusal. Who asks was identified by the door already.
 */
#include "base/err.h"
#include "cmd/swarmd/types.h"
#include "libswarm/filters/authorize.h"

struct guard { /* authorize does not own its log: this does */
    struct service service;
    struct service *inner;
    struct audit *audit;
};

static int guard_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    service_call(((struct guard *)s)->inner, m, r);
    return 0;
}

static void guard_free(struct service *s)
{
    struct guard *g = (struct guard *)s;

    service_unref(g->inner);
    audit_close(g->audit);
}

static const struct service_ops guard_ops = { .name = "authorize",
                                              .call = guard_call,
                                              .free = guard_free };

int guard_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e)
{
    enum policy policy;
    struct guard *g;
    int r;

    if (a->word_count < 1 || a->word_count > 2 || a->inner_count != 1)
        return err_invalid(e, "a policy, perhaps the path of an audit log, and one service are "
                              "expected: authorize single-user | owner [PATH] | SERVICE");
    r = policy_parse(a->words[0], &policy, e);
    if (r < 0)
        return r;
    g = (struct guard *)service_new(sizeof *g, &guard_ops);
    if (!g)
        return err_nomem(e);
    if (a->word_count == 2)
        r = audit_open(&g->audit, a->words[1], e);
    if (r == 0)
        r = authorize_new(a->inner[0], policy, g->audit, &g->inner, e);
    if (r < 0) {
        service_unref(&g->service);
        return r;
    }
    *ret = &g->service;
    return 0;
}
