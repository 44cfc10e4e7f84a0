/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON reading: jansson does the grammar, UTF-8 and exact duplicates; size, depth and
 * case-folded duplicates are checked here, before anything acts on the document. See json.h. */
#include "base/json.h"

#include <inttypes.h>
#include <strings.h>
#include <sys/auxv.h>
#include "base/buf.h"
#include "base/str.h"

/* What one look over the text finds, before jansson builds anything. */
struct scan {
    unsigned depth; /* of nesting: jansson recurses, and a caller's stack may be small */
    bool wide;      /* an integer from 2^63 to 2^64-1 */
    bool nul;       /* the escape \u0000, which jansson refuses */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of the number at `at`; *ret_wide tells whether it is one that int64_t cannot hold and
 * uint64_t can. */
static size_t skip_number(const char *text, size_t len, size_t at, bool *ret_wide)
{
    enum { DIGITS_LEAST = 19, DIGITS_MOST = 20 }; /* of such a number */
    size_t end = at;
    char digits[DIGITS_MOST + 1];
    uint64_t value;

    while (end < len && (is_digit(text[end]) || strchr("+-.eE", text[end])) && text[end])
        end++;
    *ret_wide = false;
    if (end - at < DIGITS_LEAST || end - at > DIGITS_MOST || text[at] == '0')
        return end;
    memcpy(digits, text + at, end - at);
    digits[end - at] = 0;
    *ret_wide = parse_u64(digits, (uint64_t)INT64_MAX + 1, UINT64_MAX, &value) == 0;
    return end;
}

/* Looks over the text. With `out`, also copies it there with each wide integer as a string of NUL
 * and its digits. */
static struct scan look(const char *text, size_t len, struct buf *out)
{
    struct scan found = { 0 };
    unsigned depth = 0;
    bool quoted = false;
    size_t copied = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (quoted) {
            if (c == '\\' && len - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
                found.nul = true;
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > found.depth)
                found.depth = depth;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (is_digit(c) || c == '-') {
            bool wide;
            size_t end = skip_number(text, len, i, &wide);

            found.wide |= wide;
            if (wide && out) {
                buf_add(out, text + copied, i - copied);
                buf_printf(out, "\"\\u0000%.*s\"", (int)(end - i), text + i);
                copied = end;
            }
            i = end - (end > i);
        }
    }
    if (out)
        buf_add(out, text + copied, len - copied);
    return found;
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

/* Jansson's tables need a number that a document's author cannot know. The kernel has given every
 * program 16 random bytes already: no need to open /dev/urandom. Only the first call counts. */
static void seed_hashes(void)
{
    const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
    uint64_t words[2];

    if (!random)
        return; /* jansson finds a seed itself */
    /* libc's stack guard is made of the same bytes: mixed, so that the seed does not tell it */
    memcpy(words, random, sizeof(words));
    words[0] = (words[0] ^ words[1] >> 29) * 0xbf58476d1ce4e5b9;
    json_object_seed((size_t)(words[0] >> 32 ^ words[1]) | 1);
}

int json_read(const char *text, size_t len, struct json_limits limits, const char *what,
              json_t **ret, struct wharf_error *e)
{
    autobuf struct buf rewritten = BUF(limits.size * 4); /* each of 19 digits gains 8 bytes */
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    autojson json_t *tree = NULL;
    json_error_t fault;
    struct scan found;
    int r;

    seed_hashes();
    if (len > limits.size)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "%s: %zu bytes, the limit is %zu", what, len,
                       limits.size);
    found = look(text, len, NULL);
    if (found.depth > limits.depth)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "%s: nested deeper than %u", what,
                       limits.depth);
    if (limits.wide && found.wide && !found.nul) {
        look(text, len, &rewritten);
        if (rewritten.error)
            return err_nomem(e);
        text = rewritten.data;
        len = rewritten.len;
        flags |= JSON_ALLOW_NUL;
    }
    tree = json_loadb(text, len, flags, &fault);
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

bool json_is_text(const json_t *value)
{
    return json_is_string(value) && (json_string_length(value) == 0 || *json_string_value(value));
}

bool json_has_pair(const json_t *object, const char *wanted)
{
    size_t n = strcspn(wanted, "=");
    autofree char *key = strndup(wanted, n);
    const char *value = key ? json_string_value(json_object_get(object, key)) : NULL;

    return value && (!wanted[n] || streq(value, wanted + n + 1));
}

int json_u64(const json_t *value, uint64_t *ret)
{
    if (json_is_integer(value)) {
        if (json_integer_value(value) < 0)
            return -ERANGE;
        *ret = (uint64_t)json_integer_value(value);
        return 0;
    }
    if (!json_is_string(value) || json_is_text(value))
        return -EINVAL;
    return parse_u64(json_string_value(value) + 1, 0, UINT64_MAX, ret);
}

json_t *json_new_u64(uint64_t value)
{
    char text[24] = { 0 };

    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(text + 1, sizeof(text) - 1, "%" PRIu64, value);
    return json_stringn(text, 1 + strlen(text + 1));
}

char *json_write(const json_t *tree, size_t flags)
{
    static const char mark[] = "\"\\u0000"; /* only a wide integer begins like this */
    char *text = json_dumps(tree, flags | JSON_ENCODE_ANY), *to, *from;

    to = from = text ? strstr(text, mark) : NULL;
    while (from) {
        char *digits = from + strlen(mark), *end = strchr(digits, '"'), *next;
        size_t rest;

        memmove(to, digits, (size_t)(end - digits));
        to += end - digits;
        from = end + 1;
        next = strstr(from, mark);
        rest = next ? (size_t)(next - from) : strlen(from) + 1;
        memmove(to, from, rest);
        to += rest;
        from = next;
    }
    return text;
}

const char *json_key_nocase(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)object, key, value)
        if (!strcasecmp(key, name))
            return key;
    return NULL;
}

json_t *json_member_nocase(const json_t *object, const char *name)
{
    const char *key = json_key_nocase(object, name);

    return key ? json_object_get(object, key) : NULL;
}

bool json_is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && !*json_string_value(v)) ||
           (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v)) ||
           (json_is_integer(v) && !json_integer_value(v));
}
