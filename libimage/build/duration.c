/* SPDX-License-Identifier: Apache-2.0 */
/* Durations. See duration.h. */
#include "libimage/build/duration.h"
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
