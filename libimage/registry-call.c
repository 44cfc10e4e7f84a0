/* SPDX-License-Identifier: Apache-2.0 */
/* Replies, ranges and parameters. See registry-call.h. */
#include "libimage/registry-call.h"
#include "base/fd.h"
#include "base/str.h"
#include "libimage/document.h"

#include <sys/stat.h>

void reply_header(struct registry_call *c, const char *format, ...)
{
    char *text;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    buf_add(&c->reply.headers, text, (size_t)n + 1);
    free(text);
}

void reply_error(struct registry_call *c, int status, const char *code, const char *message)
{
    if (c->reply.status)
        return; /* the first fault is told */
    c->reply.status = status;
    buf_reset(&c->reply.text);
    buf_printf(&c->reply.text,
               "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\",\"detail\":null}]}\n", code,
               message);
    reply_header(c, "Content-Type: application/json");
}

void reply_errno(struct registry_call *c, int code)
{
    reply_error(c, code == -ENOSPC ? 507 : 500, "UNKNOWN",
                code == -ENOSPC ? "the registry's disk is full" : "the registry's disk fails");
}

void reply_status(struct registry_call *c, int status)
{
    if (!c->reply.status)
        c->reply.status = status;
}

enum range { RANGE_NONE, RANGE_PART, RANGE_BAD };

/* RFC 9110, 14: one range is served; several, or another unit, are as good as none. */
static enum range parse_range(const char *text, int64_t size, int64_t *offset, int64_t *length)
{
    const char *p = text ? str_after(text, "bytes=") : NULL;
    autofree char *first = NULL;
    const char *dash = p ? strchr(p, '-') : NULL;
    uint64_t a = 0, b = INT64_MAX;

    if (!dash || strchr(p, ','))
        return RANGE_NONE;
    first = strndup(p, (size_t)(dash - p));
    if (!first || (dash[1] && parse_u64(dash + 1, 0, INT64_MAX, &b) < 0))
        return RANGE_NONE;
    if (dash == p) { /* the last b bytes */
        if (!dash[1])
            return RANGE_NONE;
        if (b == 0 || size == 0)
            return RANGE_BAD;
        *length = MIN((int64_t)b, size);
        *offset = size - *length;
        return RANGE_PART;
    }
    if (parse_u64(first, 0, INT64_MAX, &a) < 0 || b < a)
        return RANGE_NONE;
    if ((int64_t)a >= size)
        return RANGE_BAD;
    *offset = (int64_t)a;
    *length = MIN((int64_t)b, size - 1) - *offset + 1;
    return RANGE_PART;
}

void reply_file(struct registry_call *c, int fd, const char *type, const char *range)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        reply_errno(c, -errno);
        fd_close(fd);
        return;
    }
    c->reply.fd = fd;
    c->reply.length = st.st_size;
    c->reply.status = 200;
    reply_header(c, "Docker-Content-Digest: %s", c->digest.text);
    reply_header(c, "ETag: \"%s\"", c->digest.text);
    switch (parse_range(range, st.st_size, &c->reply.offset, &c->reply.length)) {
    case RANGE_NONE:
        break;
    case RANGE_PART:
        c->reply.status = 206;
        reply_header(c, "Content-Range: bytes %lld-%lld/%lld", (long long)c->reply.offset,
                     (long long)(c->reply.offset + c->reply.length - 1), (long long)st.st_size);
        break;
    case RANGE_BAD:
        c->reply.status = 0;
        c->reply.fd = fd_close(c->reply.fd);
        reply_header(c, "Content-Range: bytes */%lld", (long long)st.st_size);
        reply_error(c, 416, "SIZE_INVALID", "the range lies behind the end");
        return;
    }
    reply_header(c, "Content-Type: %s", type);
}

static int hex_digit(char ch)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = ch ? strchr(digits, ch) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

bool percent_decode(char *s)
{
    char *to = s;

    for (; *s; s++) {
        int high, low;

        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        high = hex_digit(s[1]);
        low = high < 0 ? -1 : hex_digit(s[2]);
        if (low < 0 || high + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        s += 2;
    }
    *to = 0;
    return true;
}

char *call_parameter(const struct registry_call *c, const char *name, size_t at)
{
    size_t len = strlen(name);

    for (const char *p = c->query; p && *p;) {
        size_t n = strcspn(p, "&");

        if (n > len && strncmp(p, name, len) == 0 && p[len] == '=' && at-- == 0) {
            char *value = strndup(p + len + 1, n - len - 1);

            if (value && percent_decode(value))
                return value;
            free(value);
            return NULL;
        }
        p += n + (p[n] == '&');
    }
    return NULL;
}

bool call_digest(struct registry_call *c, const char *text)
{
    if (digest_parse(&c->digest, text, "", NULL) == 0)
        return true;
    reply_error(c, 400, "DIGEST_INVALID", "not a digest of sha256 or sha512");
    return false;
}

const char *json_member_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

void referrers_kind(const char *subject, char kind[IMAGE_DIGEST_MAX + 16])
{
    snprintf(kind, IMAGE_DIGEST_MAX + 16, "referrers/%s", subject);
}
