/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composition language (grammar: swarm.h). A recursive descent over the text; services are made
 * from the inside out, the right side of a `|` before the left one, so that a `make` always gets
 * finished services. Nesting, words and inner services have limits: the text may come from a file
 * that somebody else wrote.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"
#include "swarm.h"

#define COMPOSE_TEXT_MAX  (64u << 10)
#define COMPOSE_DEPTH_MAX 32
#define COMPOSE_PARTS_MAX 1024 /* words and inner services of one service */

struct parser {
    const char *text, *at;
    const struct service_type *types;
    void *user;
    unsigned depth;
    struct wharf_error *e;
};

/* What one service is made of, while it is read. */
struct parts {
    char *words[COMPOSE_PARTS_MAX];
    size_t word_count;
    struct service *inner[COMPOSE_PARTS_MAX];
    char *names[COMPOSE_PARTS_MAX];
    size_t inner_count;
};

static int parse_pipeline(struct parser *p, struct service **ret);

static int fault(struct parser *p, const char *at, const char *what)
{
    return err_invalid(p->e, "composition, column %zu: %s", (size_t)(at - p->text) + 1, what);
}

static void parts_free(struct parts *parts)
{
    if (!parts)
        return;
    for (size_t i = 0; i < parts->word_count; i++)
        free(parts->words[i]);
    for (size_t i = 0; i < parts->inner_count; i++) {
        service_unref(parts->inner[i]);
        free(parts->names[i]);
    }
    free(parts);
}
DEFINE_AUTO(struct parts, parts_free)

static void skip_blanks(struct parser *p)
{
    p->at += strspn(p->at, " \t\r\n");
}

static bool at_word(const struct parser *p)
{
    return *p->at && !strchr("|()", *p->at);
}

/* A word: runs of bare characters and of quoted ones, as a shell joins them. */
static int parse_word(struct parser *p, char **ret)
{
    autofree char *word = malloc(strlen(p->at) + 1);
    size_t n = 0;

    if (!word)
        return err_nomem(p->e);
    while (*p->at && !strchr(" \t\r\n|()", *p->at)) {
        if (*p->at == '"' || *p->at == '\'') {
            const char *open = p->at, *close = strchr(open + 1, *open);

            if (!close)
                return fault(p, open, "a quote is never closed");
            memcpy(word + n, open + 1, (size_t)(close - open) - 1);
            n += (size_t)(close - open) - 1;
            p->at = close + 1;
        } else {
            word[n++] = *p->at++;
        }
    }
    word[n] = '\0';
    *ret = take_ptr(&word);
    return 0;
}

/* `name=` at the beginning of a parenthesis; NULL: there is none. */
static char *parse_name(struct parser *p)
{
    size_t len = strspn(p->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    char *name;

    if (!len || p->at[len] != '=')
        return NULL;
    name = strndup(p->at, len);
    p->at += len + 1;
    return name;
}

static int parse_inner(struct parser *p, struct parts *parts)
{
    const char *open = p->at++;
    autofree char *name = NULL;
    int r;

    if (parts->inner_count == COMPOSE_PARTS_MAX - 1)
        return fault(p, open, "too many services");
    skip_blanks(p);
    name = parse_name(p);
    r = parse_pipeline(p, &parts->inner[parts->inner_count]);
    if (r < 0)
        return r;
    parts->names[parts->inner_count++] = take_ptr(&name);
    if (*p->at != ')')
        return fault(p, open, "a parenthesis is never closed");
    p->at++;
    return 0;
}

static int parse_parts(struct parser *p, struct parts *parts)
{
    int r;

    for (skip_blanks(p); *p->at == '(' || at_word(p); skip_blanks(p)) {
        if (*p->at == '(') {
            r = parse_inner(p, parts);
        } else if (parts->word_count == COMPOSE_PARTS_MAX) {
            r = fault(p, p->at, "too many words");
        } else {
            r = parse_word(p, &parts->words[parts->word_count]);
            if (r == 0)
                parts->word_count++;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_service(struct parser *p, const char *start, const struct parts *parts,
                        struct service **ret)
{
    const struct service_type *type = p->types;
    struct service_arguments arguments = {
        .words = (const char *const *)parts->words + 1,
        .word_count = parts->word_count - 1,
        .inner = parts->inner,
        .inner_names = (const char *const *)parts->names,
        .inner_count = parts->inner_count,
        .types = p->types,
        .user = p->user,
    };
    int r;

    while (type->name && !streq(type->name, parts->words[0]))
        type++;
    if (!type->name)
        return err_invalid(p->e, "composition, column %zu: no such service: '%s'",
                           (size_t)(start - p->text) + 1, parts->words[0]);
    r = type->make(&arguments, ret, p->e);
    return r < 0 ? err_wrap(p->e, r, "composition, column %zu: %s", (size_t)(start - p->text) + 1,
                            type->name)
                 : 0;
}

static int parse_service(struct parser *p, struct service **ret)
{
    auto_of(parts_free) struct parts *parts = calloc(1, sizeof *parts);
    const char *start;
    int r;

    if (!parts)
        return err_nomem(p->e);
    skip_blanks(p);
    start = p->at;
    if (!at_word(p))
        return fault(p, start, "the name of a service is expected");
    r = parse_parts(p, parts);
    if (r < 0)
        return r;
    if (*p->at == '|') {
        p->at++;
        r = parse_pipeline(p, &parts->inner[parts->inner_count]);
        if (r < 0)
            return r;
        parts->inner_count++;
    }
    return make_service(p, start, parts, ret);
}

static int parse_pipeline(struct parser *p, struct service **ret)
{
    int r;

    if (p->depth == COMPOSE_DEPTH_MAX)
        return fault(p, p->at, "nested too deeply");
    p->depth++;
    r = parse_service(p, ret);
    p->depth--;
    return r;
}

int compose(const char *text, const struct service_type *types, void *user, struct service **ret,
            struct wharf_error *e)
{
    struct parser p = { .text = text, .at = text, .types = types, .user = user, .e = e };
    struct service *made = NULL;
    int r;

    if (strlen(text) > COMPOSE_TEXT_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "the composition is longer than %u bytes",
                       COMPOSE_TEXT_MAX);
    r = parse_pipeline(&p, &made);
    if (r < 0)
        return r;
    if (*p.at) {
        service_unref(made);
        return fault(&p, p.at, "a parenthesis was never opened");
    }
    *ret = made;
    return 0;
}
