/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `$name` means. Before the first FROM: the ARGs that stand there, and the platform. In a
 * stage: its Env, then its own ARGs from where they stand on. An ARG takes its value from the
 * caller, else from the default that stands there, else from the ARG of the same name before the
 * first FROM, else from the platform. Proxy variables need no ARG and count for nothing: they are
 * in no history and in no key.
 */
#include "base/str.h"
#include "libimage/build/expand.h"
#include "libimage/build/words.h"
#include "libimage/build/work.h"

enum { VARIABLES_MAX = 4096 };

static const char *const proxies[] = { "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                       "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy",
                                       "ALL_PROXY",  "all_proxy" };

bool variable_is_proxy(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
        if (streq(proxies[i], name))
            return true;
    }
    return false;
}

static bool same(const char *name, const char *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

/* What the platform arguments are; NULL: none of them. */
static const char *platform_value(const char *name, size_t len)
{
    const char *machine = platform_architecture();
    const struct {
        const char *name, *value;
    } table[] = {
        { "TARGETOS", "linux" },    { "BUILDOS", "linux" },    { "TARGETARCH", machine },
        { "BUILDARCH", machine },   { "TARGETVARIANT", "" },   { "BUILDVARIANT", "" },
        { "TARGETPLATFORM", NULL }, { "BUILDPLATFORM", NULL }, { "TARGETSTAGE", "default" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (!same(table[i].name, name, len))
            continue;
        if (table[i].value)
            return table[i].value;
        return streq(machine, "amd64")   ? "linux/amd64"
               : streq(machine, "arm64") ? "linux/arm64"
                                         : "linux";
    }
    return NULL;
}

static const struct build_pair *option(struct job *job, const char *name, size_t len)
{
    for (const struct build_pair *p = job->o.args; p && p->key; p++) {
        if (same(p->key, name, len)) {
            __atomic_store_n(&job->used_args[p - job->o.args], 1, __ATOMIC_RELAXED);
            return p;
        }
    }
    return NULL;
}

const char *env_get(json_t *env, const char *name, size_t len)
{
    json_t *item;
    size_t i;

    json_array_foreach (env, i, item) {
        const char *text = json_string_value(item);

        if (text && strncmp(text, name, len) == 0 && text[len] == '=')
            return text + len + 1;
    }
    return NULL;
}

int env_set(json_t *env, const char *name, const char *value)
{
    autofree char *text = str_format("%s=%s", name, value);
    size_t i, len = strlen(name);
    json_t *item;

    json_array_foreach (env, i, item) {
        const char *have = json_string_value(item);

        if (text && have && strncmp(have, name, len) == 0 && have[len] == '=')
            return json_array_set_new(env, i, json_string(text)) < 0 ? -ENOMEM : 0;
    }
    return !text || json_array_append_new(env, json_string(text)) < 0 ? -ENOMEM : 0;
}

/* ---- scopes ---------------------------------------------------------------------------------- */

static const char *lookup_stage(const char *name, size_t len, void *arg)
{
    struct stage_work *s = arg;
    const char *value = env_get(json_object_get(s->state.config, "Env"), name, len);

    for (size_t i = s->args.count; !value && i-- > 0;) {
        if (same(s->args.items[i].name, name, len) && s->args.items[i].value)
            value = s->args.items[i].value;
    }
    return value;
}

static const char *lookup_global(const char *name, size_t len, void *arg)
{
    struct job *job = arg;

    for (size_t i = job->globals.count; i-- > 0;) {
        if (same(job->globals.items[i].name, name, len))
            return job->globals.items[i].value;
    }
    return platform_value(name, len);
}

static int expand_in(const struct expander *x, struct arena *arena, const char *text,
                     const char **ret, struct wharf_error *e)
{
    autobuf struct buf out = BUF(EXPAND_MAX);
    int r = expand_word(x, text, &out, e);

    if (r == 0 && !(*ret = arena_strn(arena, out.data, out.len)))
        r = err_nomem(e);
    return r;
}

int stage_expand(struct stage_work *s, const char *text, const char **ret, struct wharf_error *e)
{
    struct expander x = { .escape = s->job->file.escape, .lookup = lookup_stage, .arg = s };

    return expand_in(&x, s->arena, text, ret, e);
}

int stage_expand_document(struct stage_work *s, const char *text, const char **ret,
                          struct wharf_error *e)
{
    struct expander x = {
        .escape = s->job->file.escape, .no_quotes = true, .lookup = lookup_stage, .arg = s
    };

    return expand_in(&x, s->arena, text, ret, e);
}

int stage_expand_words(struct stage_work *s, const char *text, char ***ret, size_t *ret_count,
                       struct wharf_error *e)
{
    struct expander x = { .escape = s->job->file.escape, .lookup = lookup_stage, .arg = s };

    return expand_words(&x, text, s->arena, ret, ret_count, e);
}

int global_expand(struct job *job, const char *text, const char **ret, struct wharf_error *e)
{
    struct expander x = { .escape = job->file.escape, .lookup = lookup_global, .arg = job };

    return expand_in(&x, job->arena, text, ret, e);
}

/* ---- ARG ------------------------------------------------------------------------------------- */

/* NAME or NAME=DEFAULT taken apart; *ret_default NULL: none. */
static int take_apart(struct arena *arena, const char *word, const char **ret_name,
                      const char **ret_default, struct wharf_error *e)
{
    size_t n = strcspn(word, "=");

    *ret_name = arena_strn(arena, word, n);
    *ret_default = word[n] ? word + n + 1 : NULL;
    return *ret_name ? 0 : err_nomem(e);
}

int globals_set(struct job *job, struct wharf_error *e)
{
    for (size_t i = 0; i < job->file.args.count; i++) {
        const struct instruction *arg = &job->file.args.items[i];

        for (size_t n = 0; n < arg->count; n++) {
            const char *name, *value;
            int r = take_apart(job->arena, arg->args[n], &name, &value, e);

            if (r == 0 && value)
                r = global_expand(job, value, &value, e);
            if (r < 0)
                return r;
            const struct build_pair *given = option(job, name, strlen(name));
            struct variable *v = LIST_ADD(job->arena, &job->globals, VARIABLES_MAX);
            if (!v)
                return err_nomem(e);
            *v = (struct variable){ name, given && given->value ? given->value : value };
        }
    }
    return 0;
}

int stage_arg(struct stage_work *s, const char *word, const char **ret_text, struct wharf_error *e)
{
    const char *name, *value;
    int r = take_apart(s->arena, word, &name, &value, e);

    if (r == 0 && value)
        r = stage_expand(s, value, &value, e);
    if (r < 0)
        return r;
    if (ret_text)
        *ret_text = value ? arena_format(s->arena, "%s=%s", name, value) : name;
    const struct build_pair *given = option(s->job, name, strlen(name));
    if (given && given->value)
        value = given->value;
    else if (!value)
        value = lookup_global(name, strlen(name), s->job);
    struct variable *v = LIST_ADD(s->arena, &s->args, VARIABLES_MAX);
    if (!v || (ret_text && !*ret_text))
        return err_nomem(e);
    *v = (struct variable){ name, value };
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_run_arg(struct stage_work *s, field_strings *list, const char *name,
                       const char *value)
{
    size_t len = strlen(name);
    char *text = arena_format(s->arena, "%s=%s", name, value);

    if (env_get(json_object_get(s->state.config, "Env"), name, len))
        return 0;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], text, len + 1) == 0) {
            list->items[i] = text;
            return 0;
        }
    }
    char **at = text ? LIST_ADD(s->arena, list, VARIABLES_MAX) : NULL;
    if (!at)
        return -ENOMEM;
    *at = text;
    return 0;
}

char **stage_run_args(struct stage_work *s, bool with_proxies)
{
    field_strings list = { 0 };
    int r = 0;

    for (size_t i = 0; i < s->args.count && r == 0; i++) {
        if (s->args.items[i].value)
            r = add_run_arg(s, &list, s->args.items[i].name, s->args.items[i].value);
    }
    if (list.count > 0)
        qsort(list.items, list.count, sizeof(char *), compare);
    for (const struct build_pair *p = s->job->o.args; with_proxies && p && p->key && r == 0; p++) {
        if (p->value && variable_is_proxy(p->key)) {
            __atomic_store_n(&s->job->used_args[p - s->job->o.args], 1, __ATOMIC_RELAXED);
            r = add_run_arg(s, &list, p->key, p->value);
        }
    }
    char **at = r == 0 ? LIST_ADD(s->arena, &list, VARIABLES_MAX) : NULL;
    if (!at)
        return NULL;
    *at = NULL;
    return list.items;
}
