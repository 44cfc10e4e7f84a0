/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON text. Every value that comes from outside is written here, by buf_json. */
#include "engine/oci-internal.h"

void put_string(struct buf *b, const char *s)
{
    buf_json(b, s, strlen(s));
}

/* `,"key":"value"` */
void put_member(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, ",\"%s\":", key);
    put_string(b, value);
}

void put_list(struct buf *b, const char *key, const char *const *items, size_t count)
{
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_char(b, ',');
        put_string(b, items[i]);
    }
    buf_char(b, ']');
}

void put_pairs(struct buf *b, const char *key, const field_pairs *pairs)
{
    buf_printf(b, ",\"%s\":{", key);
    for (size_t i = 0; i < pairs->count; i++) {
        if (i > 0)
            buf_char(b, ',');
        put_string(b, pairs->items[i].key);
        buf_char(b, ':');
        put_string(b, pairs->items[i].value);
    }
    buf_char(b, '}');
}
