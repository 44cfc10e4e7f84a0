/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: a chain of blocks, each twice the last up to 64 KiB. See arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 64 * 1024, ALIGN = 16 };

struct block {
    struct block *next;
    size_t used, size; /* of data */
    _Alignas(ALIGN) char data[];
};

struct arena {
    struct block *blocks; /* newest first */
    size_t total, max;
};

struct arena *arena_new(size_t max)
{
    struct arena *a = calloc(1, sizeof(*a));

    if (a)
        a->max = max;
    return a;
}

void arena_free(struct arena *a)
{
    struct block *next;

    if (!a)
        return;
    for (struct block *b = a->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

static struct block *add_block(struct arena *a, size_t least)
{
    size_t size = a->blocks ? MIN(a->blocks->size * 2, (size_t)LARGEST_BLOCK) : FIRST_BLOCK;
    struct block *b;

    size = MAX(size, least);
    if (a->total + size > a->max) {
        size = least;
        if (a->total + size > a->max)
            return NULL;
    }
    b = calloc(1, sizeof(*b) + size);
    if (!b)
        return NULL;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    a->total += size;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct block *b = a->blocks;
    void *at;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!b || b->size - b->used < size) {
        b = add_block(a, size);
        if (!b)
            return NULL;
    }
    at = b->data + b->used;
    b->used += size;
    return at;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

char *arena_strn(struct arena *a, const char *s, size_t len)
{
    char *copy = arena_alloc(a, len + 1);

    if (copy)
        memcpy(copy, s, len);
    return copy;
}

char *arena_str(struct arena *a, const char *s)
{
    return arena_strn(a, s, strlen(s));
}

char *arena_format(struct arena *a, const char *format, ...)
{
    va_list args;
    char *text;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !(text = arena_alloc(a, (size_t)n + 1)))
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}
