/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting a field by its path: "memory.limit", "devices[0].major", "env[+]", "annotations.org.x".
 *
 * The text becomes JSON by the kind of its field, and that is read as from a document, so a value
 * is checked in one place only. What is set goes into fresh memory and is committed when it is
 * complete.
 */
#include "base/fields-internal.h"

/* ---- from text ---- */

json_t *field_parse_bool(const struct field *f, const char *text)
{
    return streq(text, "true") ? json_true() : streq(text, "false") ? json_false() : NULL;
}

json_t *field_parse_number(const struct field *f, const char *text)
{
    uint64_t large;
    int64_t n;

    if (parse_i64(text, INT64_MIN, INT64_MAX, &n) == 0 || parse_size(text, &n) == 0)
        return json_integer(n);
    return parse_u64(text, 0, UINT64_MAX, &large) == 0 ? json_new_u64(large) : NULL;
}

json_t *field_parse_string(const struct field *f, const char *text)
{
    return json_string(text);
}

json_t *field_parse_words(const struct field *f, const char *text)
{
    json_t *list = json_array();

    while (list && *text) {
        size_t n = strcspn(text, ",");

        if (json_array_append_new(list, json_stringn(text, n)) < 0) {
            json_decref(list);
            return NULL;
        }
        text += n + (text[n] == ',');
    }
    return list;
}

json_t *field_parse_json(const struct field *f, const char *text)
{
    struct json_limits limits = JSON_LIMITS;
    json_t *value = NULL;

    limits.wide = true;
    return json_read(text, strlen(text), limits, "", &value, NULL) == 0 ? value : NULL;
}

/* ---- set by path ---- */

struct setter {
    struct reader r;
    const char *path, *value;
};

static int set_field(struct setter *s, const struct field *f, void *slot, const char *rest);

static int no_field(struct setter *s)
{
    return err_invalid(s->r.e, "no field '%.128s'", s->path);
}

/* The end of the path: the value, by way of JSON. Flags are added with `more`. */
static int set_value(struct setter *s, const struct field *f, void *slot, bool more)
{
    autojson json_t *value = field_kinds[f->type].parse(f, s->value);
    struct at at = { NULL, s->path, 0 };
    void *fresh = arena_alloc(s->r.arena, field_size(f));
    int n;

    if (!fresh)
        return err_nomem(s->r.e);
    if (!value)
        return err_invalid(s->r.e, "%s: '%.64s' does not fit", s->path, s->value);
    n = field_kinds[f->type].read(&s->r, f, &at, value, fresh);
    if (n < 0)
        return n;
    if (more)
        *(uint64_t *)fresh |= *(uint64_t *)slot;
    memcpy(slot, fresh, field_size(f));
    return 0;
}

static int set_member(struct setter *s, const struct field *fields, void *in, const char *path)
{
    size_t len = strcspn(path, ".[");
    const struct field *row = field_find(fields, path, len);
    int n = row ? set_field(s, row, field_slot(row, in), path + len) : no_field(s);

    for (; n == 0 && fields != row; fields++) {
        if (fields->type == FIELD_PRESENT && streq(fields->name, row->name))
            *(bool *)field_slot(fields, in) = true;
    }
    return n;
}

/* Sets within element `index` of a list; one past the end appends it, when that succeeds. `key`
 * names a new entry of a map. */
static int set_element(struct setter *s, const struct field *f, void *slot, size_t index, char *key,
                       const char *rest)
{
    const struct field element = field_element(f);
    struct list list = field_list_at(slot), longer;
    size_t size = field_size(&element);
    int n;

    if (index < list.count)
        return set_field(s, &element, list.items + index * size, rest);
    if (index > list.count || index >= FIELDS_LIST_MAX)
        return err_invalid(s->r.e, "%s: the list has %zu elements", s->path, list.count);
    longer.count = list.count + 1;
    longer.items = arena_array(s->r.arena, longer.count, size);
    if (!longer.items)
        return err_nomem(s->r.e);
    if (list.count > 0)
        memcpy(longer.items, list.items, list.count * size);
    if (key)
        *field_key(f->fields, longer.items + index * size) = key;
    n = set_field(s, &element, longer.items + index * size, rest);
    if (n == 0)
        memcpy(slot, &longer, sizeof(longer));
    return n;
}

static int set_entry(struct setter *s, const struct field *f, void *slot, const char *key,
                     size_t len, const char *rest)
{
    struct list list = field_list_at(slot);
    char *copy = arena_strn(s->r.arena, key, len);
    size_t i = 0;

    if (!copy)
        return err_nomem(s->r.e);
    while (i < list.count && !streq(*field_key(f->fields, list.items + i * f->size), copy))
        i++;
    return set_element(s, f, slot, i, copy, rest);
}

static int set_pair(struct setter *s, void *slot, const char *key, size_t len)
{
    static const struct field pair_fields[] = { FIELD(struct field_pair, "key", FIELD_KEY, key),
                                                FIELD(struct field_pair, "", FIELD_STR, value),
                                                FIELD_END };
    static const struct field pairs = { .type = FIELD_MAP,
                                        .fields = pair_fields,
                                        .size = sizeof(struct field_pair) };

    /* a string map is a map whose only member has no name */
    return set_entry(s, &pairs, slot, key, len, ".");
}

/* ".name..." below a struct or map. */
static int set_below(struct setter *s, const struct field *f, void *slot, const char *name)
{
    void *in;
    int n;

    switch (f->type) {
    case FIELD_EMBED:
        return set_member(s, f->fields, slot, name);
    case FIELD_STRUCT:
        in = field_pointer_at(slot);
        if (in)
            return set_member(s, f->fields, in, name);
        in = arena_alloc(s->r.arena, f->size);
        n = in ? set_member(s, f->fields, in, name) : err_nomem(s->r.e);
        if (n == 0)
            memcpy(slot, &in, sizeof(in));
        return n;
    case FIELD_MAP:
        return set_entry(s, f, slot, name, strcspn(name, ".["), name + strcspn(name, ".["));
    case FIELD_STRING_MAP:
        return set_pair(s, slot, name, strlen(name));
    default:
        return no_field(s);
    }
}

/* "[inside]rest" of a list or map. */
static int set_inside(struct setter *s, const struct field *f, void *slot, const char *inside)
{
    const char *end = strchr(inside, ']');
    size_t len = end ? (size_t)(end - inside) : 0;
    bool more = len == 1 && *inside == '+';
    char digits[8] = { 0 };
    uint64_t index;

    if (len == 0)
        return no_field(s);
    if (f->type == FIELD_MAP)
        return set_entry(s, f, slot, inside, len, end + 1);
    if (f->type == FIELD_STRING_MAP && !end[1])
        return set_pair(s, slot, inside, len);
    if (f->type == FIELD_FLAGS && more && !end[1])
        return set_value(s, f, slot, true);
    if (f->type != FIELD_LIST && f->type != FIELD_STRINGS && f->type != FIELD_ARRAY)
        return no_field(s);
    if (more)
        return set_element(s, f, slot, field_list_at(slot).count, NULL, end + 1);
    memcpy(digits, inside, MIN(len, sizeof(digits) - 1));
    if (parse_u64(digits, 0, FIELDS_LIST_MAX, &index) < 0 || index >= field_list_at(slot).count)
        return err_invalid(s->r.e, "%s: the list has %zu elements", s->path,
                           field_list_at(slot).count);
    return set_element(s, f, slot, (size_t)index, NULL, end + 1);
}

static int set_field(struct setter *s, const struct field *f, void *slot, const char *rest)
{
    if (*rest == '.')
        return set_below(s, f, slot, rest + 1);
    if (*rest == '[')
        return set_inside(s, f, slot, rest + 1);
    return *rest ? no_field(s) : set_value(s, f, slot, false);
}

int fields_set(const struct field *fields, void *in, const char *path, const char *value,
               struct arena *arena, struct wharf_error *e)
{
    struct setter s = { { arena, e }, path, value };

    return set_member(&s, fields, in, path);
}
