/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field tables at work: reading, writing, checking (setting by path: fields-set.c). Each field type
 * is one row of `kinds`: how it is read from JSON, written, made from text, and when it counts as
 * absent. Everything else walks tables and calls the row.
 */
#include "base/fields-internal.h"

#include <assert.h>
#include <inttypes.h>
#include "base/str.h"

static int read_members(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot);

/* ---- errors ---- */

static size_t at_text(const struct at *at, char *text, size_t size)
{
    size_t len = at->up ? at_text(at->up, text, size) : 0;
    int n;

    if (len >= size)
        return len;
    if (at->name)
        n = snprintf(text + len, size - len, "%s%s", len > 0 ? "." : "", at->name);
    else
        n = snprintf(text + len, size - len, "[%zu]", at->index);
    return len + (n > 0 ? (size_t)n : 0);
}

static int fail(struct reader *r, const struct at *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, const struct at *at, const char *format, ...)
{
    char where[256], what[WHARF_ERROR_MESSAGE_MAX];
    va_list args;

    if (at_text(at, where, sizeof(where)) == 0)
        snprintf(where, sizeof(where), "the document");
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return err_invalid(r->e, "%s: %s", where, what);
}

static int wrong_type(struct reader *r, const struct at *at, const char *wanted, json_t *got)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    bool wide = json_is_string(got) && !json_is_text(got);

    return fail(r, at, "must be %s, not %s", wanted,
                wide ? "an integer above 2^63" : names[json_typeof(got)]);
}

/* ---- absent ---- */

static bool zero_absent(const struct field *f, const void *slot)
{
    const char *bytes = slot;
    size_t n = field_size(f);

    while (n > 0 && bytes[n - 1] == 0)
        n--;
    return n == 0;
}

static bool opt_absent(const struct field *f, const void *slot)
{
    return !*(const bool *)slot; /* `set` comes first in each of them */
}

static bool list_absent(const struct field *f, const void *slot)
{
    return field_list_at(slot).count == 0;
}

static bool never_absent(const struct field *f, const void *slot)
{
    return false;
}

static bool always_absent(const struct field *f, const void *slot)
{
    return true;
}

/* ---- read ---- */

static int read_bool(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                     void *slot)
{
    if (!json_is_boolean(value))
        return wrong_type(r, at, "true or false", value);
    *(bool *)slot = json_is_true(value);
    return 0;
}

static int read_opt_bool(struct reader *r, const struct field *f, const struct at *at,
                         json_t *value, void *slot)
{
    struct opt_bool *opt = slot;
    int n = read_bool(r, f, at, value, &opt->value);

    opt->set = n == 0;
    return n;
}

static int read_i64(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    bool limited = f->min || f->max;
    int64_t min = limited ? f->min : INT64_MIN, max = limited ? f->max : INT64_MAX, n;

    if (!json_is_integer(value))
        return wrong_type(r, at, "an integer", value);
    n = json_integer_value(value);
    if (n < min || n > max)
        return fail(r, at, "%" PRId64 " is outside %" PRId64 "..%" PRId64, n, min, max);
    memcpy(slot, &n, sizeof(n));
    return 0;
}

static int read_opt_i64(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot)
{
    struct opt_i64 *opt = slot;
    int n = read_i64(r, f, at, value, &opt->value);

    opt->set = n == 0;
    return n;
}

static int read_unsigned(struct reader *r, const struct field *f, const struct at *at,
                         json_t *value, uint64_t most, uint64_t *ret)
{
    uint64_t min = (uint64_t)f->min, max = f->max ? (uint64_t)f->max : most, n;
    int result = json_u64(value, &n);

    if (result == -EINVAL)
        return wrong_type(r, at, "an integer", value);
    if (result == -ERANGE)
        return fail(r, at, "%lld is outside %" PRIu64 "..%" PRIu64, json_integer_value(value), min,
                    max);
    if (n < min || n > max)
        return fail(r, at, "%" PRIu64 " is outside %" PRIu64 "..%" PRIu64, n, min, max);
    *ret = n;
    return 0;
}

static int read_u64(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    return read_unsigned(r, f, at, value, UINT64_MAX, slot);
}

static int read_opt_u64(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot)
{
    struct opt_u64 *opt = slot;
    int n = read_u64(r, f, at, value, &opt->value);

    opt->set = n == 0;
    return n;
}

static int read_u32(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    uint64_t wide = 0;
    int n = read_unsigned(r, f, at, value, UINT32_MAX, &wide);

    if (n == 0)
        *(uint32_t *)slot = (uint32_t)wide;
    return n;
}

static int read_word(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                     int64_t *ret)
{
    if (!json_is_text(value))
        return wrong_type(r, at, "a string", value);
    if (field_word_find(f->words, json_string_value(value), ret) < 0)
        return fail(r, at, "unknown value '%.64s'", json_string_value(value));
    return 0;
}

static int read_enum(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                     void *slot)
{
    int64_t word = 0;
    int n = read_word(r, f, at, value, &word);

    if (n == 0)
        *(uint32_t *)slot = (uint32_t)word;
    return n;
}

static int read_flags(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                      void *slot)
{
    uint64_t flags = 0;
    json_t *item;
    size_t i;

    if (!json_is_array(value))
        return wrong_type(r, at, "a list of strings", value);
    json_array_foreach (value, i, item) {
        struct at here = { at, NULL, i };
        int64_t word = 0;
        int n = read_word(r, f, &here, item, &word);

        if (n < 0)
            return n;
        flags |= (uint64_t)word;
    }
    *(uint64_t *)slot = flags;
    return 0;
}

static int read_str(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    int64_t word = 0;
    char *copy;

    if (!json_is_text(value))
        return wrong_type(r, at, "a string", value);
    if (f->words && read_word(r, f, at, value, &word) < 0)
        return -EINVAL;
    if ((f->flags & FIELD_NONEMPTY) && json_string_length(value) == 0)
        return fail(r, at, "may not be empty");
    copy = arena_strn(r->arena, json_string_value(value), json_string_length(value));
    if (!copy)
        return err_nomem(r->e);
    memcpy(slot, &copy, sizeof(copy));
    return 0;
}

static int make_list(struct reader *r, const struct field *f, const struct at *at, size_t count,
                     size_t size, struct list *ret)
{
    if ((f->flags & FIELD_NONEMPTY) && count == 0)
        return fail(r, at, "may not be empty");
    if (count > FIELDS_LIST_MAX)
        return fail(r, at, "has %zu elements, the limit is %d", count, FIELDS_LIST_MAX);
    *ret = (struct list){ NULL, count };
    if (count > 0 && !(ret->items = arena_array(r->arena, count, size)))
        return err_nomem(r->e);
    return 0;
}

/* A list of strings that was given as its only element. */
static int read_one(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    static const struct field string = { .type = FIELD_STR };
    struct list list;
    int n = make_list(r, f, at, 1, sizeof(char *), &list);

    if (n == 0)
        n = read_str(r, &string, at, value, list.items);
    if (n == 0)
        memcpy(slot, &list, sizeof(list));
    return n;
}

static int read_list(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                     void *slot)
{
    const struct field element = field_element(f);
    size_t size = field_size(&element), i;
    struct list list;
    json_t *item;
    int n;

    if ((f->flags & FIELD_ONE) && json_is_text(value))
        return read_one(r, f, at, value, slot);
    if (!json_is_array(value))
        return wrong_type(r, at, "a list", value);
    n = make_list(r, f, at, json_array_size(value), size, &list);
    if (n < 0)
        return n;
    json_array_foreach (value, i, item) {
        struct at here = { at, NULL, i };

        n = field_kinds[element.type].read(r, &element, &here, item, list.items + i * size);
        if (n < 0)
            return n;
    }
    memcpy(slot, &list, sizeof(list));
    return 0;
}

/* The only row of a bare map's elements that is not their key. */
static const struct field *bare_row(const struct field *map)
{
    const struct field *row = map->fields;

    while (row->type == FIELD_KEY)
        row++;
    return row;
}

static int read_entry(struct reader *r, const struct field *map, const struct at *at, json_t *value,
                      char *to)
{
    const struct field element = field_element(map);

    if (json_is_null(value))
        return 0;
    if (!(map->flags & FIELD_BARE))
        return read_members(r, &element, at, value, to);
    const struct field *row = bare_row(map);
    return field_kinds[row->type].read(r, row, at, value, field_slot(row, to));
}

static int read_map(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    struct list list;
    const char *key;
    json_t *item;
    char *to;
    int n;

    if (!json_is_object(value))
        return wrong_type(r, at, "an object", value);
    n = make_list(r, f, at, json_object_size(value), f->size, &list);
    if (n < 0)
        return n;
    to = list.items;
    json_object_foreach (value, key, item) {
        struct at here = { at, key, 0 };

        n = read_entry(r, f, &here, item, to);
        if (n < 0)
            return n;
        if (!(*field_key(f->fields, to) = arena_str(r->arena, key)))
            return err_nomem(r->e);
        to += f->size;
    }
    memcpy(slot, &list, sizeof(list));
    return 0;
}

static int read_set(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                    void *slot)
{
    struct list list;
    const char *key;
    json_t *item;
    char **to;
    int n;

    if (!json_is_object(value))
        return wrong_type(r, at, "an object", value);
    n = make_list(r, f, at, json_object_size(value), sizeof(char *), &list);
    if (n < 0)
        return n;
    to = (void *)list.items;
    json_object_foreach (value, key, item) {
        struct at here = { at, key, 0 };

        if (!json_is_object(item) && !json_is_null(item))
            return wrong_type(r, &here, "an empty object", item);
        if (!(*to++ = arena_str(r->arena, key)))
            return err_nomem(r->e);
    }
    memcpy(slot, &list, sizeof(list));
    return 0;
}

static int read_string_map(struct reader *r, const struct field *f, const struct at *at,
                           json_t *value, void *slot)
{
    static const struct field string = { .type = FIELD_STR };
    struct field_pair *pair;
    struct list list;
    const char *key;
    json_t *item;
    int n;

    if (!json_is_object(value))
        return wrong_type(r, at, "an object of strings", value);
    n = make_list(r, f, at, json_object_size(value), sizeof(*pair), &list);
    if (n < 0)
        return n;
    pair = (void *)list.items;
    json_object_foreach (value, key, item) {
        struct at here = { at, key, 0 };

        n = read_str(r, &string, &here, item, &pair->value);
        if (n < 0)
            return n;
        if (!(pair->key = arena_str(r->arena, key)))
            return err_nomem(r->e);
        pair++;
    }
    memcpy(slot, &list, sizeof(list));
    return 0;
}

static int refuse_unknown(struct reader *r, const struct field *f, const struct at *at,
                          json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        if (!field_find(f->fields, key, strlen(key)))
            return fail(r, at, "unknown member '%.64s'", key);
    }
    return 0;
}

static int read_members(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot)
{
    if (!json_is_object(value))
        return wrong_type(r, at, "an object", value);
    for (const struct field *row = f->fields; row->name; row++) {
        json_t *member = row->type == FIELD_KEY ? NULL : json_object_get(value, row->name);
        struct at here = { at, row->name, 0 };
        int n = 0;

        if (member && !json_is_null(member))
            n = field_kinds[row->type].read(r, row, &here, member, field_slot(row, slot));
        else if (row->flags & FIELD_REQUIRED)
            n = fail(r, &here, "is missing");
        if (n < 0)
            return n;
    }
    return f->flags & FIELD_STRICT ? refuse_unknown(r, f, at, value) : 0;
}

static int read_struct(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                       void *slot)
{
    void *made = arena_alloc(r->arena, f->size);
    int n = made ? read_members(r, f, at, value, made) : err_nomem(r->e);

    if (n == 0)
        memcpy(slot, &made, sizeof(made));
    return n;
}

static int read_present(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot)
{
    *(bool *)slot = true;
    return 0;
}

static int read_refused(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                        void *slot)
{
    return fail(r, at, "is for another platform; a Linux container cannot follow it");
}

/* ---- write ---- */

static json_t *write_bool(const struct field *f, const void *slot)
{
    return json_boolean(*(const bool *)slot);
}

static json_t *write_opt_bool(const struct field *f, const void *slot)
{
    return json_boolean(((const struct opt_bool *)slot)->value);
}

static json_t *write_i64(const struct field *f, const void *slot)
{
    return json_integer(*(const int64_t *)slot);
}

static json_t *write_opt_i64(const struct field *f, const void *slot)
{
    return json_integer(((const struct opt_i64 *)slot)->value);
}

static json_t *write_u64(const struct field *f, const void *slot)
{
    return json_new_u64(*(const uint64_t *)slot);
}

static json_t *write_opt_u64(const struct field *f, const void *slot)
{
    return json_new_u64(((const struct opt_u64 *)slot)->value);
}

static json_t *write_u32(const struct field *f, const void *slot)
{
    return json_integer(*(const uint32_t *)slot);
}

static json_t *write_enum(const struct field *f, const void *slot)
{
    const struct field_word *word = f->words;

    while (word->name && (uint32_t)word->value != *(const uint32_t *)slot)
        word++;
    assert(word->name);
    return json_string(word->name);
}

static json_t *write_flags(const struct field *f, const void *slot)
{
    uint64_t flags = *(const uint64_t *)slot;
    json_t *list = json_array();

    for (const struct field_word *word = f->words; list && word->name; word++) {
        if ((flags & (uint64_t)word->value) &&
            json_array_append_new(list, json_string(word->name)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *write_str(const struct field *f, const void *slot)
{
    return json_string(field_pointer_at(slot));
}

static json_t *write_list(const struct field *f, const void *slot)
{
    const struct field element = field_element(f);
    struct list list = field_list_at(slot);
    size_t size = field_size(&element);
    json_t *array = json_array();

    for (size_t i = 0; array && i < list.count; i++) {
        json_t *item = field_kinds[element.type].write(&element, list.items + i * size);

        if (json_array_append_new(array, item) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *write_members(const struct field *f, const void *slot)
{
    return fields_write(f->fields, slot);
}

static json_t *write_struct(const struct field *f, const void *slot)
{
    return fields_write(f->fields, field_pointer_at(slot));
}

static json_t *write_entry(const struct field *map, const void *element)
{
    const struct field *row = map->flags & FIELD_BARE ? bare_row(map) : NULL;

    if (!row)
        return fields_write(map->fields, element);
    const void *slot = field_slot(row, element);
    return field_kinds[row->type].absent(row, slot) ? json_null()
                                                    : field_kinds[row->type].write(row, slot);
}

static json_t *write_map(const struct field *f, const void *slot)
{
    struct list list = field_list_at(slot);
    json_t *object = json_object();

    for (size_t i = 0; object && i < list.count; i++) {
        char *element = list.items + i * f->size;

        if (json_object_set_new(object, *field_key(f->fields, element), write_entry(f, element)) <
            0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *write_set(const struct field *f, const void *slot)
{
    struct list list = field_list_at(slot);
    json_t *object = json_object();

    for (size_t i = 0; object && i < list.count; i++) {
        if (json_object_set_new(object, ((char **)(void *)list.items)[i], json_object()) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *write_string_map(const struct field *f, const void *slot)
{
    struct list list = field_list_at(slot);
    const struct field_pair *pair = (const void *)list.items;
    json_t *object = json_object();

    for (size_t i = 0; object && i < list.count; i++, pair++) {
        if (json_object_set_new(object, pair->key, json_string(pair->value)) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *write_present(const struct field *f, const void *slot)
{
    return json_array(); /* an empty list, until the row that has its elements replaces it */
}

json_t *fields_write(const struct field *fields, const void *in)
{
    autojson json_t *object = json_object();

    for (const struct field *row = fields; object && row->name; row++) {
        const struct kind *kind = &field_kinds[row->type];
        const void *slot = field_slot(row, in);
        bool required = kind->scalar && (row->flags & FIELD_REQUIRED);

        if (kind->absent(row, slot) && !required)
            continue;
        if (json_object_set_new_nocheck(object, row->name, kind->write(row, slot)) < 0)
            return NULL;
    }
    return json_incref(object);
}

/* The value that Go's encoder gives to what is not there. */
static json_t *write_nothing(const struct field *row)
{
    switch (row->type) {
    case FIELD_BOOL:
        return json_false();
    case FIELD_I64:
    case FIELD_U64:
    case FIELD_U32:
    case FIELD_REFUSED:
        return json_integer(0);
    case FIELD_STR:
    case FIELD_ENUM:
        return json_string("");
    default:
        return json_null();
    }
}

json_t *fields_write_all(const struct field *fields, const void *in)
{
    autojson json_t *object = json_object();

    for (const struct field *row = fields; object && row->name; row++) {
        const struct kind *kind = &field_kinds[row->type];
        const void *slot = field_slot(row, in);
        json_t *value;

        if (row->type == FIELD_KEY || row->type == FIELD_PRESENT)
            continue;
        if (kind->absent(row, slot))
            value = write_nothing(row);
        else if (row->type == FIELD_EMBED)
            value = fields_write_all(row->fields, slot);
        else
            value = kind->write(row, slot);
        if (json_object_set_new_nocheck(object, row->name, value) < 0)
            return NULL;
    }
    return json_incref(object);
}

/* ---- the kinds ---- */

#define NUMBER(size_, absent_, what_)                                                              \
    {                                                                                              \
        size_, true, absent_, read_##what_, write_##what_, field_parse_number                      \
    }
const struct kind field_kinds[FIELD_TYPES] = {
    [FIELD_BOOL] = { sizeof(bool), true, zero_absent, read_bool, write_bool, field_parse_bool },
    [FIELD_OPT_BOOL] = { sizeof(struct opt_bool), false, opt_absent, read_opt_bool, write_opt_bool,
                         field_parse_bool },
    [FIELD_I64] = NUMBER(sizeof(int64_t), zero_absent, i64),
    [FIELD_U64] = NUMBER(sizeof(uint64_t), zero_absent, u64),
    [FIELD_U32] = NUMBER(sizeof(uint32_t), zero_absent, u32),
    [FIELD_OPT_I64] = NUMBER(sizeof(struct opt_i64), opt_absent, opt_i64),
    [FIELD_OPT_U64] = NUMBER(sizeof(struct opt_u64), opt_absent, opt_u64),
    [FIELD_ENUM] = { sizeof(int), true, zero_absent, read_enum, write_enum, field_parse_string },
    [FIELD_FLAGS] = { sizeof(uint64_t), true, zero_absent, read_flags, write_flags,
                      field_parse_words },
    [FIELD_STR] = { sizeof(char *), false, zero_absent, read_str, write_str, field_parse_string },
    [FIELD_STRINGS] = { sizeof(struct list), true, list_absent, read_list, write_list,
                        field_parse_json },
    [FIELD_ARRAY] = { sizeof(struct list), true, list_absent, read_list, write_list,
                      field_parse_json },
    [FIELD_SET] = { sizeof(struct list), true, list_absent, read_set, write_set, field_parse_json },
    [FIELD_STRING_MAP] = { sizeof(struct list), true, list_absent, read_string_map,
                           write_string_map, field_parse_json },
    [FIELD_EMBED] = { 0, true, never_absent, read_members, write_members, field_parse_json },
    [FIELD_STRUCT] = { sizeof(void *), false, zero_absent, read_struct, write_struct,
                       field_parse_json },
    [FIELD_LIST] = { sizeof(struct list), true, list_absent, read_list, write_list,
                     field_parse_json },
    [FIELD_MAP] = { sizeof(struct list), true, list_absent, read_map, write_map, field_parse_json },
    [FIELD_KEY] = { sizeof(char *), false, always_absent, NULL, NULL, NULL },
    [FIELD_PRESENT] = { sizeof(bool), false, zero_absent, read_present, write_present, NULL },
    [FIELD_REFUSED] = { 0, false, always_absent, read_refused, NULL, field_parse_string },
};

int fields_read(const struct field *fields, json_t *object, const char *path, struct arena *arena,
                void *out, struct wharf_error *e)
{
    struct reader r = { arena, e };
    struct field whole = { .type = FIELD_EMBED, .fields = fields };
    struct at at = { NULL, path, 0 };

    return read_members(&r, &whole, &at, object, out);
}

/* ---- check ---- */

static int check_members(struct reader *r, const struct field *fields, const struct at *at,
                         const void *in);

static int check_list(struct reader *r, const struct field *f, const struct at *at,
                      struct list list)
{
    for (size_t i = 0; i < list.count; i++) {
        struct at here = { at, NULL, i };
        int n = check_members(r, f->fields, &here, list.items + i * f->size);

        if (n < 0)
            return n;
    }
    return 0;
}

static int check_members(struct reader *r, const struct field *fields, const struct at *at,
                         const void *in)
{
    for (const struct field *row = fields; row->name; row++) {
        struct at here = { at, row->name, 0 };
        const void *slot = field_slot(row, in);
        bool absent = field_kinds[row->type].absent(row, slot);
        int n = 0;

        if (absent && (row->flags & FIELD_REQUIRED) && !field_kinds[row->type].scalar)
            n = fail(r, &here, "is missing");
        else if (!absent && row->type == FIELD_STRUCT)
            n = check_members(r, row->fields, &here, field_pointer_at(slot));
        else if (!absent && row->type == FIELD_EMBED)
            n = check_members(r, row->fields, &here, slot);
        else if (row->type == FIELD_LIST || row->type == FIELD_MAP)
            n = check_list(r, row, &here, field_list_at(slot));
        if (n < 0)
            return n;
    }
    return 0;
}

int fields_check(const struct field *fields, const void *in, struct wharf_error *e)
{
    struct reader r = { NULL, e };
    struct at at = { NULL, "", 0 };

    return check_members(&r, fields, &at, in);
}

/* ---- unknown members ---- */

static int keep_in_elements(const struct field *f, json_t *written, json_t *document)
{
    json_t *item;
    size_t i;

    json_array_foreach (written, i, item) {
        int n = fields_keep_unknown(f->fields, item, json_array_get(document, i));

        if (n < 0)
            return n;
    }
    return 0;
}

static int keep_in_entries(const struct field *f, json_t *written, json_t *document)
{
    const char *key;
    json_t *item;

    json_object_foreach (written, key, item) {
        int n = fields_keep_unknown(f->fields, item, json_object_get(document, key));

        if (n < 0)
            return n;
    }
    return 0;
}

int fields_keep_unknown(const struct field *fields, json_t *written, json_t *document)
{
    const char *key;
    json_t *value;

    json_object_foreach (document, key, value) {
        const struct field *row = field_find(fields, key, strlen(key));
        json_t *mine = row ? json_object_get(written, key) : NULL;
        int n = 0;

        if (!row)
            n = json_object_set(written, key, value) < 0 ? -ENOMEM : 0;
        else if (row->type == FIELD_STRUCT || row->type == FIELD_EMBED)
            n = fields_keep_unknown(row->fields, mine, value);
        else if (row->type == FIELD_LIST)
            n = keep_in_elements(row, mine, value);
        else if (row->type == FIELD_MAP)
            n = keep_in_entries(row, mine, value);
        if (n < 0)
            return n;
    }
    return 0;
}

/* ---- words ---- */

int field_word_find(const struct field_word *words, const char *name, int64_t *ret)
{
    for (; words->name; words++) {
        if (streq(words->name, name)) {
            *ret = words->value;
            return 0;
        }
    }
    return -EINVAL;
}

const char *field_word_name(const struct field_word *words, int64_t value)
{
    while (words->name && words->value != value)
        words++;
    return words->name;
}
