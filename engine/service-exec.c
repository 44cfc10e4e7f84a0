/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on execs; their start takes the connection and stands in service-streams.c. */
#include "engine/service-internal.h"

#include "base/fields.h"

#define EXEC_ARENA_MAX (8u << 20)

/* The body of POST /containers/{id}/exec (docker-api: ExecConfig). */
struct exec_body {
    bool attach_stdin, attach_stdout, attach_stderr, tty, privileged, detach;
    char *detach_keys, *user, *working_dir;
    field_strings env, cmd;
    LIST_OF(int64_t) console; /* rows, columns */
};

#define ROW(name_, type_, member_, ...)                                                            \
    FIELD(struct exec_body, name_, FIELD_##type_, member_, ##__VA_ARGS__)
static const struct field exec_fields[] = { ROW("AttachStdin", BOOL, attach_stdin),
                                            ROW("AttachStdout", BOOL, attach_stdout),
                                            ROW("AttachStderr", BOOL, attach_stderr),
                                            ROW("Tty", BOOL, tty),
                                            ROW("Privileged", BOOL, privileged),
                                            ROW("Detach", BOOL, detach),
                                            ROW("DetachKeys", STR, detach_keys),
                                            ROW("User", STR, user),
                                            ROW("WorkingDir", STR, working_dir),
                                            ROW("Env", STRINGS, env),
                                            ROW("Cmd", STRINGS, cmd, .flags = FIELD_ONE),
                                            ROW("ConsoleSize", ARRAY, console, .item = FIELD_I64),
                                            FIELD_END };
#undef ROW

/* The list with a NULL behind it, from the arena. */
static const char **ended(const field_strings *list, struct arena *arena)
{
    const char **copy = arena_array(arena, list->count + 1, sizeof *copy);

    for (size_t i = 0; copy && i < list->count; i++)
        copy[i] = list->items[i];
    return copy;
}

static int read_body(struct call *c, struct arena *arena, struct exec_body *ret,
                     struct wharf_error *e)
{
    int r;

    if (!c->message->body)
        return err_invalid(e, "No exec command specified");
    r = fields_fold_case(exec_fields, c->message->body, e);
    if (r == 0)
        r = fields_read(exec_fields, c->message->body, "", arena, ret, e);
    if (r == 0 && !ret->cmd.count)
        return err_invalid(e, "No exec command specified");
    return r;
}

static int create(struct call *c, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(EXEC_ARENA_MAX);
    autojson json_t *answer = NULL;
    char keys[DETACH_KEYS_MAX], id[ID_LENGTH + 1];
    struct exec_body body = { 0 };
    int r = arena ? read_body(c, arena, &body, e) : err_nomem(e);

    if (r == 0)
        r = detach_keys_parse(body.detach_keys, keys, e);
    if (r < 0)
        return r;
    struct engine_exec ask = {
        .argv = ended(&body.cmd, arena),
        .env = ended(&body.env, arena),
        .user = body.user && *body.user ? body.user : NULL,
        .working_dir = body.working_dir && *body.working_dir ? body.working_dir : NULL,
        .tty = body.tty,
        .privileged = body.privileged,
        .detach = body.detach,
        .streams = { body.attach_stdin, body.attach_stdout, body.attach_stderr },
        .detach_keys = keys,
        .rows = body.console.count == 2 ? (uint64_t)body.console.items[0] : 0,
        .columns = body.console.count == 2 ? (uint64_t)body.console.items[1] : 0,
    };
    if (!ask.argv || !ask.env)
        return err_nomem(e);
    r = engine_exec_create(c->engine, c->who, c->id, &ask, id, e);
    if (r < 0)
        return r;
    answer = json_pack("{ss}", "Id", id);
    return answer ? reply_json(c->reply, 201, answer) : -ENOMEM;
}

static int inspect(struct call *c, struct wharf_error *e)
{
    autojson json_t *document = NULL;
    int r = engine_exec_inspect(c->engine, c->who, c->id, &document, e);

    return r < 0 ? r : reply_json(c->reply, 200, document);
}

static int resize(struct call *c, struct wharf_error *e)
{
    uint64_t rows, columns;
    int r = call_size(c, &rows, &columns, e);

    if (r == 0)
        r = engine_exec_resize(c->engine, c->who, c->id, rows, columns, e);
    return r < 0 ? r : reply_empty(c->reply, 200);
}

const struct handler exec_handlers[] = {
    { "exec.create", create },
    { "exec.inspect", inspect },
    { "exec.resize", resize },
    { NULL, NULL },
};
