/* SPDX-License-Identifier: Apache-2.0 */
/* Times as parameters and filters of the API give them. */
#include "engine/internal.h"

#include "base/str.h"

#define NS_PER_S INT64_C(1000000000)

/* "S" or "S.NNNNNNNNN" (docker: types/time.ParseTimestamps) */
static int parse_seconds(const char *text, int64_t *ret_ns)
{
    size_t digits = strspn(text, "0123456789");
    const char *fraction = text + digits;
    int64_t seconds = 0, ns = 0, scale = NS_PER_S / 10;

    if (!digits || digits > 10 || (*fraction && *fraction != '.'))
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        seconds = seconds * 10 + (text[i] - '0');
    if (*fraction)
        fraction++;
    for (; *fraction >= '0' && *fraction <= '9'; fraction++, scale /= 10)
        ns += (*fraction - '0') * scale;
    *ret_ns = seconds * NS_PER_S + ns;
    return *fraction ? -EINVAL : 0;
}

/* A Go duration such as "1h30m": so long ago. */
static int parse_ago(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = { { "ns", 1 },
                  { "us", 1000 },
                  { "ms", 1000000 },
                  { "h", 3600 * NS_PER_S },
                  { "m", 60 * NS_PER_S },
                  { "s", NS_PER_S } };
    int64_t ns = 0;
    size_t u;

    while (*text) {
        size_t digits = strspn(text, "0123456789");
        autofree char *number = strndup(text, digits);
        int64_t count;

        if (!number || parse_i64(number, 0, 1000000000, &count) < 0)
            return -EINVAL;
        text += digits;
        for (u = 0; u < ARRAY_SIZE(units) && !str_after(text, units[u].unit);)
            u++;
        if (u == ARRAY_SIZE(units) || __builtin_mul_overflow(count, units[u].ns, &count) ||
            __builtin_add_overflow(ns, count, &ns))
            return -EINVAL;
        text += strlen(units[u].unit);
    }
    *ret_ns = time_now_ns() - ns;
    return 0;
}

int api_time_parse(const char *text, int64_t *ret_ns, struct wharf_error *e)
{
    if (text && (parse_seconds(text, ret_ns) == 0 ||
                 log_time_parse(text, strlen(text), ret_ns) == 0 || parse_ago(text, ret_ns) == 0))
        return 0;
    return err_invalid(e, "'%s' is no time: neither seconds, nor RFC 3339, nor a duration",
                       text ? text : "");
}
