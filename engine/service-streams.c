/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations whose answer takes time: attach, logs, wait, events. Whoever asked may go away in the
 * middle: the reply's gone_fd says so, and the wait ends.
 */
#include "engine/service-internal.h"

#include <poll.h>
#include "base/str.h"

/* ---- attach ---------------------------------------------------------------------------------- */

/* The rest of taking over a connection, for attach and exec: `session` is begun. */
static int hand_over(struct call *c, struct session *session, bool websocket, struct wharf_error *e)
{
    struct connection connection = { .fd = -1 };
    enum form form = websocket                       ? FORM_WEBSOCKET
                     : session_has_terminal(session) ? FORM_CONNECTION
                                                     : FORM_MULTIPLEXED;
    int r = reply_take(c->reply, form, &connection, e);

    if (r == 0)
        r = session_connect(session, connection.fd, connection.early, connection.early_len, e);
    free(connection.early);
    fd_close(connection.fd);
    session_close(session);
    return r;
}

static int attach(struct call *c, struct wharf_error *e)
{
    const struct message *m = c->message;
    bool websocket = operation_is(m->op, "container.attach_websocket");
    bool all = websocket && m->api < 42; /* std* are honoured since 1.42 */
    char keys[DETACH_KEYS_MAX];
    struct engine_attach ask = { .streams = { all || message_bool(m, "stdin"),
                                              all || message_bool(m, "stdout"),
                                              all || message_bool(m, "stderr") },
                                 .logs = message_bool(m, "logs"),
                                 .stream = message_bool(m, "stream"),
                                 .raw = websocket,
                                 .detach_keys = keys };
    struct session *session;
    int r = detach_keys_parse(message_string(m, "detachKeys"), keys, e);

    if (r == 0)
        r = engine_container_attach_begin(c->engine, c->who, c->id, &ask, &session, e);
    return r < 0 ? r : hand_over(c, session, websocket, e);
}

static int exec_start(struct call *c, struct wharf_error *e)
{
    json_t *body = c->message->body, *size = json_object_get(body, "ConsoleSize");
    struct session *session;
    int r;

    if (json_is_true(json_object_get(body, "Detach"))) {
        r = engine_exec_start(c->engine, c->who, c->id, e);
        return r < 0 ? r : reply_empty(c->reply, 200);
    }
    r = engine_exec_start_begin(c->engine, c->who, c->id,
                                (uint64_t)json_integer_value(json_array_get(size, 0)),
                                (uint64_t)json_integer_value(json_array_get(size, 1)), &session, e);
    return r < 0 ? r : hand_over(c, session, false, e);
}

/* ---- logs ------------------------------------------------------------------------------------ */

static int pass_log(void *user, const void *data, size_t len)
{
    return reply_write(((struct call *)user)->reply, data, len);
}

static int has_terminal(struct call *c, bool *ret, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autojson json_t *settings = NULL;
    int n = engine_container_find(c->engine, c->who, c->id, &r, e);

    if (n == 0)
        n = json_read(r.settings, strlen(r.settings), JSON_LIMITS, "settings", &settings, e);
    if (n == 0)
        *ret = json_is_true(json_object_get(settings, "Tty"));
    return n;
}

static int logs(struct call *c, struct wharf_error *e)
{
    const struct message *m = c->message;
    struct engine_logs ask = { .follow = message_bool(m, "follow"), .tail = LOG_TAIL_ALL };
    struct engine_log_form form = { .streams = { false, message_bool(m, "stdout"),
                                                 message_bool(m, "stderr") },
                                    .timestamps = message_bool(m, "timestamps"),
                                    .details = message_bool(m, "details"),
                                    .write = pass_log,
                                    .user = c };
    bool terminal = false;
    int r = has_terminal(c, &terminal, e);

    if (r < 0)
        return r;
    if (!form.streams[1] && !form.streams[2])
        return err_invalid(e, "Bad parameters: you must choose at least one stream");
    if ((r = call_time(c, "since", &ask.since_ns, e)) < 0 ||
        (r = call_time(c, "until", &ask.until_ns, e)) < 0)
        return r;
    /* junk and negative numbers mean all, as with dockerd */
    if (parse_u64(message_string(m, "tail"), 0, UINT64_MAX - 1, &ask.tail) < 0)
        ask.tail = LOG_TAIL_ALL;
    form.framed = !terminal;
    r = reply_begin(c->reply, 200, terminal ? FORM_CONNECTION : FORM_MULTIPLEXED);
    if (r == 0)
        r = engine_container_log_stream(c->engine, c->who, c->id, &ask, &form, e);
    return r < 0 ? r : reply_end(c->reply);
}

/* ---- wait ------------------------------------------------------------------------------------ */

/* Blocks until it has happened (1), or the caller is gone (-EPIPE). */
static int wait_for(struct call *c, struct engine_wait *w, int64_t *ret_code, struct wharf_error *e)
{
    int r;

    while ((r = engine_wait_next(w, ret_code, e)) == 0) {
        struct pollfd fds[] = { { .fd = engine_wait_fd(w), .events = POLLIN },
                                { .fd = c->reply->gone_fd, .events = POLLRDHUP } };

        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
            return err_sys(e, "cannot wait");
        if (fds[1].revents)
            return err_code(e, -EPIPE, "nobody waits any more");
    }
    return r;
}

static int wait_it(struct call *c, struct wharf_error *e)
{
    auto_of(engine_wait_end) struct engine_wait *w = NULL;
    const char *text = c->message->api >= 30 ? message_string(c->message, "condition") : NULL;
    enum engine_wait_condition condition;
    char answer[64];
    int64_t code = 0;
    int r = engine_wait_parse(text, &condition, e);

    if (r == 0)
        r = engine_wait_begin(c->engine, c->who, c->id, condition, &w, e);
    /* the head goes out at once: the CLI starts the container when it has it */
    if (r == 0 && c->message->api >= 30)
        r = reply_begin(c->reply, 200, FORM_JSON);
    if (r == 0)
        r = wait_for(c, w, &code, e);
    if (r < 0)
        return r;
    if (c->reply->state == REPLY_OPEN)
        reply_begin(c->reply, 200, FORM_JSON);
    r = snprintf(answer, sizeof answer, "{\"StatusCode\":%lld,\"Error\":null}\n", (long long)code);
    r = reply_write(c->reply, answer, (size_t)r);
    return r < 0 ? r : reply_end(c->reply);
}

/* ---- events ---------------------------------------------------------------------------------- */

static int pass_event(void *user, const struct event *event)
{
    struct call *c = user;
    autobuf struct buf line = BUF(EVENT_LINE_MAX + 1);

    if (!event)
        return 0;
    buf_add(&line, event->text, event->len);
    buf_char(&line, '\n'); /* in one piece: clients parse what comes at once */
    return line.error ? line.error : reply_write(c->reply, line.data, line.len);
}

static int events(struct call *c, struct wharf_error *e)
{
    struct engine_events ask = { .filters = json_object_get(c->message->args, "filters"),
                                 .gone_fd = c->reply->gone_fd,
                                 .each = pass_event,
                                 .user = c };
    int r = call_time(c, "since", &ask.since_ns, e);

    if (r == 0)
        r = call_time(c, "until", &ask.until_ns, e);
    if (r == 0)
        r = reply_begin(c->reply, 200, FORM_JSON_LINES);
    if (r == 0)
        r = engine_events(c->engine, c->who, &ask, e);
    return r < 0 ? r : reply_end(c->reply);
}

const struct handler stream_handlers[] = {
    { "container.attach", attach },
    { "container.attach_websocket", attach },
    { "exec.start", exec_start },
    { "container.logs", logs },
    { "container.wait", wait_it },
    { "system.events", events },
    { NULL, NULL },
};
