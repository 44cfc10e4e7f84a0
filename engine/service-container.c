/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on containers that end with one answer. Streams: service-streams.c. */
#include "engine/service-internal.h"

#include "base/str.h"

#define CONTAINER_ARENA_MAX SETTINGS_ARENA_MAX

static int done(struct call *c, int r)
{
    return r < 0 ? r : reply_empty(c->reply, c->message->op->status);
}

static int create(struct call *c, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(CONTAINER_ARENA_MAX);
    autojson json_t *answer = NULL;
    const char *name = message_string(c->message, "name");
    struct settings settings;
    char id[ID_LENGTH + 1];
    int r;

    if (!c->message->body)
        return err_invalid(e, "Config cannot be empty in order to create a container");
    if (!arena)
        return err_nomem(e);
    r = settings_from_json(c->message->body, arena, &settings, e);
    if (r == 0)
        r = engine_container_create(c->engine, c->who, settings_text(name) ? name : NULL, &settings,
                                    id, e);
    if (r < 0)
        return r;
    answer = json_pack("{sss[]}", "Id", id, "Warnings");
    return answer ? reply_json(c->reply, 201, answer) : -ENOMEM;
}

static int inspect(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_container_inspect(c->engine, c->who, c->id, message_bool(c->message, "size"),
                                     &document, e);

    return r < 0 ? r : reply_json(c->reply, 200, document);
}

static int start(struct call *c, struct wharf_error *e)
{
    int r;

    if (c->message->body && json_object_size(c->message->body))
        return err_invalid(e, "starting container with non-empty request body was deprecated since "
                              "API v1.22 and removed in v1.24");
    r = engine_container_start(c->engine, c->who, c->id, NULL, NULL, e);
    if (r == -EALREADY)
        return reply_empty(c->reply, 304);
    return done(c, r);
}

static int is_running(struct call *c, bool *ret, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    int n = engine_container_find(c->engine, c->who, c->id, &r, e);

    if (n == 0)
        *ret = r.state == STATE_RUNNING || r.state == STATE_PAUSED;
    return n;
}

/* Seconds to wait: `t`, or what the container says. */
static int64_t stop_timeout(const struct call *c)
{
    return message_has(c->message, "t") ? MAX(message_int(c->message, "t"), -1) : -2;
}

static int stop(struct call *c, struct wharf_error *e)
{
    bool running = false;
    int r = is_running(c, &running, e);

    if (r == 0 && !running)
        return reply_empty(c->reply, 304);
    if (r == 0)
        r = engine_container_stop(c->engine, c->who, c->id, stop_timeout(c), e);
    return done(c, r);
}

static int kill_it(struct call *c, struct wharf_error *e)
{
    const char *name = message_string(c->message, "signal");
    int signal = signal_parse(settings_text(name) ? name : "SIGKILL", e);

    if (signal < 0)
        return signal;
    return done(c, engine_container_kill(c->engine, c->who, c->id, signal, e));
}

static int pause_it(struct call *c, struct wharf_error *e)
{
    bool pause = operation_is(c->message->op, "container.pause");

    return done(c, engine_container_pause(c->engine, c->who, c->id, pause, e));
}

static int rename_it(struct call *c, struct wharf_error *e)
{
    return done(c, engine_container_rename(c->engine, c->who, c->id,
                                           message_string(c->message, "name"), e));
}

static int resize(struct call *c, struct wharf_error *e)
{
    uint64_t rows, columns;
    int r = call_size(c, &rows, &columns, e);

    if (r == 0)
        r = engine_container_resize(c->engine, c->who, c->id, rows, columns, e);
    return done(c, r);
}

static int remove_it(struct call *c, struct wharf_error *e)
{
    return done(c,
                engine_container_remove(c->engine, c->who, c->id, message_bool(c->message, "force"),
                                        message_bool(c->message, "v"), e));
}

const struct handler container_handlers[] = {
    { "container.create", create },
    { "container.inspect", inspect },
    { "container.start", start },
    { "container.stop", stop },
    { "container.kill", kill_it },
    { "container.pause", pause_it },
    { "container.unpause", pause_it },
    { "container.rename", rename_it },
    { "container.resize", resize },
    { "container.remove", remove_it },
    { NULL, NULL },
};
