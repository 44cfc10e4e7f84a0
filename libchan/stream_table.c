/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of a session by number: open addressing with linear probing; a removal closes the
 * gap, so that there are no tombstones. A number is never 0. */
#include "libchan/stream_table.h"

#include "libchan/transport.h"

#define TABLE_MIN 16u

static uint32_t slot_of(const struct stream_table *t, uint64_t id)
{
    return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->cap - 1);
}

struct chan *stream_table_find(const struct stream_table *t, uint64_t id)
{
    if (!t->cap)
        return NULL;
    for (uint32_t i = slot_of(t, id); t->entries[i].id; i = (i + 1) & (t->cap - 1)) {
        if (t->entries[i].id == id)
            return t->entries[i].chan;
    }
    return NULL;
}

static void insert(struct stream_table *t, uint64_t id, struct chan *c)
{
    uint32_t i = slot_of(t, id);

    while (t->entries[i].id)
        i = (i + 1) & (t->cap - 1);
    t->entries[i] = (struct stream_entry){ id, c };
}

static int grow(struct stream_table *t)
{
    struct stream_table bigger = { .cap = t->cap ? t->cap * 2 : TABLE_MIN, .len = t->len };

    bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
    if (!bigger.entries)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->entries[i].id)
            insert(&bigger, t->entries[i].id, t->entries[i].chan);
    }
    free(t->entries);
    *t = bigger;
    return 0;
}

int stream_table_add(struct stream_table *t, uint64_t id, struct chan *c)
{
    if (t->len + 1 > t->cap / 4 * 3 && grow(t) < 0)
        return -ENOMEM;
    insert(t, id, c);
    t->len++;
    return 0;
}

void stream_table_remove(struct stream_table *t, uint64_t id)
{
    uint32_t mask = t->cap - 1, i = t->cap ? slot_of(t, id) : 0, gap, j;

    if (!t->cap)
        return;
    while (t->entries[i].id && t->entries[i].id != id)
        i = (i + 1) & mask;
    if (!t->entries[i].id)
        return;
    t->len--;
    gap = i;
    for (j = (i + 1) & mask; t->entries[j].id; j = (j + 1) & mask) {
        /* may the entry at j stand at the gap? only if its own slot is not in (gap, j] */
        if (((j - slot_of(t, t->entries[j].id)) & mask) >= ((j - gap) & mask)) {
            t->entries[gap] = t->entries[j];
            gap = j;
        }
    }
    t->entries[gap] = (struct stream_entry){ 0, NULL };
}
