/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and numbers. See str.h. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);

    return n >= m && streq(s + n - m, suffix);
}

static int parse_base(const char *text, unsigned base, uint64_t *ret)
{
    uint64_t value = 0;

    if (!*text)
        return -EINVAL;
    for (const char *p = text; *p; p++) {
        unsigned digit = (unsigned)(unsigned char)*p - '0';

        if (digit >= base)
            return -EINVAL;
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    int r = parse_base(text, 10, &value);

    if (r < 0)
        return r;
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = *text == '-';
    uint64_t magnitude;
    int64_t value;
    int r = parse_base(text + negative, 10, &magnitude);

    if (r < 0)
        return r;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_octal(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    int r = parse_base(text, 8, &value);

    if (r < 0)
        return r;
    if (value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}

/* Shift of a size unit, or -1. */
static int unit_shift(const char *unit)
{
    static const char letters[] = "bkmgtp";
    const char *at;

    if (!*unit)
        return 0;
    at = strchr(letters, *unit | 0x20);
    if (!at || !*at)
        return -1;
    unit++;
    if (*letters != *at && (unit[0] | 0x20) == 'i')
        unit++;
    if (*letters != *at && (unit[0] | 0x20) == 'b')
        unit++;
    return *unit ? -1 : (int)(at - letters) * 10;
}

int parse_size(const char *text, int64_t *ret)
{
    size_t whole = strspn(text, "0123456789");
    uint64_t value, fraction = 0, scale = 1;
    const char *rest = text + whole;
    char digits[24];
    int shift;

    if (whole == 0 || whole >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, text, whole);
    digits[whole] = 0;
    if (parse_u64(digits, 0, INT64_MAX, &value) < 0)
        return -ERANGE;
    if (*rest == '.') {
        for (rest++; *rest >= '0' && *rest <= '9'; rest++) {
            if (scale < 1000000) { /* further digits are below a byte for any real size */
                fraction = fraction * 10 + (uint64_t)(*rest - '0');
                scale *= 10;
            }
        }
    }
    while (*rest == ' ')
        rest++;
    shift = unit_shift(rest);
    if (shift < 0)
        return -EINVAL;
    if (value > ((uint64_t)INT64_MAX >> shift))
        return -ERANGE;
    /* the fraction is below one unit: (fraction << shift) stays below 2^20 * 2^50 only for units up
     * to 'g'; above, drop to 128 bits */
    value = (value << shift) + (uint64_t)(((unsigned __int128)fraction << shift) / scale);
    if (value > INT64_MAX)
        return -ERANGE;
    *ret = (int64_t)value;
    return 0;
}

char *str_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int r;

    va_start(args, format);
    r = vasprintf(&text, format, args);
    va_end(args);
    return r < 0 ? NULL : text;
}

size_t strv_count(const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

void strv_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

int strv_add(char ***list, const char *s)
{
    size_t n = strv_count((const char *const *)*list);
    char **grown = reallocarray(*list, n + 2, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    *list = grown;
    grown[n] = strdup(s);
    grown[n + 1] = NULL;
    return grown[n] ? 0 : -ENOMEM;
}

bool utf8_valid(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s, *end = p + len;

    while (p < end) {
        uint32_t c = *p++;
        unsigned more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 4;
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

        if (more == 4 || c > 0xf4 || (size_t)(end - p) < more)
            return false;
        if (more)
            c &= 0x3fu >> more;
        for (unsigned i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return true;
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = 0;
}

void duration_text(int64_t s, char *text, size_t size)
{
    static const struct {
        int64_t below, unit;
        const char *format;
    } steps[] = {
        { 1, 1, "Less than a second" },
        { 2, 1, "1 second" },
        { 60, 1, "%lld seconds" },
        { 120, 60, "About a minute" },
        { 3600, 60, "%lld minutes" },
        { 5400, 3600, "About an hour" },
        { 172800, 3600, "%lld hours" },
        { 1209600, 86400, "%lld days" },
        { 5184000, 604800, "%lld weeks" },
        { 63072000, 2592000, "%lld months" },
        { INT64_MAX, 31536000, "%lld years" },
    };
    size_t i = 0;

    while (i + 1 < ARRAY_SIZE(steps) && s >= steps[i].below)
        i++;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, size, steps[i].format,
             (long long)(s / steps[i].unit)); /* formats of the table */
#pragma GCC diagnostic pop
}
