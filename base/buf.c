/* SPDX-License-Identifier: Apache-2.0 */
/* The growable buffer. See buf.h. */
#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

void buf_done(struct buf *b)
{
    free(b->data);
    *b = BUF(b->max);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->error = 0;
    if (b->data)
        b->data[0] = 0;
}

char *buf_reserve(struct buf *b, size_t len)
{
    size_t need, cap;
    char *grown;

    if (b->error)
        return NULL;
    if (__builtin_add_overflow(b->len, len, &need) || need > b->max) {
        b->error = -EFBIG;
        return NULL;
    }
    if (need + 1 <= b->cap)
        return b->data + b->len;
    cap = MAX(need + 1, MIN(b->cap * 2, b->max + 1));
    cap = MAX(cap, (size_t)64);
    grown = realloc(b->data, cap);
    if (!grown) {
        b->error = -ENOMEM;
        return NULL;
    }
    b->data = grown;
    b->cap = cap;
    b->data[b->len] = 0;
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    char *at = buf_reserve(b, len);

    if (!at)
        return;
    if (len)
        memcpy(at, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    char *at;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !(at = buf_reserve(b, (size_t)n)))
        return;
    va_start(args, format);
    vsnprintf(at, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

/* Length of the valid UTF-8 sequence at p, or 0. */
static size_t sequence(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    return n <= left && utf8_valid(p, n) ? n : 0;
}

void buf_json(struct buf *b, const char *s, size_t len)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    size_t plain = 0;

    buf_char(b, '"');
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        const char *name = NULL;
        size_t n = 1;

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            i++;
            continue;
        }
        if (c >= 0x80 && (n = sequence(s + i, len - i))) {
            i += n;
            continue;
        }
        buf_add(b, s + plain, i - plain);
        for (const char *p = named; *p && !name; p += 2)
            name = (unsigned char)*p == c ? p + 1 : NULL;
        if (name)
            buf_printf(b, "\\%c", *name);
        else
            buf_printf(b, "\\u%04x", c >= 0x80 ? 0xfffdu : c);
        plain = ++i;
    }
    buf_add(b, s + plain, len - plain);
    buf_char(b, '"');
}

char *buf_take(struct buf *b)
{
    char *text;

    if (!b->data && !buf_reserve(b, 0))
        return NULL;
    text = b->data;
    *b = BUF(b->max);
    return text;
}
