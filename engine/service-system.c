/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the engine as a whole. */
#include "engine/service-internal.h"

static int ping(struct call *c, struct wharf_error *e)
{
    return reply_text(c->reply, 200, "OK", 2);
}

static int ping_head(struct call *c, struct wharf_error *e)
{
    return reply_text(c->reply, 200, "", 0);
}

static int version(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = engine_version();

    return document ? reply_json(c->reply, 200, document) : err_nomem(e);
}

static int info(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_info(c->engine, c->who, &document, e);

    return r < 0 ? r : reply_json(c->reply, 200, document);
}

/* No plugin can be installed: there is none. */
static int plugin_list(struct call *c, struct wharf_error *e)
{
    return reply_json_text(c->reply, 200, "[]", 2);
}

static int plugin_absent(struct call *c, struct wharf_error *e)
{
    return err_not_found(e, "plugin \"%s\" not found", c->id);
}

const struct handler system_handlers[] = {
    { "system.ping", ping },
    { "system.ping_head", ping_head },
    { "system.version", version },
    { "system.info", info },
    { "plugin.list", plugin_list },
    { "plugin.inspect", plugin_absent },
    { "plugin.remove", plugin_absent },
    { "plugin.enable", plugin_absent },
    { "plugin.disable", plugin_absent },
    { NULL, NULL },
};
