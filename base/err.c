/* SPDX-License-Identifier: Apache-2.0 */
/* Error values: what a kind means outside, and how messages are made. See err.h. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

/* The one table from kinds to the outside. Exit codes 125..127 are those of `docker run`. */
static const struct {
    const char *name;
    int http, exit;
} kinds[WHARF_ERROR_KINDS] = {
    [WHARF_ERROR_NONE] = { "none", 200, 0 },
    [WHARF_ERROR_INVALID] = { "invalid", 400, 1 },
    [WHARF_ERROR_UNAUTHORIZED] = { "unauthorized", 401, 1 },
    [WHARF_ERROR_FORBIDDEN] = { "forbidden", 403, 1 },
    [WHARF_ERROR_NOT_FOUND] = { "not found", 404, 1 },
    [WHARF_ERROR_CONFLICT] = { "conflict", 409, 1 },
    [WHARF_ERROR_LIMIT] = { "limit", 413, 1 },
    [WHARF_ERROR_UNSUPPORTED] = { "unsupported", 501, 1 },
    [WHARF_ERROR_UNAVAILABLE] = { "unavailable", 503, 1 },
    [WHARF_ERROR_TIMEOUT] = { "timeout", 504, 1 },
    [WHARF_ERROR_CORRUPT] = { "corrupt", 500, 1 },
    [WHARF_ERROR_NO_COMMAND] = { "no command", 400, 127 },
    [WHARF_ERROR_NOT_RUNNABLE] = { "not runnable", 400, 126 },
    [WHARF_ERROR_INTERNAL] = { "internal", 500, 1 },
};

const char *wharf_error_kind_name(enum wharf_error_kind kind)
{
    return (unsigned)kind < WHARF_ERROR_KINDS ? kinds[kind].name : "unknown";
}

int wharf_error_http(const struct wharf_error *e)
{
    return (unsigned)e->kind < WHARF_ERROR_KINDS ? kinds[e->kind].http : 500;
}

int wharf_error_exit(const struct wharf_error *e)
{
    return (unsigned)e->kind < WHARF_ERROR_KINDS ? kinds[e->kind].exit : 1;
}

/* The kind of a failed system call, where the errno alone tells it. */
static enum wharf_error_kind kind_of(int code)
{
    switch (-code) {
    case ENOENT:
    case ESRCH:
        return WHARF_ERROR_NOT_FOUND;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY:
        return WHARF_ERROR_CONFLICT;
    case EINVAL:
    case ENAMETOOLONG:
        return WHARF_ERROR_INVALID;
    case ENOSYS:
    case EOPNOTSUPP:
        return WHARF_ERROR_UNSUPPORTED;
    case EFBIG:
    case E2BIG:
        return WHARF_ERROR_LIMIT;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENETUNREACH:
    case EHOSTUNREACH:
        return WHARF_ERROR_UNAVAILABLE;
    case ETIMEDOUT:
        return WHARF_ERROR_TIMEOUT;
    default:
        return WHARF_ERROR_INTERNAL;
    }
}

__attribute__((format(printf, 4, 0))) static void
set(struct wharf_error *e, int code, enum wharf_error_kind kind, const char *format, va_list args)
{
    e->code = -code;
    e->kind = kind;
    vsnprintf(e->message, sizeof(e->message), format, args);
}

static void append(struct wharf_error *e, const char *text)
{
    size_t len = strlen(e->message);

    snprintf(e->message + len, sizeof(e->message) - len, ": %s", text);
}

int err_set(struct wharf_error *e, int code, enum wharf_error_kind kind, const char *format, ...)
{
    va_list args;

    if (e) {
        int saved = errno;
        va_start(args, format);
        set(e, code, kind, format, args);
        va_end(args);
        errno = saved;
    }
    return code;
}

/* strerrordesc_np neither allocates nor looks at the locale: usable between clone and exec. */
static const char *describe(int code)
{
    const char *text = strerrordesc_np(-code);

    return text ? text : "unknown error";
}

int err_sys(struct wharf_error *e, const char *format, ...)
{
    int code = errno ? -errno : -EIO;
    va_list args;

    if (e) {
        va_start(args, format);
        set(e, code, kind_of(code), format, args);
        va_end(args);
        append(e, describe(code));
        errno = -code;
    }
    return code;
}

int err_code(struct wharf_error *e, int code, const char *format, ...)
{
    va_list args;

    if (e) {
        int saved = errno;
        va_start(args, format);
        set(e, code, kind_of(code), format, args);
        va_end(args);
        append(e, describe(code));
        errno = saved;
    }
    return code;
}

int err_wrap(struct wharf_error *e, int code, const char *format, ...)
{
    if (e) {
        int saved = errno;
        char inner[WHARF_ERROR_MESSAGE_MAX];
        va_list args;

        memcpy(inner, e->message, sizeof(inner));
        va_start(args, format);
        vsnprintf(e->message, sizeof(e->message), format, args);
        va_end(args);
        append(e, inner);
        errno = saved;
    }
    return code;
}
