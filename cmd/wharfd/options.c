/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/wharfd/options.h"

#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

/* The name that an option's value has in the configuration. */
static const char *option_key(const struct option *o)
{
    return o->key ? o->key : o->flag;
}

static const struct option *option_by_key(const char *key)
{
    for (const struct option *o = option_table; o->help; o++)
        if (o->key && streq(o->key, key))
            return o;
    return NULL;
}

const char *options_text(const json_t *config, const char *key)
{
    const char *text = json_string_value(json_object_get(config, key));

    return text && *text ? text : NULL;
}

bool options_bool(const json_t *config, const char *key)
{
    return json_is_true(json_object_get(config, key));
}

int64_t options_int(const json_t *config, const char *key)
{
    return json_integer_value(json_object_get(config, key));
}

/* ---- values ---------------------------------------------------------------------------------- */

/* strconv.ParseBool's words, which dockerd's flags take. */
static json_t *bool_of(const char *text)
{
    static const char *const words[2][6] = { { "0", "f", "F", "false", "FALSE", "False" },
                                             { "1", "t", "T", "true", "TRUE", "True" } };

    for (int value = 0; value < 2; value++)
        for (size_t i = 0; i < ARRAY_SIZE(words[value]); i++)
            if (streq(words[value][i], text))
                return json_boolean(value);
    return NULL;
}

/* NAME=SOFT[:HARD] as the file's {"Name","Soft","Hard"}. */
static json_t *ulimit_of(const char *name, const char *limits)
{
    const char *colon = strchr(limits, ':');
    autofree char *soft = strndup(limits, colon ? (size_t)(colon - limits) : strlen(limits));
    int64_t low, high;

    if (!soft || parse_i64(soft, -1, INT64_MAX, &low) < 0 ||
        parse_i64(colon ? colon + 1 : soft, -1, INT64_MAX, &high) < 0)
        return NULL;
    return json_pack("{sssIsI}", "Name", name, "Soft", (json_int_t)low, "Hard", (json_int_t)high);
}

/* "base=172.80.0.0/16,size=24", as the file's {"base","size"}. */
static json_t *pool_of(const char *text)
{
    autofree char *copy = strdup(text);
    const char *base = NULL;
    int64_t size = 0;

    for (char *rest = copy, *word; copy && (word = strsep(&rest, ","));) {
        const char *value;

        if ((value = str_after(word, "base=")))
            base = value;
        else if (!(value = str_after(word, "size=")) || parse_i64(value, 1, 128, &size) < 0)
            return NULL;
    }
    return base && size ? json_pack("{sssI}", "base", base, "size", (json_int_t)size) : NULL;
}

/* Adds what a flag says to what it has said before; NULL: it cannot be read. */
static json_t *flag_value(const struct option *o, json_t *before, const char *text)
{
    const char *equals = strchr(text, '=');
    autofree char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;
    int64_t number;

    switch (o->kind) {
    case OPTION_BOOL:
        return bool_of(text);
    case OPTION_INT:
        return parse_i64(text, INT32_MIN, INT32_MAX, &number) < 0 ? NULL : json_integer(number);
    case OPTION_SIZE:
        return parse_size(text, &number) < 0 ? NULL : json_string(text);
    case OPTION_LIST:
        before = before ? json_incref(before) : json_array();
        json_array_append_new(before, json_string(text));
        return before;
    case OPTION_MAP:
    case OPTION_TREE:
        if (o->kind == OPTION_TREE && o->fallback[0] == '[') {
            json_t *pool = pool_of(text);

            if (!pool)
                return NULL;
            before = before ? json_incref(before) : json_array();
            json_array_append_new(before, pool);
            return before;
        }
        json_t *value = !name                         ? NULL
                        : o->effect == EFFECT_REFUSED ? json_string(equals + 1)
                        : o->kind == OPTION_MAP       ? json_string(equals + 1)
                                                      : ulimit_of(name, equals + 1);
        if (!value)
            return NULL;
        before = before ? json_incref(before) : json_object();
        json_object_set_new(before, name, value);
        return before;
    default:
        return json_string(text);
    }
}

static bool is_of_kind(const struct option *o, const json_t *value)
{
    int64_t size;

    switch (o->kind) {
    case OPTION_BOOL:
        return json_is_boolean(value);
    case OPTION_INT:
        return json_is_integer(value);
    case OPTION_LIST:
        return json_is_array(value);
    case OPTION_MAP:
        return json_is_object(value);
    case OPTION_TREE:
        return o->fallback[0] == '[' ? json_is_array(value) : json_is_object(value);
    case OPTION_SIZE:
        return json_is_integer(value) ||
               (json_is_string(value) && parse_size(json_string_value(value), &size) == 0);
    default:
        return json_is_string(value);
    }
}

static json_t *fallback_of(const struct option *o)
{
    if (!o->fallback)
        return NULL;
    if (o->kind == OPTION_TEXT || o->kind == OPTION_SIZE)
        return json_string(o->fallback);
    return json_loads(o->fallback, JSON_DECODE_ANY, NULL);
}

/* ---- the command line ------------------------------------------------------------------------ */

static const struct option *option_by_flag(const char *name, size_t len)
{
    for (const struct option *o = option_table; o->help; o++)
        if (o->flag && strlen(o->flag) == len && !strncmp(o->flag, name, len))
            return o;
    return NULL;
}

static const struct option *option_by_letter(char letter)
{
    for (const struct option *o = option_table; o->help; o++)
        if (o->letter && o->letter == letter)
            return o;
    return NULL;
}

static int take_value(json_t *flags, const struct option *o, const char *text,
                      struct wharf_error *e)
{
    json_t *value = flag_value(o, json_object_get(flags, option_key(o)), text);

    if (!value)
        return err_invalid(e, "invalid argument \"%s\" for \"--%s\" flag", text, o->flag);
    return json_object_set_new(flags, option_key(o), value) < 0 ? err_nomem(e) : 0;
}

/* One word that starts with "-", and the next where its value stands there: how many words are done
 * with. */
static int parse_flag(int argc, char **argv, json_t *flags, struct wharf_error *e)
{
    const char *word = argv[0], *value = NULL;
    const struct option *o;
    bool is_long = word[1] == '-';
    int used = 1, r;

    if (is_long) {
        size_t len = strcspn(word + 2, "=");

        o = option_by_flag(word + 2, len);
        value = word[2 + len] ? word + 2 + len + 1 : NULL;
    } else {
        o = option_by_letter(word[1]);
        if (o && word[2])
            value = word + 2 + (word[2] == '=');
    }
    if (!o && is_long)
        return err_invalid(e, "unknown flag: %.*s\nSee 'wharfd --help'.", (int)strcspn(word, "="),
                           word);
    if (!o)
        return err_invalid(e, "unknown shorthand flag: '%c' in %s\nSee 'wharfd --help'.", word[1],
                           word);
    if (o->kind == OPTION_BOOL && !is_long && value) { /* "-Dl": the rest is looked at next */
        argv[0]++;
        argv[0][0] = '-';
        value = "true";
        used = 0;
    }
    if (!value && o->kind == OPTION_BOOL)
        value = "true";
    else if (!value && argc < 2)
        return err_invalid(e, "flag needs an argument: %s\nSee 'wharfd --help'.", word);
    else if (!value) {
        value = argv[1];
        used = 2;
    }
    r = take_value(flags, o, value, e);
    return r < 0 ? r : used;
}

int options_parse(int argc, char **argv, json_t **ret_flags, enum options_what *ret_what,
                  struct wharf_error *e)
{
    static const struct {
        const char *key;
        enum options_what what;
    } asks[] = { { "help", OPTIONS_HELP },
                 { "version", OPTIONS_VERSION },
                 { "validate", OPTIONS_VALIDATE } };
    autojson json_t *flags = json_object();

    for (int i = 1; flags && i < argc;) {
        if (argv[i][0] != '-' || !argv[i][1])
            return err_invalid(e, "\"wharfd\" accepts no arguments.\nSee 'wharfd --help'.");
        int used = parse_flag(argc - i, argv + i, flags, e);
        if (used < 0)
            return used;
        i += used;
    }
    if (!flags)
        return err_nomem(e);
    *ret_what = OPTIONS_RUN;
    for (size_t i = ARRAY_SIZE(asks); i-- > 0;) {
        if (options_bool(flags, asks[i].key))
            *ret_what = asks[i].what;
        json_object_del(flags, asks[i].key);
    }
    *ret_flags = take_ptr(&flags);
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* An absent file is an empty one, unless a flag names it. */
static int read_file(const char *path, bool named, json_t **ret, struct wharf_error *e)
{
    autofree char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, &text);
    struct json_limits limits = JSON_LIMITS;

    if (n == -ENOENT && !named)
        return (*ret = json_object()) ? 0 : err_nomem(e);
    if (n == -ENOENT)
        return err_not_found(e, "open %s: no such file or directory", path);
    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s'", path);
    if (n == 0)
        return (*ret = json_object()) ? 0 : err_nomem(e);
    int r = json_read(text, (size_t)n, limits, path, ret, e);
    if (r == 0 && !json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return err_invalid(e, "'%s' holds no JSON object", path);
    }
    return r;
}

/* Directives that are not in the table, or of another type. */
static int check_file(const json_t *file, struct wharf_error *e)
{
    autobuf struct buf unknown = BUF(4096);
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)file, key, value) {
        const struct option *o = option_by_key(key);

        if (!o)
            buf_printf(&unknown, "%s%s", unknown.len ? ", " : "", key);
        else if (!is_of_kind(o, value))
            return err_invalid(e, "the directive \"%s\" has a value of another type", key);
    }
    if (unknown.len)
        return err_invalid(e, "the following directives don't match any configuration option: %s",
                           unknown.data);
    return 0;
}

static void put_value(struct buf *b, const json_t *value)
{
    autofree char *text = json_write(value, JSON_ENCODE_ANY | JSON_COMPACT);

    if (json_is_string(value))
        buf_str(b, json_string_value(value));
    else
        buf_str(b, text ? text : "");
}

static int check_conflicts(const json_t *flags, const json_t *file, struct wharf_error *e)
{
    autobuf struct buf both = BUF(4096);
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)flags, key, value) {
        const json_t *other = json_object_get(file, key);

        if (!other)
            continue;
        buf_printf(&both, "%s%s: (from flag: ", both.len ? ", " : "", key);
        put_value(&both, value);
        buf_str(&both, ", from file: ");
        put_value(&both, other);
        buf_char(&both, ')');
    }
    if (both.len)
        return err_invalid(e,
                           "the following directives are specified both as a flag and in the "
                           "configuration file: %s",
                           both.data);
    return 0;
}

static int check_refused(const json_t *config, struct wharf_error *e)
{
    for (const struct option *o = option_table; o->help; o++) {
        const json_t *value = json_object_get(config, option_key(o));
        autojson json_t *fallback = fallback_of(o);

        if (o->effect == EFFECT_REFUSED && value && !json_equal(value, fallback) &&
            !streq(json_is_string(value) ? json_string_value(value) : "x", ""))
            return err_unsupported(e, "wharfd cannot do what '%s' asks for: %s", option_key(o),
                                   o->note);
    }
    return 0;
}

int options_load(const json_t *flags, json_t **ret, struct wharf_error *e)
{
    const char *named = options_text(flags, "config-file");
    const char *path = named ? named : CONFIG_FILE_DEFAULT;
    autojson json_t *config = NULL;
    int r = read_file(path, named != NULL, &config, e);

    if (r == 0)
        r = check_file(config, e);
    if (r == 0)
        r = check_conflicts(flags, config, e);
    if (r < 0)
        return err_wrap(e, r, "unable to configure the daemon with file %s", path);
    if (json_object_update(config, (json_t *)(uintptr_t)flags) < 0)
        return err_nomem(e);
    r = check_refused(config, e);
    if (r < 0)
        return r;
    /* plain TCP needs a "no" to TLS that somebody wrote (security invariants) */
    json_object_set_new(config, "plain-tcp",
                        json_boolean(json_is_false(json_object_get(config, "tls")) ||
                                     json_is_false(json_object_get(config, "tlsverify"))));
    for (const struct option *o = option_table; o->help; o++)
        if (!json_object_get(config, option_key(o)) && o->fallback)
            json_object_set_new(config, option_key(o), fallback_of(o));
    *ret = take_ptr(&config);
    return 0;
}

void options_warn(const json_t *config, void (*tell)(const char *text))
{
    for (const struct option *o = option_table; o->help; o++) {
        const json_t *value = json_object_get(config, option_key(o));
        autojson json_t *fallback = fallback_of(o);

        if (o->effect != EFFECT_NONE || !value || json_equal(value, fallback))
            continue;
        autofree char *text = str_format("'%s' has no effect here: %s", option_key(o), o->note);
        tell(text ? text : "out of memory");
    }
}

/* ---- help ------------------------------------------------------------------------------------ */

void options_help(void)
{
    puts("\nUsage:  wharfd [OPTIONS]\n\nThe container engine behind the Docker API.\n\nOptions:");
    for (const struct option *o = option_table; o->help; o++) {
        autofree char *flag =
            o->flag ? str_format("--%s %s", o->flag, o->word ? o->word : "") : NULL;

        if (!flag)
            continue;
        printf("  %c%c%c %-38s %s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
               o->letter ? ',' : ' ', flag, o->help);
        if (o->fallback && o->kind == OPTION_TEXT)
            printf(" (default \"%s\")", o->fallback);
        if (o->effect == EFFECT_NONE || o->effect == EFFECT_REFUSED)
            printf(" [%s: %s]", o->effect == EFFECT_NONE ? "without effect" : "refused", o->note);
        putchar('\n');
    }
}
