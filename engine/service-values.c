/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in docker's notations, and answers that are JSON text already. */
#include "engine/service-internal.h"

#include "base/str.h"
#include "engine/internal.h"

int call_time(struct call *c, const char *parameter, int64_t *ret_ns, struct wharf_error *e)
{
    const char *text = message_string(c->message, parameter);

    if (!text || !*text || streq(text, "0")) {
        *ret_ns = 0;
        return 0;
    }
    if (api_time_parse(text, ret_ns, NULL) == 0)
        return 0;
    return err_invalid(e, "invalid value for \"%s\": neither seconds, nor RFC 3339: '%s'",
                       parameter, text);
}

int call_size(struct call *c, uint64_t *ret_rows, uint64_t *ret_columns, struct wharf_error *e)
{
    int64_t rows = message_int(c->message, "h"), columns = message_int(c->message, "w");

    if (rows < 0 || rows > UINT32_MAX || columns < 0 || columns > UINT32_MAX)
        return err_invalid(e, "invalid resize: %lld by %lld", (long long)rows, (long long)columns);
    *ret_rows = (uint64_t)MIN(rows, UINT16_MAX); /* struct winsize has 16 bits, ioctl_tty(2) */
    *ret_columns = (uint64_t)MIN(columns, UINT16_MAX);
    return 0;
}

int call_document(struct call *c, int r, unsigned status, json_t **document)
{
    return r < 0 ? r : reply_json(c->reply, status, *document);
}

int call_answer(struct call *c, int r, char **json)
{
    if (r >= 0)
        r = reply_json_text(c->reply, 200, *json, strlen(*json));
    free(*json);
    return MIN(r, 0);
}
