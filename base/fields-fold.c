/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names without regard to case. Go's decoder takes "hostconfig" for "HostConfig", and clients rely
 * on it; a document with both would mean one thing to a filter in front and another to the reader,
 * so that is refused. Only members that a table describes are folded: keys of maps (labels, port
 * numbers) are data.
 */
#include "base/fields-internal.h"

#include <strings.h>

static const struct field *find_folded(const struct field *fields, const char *name)
{
    const struct field *exact = field_find(fields, name, strlen(name));

    for (; !exact && fields->name; fields++) {
        if (strcasecmp(fields->name, name) == 0 && fields->type != FIELD_KEY)
            return fields;
    }
    return exact;
}

static int fold_value(const struct field *row, json_t *value, struct wharf_error *e)
{
    const struct field *inside = row;
    json_t *item;
    const char *key;
    size_t i;
    int r = 0;

    if (row->type == FIELD_STRUCT || row->type == FIELD_EMBED)
        return fields_fold_case(row->fields, value, e);
    if (row->type == FIELD_LIST) {
        json_array_foreach (value, i, item)
            r = r == 0 ? fields_fold_case(row->fields, item, e) : r;
    }
    if (row->type == FIELD_MAP) {
        while (row->flags & FIELD_BARE && (inside == row || inside->type == FIELD_KEY))
            inside = inside == row ? row->fields : inside + 1;
        json_object_foreach (value, key, item) {
            if (r == 0)
                r = inside == row ? fields_fold_case(row->fields, item, e)
                                  : fold_value(inside, item, e);
        }
    }
    return r;
}

int fields_fold_case(const struct field *fields, json_t *object, struct wharf_error *e)
{
    const char *key;
    json_t *value;
    void *next;

    if (!json_is_object(object))
        return 0; /* the reader will say what it wanted */
    json_object_foreach_safe(object, next, key, value)
    {
        const struct field *row = find_folded(fields, key);
        int r = row && row->fields ? fold_value(row, value, e) : 0;

        if (r < 0)
            return r;
        if (!row || streq(row->name, key))
            continue;
        if (json_object_get(object, row->name))
            return err_invalid(e, "key '%.64s' stands twice (keys are compared without case)", key);
        if (json_object_set(object, row->name, value) < 0)
            return err_nomem(e);
        json_object_del(object, key);
    }
    return 0;
}
