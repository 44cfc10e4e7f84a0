/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that change no file: a row each, with a function that changes the configuration and
 * says what the history shall show. The texts are those of dockerd's builder: people grep for them.
 */
#include <signal.h>
#include <strings.h>
#include "base/str.h"
#include "libimage/build/duration.h"
#include "libimage/build/words.h"
#include "libimage/build/work.h"

static int set(json_t *config, const char *member, json_t *value, struct wharf_error *e)
{
    return !value || json_object_set_new(config, member, value) < 0 ? err_nomem(e) : 0;
}

static json_t *member_of(json_t *config, const char *member, json_t *fresh)
{
    json_t *value = json_object_get(config, member);

    if (value && json_typeof(value) == json_typeof(fresh)) {
        json_decref(fresh);
        return value;
    }
    json_object_set_new(config, member, fresh);
    return json_object_get(config, member);
}

static json_t *list_of(char *const *words, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(words[i]));
    return list;
}

/* ["a" "b"], as Go prints a list of quoted strings. */
static const char *quoted_list(struct stage_work *s, json_t *list)
{
    autobuf struct buf b = BUF(DOCKERFILE_MAX);
    json_t *item;
    size_t i;

    buf_char(&b, '[');
    json_array_foreach (list, i, item) {
        buf_str(&b, i ? " " : "");
        buf_json(&b, json_string_value(item), json_string_length(item));
    }
    buf_char(&b, ']');
    return b.error ? NULL : arena_str(s->arena, b.data);
}

static const char *joined(struct stage_work *s, const char *open, char *const *words, size_t count,
                          const char *close)
{
    autobuf struct buf b = BUF(DOCKERFILE_MAX);

    buf_str(&b, open);
    for (size_t i = 0; i < count; i++)
        buf_printf(&b, "%s%s", i ? " " : "", words[i]);
    buf_str(&b, close);
    return b.error ? NULL : arena_str(s->arena, b.data);
}

/* ---- one function a kind --------------------------------------------------------------------- */

static int set_command(struct stage_work *s, const struct instruction *i, const char **ret_text,
                       struct wharf_error *e)
{
    struct state *st = &s->state;
    bool entrypoint = i->kind == INSTRUCTION_ENTRYPOINT;
    json_t *list = i->json ? list_of(i->args, i->count) : json_array();
    const char *quoted;

    /* without words CMD is the shell alone, and ENTRYPOINT nothing, as dockerd has it */
    if (!i->json && (!entrypoint || i->count > 0)) {
        char **shell = stage_shell(s);

        json_decref(list);
        list = list_of(shell, strv_count((const char *const *)shell));
        if (i->count > 0)
            json_array_append_new(list, json_string(i->args[0]));
    }
    quoted = quoted_list(s, list);
    if (!quoted)
        return err_nomem(e);
    *ret_text = arena_format(s->arena, "%s %s", instruction_name(i->kind), quoted);
    st->cmd_set |= !entrypoint;
    if (entrypoint && !st->cmd_set)
        json_object_del(st->config, "Cmd");
    if (entrypoint && json_array_size(list) == 0) {
        json_decref(list);
        json_object_del(st->config, "Entrypoint");
        return 0;
    }
    return set(st->config, entrypoint ? "Entrypoint" : "Cmd", list, e);
}

static int set_env(struct stage_work *s, const struct instruction *i, const char **ret_text,
                   struct wharf_error *e)
{
    char **values = arena_array(s->arena, i->count + 1, sizeof(*values));
    json_t *env = member_of(s->state.config, "Env", json_array());
    size_t words = 0;
    int r = 0;

    /* all of a line see what was there before it */
    for (size_t n = 0; values && n < i->count && r == 0; n++)
        r = stage_expand(s, i->args[n], (const char **)&values[n], e);
    if (!values)
        return err_nomem(e);
    for (size_t n = 0; n + 1 < i->count && r == 0; n += 2) {
        if (!*values[n])
            return err_invalid(e, "ENV names can not be blank");
        if (env_set(env, values[n], values[n + 1]) < 0)
            return err_nomem(e);
        values[words++] = arena_format(s->arena, "%s=%s", values[n], values[n + 1]);
    }
    *ret_text = joined(s, "ENV ", values, words, "");
    return r;
}

static int set_labels(struct stage_work *s, const struct instruction *i, const char **ret_text,
                      struct wharf_error *e)
{
    json_t *labels = member_of(s->state.config, "Labels", json_object());
    autobuf struct buf text = BUF(DOCKERFILE_MAX);
    int r = 0;

    buf_str(&text, "LABEL");
    for (size_t n = 0; n + 1 < i->count && r == 0; n += 2) {
        const char *key = i->args[n], *value = i->args[n + 1];

        if (!i->literal)
            r = stage_expand(s, key, &key, e);
        if (r == 0 && !i->literal)
            r = stage_expand(s, value, &value, e);
        if (r == 0)
            r = set(labels, key, json_string(value), e);
        if (r == 0)
            buf_printf(&text, " %s=%s", key, value);
    }
    *ret_text = r == 0 && !text.error ? arena_str(s->arena, text.data) : NULL;
    return r;
}

/* "80", "80-82/udp" as the keys that docker makes of it. */
static int add_ports(json_t *ports, const char *text, struct wharf_error *e)
{
    char number[64];
    const char *slash = strchr(text, '/'), *protocol = slash ? slash + 1 : "tcp";
    uint64_t first, last;

    snprintf(number, sizeof(number), "%.*s", (int)(slash ? slash - text : (long)strlen(text)),
             text);
    if (strchr(number, ':'))
        memmove(number, strrchr(number, ':') + 1, strlen(strrchr(number, ':')));
    char *dash = strchr(number, '-');
    if (dash)
        *dash++ = '\0';
    if (strcasecmp(protocol, "tcp") != 0 && strcasecmp(protocol, "udp") != 0 &&
        strcasecmp(protocol, "sctp") != 0)
        return err_invalid(e, "Invalid proto: %.50s", protocol);
    if (parse_u64(number, 0, 65535, &first) < 0 ||
        parse_u64(dash ? dash : number, 0, 65535, &last) < 0 || last < first)
        return err_invalid(e, "Invalid containerPort: %.100s", text);
    for (; first <= last; first++) {
        char key[32];

        snprintf(key, sizeof(key), "%u/%.5s", (unsigned)first, protocol);
        for (char *c = key; *c; c++)
            *c += *c >= 'A' && *c <= 'Z' ? 32 : 0;
        if (json_object_set_new(ports, key, json_object()) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int set_ports(struct stage_work *s, const struct instruction *i, const char **ret_text,
                     struct wharf_error *e)
{
    json_t *ports = member_of(s->state.config, "ExposedPorts", json_object());
    field_strings all = { 0 };
    int r = 0;

    for (size_t n = 0; n < i->count && r == 0; n++) {
        char **words = NULL;
        size_t count = 0;

        r = stage_expand_words(s, i->args[n], &words, &count, e);
        for (size_t w = 0; w < count && r == 0; w++) {
            r = add_ports(ports, words[w], e);
            if (r == 0 && words_add(s->arena, &all, words[w], strlen(words[w])) < 0)
                r = err_nomem(e);
        }
    }
    if (all.count > 1)
        qsort(all.items, all.count, sizeof(*all.items), compare_words);
    *ret_text = joined(s, "EXPOSE ", all.items, all.count, "");
    return r;
}

static int set_volumes(struct stage_work *s, const struct instruction *i, const char **ret_text,
                       struct wharf_error *e)
{
    json_t *volumes = member_of(s->state.config, "Volumes", json_object());
    char **values = arena_array(s->arena, i->count + 1, sizeof(*values));
    int r = 0;

    if (!values)
        return err_nomem(e);
    for (size_t n = 0; n < i->count && r == 0; n++) {
        r = stage_expand(s, i->args[n], (const char **)&values[n], e);
        if (r == 0 && !*values[n])
            r = err_invalid(e, "VOLUME specified can not be an empty string");
        if (r == 0)
            r = set(volumes, values[n], json_object(), e);
    }
    *ret_text = joined(s, "VOLUME [", values, i->count, "]");
    return r;
}

static int set_user(struct stage_work *s, const struct instruction *i, const char **ret_text,
                    struct wharf_error *e)
{
    const char *user;
    int r = stage_expand(s, i->args[0], &user, e);

    if (r < 0)
        return r;
    *ret_text = arena_format(s->arena, "USER %s", user);
    return set(s->state.config, "User", json_string(user), e);
}

static int set_signal(struct stage_work *s, const struct instruction *i, const char **ret_text,
                      struct wharf_error *e)
{
    const char *text;
    uint64_t number;
    int r = stage_expand(s, i->args[0], &text, e);

    if (r < 0)
        return r;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    bool known = parse_u64(text, 1, 64, &number) == 0 || strncmp(name, "RTM", 3) == 0;
    for (int n = 1; n < NSIG && !known; n++)
        known = sigabbrev_np(n) && strcasecmp(sigabbrev_np(n), name) == 0;
    if (!known)
        return err_invalid(e, "Invalid signal: %.50s", text);
    *ret_text = arena_format(s->arena, "STOPSIGNAL %s", text);
    return set(s->state.config, "StopSignal", json_string(text), e);
}

static int set_shell(struct stage_work *s, const struct instruction *i, const char **ret_text,
                     struct wharf_error *e)
{
    *ret_text = joined(s, "SHELL [", i->args, i->count, "]");
    return set(s->state.config, "Shell", list_of(i->args, i->count), e);
}

static int set_author(struct stage_work *s, const struct instruction *i, const char **ret_text,
                      struct wharf_error *e)
{
    *ret_text = arena_format(s->arena, "MAINTAINER %s", i->args[0]);
    return set(s->state.image, "author", json_string(i->args[0]), e);
}

/* The trigger as it will be parsed again, its here-documents behind it. */
static int add_trigger(struct stage_work *s, const struct instruction *i, const char **ret_text,
                       struct wharf_error *e)
{
    json_t *list = member_of(s->state.config, "OnBuild", json_array());
    autobuf struct buf b = BUF(DOCKERFILE_MAX);

    buf_str(&b, i->args[0]);
    for (size_t n = 0; n < i->docs.count; n++)
        buf_printf(&b, "\n%s%s", i->docs.items[n].content, i->docs.items[n].name);
    *ret_text = arena_format(s->arena, "ONBUILD %s", i->args[0]);
    return b.error || json_array_append_new(list, json_string(b.data)) < 0 ? err_nomem(e) : 0;
}

static int set_args(struct stage_work *s, const struct instruction *i, const char **ret_text,
                    struct wharf_error *e)
{
    char **texts = arena_array(s->arena, i->count + 1, sizeof(*texts));
    int r = texts ? 0 : err_nomem(e);

    for (size_t n = 0; n < i->count && r == 0; n++)
        r = stage_arg(s, i->args[n], (const char **)&texts[n], e);
    *ret_text = r == 0 ? joined(s, "ARG ", texts, i->count, "") : NULL;
    return r;
}

/* ---- HEALTHCHECK ----------------------------------------------------------------------------- */

/* The text was checked when it was parsed. */
static int add_duration(json_t *health, const char *member, const char *text, struct wharf_error *e)
{
    int64_t ns;

    return text && duration_parse(text, &ns) == 0 ? set(health, member, json_integer(ns), e) : 0;
}

/* &{["CMD-SHELL" "x"] "3s" "1m0s" "0s" '\x04'}: how dockerd's history shows it, a struct as Go
 * prints it. */
static const char *health_text(struct stage_work *s, json_t *health)
{
    static const char *const times[] = { "Interval", "Timeout", "StartPeriod", "StartInterval" };
    int64_t retries = json_integer_value(json_object_get(health, "Retries"));
    autobuf struct buf b = BUF(DOCKERFILE_MAX);

    buf_printf(&b, "HEALTHCHECK &{%s", quoted_list(s, json_object_get(health, "Test")));
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        json_t *value = json_object_get(health, times[i]);
        char text[DURATION_TEXT_MAX];

        if (!value && streq(times[i], "StartInterval"))
            continue;
        duration_format(json_integer_value(value), text);
        buf_printf(&b, " \"%s\"", text);
    }
    buf_printf(&b, retries > 32 && retries < 127 ? " '%c'}" : " '\\x%02x'}", (int)retries);
    return b.error ? NULL : arena_str(s->arena, b.data);
}

static int set_health(struct stage_work *s, const struct instruction *i, const char **ret_text,
                      struct wharf_error *e)
{
    const struct instruction_flags *f = &i->flags;
    bool none = strcasecmp(i->args[0], "NONE") == 0;
    autojson json_t *health = json_object();
    json_t *test = json_array();
    uint64_t retries = 0;
    int r;

    json_array_append_new(test, json_string(none ? "NONE" : i->json ? "CMD" : "CMD-SHELL"));
    for (size_t n = 1; n < i->count; n++)
        json_array_append_new(test, json_string(i->args[n]));
    r = set(health, "Test", test, e);
    if (r == 0)
        r = add_duration(health, "Interval", f->interval, e);
    if (r == 0)
        r = add_duration(health, "Timeout", f->timeout, e);
    if (r == 0)
        r = add_duration(health, "StartPeriod", f->start_period, e);
    if (r == 0)
        r = add_duration(health, "StartInterval", f->start_interval, e);
    if (r == 0 && f->retries && parse_u64(f->retries, 1, INT32_MAX, &retries) == 0)
        r = set(health, "Retries", json_integer((json_int_t)retries), e);
    *ret_text = s->job->o.classic ? health_text(s, health)
                                  : arena_format(s->arena, "HEALTHCHECK %s", i->arguments);
    return r < 0 ? r : set(s->state.config, "Healthcheck", json_incref(health), e);
}

/* ---- the table ------------------------------------------------------------------------------- */

static int (*const table[INSTRUCTION_KINDS])(struct stage_work *, const struct instruction *,
                                             const char **, struct wharf_error *) = {
    [INSTRUCTION_ARG] = set_args,           [INSTRUCTION_CMD] = set_command,
    [INSTRUCTION_ENTRYPOINT] = set_command, [INSTRUCTION_ENV] = set_env,
    [INSTRUCTION_EXPOSE] = set_ports,       [INSTRUCTION_HEALTHCHECK] = set_health,
    [INSTRUCTION_LABEL] = set_labels,       [INSTRUCTION_MAINTAINER] = set_author,
    [INSTRUCTION_ONBUILD] = add_trigger,    [INSTRUCTION_SHELL] = set_shell,
    [INSTRUCTION_STOPSIGNAL] = set_signal,  [INSTRUCTION_USER] = set_user,
    [INSTRUCTION_VOLUME] = set_volumes,
};

char **stage_shell(struct stage_work *s)
{
    static char sh[] = "/bin/sh", c[] = "-c";
    static char *standard[] = { sh, c, NULL };
    json_t *list = json_object_get(s->state.config, "Shell"), *item;
    char **words = arena_array(s->arena, json_array_size(list) + 1, sizeof(*words));
    size_t i;

    if (json_array_size(list) == 0 || !words)
        return standard;
    json_array_foreach (list, i, item)
        words[i] = arena_str(s->arena, json_string_value(item) ? json_string_value(item) : "");
    return words;
}

const char *nop_text(struct stage_work *s, const char *text)
{
    char **shell = stage_shell(s);
    const char *words = joined(s, "", shell, strv_count((const char *const *)shell), "");

    return words && text ? arena_format(s->arena, "%s #(nop) %s", words, text) : NULL;
}

int stage_configure(struct stage_work *s, const struct instruction *i, struct outcome *o,
                    struct wharf_error *e)
{
    const char *text = NULL, *shown;
    int r = table[i->kind](s, i, &text, e);

    if (r < 0)
        return r;
    shown = text ? arena_format(s->arena, " %s", text) : NULL;
    o->text = !s->job->o.classic ? text : shown ? nop_text(s, shown) : NULL;
    return o->text ? 0 : err_nomem(e);
}
