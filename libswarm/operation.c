/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the row of the operation table that a name or a request means.
 *
 * A path may match two rows (`/images/json` is the list, and would be the image "json" if it had a
 * suffix): rows without {..} are looked at first. Only names of images and plugins hold slashes; a
 * reference such as `docker.io/library/busybox` arrives with them bare or as %2F, so values are
 * decoded after matching.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/macros.h"
#include "base/str.h"
#include "swarm.h"

#define PATH_VALUE_MAX 4096 /* bytes of one {..} */

bool operation_is(const struct operation *op, const char *name)
{
    return streq(op->name, name);
}

const struct operation *operation_named(const char *name)
{
    size_t count;
    const struct operation *ops = operations(&count);

    for (size_t i = 0; i < count; i++)
        if (streq(ops[i].name, name))
            return &ops[i];
    return NULL;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Decodes %XX; -EINVAL: broken, or a NUL, which no parameter may hold. */
static int percent_decode(const char *text, size_t len, char *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            ret[n++] = text[i];
            continue;
        }
        if (i + 2 >= len || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
            return -EINVAL;
        ret[n] = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
        if (!ret[n++])
            return -EINVAL;
        i += 2;
    }
    ret[n] = '\0';
    return 0;
}

/* May the value of this row's {..} hold slashes? */
static bool is_path_like(const struct operation *op)
{
    return streq(op->resource, "image") || streq(op->resource, "plugin");
}

/* Matches `prefix{key}suffix`; the raw value in *ret_value. */
static bool path_matches(const struct operation *op, const char *path, const char **ret_value,
                         size_t *ret_len)
{
    const char *open = strchr(op->path, '{'), *suffix = strchr(open, '}') + 1;
    size_t prefix_len = (size_t)(open - op->path), suffix_len = strlen(suffix), len = strlen(path);

    if (strncmp(path, op->path, prefix_len) || len <= prefix_len + suffix_len ||
        strcmp(path + len - suffix_len, suffix))
        return false;
    *ret_value = path + prefix_len;
    *ret_len = len - prefix_len - suffix_len;
    return is_path_like(op) || !memchr(*ret_value, '/', *ret_len);
}

static bool row_is_for(const struct operation *op, const char *method, unsigned api)
{
    return streq(op->method, method) && op->since <= api && (!op->until || api < op->until);
}

static int take_value(const struct operation *op, const char *value, size_t len, json_t *args)
{
    const char *key = strchr(op->path, '{') + 1;
    autofree char *name = strndup(key, strcspn(key, "}"));
    char decoded[PATH_VALUE_MAX];

    if (!name || len >= sizeof decoded || percent_decode(value, len, decoded) < 0)
        return -EINVAL;
    return json_object_set_new(args, name, json_string(decoded));
}

const struct operation *operation_find(const char *method, const char *path, unsigned api,
                                       json_t *args)
{
    size_t count, len;
    const struct operation *ops = operations(&count);
    const char *value;

    for (size_t i = 0; i < count; i++)
        if (row_is_for(&ops[i], method, api) && streq(ops[i].path, path))
            return &ops[i];
    for (size_t i = 0; i < count; i++)
        if (row_is_for(&ops[i], method, api) && strchr(ops[i].path, '{') &&
            path_matches(&ops[i], path, &value, &len))
            return take_value(&ops[i], value, len, args) == 0 ? &ops[i] : NULL;
    return NULL;
}
