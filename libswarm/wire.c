/* SPDX-License-Identifier: Apache-2.0 */
/* The two directions of a message; replies: wire-reply.c. */
#include "libswarm/wire.h"

#include <string.h>
#include "base/json.h"
#include "base/str.h"

#define WIRE_LIMITS ((struct json_limits){ .size = WIRE_BODY_MAX, .depth = 64, .fold_case = true })

static void put_json(struct chan_msg *out, const char *key, const json_t *tree)
{
    autofree char *text = json_write(tree, JSON_COMPACT | JSON_ENCODE_ANY);

    chan_put_str(out, key);
    chan_put_str(out, text ? text : "null");
}

int wire_put_message(struct chan_msg *out, struct message *m, struct chan_rx **ret_rx)
{
    int stream = message_take_stream(m), r;

    chan_put_map(out, 4u + (m->body != NULL) + (stream >= 0));
    chan_put_str(out, "op");
    chan_put_str(out, m->op->name);
    put_json(out, "args", m->args);
    if (m->body)
        put_json(out, "body", m->body);
    chan_put_str(out, "api");
    chan_put_uint(out, m->api);
    if (stream >= 0) {
        chan_put_str(out, "stream");
        if (chan_put_fd(out, stream, CHAN_READ) < 0)
            fd_close(stream);
    }
    chan_put_str(out, "ret");
    r = chan_put_return(out, ret_rx);
    return r < 0 ? r : chan_msg_error(out);
}

/* A member that is text, as a string of its own; NULL: absent. */
static char *text_of(struct chan_value map, const char *key)
{
    const char *text;
    size_t len;

    return chan_get_str(chan_get(map, key), &text, &len) == 0 ? strndup(text, len) : NULL;
}

static int get_json(struct chan_value root, const char *key, json_t **ret, struct wharf_error *e)
{
    const char *text;
    size_t len;

    if (chan_get_str(chan_get(root, key), &text, &len) < 0)
        return 0;
    return json_read(text, len, WIRE_LIMITS, key, ret, e);
}

/* Each parameter again through its row: what came may be of any type. */
static int set_value(struct message *m, const char *name, json_t *value, struct wharf_error *e)
{
    autofree char *text = NULL;
    json_t *item;
    size_t i;
    int r = 0;

    if (json_is_array(value)) {
        json_array_foreach (value, i, item)
            if ((r = set_value(m, name, item, e)) < 0)
                return r;
        return 0;
    }
    if (json_is_text(value))
        return message_set(m, name, json_string_value(value), e);
    text = json_write(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? message_set(m, name, text, e) : -ENOMEM;
}

static int set_values(struct message *m, const json_t *args, struct wharf_error *e)
{
    const char *name;
    json_t *value;
    int r;

    json_object_foreach ((json_t *)(uintptr_t)args, name, value)
        if ((r = set_value(m, name, value, e)) < 0)
            return r;
    return message_check(m, e);
}

static int fill_message(struct message *m, struct chan_value root, struct wharf_error *e)
{
    autojson json_t *args = NULL;
    uint64_t api;
    int r;

    if (chan_get_uint(chan_get(root, "api"), &api) == 0 && api >= API_OLDEST && api <= API_NEWEST)
        m->api = (unsigned)api;
    r = get_json(root, "args", &args, e);
    if (r == 0)
        r = get_json(root, "body", &m->body, e);
    if (r == 0 && chan_kind_of(chan_get(root, "stream")) == CHAN_FD)
        r = chan_take_fd(chan_get(root, "stream"), &m->stream);
    return r < 0 ? r : set_values(m, args, e);
}

int wire_get_message(struct chan_msg *in, struct principal who, struct message **ret,
                     struct chan_tx **ret_tx, struct wharf_error *e)
{
    struct chan_value root = chan_root(in);
    autofree char *op = text_of(root, "op");
    struct message *m = NULL;
    int r = chan_take_tx(chan_get(root, "ret"), ret_tx);

    if (r < 0)
        return err_invalid(e, "a message has no return channel \"ret\"");
    r = op ? message_new(op, who, &m, e) : err_invalid(e, "a message has no \"op\"");
    if (r == 0)
        r = fill_message(m, root, e);
    if (r < 0) {
        message_free(m);
        return err_wrap(e, r, "message");
    }
    *ret = m;
    return 0;
}
