/* SPDX-License-Identifier: Apache-2.0 */
/* What stands above a reply's body (docker-api 3.1): one list of fields, for both who write heads,
 * libmicrohttpd and ourselves. */
#include "door/internal.h"

#include <stdio.h>
#include <time.h>
#include "base/str.h"

static const struct {
    const char *name, *value;
} always[] = {
    { "Api-Version", "1.51" },
    { "Docker-Experimental", "false" },
    { "Ostype", "linux" },
    { "Server", "wharf/" WHARF_VERSION " (linux)" },
}, ping[] = {
    { "Builder-Version", "1" },
    { "Cache-Control", "no-cache, no-store, must-revalidate" },
    { "Pragma", "no-cache" },
    { "Swarm", "inactive" },
};
_Static_assert(API_NEWEST == 51, "Api-Version says another");

const char *head_content_type(enum form form, unsigned api)
{
    switch (form) {
    case FORM_NONE:
        return NULL;
    case FORM_JSON:
    case FORM_JSON_LINES:
        return "application/json";
    case FORM_TEXT:
        return "text/plain; charset=utf-8";
    case FORM_TAR:
        return "application/x-tar";
    case FORM_MULTIPLEXED:
        if (api >= 42)
            return "application/vnd.docker.multiplexed-stream";
        /* fall through */
    case FORM_CONNECTION:
    case FORM_WEBSOCKET:
        return "application/vnd.docker.raw-stream";
    }
    return NULL;
}

/* Calls `add` for each field but those of the body's length. */
static void fields(const struct exchange *x,
                   void (*add)(void *user, const char *name, const char *value), void *user)
{
    const struct operation *op = x->message ? x->message->op : NULL;
    const char *type = head_content_type(x->form, x->reply.api);

    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        add(user, always[i].name, always[i].value);
    if (op && (operation_is(op, "system.ping") || operation_is(op, "system.ping_head")))
        for (size_t i = 0; i < ARRAY_SIZE(ping); i++)
            add(user, ping[i].name, ping[i].value);
    for (size_t i = 0; i < x->reply.header_count; i++) {
        add(user, x->reply.headers[i].name, x->reply.headers[i].value);
        if (streq(x->reply.headers[i].name, "Content-Type"))
            type = NULL;
    }
    if (type && x->status != 204 && x->status != 304)
        add(user, "Content-Type", type);
}

static void add_to_response(void *user, const char *name, const char *value)
{
    MHD_add_response_header(user, name, value);
}

struct MHD_Response *head_response(struct exchange *x, const void *data, size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)data, MHD_RESPMEM_MUST_COPY);

    if (response)
        fields(x, add_to_response, response);
    return response;
}

static void add_to_buf(void *user, const char *name, const char *value)
{
    buf_printf(user, "%s: %s\r\n", name, value);
}

void head_write(const struct exchange *x, struct buf *b, int64_t length)
{
    time_t now = time(NULL);
    struct tm tm;
    char date[40];

    buf_printf(b, "HTTP/1.%d %u %s\r\n", !x->old_http, x->status,
               MHD_get_reason_phrase_for(x->status));
    fields(x, add_to_buf, b);
    if (gmtime_r(&now, &tm) && strftime(date, sizeof date, "%a, %d %b %Y %T GMT", &tm))
        add_to_buf(b, "Date", date);
    if (length >= 0)
        buf_printf(b, "Content-Length: %lld\r\n", (long long)length);
    else if (x->chunked)
        add_to_buf(b, "Transfer-Encoding", "chunked");
    buf_str(b, "Connection: close\r\n\r\n");
}
