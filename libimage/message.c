/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the Docker API's progress stream, as JSON. */
#include "base/buf.h"
#include "base/str.h"
#include "image.h"

enum { MESSAGE_MAX = 64 << 10, BAR = 50 };

static void add_text(struct buf *b, const char *key, const char *text)
{
    if (!text)
        return;
    buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
    buf_json(b, text, strlen(text));
}

/* 1.234MB, as docker writes sizes: four digits, powers of 1000. */
static void add_size(struct buf *b, int64_t bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    double value = (double)bytes;
    size_t at = 0;

    for (; value >= 1000 && at + 1 < ARRAY_SIZE(units); at++)
        value /= 1000;
    buf_printf(b, "%.4g%s", value, units[at]);
}

/* The ready-made bar that old clients show as it is: [=====>    ]  1.2MB/4.5MB. */
static void add_bar(struct buf *b, int64_t current, int64_t total)
{
    int done = (int)(BAR * (double)MIN(current, total) / (double)total);

    buf_str(b, "\"progress\":\"[");
    for (int i = 0; i < BAR; i++)
        buf_char(b, i < done ? '=' : i == done ? '>' : ' ');
    buf_str(b, "]  ");
    add_size(b, current);
    buf_char(b, '/');
    add_size(b, total);
    buf_str(b, "\"");
}

char *image_message_json(const struct image_message *m)
{
    struct buf b = BUF(MESSAGE_MAX);
    bool step = m->status && (m->id || m->aux);

    buf_char(&b, '{');
    add_text(&b, "stream", m->stream);
    add_text(&b, "status", m->status);
    if (m->total > 0) {
        buf_printf(&b, ",\"progressDetail\":{\"current\":%lld,\"total\":%lld},",
                   (long long)m->current, (long long)m->total);
        add_bar(&b, m->current, m->total);
    } else if (step || m->aux) {
        buf_printf(&b, "%s\"progressDetail\":{}", b.len > 1 ? "," : "");
    }
    add_text(&b, "id", m->id);
    if (m->aux)
        buf_printf(&b, ",\"aux\":%s", m->aux);
    buf_str(&b, "}\r\n");
    if (b.error) {
        buf_done(&b);
        return NULL;
    }
    return buf_take(&b);
}
