/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on networks. */
#include "engine/service-internal.h"

#include "base/fields.h"
#include "network/object.h"

#define NETWORK_CHANGE_ARENA_MAX (1u << 20)

/* The bodies of connect and disconnect (docker-api 1.4). */
struct network_change {
    char *container;
    bool force;
    struct endpoint_settings *settings;
};
static const struct field change_fields[] = {
    FIELD(struct network_change, "Container", FIELD_STR, container),
    FIELD(struct network_change, "Force", FIELD_BOOL, force),
    FIELD(struct network_change, "EndpointConfig", FIELD_STRUCT, settings,
          .fields = endpoint_settings_fields, .size = sizeof(struct endpoint_settings)),
    FIELD_END,
};

static json_t *filters_of(const struct call *c)
{
    return json_object_get(c->message->args, "filters");
}

static int create(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    if (!json_is_object(c->message->body))
        return err_invalid(e, "invalid JSON: got EOF while reading request body");
    return call_document(c,
                         engine_network_create(c->engine, c->who, c->message->body, &document, e),
                         201, &document);
}

static int inspect(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_network_inspect(c->engine, c->who, c->id, &document, e), 200,
                         &document);
}

/* Below 1.28 with the containers (docker-api 4.2). */
static int list(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    bool containers = c->message->api < 28;

    return call_document(
        c, engine_network_list(c->engine, c->who, filters_of(c), containers, &document, e), 200,
        &document);
}

static int remove_it(struct call *c, struct wharf_error *e)
{
    int r = engine_network_remove(c->engine, c->who, c->id, e);

    return r < 0 ? r : reply_empty(c->reply, 204);
}

static int prune(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_network_prune(c->engine, c->who, filters_of(c), &document, e),
                         200, &document);
}

static int read_change(struct call *c, struct arena *arena, struct network_change *ret,
                       struct wharf_error *e)
{
    int r = arena ? 0 : err_nomem(e);

    if (r == 0 && !json_is_object(c->message->body))
        r = err_invalid(e, "invalid JSON: got EOF while reading request body");
    if (r == 0)
        r = fields_fold_case(change_fields, c->message->body, e);
    if (r == 0)
        r = fields_read(change_fields, c->message->body, "", arena, ret, e);
    if (r == 0 && (!ret->container || !*ret->container))
        r = err_invalid(e, "No such container: ");
    return r;
}

static int connect_it(struct call *c, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_CHANGE_ARENA_MAX);
    struct network_change change = { 0 };
    int r = read_change(c, arena, &change, e);

    if (r == 0)
        r = engine_network_connect(c->engine, c->who, c->id, change.container,
                                   json_object_get(c->message->body, "EndpointConfig"), e);
    return r < 0 ? r : reply_empty(c->reply, 200);
}

static int disconnect(struct call *c, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_CHANGE_ARENA_MAX);
    struct network_change change = { 0 };
    int r = read_change(c, arena, &change, e);

    if (r == 0)
        r = engine_network_disconnect(c->engine, c->who, c->id, change.container, change.force, e);
    return r < 0 ? r : reply_empty(c->reply, 200);
}

const struct handler network_handlers[] = {
    { "network.connect", connect_it },
    { "network.create", create },
    { "network.disconnect", disconnect },
    { "network.inspect", inspect },
    { "network.list", list },
    { "network.prune", prune },
    { "network.remove", remove_it },
    { NULL, NULL },
};
