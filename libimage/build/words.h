/* SPDX-License-Identifier: Apache-2.0 */
/* How the arguments of instructions are taken apart. Quotes and escapes stay in what these give,
 * except in flags: expansion undoes them. */
#ifndef LIBIMAGE_BUILD_WORDS_H
#define LIBIMAGE_BUILD_WORDS_H

#include "libimage/build/lines.h"

enum { WORDS_MAX = 65536 };

/* Blanks of a Dockerfile; none of them is a newline: a logical line has none. */
#define WORD_BLANKS " \t\v\f\r"

/* At blanks, whatever quotes say. */
int words_split(const char *text, struct arena *arena, field_strings *ret);
/* At blanks outside of quotes. */
int words_quoted(const char *text, char escape, struct arena *arena, field_strings *ret);
/* The leading `--flag` words, quotes undone; *ret_rest is what follows. */
int words_flags(const char *text, struct arena *arena, field_strings *ret, const char **ret_rest);
/* A JSON array of strings. 1: it is one; 0: it is no JSON array; -EINVAL: an array of other things.
 */
int words_json(const char *text, struct arena *arena, field_strings *ret, struct wharf_error *e);

int words_add(struct arena *arena, field_strings *list, const char *word, size_t len);

#endif
