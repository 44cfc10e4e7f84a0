/* SPDX-License-Identifier: Apache-2.0 */
/* Durations. See duration.h. */
#include "libimage/build/duration.h"

#include <stdio.h>
#include "base/macros.h"
#include "base/str.h"

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    { "ns", 1 },         { "us", 1000 },         { "\xc2\xb5s", 1000 },    { "ms", 1000000 },
    { "s", 1000000000 }, { "m", 60000000000ll }, { "h", 3600000000000ll },
};

/* One number with its unit. */
static int add_part(const char **at, double *total)
{
    const char *p = *at;
    double value = 0, scale = 1;
    const struct unit *unit = NULL;
    size_t digits = 0, n;

    for (; *p >= '0' && *p <= '9'; p++, digits++)
        value = value * 10 + (*p - '0');
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
            scale /= 10;
            value += (*p - '0') * scale;
        }
    }
    n = strcspn(p, "0123456789.");
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strlen(units[i].name) == n && strncmp(units[i].name, p, n) == 0)
            unit = &units[i];
    }
    if (digits == 0 || !unit)
        return -EINVAL;
    *total += value * (double)unit->ns;
    *at = p + n;
    return *total < 9e18 ? 0 : -EINVAL;
}

int duration_parse(const char *text, int64_t *ret_ns)
{
    bool negative = *text == '-';
    double total = 0;

    text += negative || *text == '+';
    if (streq(text, "0")) {
        *ret_ns = 0;
        return 0;
    }
    if (!*text)
        return -EINVAL;
    while (*text) {
        if (add_part(&text, &total) < 0)
            return -EINVAL;
    }
    *ret_ns = (int64_t)(negative ? -total : total);
    return 0;
}

/* `ns` in a unit of 10 to the power of `digits` nanoseconds, without zeros at the end. */
static void format_part(int64_t ns, int digits, const char *unit, char *at, size_t size)
{
    char rest[24] = "";
    int64_t whole = ns;
    size_t n = (size_t)digits;

    for (size_t i = n; i-- > 0; whole /= 10)
        rest[i] = (char)('0' + whole % 10);
    while (n > 0 && rest[n - 1] == '0')
        n--;
    snprintf(at, size, "%lld%s%.*s%s", (long long)whole, n ? "." : "", (int)n, rest, unit);
}

void duration_format(int64_t ns, char ret[DURATION_TEXT_MAX])
{
    static const struct {
        int64_t below;
        int digits;
        const char *unit;
    } small[] = {
        { 1, 0, "s" }, { 1000, 0, "ns" }, { 1000000, 3, "\xc2\xb5s" }, { 1000000000, 6, "ms" }
    };
    int64_t minutes = ns / 60000000000ll;
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
        if (ns < small[i].below) {
            format_part(ns, small[i].digits, small[i].unit, ret, DURATION_TEXT_MAX);
            return;
        }
    }
    if (minutes >= 60)
        len += (size_t)snprintf(ret, DURATION_TEXT_MAX, "%lldh", (long long)(minutes / 60));
    if (minutes > 0)
        len += (size_t)snprintf(ret + len, DURATION_TEXT_MAX - len, "%dm", (int)(minutes % 60));
    format_part(ns % 60000000000ll, 9, "s", ret + len, DURATION_TEXT_MAX - len);
}
