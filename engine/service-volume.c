/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on volumes. */
#include "engine/service-internal.h"

#include "base/fields.h"

#define VOLUME_ARENA_MAX (1u << 20)

/* The body of POST /volumes/create (docker-api 2.6). */
#define ROW(name_, type_, member_, ...)                                                            \
    FIELD(struct volume_body, name_, FIELD_##type_, member_, ##__VA_ARGS__)
struct volume_body {
    char *name, *driver;
    field_pairs options, labels;
};
static const struct field volume_fields[] = { ROW("Name", STR, name), ROW("Driver", STR, driver),
                                              ROW("DriverOpts", STRING_MAP, options),
                                              ROW("Labels", STRING_MAP, labels), FIELD_END };
#undef ROW

static json_t *filters_of(const struct call *c)
{
    return json_object_get(c->message->args, "filters");
}

static int create(struct call *c, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(VOLUME_ARENA_MAX);
    autojson json_t *document = NULL;
    json_t *body = c->message->body;
    struct volume_body b = { 0 };
    int r = arena ? 0 : err_nomem(e);

    if (r == 0 && body)
        r = fields_fold_case(volume_fields, body, e);
    if (r == 0 && body)
        r = fields_read(volume_fields, body, "", arena, &b, e);
    if (r == 0 && body && json_object_size(json_object_get(body, "ClusterVolumeSpec")))
        r = err_set(e, -ENETDOWN, WHARF_ERROR_UNAVAILABLE,
                    "ClusterVolumeSpec: this node is not part of a swarm");
    if (r < 0)
        return r;
    struct volume_spec spec = { .name = b.name,
                                .driver = b.driver,
                                .owner = c->who.uid,
                                .options = b.options,
                                .labels = b.labels };
    return call_document(c, engine_volume_create(c->engine, c->who, &spec, &document, e), 201,
                         &document);
}

static int inspect(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_volume_inspect(c->engine, c->who, c->id, &document, e), 200,
                         &document);
}

static int list(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;

    return call_document(c, engine_volume_list(c->engine, c->who, filters_of(c), &document, e), 200,
                         &document);
}

static int remove_it(struct call *c, struct wharf_error *e)
{
    int r = engine_volume_remove(c->engine, c->who, c->id, message_bool(c->message, "force"), e);

    return r < 0 ? r : reply_empty(c->reply, 204);
}

/* Below 1.42 named volumes go, too (docker-api 4.2). */
static int prune(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL, *old = NULL;
    json_t *filters = filters_of(c);

    if (c->message->api < 42) {
        old = filters ? json_deep_copy(filters) : json_object();
        json_object_set_new(old, "all", json_pack("[s]", "true"));
        filters = old;
    }
    return call_document(c, engine_volume_prune(c->engine, c->who, filters, &document, e), 200,
                         &document);
}

const struct handler volume_handlers[] = {
    { "volume.create", create }, { "volume.inspect", inspect },  { "volume.list", list },
    { "volume.prune", prune },   { "volume.remove", remove_it }, { NULL, NULL },
};
