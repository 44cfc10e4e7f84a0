/* SPDX-License-Identifier: Apache-2.0 */
/* See output.h. Of Go's templates there is what listings use: fields, json, and \t \n in the text.
 */
#include "cmd/wharf/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/str.h"
#include "engine/log-reader.h"

#define CELLS_MAX (1u << 20)

int output_row(struct output *o, const char *const *cells)
{
    if (o->count % 64 == 0) {
        char **more = realloc(o->cells, (o->count + 64) * o->columns * sizeof(*more));

        if (!more || o->count * o->columns > CELLS_MAX)
            return -ENOMEM;
        o->cells = more;
    }
    for (size_t i = 0; i < o->columns; i++) {
        char *copy = strdup(cells[i]);

        if (!copy)
            return -ENOMEM;
        o->cells[o->count * o->columns + i] = copy;
    }
    o->count++;
    return 0;
}

void output_done(struct output *o)
{
    for (size_t i = 0; i < o->count * o->columns; i++)
        free(o->cells[i]);
    free(o->cells);
    o->cells = NULL;
    o->count = 0;
}

static json_t *row_json(const struct output *o, size_t row)
{
    json_t *object = json_object();

    for (size_t i = 0; i < o->columns; i++)
        json_object_set_new(object, o->names[i], json_string(o->cells[row * o->columns + i]));
    return object;
}

/* How many places it takes on a screen: bytes that continue a UTF-8 character take none. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* The columns side by side, three blanks between; the last one is not padded. */
static void print_table(const struct output *o)
{
    size_t width[OUTPUT_COLUMNS] = { 0 }, last = 0;

    for (size_t c = 0; c < o->columns; c++) {
        if (!o->headings[c])
            continue;
        last = c;
        width[c] = strlen(o->headings[c]);
        for (size_t r = 0; r < o->count; r++)
            width[c] = MAX(width[c], text_width(o->cells[r * o->columns + c]));
    }
    for (size_t r = 0; r <= o->count; r++) {
        for (size_t c = 0; c <= last; c++) {
            const char *cell = r == 0 ? o->headings[c] : o->cells[(r - 1) * o->columns + c];

            if (o->headings[c])
                printf("%s%*s", cell, c == last ? 0 : (int)(width[c] - text_width(cell)) + 3, "");
        }
        putchar('\n');
    }
}

int output_print(const struct output *o, const char *format, struct wharf_error *e)
{
    const char *template = format ? str_after(format, "table ") : NULL;

    if (!format || streq(format, "table")) {
        print_table(o);
        return 0;
    }
    if (template) { /* the heading is the same template over the columns' headings */
        autojson json_t *heads = json_object();

        for (size_t c = 0; c < o->columns; c++)
            json_object_set_new(heads, o->names[c],
                                json_string(o->headings[c] ? o->headings[c] : o->names[c]));
        if (template_print(template, heads, e) < 0)
            return -EINVAL;
    }
    for (size_t r = 0; r < o->count; r++) {
        autojson json_t *row = row_json(o, r);

        if (streq(format, "json")) {
            json_dumpf(row, stdout, JSON_COMPACT);
            putchar('\n');
        } else if (template_print(template ? template : format, row, e) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

/* `path` is ".A.B" or "." */
static json_t *walk(json_t *value, const char *path, size_t len)
{
    for (size_t i = 1; i <= len && value; i++) {
        size_t n = strcspn(path + i, ". ");
        char key[128];

        n = MIN(n, len - i);
        snprintf(key, sizeof(key), "%.*s", (int)n, path + i);
        if (n > 0)
            value = json_object_get(value, key);
        i += n;
    }
    return value;
}

static void print_value(json_t *value, bool as_json)
{
    if (!as_json && json_is_string(value))
        fputs(json_string_value(value), stdout);
    else if (value)
        json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
}

int template_print(const char *template, json_t *value, struct wharf_error *e)
{
    for (const char *p = template; *p; p++) {
        if (p[0] == '\\' && (p[1] == 't' || p[1] == 'n')) {
            putchar(*++p == 't' ? '\t' : '\n');
            continue;
        }
        if (p[0] != '{' || p[1] != '{') {
            putchar(*p);
            continue;
        }
        const char *start = p + 2, *stop = strstr(start, "}}");
        start += strspn(start, " ");
        const char *json = str_after(start, "json ");
        const char *path = json ? json : start;
        size_t len = stop ? strcspn(path, " }") : 0;
        if (!stop || *path != '.')
            return err_unsupported(
                e,
                "template parsing error: only {{.Field}} and {{json .Field}} are "
                "supported: %s",
                template);
        json_t *found = walk(value, path, len);
        if (!found)
            return err_invalid(e, "template: no such field: %.*s", (int)len, path);
        print_value(found, json != NULL);
        p = stop + 1;
    }
    putchar('\n');
    return 0;
}

void size_text(int64_t bytes, char *text, size_t size)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1000 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1000;
    /* three digits, and no exponent where they round up to four */
    snprintf(text, size, value < 999 ? "%.3g%s" : "%.0f%s", value, units[unit]);
}

/* "1h30m10s" */
static int duration_parse(const char *text, int64_t *ret_seconds)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = { { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    int64_t sum = 0;

    if (!*text)
        return -EINVAL;
    while (*text) {
        size_t n = strspn(text, "0123456789"), u = 0;
        autofree char *digits = strndup(text, n);
        uint64_t number;

        while (u < ARRAY_SIZE(units) && units[u].letter != text[n])
            u++;
        if (u == ARRAY_SIZE(units) || !digits || parse_u64(digits, 0, 1u << 30, &number) < 0)
            return -EINVAL;
        sum += (int64_t)number * units[u].seconds;
        text += n + 1;
    }
    *ret_seconds = sum;
    return 0;
}

int when_parse(const char *text, int64_t *ret_ns, struct wharf_error *e)
{
    struct timespec now;
    int64_t seconds;
    uint64_t epoch;

    clock_gettime(CLOCK_REALTIME, &now);
    if (parse_u64(text, 0, INT64_MAX / 1000000000, &epoch) == 0)
        *ret_ns = (int64_t)epoch * 1000000000;
    else if (duration_parse(text, &seconds) == 0)
        *ret_ns = (now.tv_sec - seconds) * 1000000000 + now.tv_nsec;
    else if (log_time_parse(text, strlen(text), ret_ns) < 0)
        return err_invalid(
            e,
            "invalid value for a time: '%s': give RFC 3339, seconds, or a duration such "
            "as 10m",
            text);
    return 0;
}
