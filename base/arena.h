/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: allocations that live and die together (one parsed document, one request, one build
 * step). Memory is zeroed. Not thread-safe. All of it goes with arena_free.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/macros.h"

struct arena;

/* `max` bytes at most; NULL when out of memory. */
struct arena *arena_new(size_t max);
void arena_free(struct arena *a);
DEFINE_AUTO(struct arena, arena_free)

/* NULL when out of memory or past the maximum. Aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t count, size_t size); /* checks the product */
char *arena_strn(struct arena *a, const char *s, size_t len);
char *arena_str(struct arena *a, const char *s);
char *arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
