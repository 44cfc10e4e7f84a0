/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns. See glob.h. */
#include "libimage/build/glob.h"

#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/lines.h"

enum token_kind {
    TOKEN_CHAR,
    TOKEN_ANY,   /* one, not a slash */
    TOKEN_STAR,  /* any number, not a slash */
    TOKEN_CLASS, /* one of a set, not a slash */
    TOKEN_DEEP,  /* any number of anything */
    TOKEN_DIRS,  /* nothing, or anything that ends with a slash; TOKEN_INSIDE follows */
    TOKEN_INSIDE,
};

struct token {
    enum token_kind kind;
    unsigned char c;
    uint64_t *set; /* 256 bits */
};

struct glob {
    size_t count;
    struct token tokens[];
};

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[\\") != NULL;
}

/* `[^a-z]` behind the bracket; NULL: malformed. */
static const char *read_class(const char *p, uint64_t *set)
{
    bool negated = *p == '^';
    bool first = true;

    for (p += negated; first || *p != ']'; first = false) {
        unsigned char low, high;

        if (first && *p == ']')
            return NULL;
        if (*p == '\\')
            p++;
        if (!*p)
            return NULL;
        low = high = (unsigned char)*p++;
        if (*p == '-') {
            p++;
            if (*p == '\\')
                p++;
            if (!*p || *p == ']')
                return NULL;
            high = (unsigned char)*p++;
        }
        for (unsigned c = low; c <= high; c++)
            set[c / 64] |= 1ull << c % 64;
    }
    for (int i = 0; negated && i < 4; i++)
        set[i] = ~set[i];
    return p + 1;
}

int glob_new(const char *pattern, struct arena *arena, struct glob **ret, struct wharf_error *e)
{
    size_t len = strlen(pattern);
    struct glob *g = arena_alloc(arena, sizeof(*g) + (len + 1) * sizeof(struct token));

    if (len > GLOB_PATTERN_MAX)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "a pattern is longer than %d bytes",
                       GLOB_PATTERN_MAX);
    if (!g)
        return err_nomem(e);
    for (const char *p = pattern; *p;) {
        struct token *t = &g->tokens[g->count++];

        t->c = (unsigned char)*p;
        if (p[0] == '*' && p[1] == '*') {
            p += 2 + (p[2] == '/');
            t->kind = *p ? TOKEN_DIRS : TOKEN_DEEP;
            if (*p)
                g->tokens[g->count++].kind = TOKEN_INSIDE;
        } else if (*p == '*' || *p == '?') {
            t->kind = *p++ == '*' ? TOKEN_STAR : TOKEN_ANY;
        } else if (*p == '[') {
            t->kind = TOKEN_CLASS;
            t->set = arena_array(arena, 4, sizeof(*t->set));
            p = t->set ? read_class(p + 1, t->set) : NULL;
        } else {
            if (*p == '\\')
                t->c = (unsigned char)*++p;
            p = *p ? p + 1 : NULL;
        }
        if (!p)
            return err_invalid(e, "syntax error in pattern \"%.200s\"", pattern);
    }
    *ret = g;
    return 0;
}

/* Marks a place, and those behind it that need no further character. */
static void reach(const struct glob *g, bool *places, size_t at)
{
    while (!places[at]) {
        places[at] = true;
        if (at == g->count)
            return;
        switch (g->tokens[at].kind) {
        case TOKEN_STAR:
        case TOKEN_DEEP:
            at++;
            break;
        case TOKEN_DIRS:
            places[at + 1] = true;
            at += 2;
            break;
        default:
            return;
        }
    }
}

static void step(const struct glob *g, const bool *from, bool *to, unsigned char c)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct token *t = &g->tokens[i];

        if (!from[i])
            continue;
        switch (t->kind) {
        case TOKEN_CHAR:
            if (t->c == c)
                reach(g, to, i + 1);
            break;
        case TOKEN_ANY:
            if (c != '/')
                reach(g, to, i + 1);
            break;
        case TOKEN_CLASS:
            if (c != '/' && (t->set[c / 64] >> c % 64 & 1))
                reach(g, to, i + 1);
            break;
        case TOKEN_STAR:
            if (c != '/')
                reach(g, to, i);
            break;
        case TOKEN_DEEP:
            reach(g, to, i);
            break;
        case TOKEN_DIRS:
            break; /* stands for its two successors */
        case TOKEN_INSIDE:
            to[i] = true;
            if (c == '/')
                reach(g, to, i + 1);
            break;
        }
    }
}

bool glob_matches(const struct glob *g, const char *path, size_t len)
{
    bool places[2][GLOB_PATTERN_MAX + 2];
    int now = 0;

    memset(places[now], 0, g->count + 1);
    reach(g, places[now], 0);
    for (size_t i = 0; i < len; i++) {
        memset(places[!now], 0, g->count + 1);
        step(g, places[now], places[!now], (unsigned char)path[i]);
        now = !now;
        if (!memchr(places[now], true, g->count + 1))
            return false;
    }
    return places[now][g->count];
}

int glob_list_add(struct glob_list *list, const char *pattern, struct arena *arena,
                  struct wharf_error *e)
{
    autofree char *copy = strdup(pattern);
    autofree char *clean = NULL;
    bool include;
    char *p = copy;

    if (!copy)
        return err_nomem(e);
    p += strspn(p, " \t\r\n\v\f");
    for (size_t n = strlen(p); n > 0 && strchr(" \t\r\n\v\f", p[n - 1]); n--)
        p[n - 1] = '\0';
    if (!*p)
        return 0;
    include = *p == '!';
    p += include;
    p += strspn(p, " \t");
    if (!*p)
        return err_invalid(e, "illegal exclusion pattern: \"!\"");
    clean = path_clean(p);
    if (!clean)
        return err_nomem(e);
    const char *bare = *clean == '/' && clean[1] ? clean + 1 : clean;
    struct glob *glob;
    int r = glob_new(bare, arena, &glob, e);
    if (r < 0)
        return r;
    if (!list_grow(arena, list, sizeof(*list->items), GLOB_LIST_MAX))
        return err_nomem(e);
    list->items[list->count].glob = glob;
    list->items[list->count].include = include;
    list->count++;
    list->has_include |= include;
    return 0;
}

int glob_list_read(struct glob_list *list, const char *text, size_t len, struct arena *arena,
                   struct wharf_error *e)
{
    const char *end = text + len;
    int r = 0;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end && r == 0) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        char *line = *text == '#' ? NULL : strndup(text, (size_t)(stop - text));

        if (line)
            r = glob_list_add(list, line, arena, e);
        free(line);
        text = stop + 1;
    }
    return r;
}

bool glob_list_excludes(const struct glob_list *list, const char *path)
{
    bool excluded = false;

    for (size_t i = 0; i < list->count; i++) {
        /* a match that changes nothing need not be looked for */
        if (list->items[i].include != excluded)
            continue;
        for (const char *p = path;; p++) {
            p += strcspn(p, "/");
            if (glob_matches(list->items[i].glob, path, (size_t)(p - path))) {
                excluded = !excluded;
                break;
            }
            if (!*p)
                break;
        }
    }
    return excluded;
}
