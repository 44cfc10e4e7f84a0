/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of handlers beside the table of operations, and what is answered for operations that no
 * handler has: those of swarm mode as a node answers that is in no swarm.
 */
#include "engine/service-internal.h"

#include "base/str.h"

#define OPERATIONS_MAX 256

struct engine_service {
    struct service service;
    struct engine *engine;
    struct engine_service_options options;
    int (*handle[OPERATIONS_MAX])(struct call *c, struct wharf_error *e); /* by operation_index */
};

static int no_swarm(const struct message *m, struct wharf_error *e)
{
    return err_set(e, -ENETDOWN, WHARF_ERROR_UNAVAILABLE, "%s",
                   operation_is(m->op, "swarm.leave")
                       ? "This node is not part of a swarm"
                       : "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                         "swarm join\" to connect this node to swarm and try again.");
}

static bool is_of_swarm_mode(const struct operation *op)
{
    static const char *const resources[] = {
        "swarm", "node", "service", "task", "secret", "config"
    };

    for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
        if (streq(op->resource, resources[i]))
            return true;
    return operation_is(op, "volume.update");
}

static int engine_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    struct engine_service *es = (struct engine_service *)s;
    struct call c = { .engine = es->engine,
                      .options = &es->options,
                      .message = m,
                      .reply = r,
                      .who = m->principal,
                      .id = message_string(m, "id") };

    if (!c.id)
        c.id = message_string(m, "name");
    if (es->handle[operation_index(m->op)])
        return es->handle[operation_index(m->op)](&c, e);
    return is_of_swarm_mode(m->op) ? no_swarm(m, e) : service_unknown(s, m, e);
}

static const struct service_ops engine_ops = { .name = "engine", .call = engine_call };

int engine_service_new(struct engine *engine, const struct engine_service_options *options,
                       struct service **ret, struct wharf_error *e)
{
    static const struct handler *const tables[] = {
        build_handlers,  search_handlers, container_handlers, exec_handlers,   image_handlers,
        system_handlers, stream_handlers, verb_handlers,      volume_handlers, network_handlers
    };
    struct engine_service *es = (struct engine_service *)service_new(sizeof *es, &engine_ops);

    if (!es)
        return err_nomem(e);
    es->engine = engine;
    es->options = *options;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (const struct handler *h = tables[i]; h->operation; h++)
            es->handle[operation_index(operation_named(h->operation))] = h->handle;
    *ret = &es->service;
    return 0;
}
