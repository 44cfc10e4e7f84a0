/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of paths, as .dockerignore, COPY and --exclude have them: `*` and `?` (neither matches a
 * slash), `[a-z]`, `[^a]`, backslash, and `**` for any number of directories. A list of patterns is
 * read in order and the last match decides; `!` turns a match round; what matches a directory
 * covers all below it.
 *
 * A match takes time in proportion to pattern times path, whatever the pattern: all places in the
 * pattern that can have been reached are followed at once.
 */
#ifndef LIBIMAGE_BUILD_GLOB_H
#define LIBIMAGE_BUILD_GLOB_H

#include "base/arena.h"
#include "base/err.h"

enum { GLOB_PATTERN_MAX = 4096, GLOB_LIST_MAX = 65536, IGNORE_FILE_MAX = 4 << 20 };

struct glob;

/* -EINVAL: "syntax error in pattern". */
int glob_new(const char *pattern, struct arena *arena, struct glob **ret, struct wharf_error *e);
bool glob_matches(const struct glob *glob, const char *path, size_t len);
/* True if there is anything special in it. */
bool glob_is_pattern(const char *text);

struct glob_list {
    struct {
        struct glob *glob;
        bool include; /* `!` */
    } * items;
    size_t count;
    bool has_include;
};

/* Adds a pattern: blanks trimmed, slashes at both ends dropped, `.` and `..` cleaned away. */
int glob_list_add(struct glob_list *list, const char *pattern, struct arena *arena,
                  struct wharf_error *e);
/* Adds the lines of a .dockerignore file. */
int glob_list_read(struct glob_list *list, const char *text, size_t len, struct arena *arena,
                   struct wharf_error *e);
/* True if the path, which has no slash at either end, is excluded. */
bool glob_list_excludes(const struct glob_list *list, const char *path);

#endif
