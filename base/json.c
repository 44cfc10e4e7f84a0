/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON reading: jansson does the grammar, UTF-8 and exact duplicates; size, depth and
 * case-folded duplicates are checked here, before anything acts on the document. See json.h. */
#include "base/json.h"

#include <string.h>
#include <strings.h>

/* Nesting of the text, found without recursion before jansson recurses (its own limit is 2048,
 * which a caller with a small stack may not have). */
static unsigned depth_of(const char *text, size_t len)
{
    unsigned depth = 0, most = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > most)
                most = depth;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return most;
}

static int compare_keys(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* A key that stands twice in `object` but for case, or NULL; sorts, so that a hostile object of
 * many keys costs n log n. */
static int folded_twin(json_t *object, const char **ret)
{
    size_t n = json_object_size(object), i = 0;
    autofree const char **keys = n > 1 ? reallocarray(NULL, n, sizeof(*keys)) : NULL;
    const char *key;
    json_t *value;

    *ret = NULL;
    if (n < 2)
        return 0;
    if (!keys)
        return -ENOMEM;
    json_object_foreach (object, key, value)
        keys[i++] = key;
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (i = 1; i < n; i++) {
        if (strcasecmp(keys[i - 1], keys[i]) == 0)
            *ret = keys[i];
    }
    return 0;
}

static int check_folded(json_t *tree, const char *what, struct wharf_error *e)
{
    const char *key, *twin;
    json_t *value;
    size_t i;
    int r = 0;

    if (json_is_object(tree)) {
        if (folded_twin(tree, &twin) < 0)
            return err_nomem(e);
        if (twin)
            return err_invalid(e, "%s: key '%.64s' stands twice (keys are compared without case)",
                               what, twin);
        json_object_foreach (tree, key, value) {
            r = check_folded(value, what, e);
            if (r < 0)
                return r;
        }
    }
    json_array_foreach (tree, i, value) {
        r = check_folded(value, what, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int json_read(const char *text, size_t len, struct json_limits limits, const char *what,
              json_t **ret, struct wharf_error *e)
{
    autojson json_t *tree = NULL;
    json_error_t fault;
    int r;

    if (len > limits.size)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "%s: %zu bytes, the limit is %zu", what, len,
                       limits.size);
    if (depth_of(text, len) > limits.depth)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "%s: nested deeper than %u", what,
                       limits.depth);
    tree = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (!tree && json_error_code(&fault) == json_error_out_of_memory)
        return err_nomem(e);
    if (!tree)
        return err_invalid(e, "%s: line %d column %d: %s", what, fault.line, fault.column,
                           fault.text);
    r = limits.fold_case ? check_folded(tree, what, e) : 0;
    if (r < 0)
        return r;
    *ret = json_incref(tree);
    return 0;
}
