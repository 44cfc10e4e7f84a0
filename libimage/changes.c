/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration changes: one row per instruction. See changes.h. */
#include "libimage/changes.h"
#include "base/buf.h"
#include "base/str.h"

#include <strings.h>

enum { WORD_MAX = 64 << 10 };

struct change {
    const char *word;
    const char *member;
    int (*apply)(json_t *config, const char *member, const char *rest, struct wharf_error *e);
};

static int set(json_t *config, const char *member, json_t *value, struct wharf_error *e)
{
    return !value || json_object_set_new(config, member, value) < 0 ? err_nomem(e) : 0;
}

/* ["a", "b"], or NULL if the text is not that. */
static json_t *exec_form(const char *rest)
{
    json_t *list = NULL, *item;
    size_t i;

    if (*rest != '[' || json_read(rest, strlen(rest), JSON_LIMITS, "list", &list, NULL) < 0)
        return NULL;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int set_command(json_t *config, const char *member, const char *rest, struct wharf_error *e)
{
    json_t *list = exec_form(rest);

    if (!list)
        list = json_pack("[s, s, s]", "/bin/sh", "-c", rest);
    return set(config, member, list, e);
}

static int set_text(json_t *config, const char *member, const char *rest, struct wharf_error *e)
{
    return set(config, member, json_string(rest), e);
}

static int set_directory(json_t *config, const char *member, const char *rest,
                         struct wharf_error *e)
{
    const char *before = json_string_value(json_object_get(config, member));
    autofree char *path =
        *rest == '/' ? strdup(rest) : str_format("%s/%s", before ? before : "", rest);

    return path ? set(config, member, json_string(path), e) : err_nomem(e);
}

/* The next word, its quotes and backslashes undone. False at the end. */
static bool next_word(const char **at, struct buf *word)
{
    const char *p = *at + strspn(*at, " \t");
    char quote = 0;

    buf_reset(word);
    if (!*p)
        return false;
    for (; *p && (quote || !strchr(" \t", *p)); p++) {
        if (*p == quote)
            quote = 0;
        else if (!quote && (*p == '"' || *p == '\''))
            quote = *p;
        else if (*p == '\\' && p[1] && quote != '\'')
            buf_char(word, *++p);
        else
            buf_char(word, *p);
    }
    if (!word->data)
        buf_reserve(word, 0);
    *at = p;
    return !word->error;
}

static json_t *member_of(json_t *config, const char *member, json_t *(*make)(void))
{
    json_t *value = json_object_get(config, member);

    if (!value || json_is_null(value)) {
        json_object_set_new(config, member, make());
        value = json_object_get(config, member);
    }
    return value;
}

static int add_env(json_t *config, const char *key, const char *value, struct wharf_error *e)
{
    json_t *list = member_of(config, "Env", json_array), *item;
    autofree char *text = str_format("%s=%s", key, value);
    size_t i, n = strlen(key);

    json_array_foreach (list, i, item) {
        const char *have = json_string_value(item);

        if (text && have && strncmp(have, key, n) == 0 && have[n] == '=')
            return json_array_set_new(list, i, json_string(text)) < 0 ? err_nomem(e) : 0;
    }
    return !text || json_array_append_new(list, json_string(text)) < 0 ? err_nomem(e) : 0;
}

static int add_pair(json_t *config, const char *member, const char *key, const char *value,
                    struct wharf_error *e)
{
    if (!*key)
        return err_invalid(e, "a key is empty");
    if (streq(member, "Env"))
        return add_env(config, key, value, e);
    return set(member_of(config, member, json_object), key, json_string(value), e);
}

/* `k=v k="v w"`, or the old form `k rest of the line`. */
static int add_pairs(json_t *config, const char *member, const char *rest, struct wharf_error *e)
{
    autobuf struct buf word = BUF(WORD_MAX);
    const char *at = rest;
    bool first = true;

    while (next_word(&at, &word)) {
        char *equals = strchr(word.data, '=');
        int r;

        if (!equals && first && *at)
            return add_pair(config, member, word.data, at + strspn(at, " \t"), e);
        if (!equals)
            return err_invalid(e, "'%.100s' is not of the form key=value", word.data);
        *equals = 0;
        r = add_pair(config, member, word.data, equals + 1, e);
        if (r < 0)
            return r;
        first = false;
    }
    return word.error;
}

static int add_key(json_t *config, const char *member, const char *key, struct wharf_error *e)
{
    uint64_t port;
    autofree char *number = strdup(key);
    char *slash = number ? strchr(number, '/') : NULL;

    if (streq(member, "Volumes"))
        return set(member_of(config, member, json_object), key, json_object(), e);
    if (!number)
        return err_nomem(e);
    if (slash)
        *slash++ = 0;
    if (parse_u64(number, 1, 65535, &port) < 0 ||
        (slash && !streq(slash, "tcp") && !streq(slash, "udp") && !streq(slash, "sctp")))
        return err_invalid(e, "'%.100s' is not a port", key);
    free(number);
    number = str_format("%llu/%s", (unsigned long long)port,
                        strstr(key, "/") ? strstr(key, "/") + 1 : "tcp");
    return number ? set(member_of(config, member, json_object), number, json_object(), e)
                  : err_nomem(e);
}

static int add_keys(json_t *config, const char *member, const char *rest, struct wharf_error *e)
{
    autobuf struct buf word = BUF(WORD_MAX);
    autojson json_t *list = exec_form(rest);
    const char *at = rest;
    json_t *item;
    size_t i;
    int r = 0;

    json_array_foreach (list, i, item) {
        if (r == 0)
            r = add_key(config, member, json_string_value(item), e);
    }
    while (!list && r == 0 && next_word(&at, &word))
        r = add_key(config, member, word.data, e);
    return r;
}

static int add_text(json_t *config, const char *member, const char *rest, struct wharf_error *e)
{
    json_t *list = member_of(config, member, json_array);

    return json_array_append_new(list, json_string(rest)) < 0 ? err_nomem(e) : 0;
}

static int set_healthcheck(json_t *config, const char *member, const char *rest,
                           struct wharf_error *e)
{
    const char *command = str_after(rest, "CMD ");
    json_t *list;

    if (streq(rest, "NONE"))
        return set(config, member, json_pack("{s:[s]}", "Test", "NONE"), e);
    if (*rest == '-')
        return err_unsupported(e, "flags of HEALTHCHECK are not understood here");
    if (!command)
        return err_invalid(e, "HEALTHCHECK takes NONE or CMD");
    list = exec_form(command);
    if (!list)
        return set(config, member, json_pack("{s:[s, s]}", "Test", "CMD-SHELL", command), e);
    if (json_array_insert_new(list, 0, json_string("CMD")) < 0)
        return err_nomem(e);
    return set(config, member, json_pack("{s:o}", "Test", list), e);
}

static const struct change changes[] = {
    { "CMD", "Cmd", set_command },
    { "ENTRYPOINT", "Entrypoint", set_command },
    { "ENV", "Env", add_pairs },
    { "LABEL", "Labels", add_pairs },
    { "EXPOSE", "ExposedPorts", add_keys },
    { "VOLUME", "Volumes", add_keys },
    { "USER", "User", set_text },
    { "STOPSIGNAL", "StopSignal", set_text },
    { "WORKDIR", "WorkingDir", set_directory },
    { "ONBUILD", "OnBuild", add_text },
    { "HEALTHCHECK", "Healthcheck", set_healthcheck },
};

int change_apply(json_t *config, const char *line, struct wharf_error *e)
{
    size_t n = strcspn(line, " \t");
    const char *rest = line + n + strspn(line + n, " \t");

    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        int r;

        if (strlen(changes[i].word) != n || strncasecmp(changes[i].word, line, n) != 0)
            continue;
        if (!*rest)
            return err_invalid(e, "change '%s' lacks a value", line);
        r = changes[i].apply(config, changes[i].member, rest, e);
        return r < 0 ? err_wrap(e, r, "change '%.100s'", line) : 0;
    }
    return err_invalid(e, "change '%.100s': not an instruction that changes a configuration", line);
}
