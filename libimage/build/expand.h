/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small shell language of Dockerfile words: quotes, the escape character, `$name`, `${name}`
 * and the modifiers
 *
 *     ${x:-word} ${x-word} ${x:+word} ${x+word} ${x:?word} ${x?word}
 *     ${x#pattern} ${x##pattern} ${x%pattern} ${x%%pattern} ${x/pattern/text} ${x//pattern/text}
 *
 * with `*` and `?` in patterns. One pass: what a variable holds is not looked at again.
 */
#ifndef LIBIMAGE_BUILD_EXPAND_H
#define LIBIMAGE_BUILD_EXPAND_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    EXPAND_MAX = 16 << 20, /* bytes a word may become */
    EXPAND_DEPTH_MAX = 64, /* ${a:-${b:-...}} */
};

struct expander {
    char escape;
    bool raw_quotes;  /* quotes stay in the text */
    bool raw_escapes; /* so do escape characters */
    bool skip_unset;  /* a variable that is not set stays as it was written */
    bool no_quotes;   /* quotes are ordinary characters (here-documents) */
    /* The value of a variable, NULL: not set. NULL: nothing is set. */
    const char *(*lookup)(const char *name, size_t len, void *arg);
    void *arg;
};

/* The word with everything replaced, in `out`. -EINVAL: "failed to process ...". */
int expand_word(const struct expander *x, const char *text, struct buf *out, struct wharf_error *e);

/* The same in pieces: split at blanks that stand outside of quotes, also those that came out of a
 * variable. A list ended by NULL, *ret_count may be NULL. */
int expand_words(const struct expander *x, const char *text, struct arena *arena, char ***ret,
                 size_t *ret_count, struct wharf_error *e);

#endif
