/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fields.h share: the table of kinds, and how a row is found in a struct. */
#ifndef BASE_FIELDS_INTERNAL_H
#define BASE_FIELDS_INTERNAL_H

#include "base/fields.h"
#include "base/str.h"

/* Where something stands in the document; lives on the stack of the walk, made text on error. */
struct at {
    const struct at *up;
    const char *name; /* NULL: element `index` of a list */
    size_t index;
};

struct reader {
    struct arena *arena;
    struct wharf_error *e;
};

/* Every LIST_OF has this layout; reached by memcpy, so that no type is read as another. */
struct list {
    char *items;
    size_t count;
};

struct kind {
    size_t size; /* of the field; 0: `size` of the table's row */
    bool scalar; /* zero is a value: written where the field is required */
    bool (*absent)(const struct field *f, const void *slot);
    int (*read)(struct reader *r, const struct field *f, const struct at *at, json_t *value,
                void *slot);
    json_t *(*write)(const struct field *f, const void *slot);
    json_t *(*parse)(const struct field *f, const char *text); /* NULL: does not fit */
};
extern const struct kind field_kinds[FIELD_TYPES];

/* From text (fields-set.c): a JSON value that still has to be read, or NULL. */
json_t *field_parse_bool(const struct field *f, const char *text);
json_t *field_parse_number(const struct field *f, const char *text);
json_t *field_parse_string(const struct field *f, const char *text);
json_t *field_parse_words(const struct field *f, const char *text);
json_t *field_parse_json(const struct field *f, const char *text);

/* ---- rows ---- */

static inline void *field_slot(const struct field *f, const void *in)
{
    return (char *)in + f->offset;
}

static inline size_t field_size(const struct field *f)
{
    return field_kinds[f->type].size ? field_kinds[f->type].size : f->size;
}

static inline struct list field_list_at(const void *slot)
{
    struct list list;

    memcpy(&list, slot, sizeof(list));
    return list;
}

static inline void *field_pointer_at(const void *slot)
{
    void *p;

    memcpy(&p, slot, sizeof(p));
    return p;
}

/* The row that describes one element of a list or map. */
static inline struct field field_element(const struct field *list)
{
    struct field element = *list;

    element.offset = 0;
    element.flags &= FIELD_STRICT;
    element.type = list->type == FIELD_STRINGS ? FIELD_STR
                   : list->type == FIELD_ARRAY ? list->item
                                               : FIELD_EMBED;
    return element;
}

static inline const struct field *field_find(const struct field *fields, const char *name,
                                             size_t len)
{
    for (; fields->name; fields++) {
        if (strncmp(fields->name, name, len) == 0 && !fields->name[len] &&
            fields->type != FIELD_KEY && fields->type != FIELD_PRESENT)
            return fields;
    }
    return NULL;
}

static inline char **field_key(const struct field *fields, void *element)
{
    while (fields->type != FIELD_KEY)
        fields++;
    return field_slot(fields, element);
}

#endif
