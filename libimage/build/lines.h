/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the bytes of a Dockerfile to its logical lines: parser directives at the top, comments,
 * continuations, here-documents. What a line means is parse.c's business; the one thing that has to
 * be known here is which instructions may carry a here-document (RUN, COPY, ADD, also behind
 * ONBUILD, and not in the JSON form).
 */
#ifndef LIBIMAGE_BUILD_LINES_H
#define LIBIMAGE_BUILD_LINES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/fields.h"

enum {
    DOCKERFILE_MAX = 4 << 20,         /* bytes */
    DOCKERFILE_ARENA_MAX = 256 << 20, /* of everything parsed */
    DOCKERFILE_LINES_MAX = 100000,    /* logical lines */
    DOCKERFILE_HEREDOCS_MAX = 256,    /* on one line */
};

/* Which physical lines something stands on, counted from 1. */
struct span {
    int first, last;
};

struct heredoc {
    const char *name, *content; /* tabs stripped already where `<<-` asks for it */
    bool expand;                /* the word was not quoted */
    bool chomp;                 /* `<<-` */
};
typedef LIST_OF(struct heredoc) heredocs;

struct line {
    const char *text; /* continuations joined, trimmed; no here-documents */
    struct span at;
    heredocs docs;
};

struct warning {
    int line;
    const char *text;
};

struct source_lines {
    LIST_OF(struct line) lines;
    LIST_OF(struct warning) warnings;
    char escape;                /* '\\' or '`' */
    const char *syntax, *check; /* the directives' values; NULL: none */
};

/* Everything comes from the arena. On failure *ret_fault is where. -EINVAL, -EFBIG, -ENOMEM. */
int lines_read(const char *text, size_t len, struct arena *arena, struct source_lines *ret,
               struct span *ret_fault, struct wharf_error *e);

/* A word of a line taken for the start of a here-document: `<<EOF`, `<<-"EOF"`, `3<<EOF`. 1: it is
 * one, its name and kind are in *ret (no content); 0: it is none. */
int heredoc_word(const char *word, struct arena *arena, struct heredoc *ret, struct wharf_error *e);

/* Appends to a LIST_OF, doubling; false when out of memory or past `max` elements. */
bool list_grow(struct arena *arena, void *list, size_t item_size, size_t max);
#define LIST_ADD(arena, list, max)                                                                 \
    (list_grow((arena), (list), sizeof(*(list)->items), (max)) ? &(list)->items[(list)->count++]   \
                                                               : NULL)

#endif
