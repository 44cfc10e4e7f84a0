/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies: the state machine in front of whoever asked, so that each reply has one head, then
 * bytes, then one end, whatever a handler does.
 */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/str.h"
#include "swarm.h"

void reply_init(struct reply *r, const struct reply_ops *ops)
{
    *r = (struct reply){ .ops = ops, .api = API_NEWEST, .gone_fd = -1 };
}

void reply_done(struct reply *r)
{
    for (size_t i = 0; i < r->header_count; i++)
        free(r->headers[i].value);
    r->header_count = 0;
}

int reply_header(struct reply *r, const char *name, const char *value)
{
    char *copy = strdup(value);

    if (!copy || r->header_count == REPLY_HEADERS_MAX || r->state != REPLY_OPEN) {
        free(copy);
        return -EINVAL;
    }
    r->headers[r->header_count].name = name;
    r->headers[r->header_count++].value = copy;
    return 0;
}

int reply_begin(struct reply *r, unsigned status, enum form form)
{
    if (r->state != REPLY_OPEN)
        return -EALREADY;
    r->state = REPLY_BEGUN;
    r->form = form;
    return r->ops->head(r, status, form);
}

int reply_write(struct reply *r, const void *data, size_t len)
{
    if (r->state != REPLY_BEGUN)
        return -EINVAL;
    return len ? r->ops->write(r, data, len) : 0;
}

static int finish(struct reply *r, const struct wharf_error *e)
{
    if (r->state != REPLY_BEGUN)
        return -EINVAL;
    r->state = REPLY_ENDED;
    r->ops->end(r, e);
    return 0;
}

int reply_end(struct reply *r)
{
    return finish(r, NULL);
}

int reply_line(struct reply *r, const json_t *document)
{
    autofree char *text = json_write(document, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;

    if (!text)
        return -ENOMEM;
    text[len] = '\n'; /* in place of the NUL: one write a line */
    return reply_write(r, text, len + 1);
}

static int whole(struct reply *r, unsigned status, enum form form, const void *data, size_t len)
{
    int n;

    r->whole = true;
    n = reply_begin(r, status, form);
    if (n == 0)
        n = reply_write(r, data, len);
    if (r->state == REPLY_BEGUN)
        finish(r, NULL);
    return n;
}

int reply_json_text(struct reply *r, unsigned status, const char *text, size_t len)
{
    return whole(r, status, FORM_JSON, text, len);
}

int reply_json(struct reply *r, unsigned status, const json_t *document)
{
    autofree char *text = json_write(document, JSON_COMPACT | JSON_ENCODE_ANY);

    return text ? reply_json_text(r, status, text, strlen(text)) : -ENOMEM;
}

int reply_text(struct reply *r, unsigned status, const char *text, size_t len)
{
    return whole(r, status, FORM_TEXT, text, len);
}

int reply_empty(struct reply *r, unsigned status)
{
    return whole(r, status, FORM_NONE, "", 0);
}

/* Clients of progress streams look for the error in band (docker-api 3.5). */
static void error_line(struct reply *r, const struct wharf_error *e)
{
    autojson json_t *line =
        json_pack("{s{ss}ss}", "errorDetail", "message", e->message, "error", e->message);

    if (line)
        reply_line(r, line);
}

int reply_error(struct reply *r, const struct wharf_error *e)
{
    autojson json_t *document = NULL;

    if (r->state == REPLY_BEGUN && r->form == FORM_JSON_LINES)
        error_line(r, e);
    if (r->state == REPLY_BEGUN)
        return finish(r, e);
    if (r->state == REPLY_ENDED)
        return -EALREADY;
    document = json_pack("{ss}", "message", e->message);
    if (!document)
        document = json_pack("{ss}", "message", "the error's text is not UTF-8");
    return document ? reply_json(r, (unsigned)wharf_error_http(e), document) : -ENOMEM;
}

int reply_take(struct reply *r, enum form form, struct connection *ret, struct wharf_error *e)
{
    int n;

    if (r->state != REPLY_OPEN)
        return err_code(e, -EALREADY, "cannot take the connection: the reply has begun");
    if (!r->ops->take)
        return err_unsupported(e, "this caller cannot give its connection away");
    n = r->ops->take(r, form, ret);
    if (n < 0)
        return err_code(e, n, "cannot take the connection");
    r->state = REPLY_ENDED;
    return 0;
}
