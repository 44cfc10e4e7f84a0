/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and numbers: comparison, strict parsing, joining. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <string.h>
#include "base/macros.h"

static inline bool streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* True also when both are NULL. */
static inline bool streq_null(const char *a, const char *b)
{
    return a && b ? streq(a, b) : a == b;
}

/* The rest of `s` behind `prefix`, or NULL. */
static inline const char *str_after(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool str_ends(const char *s, const char *suffix);

/* Strict decimal numbers: digits only (a leading '-' for i64), all of the text, within [min, max].
 * 0, or -EINVAL (not a number), -ERANGE (outside); *ret is untouched on failure. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
int parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret);
/* The same in base 8 (modes). */
int parse_octal(const char *text, uint64_t max, uint64_t *ret);
/* A size in bytes as docker writes it: a decimal number, perhaps with a fraction, and an optional
 * unit b k m g t p (powers of 1024, any case, an "ib" or "b" behind it allowed). */
int parse_size(const char *text, int64_t *ret);

/* A new string by printf rules; NULL when out of memory. */
char *str_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How long, as people say it: "5 minutes", "About an hour". */
void duration_text(int64_t seconds, char *text, size_t size);

/* Lists of strings ended by NULL. */
size_t strv_count(const char *const *list);
void strv_free(char **list);
/* Appends a copy of `s`; 0 or -ENOMEM. *list may be NULL (empty). */
int strv_add(char ***list, const char *s);

static inline void auto_strv_free(char ***list)
{
    strv_free(*list);
}
#define autostrv __attribute__((cleanup(auto_strv_free)))

/* True if the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_valid(const char *s, size_t len);

/* Lower-case hexadecimal: out holds 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);

#endif
