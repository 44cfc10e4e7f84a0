/* SPDX-License-Identifier: Apache-2.0 */
/* See cli.h: the parser and the help. Messages are docker's (spf13/pflag's), since scripts match
 * them. */
#include "cmd/wharf/cli.h"

#include <stdio.h>
#include "base/str.h"

static const struct flag *find_long(const struct command *c, const char *name, size_t len)
{
    for (const struct flag *f = c->flags; f->name; f++) {
        if (strlen(f->name) == len && strncmp(f->name, name, len) == 0)
            return f;
    }
    return NULL;
}

static const struct flag *find_letter(const struct command *c, char letter)
{
    for (const struct flag *f = c->flags; f->name; f++) {
        if (f->letter == letter)
            return f;
    }
    return NULL;
}

/* "1.5" in units of 10^-9. */
static int parse_nano(const char *text, int64_t *ret)
{
    size_t whole = strcspn(text, ".");
    autofree char *first = strndup(text, whole);
    uint64_t units = 0, nano = 0;

    if (!first || parse_u64(whole ? first : "0", 0, 1000000, &units) < 0)
        return -EINVAL;
    if (text[whole] == '.') {
        char digits[10] = "000000000";
        size_t n = strlen(text + whole + 1);

        memcpy(digits, text + whole + 1, MIN(n, (size_t)9));
        if (parse_u64(digits, 0, 999999999, &nano) < 0)
            return -EINVAL;
    }
    *ret = (int64_t)(units * 1000000000 + nano);
    return 0;
}

static int set_bool(bool *at, const char *text)
{
    if (streq(text, "true") || streq(text, "1"))
        *at = true;
    else if (streq(text, "false") || streq(text, "0"))
        *at = false;
    else
        return -EINVAL;
    return 0;
}

static int flag_set(const struct flag *f, void *options, const char *text, struct wharf_error *e)
{
    char *at = (char *)options + f->offset;
    int r = 0;

    switch (f->kind) {
    case FLAG_BOOL:
        r = set_bool((bool *)at, text);
        break;
    case FLAG_STR:
        *(const char **)at = text;
        break;
    case FLAG_LIST:
        r = strv_add((char ***)at, text);
        break;
    case FLAG_INT:
        r = parse_i64(text, INT64_MIN, INT64_MAX, (int64_t *)at);
        break;
    case FLAG_SIZE:
        if (streq(text, "-1"))
            *(int64_t *)at = -1;
        else
            r = parse_size(text, (int64_t *)at);
        break;
    case FLAG_COUNT:
        r = parse_nano(text, (int64_t *)at);
        break;
    }
    if (r < 0)
        return err_invalid(e, "invalid argument \"%s\" for \"%s--%s\" flag", text,
                           f->letter ? (char[]){ '-', f->letter, ',', ' ', 0 } : "", f->name);
    return 0;
}

struct parse {
    const struct command *command;
    int argc, at;
    char **argv;
    void *options;
    struct wharf_error *e;
};

static const char *next_value(struct parse *p)
{
    return p->at + 1 < p->argc ? p->argv[++p->at] : NULL;
}

static int parse_long(struct parse *p, const char *text)
{
    size_t len = strcspn(text, "=");
    const struct flag *f = find_long(p->command, text, len);
    const char *value = text[len] ? text + len + 1 : NULL;

    if (!f && strncmp(text, "help", len) == 0 && len == 4)
        return 1;
    if (!f)
        return err_invalid(p->e, "unknown flag: --%.*s", (int)len, text);
    if (!value)
        value = f->kind == FLAG_BOOL ? "true" : next_value(p);
    if (!value)
        return err_invalid(p->e, "flag needs an argument: --%s", f->name);
    return flag_set(f, p->options, value, p->e);
}

/* "-it", "-e x", "-ex", "-e=x" */
static int parse_letters(struct parse *p, const char *letters)
{
    for (const char *l = letters; *l; l++) {
        const struct flag *f = find_letter(p->command, *l);
        int r;

        if (!f)
            return err_invalid(p->e, "unknown shorthand flag: '%c' in -%s", *l, letters);
        if (f->kind == FLAG_BOOL && l[1] != '=') {
            r = flag_set(f, p->options, "true", p->e);
            if (r < 0)
                return r;
            continue;
        }
        const char *value = l[1] == '=' ? l + 2 : l[1] ? l + 1 : next_value(p);
        if (!value)
            return err_invalid(p->e, "flag needs an argument: '%c' in -%s", *l, letters);
        return flag_set(f, p->options, value, p->e);
    }
    return 0;
}

static int check_count(const struct command *c, int count, struct wharf_error *e)
{
    if (count < c->min && c->max == c->min)
        return err_invalid(e, "\"wharf %s\" requires exactly %d argument%s.", c->name, c->min,
                           c->min == 1 ? "" : "s");
    if (count < c->min)
        return err_invalid(e, "\"wharf %s\" requires at least %d argument%s.", c->name, c->min,
                           c->min == 1 ? "" : "s");
    if (c->max == 0 && count > 0)
        return err_invalid(e, "\"wharf %s\" accepts no arguments.", c->name);
    if (c->max > 0 && count > c->max)
        return err_invalid(e, "\"wharf %s\" requires at most %d argument%s.", c->name, c->max,
                           c->max == 1 ? "" : "s");
    return 0;
}

int cli_parse(const struct command *command, int argc, char **argv, void *options, int *ret_argc,
              struct wharf_error *e)
{
    struct parse p = { command, argc, 0, argv, options, e };
    int count = 0;
    bool rest = false;

    for (; p.at < argc; p.at++) {
        char *word = argv[p.at];
        int r = 0;

        if (rest || word[0] != '-' || word[1] == '\0') {
            argv[count++] = word;
            rest |= command->leading;
        } else if (streq(word, "--")) {
            rest = true;
        } else {
            r = word[1] == '-' ? parse_long(&p, word + 2) : parse_letters(&p, word + 1);
        }
        if (r != 0)
            return r;
    }
    *ret_argc = count;
    return check_count(command, count, e);
}

void cli_free_options(const struct command *command, void *options)
{
    for (const struct flag *f = command->flags; f->name; f++) {
        char ***list = (char ***)((char *)options + f->offset);

        if (f->kind == FLAG_LIST) {
            strv_free(*list);
            *list = NULL;
        }
    }
}

void cli_help(const struct command *c)
{
    printf("Usage:  wharf %s %s\n\n%s\n", c->name, c->usage, c->help);
    if (c->flags->name)
        printf("\nFlags:\n");
    for (const struct flag *f = c->flags; f->name; f++) {
        char left[64];

        snprintf(left, sizeof(left), "%s--%s%s%s",
                 f->letter ? (char[]){ '-', f->letter, ',', ' ', 0 } : "    ", f->name,
                 f->value ? " " : "", f->value ? f->value : "");
        printf("  %-34s %s\n", left, f->help);
    }
}

void cli_help_all(void)
{
    printf("Usage:  wharf [--root DIR] [--run DIR] COMMAND\n\n"
           "Containers, without a daemon.\n\nCommands:\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-15s %s\n", c->name, c->help);
    printf("\nGlobal flags:\n"
           "  --root DIR   where images and containers are (" ENGINE_ROOT_DEFAULT ")\n"
           "  --run DIR    where sockets are (/run/wharf, or \"run\" below another root)\n\n"
           "Run 'wharf COMMAND --help' for more about a command.\n");
}

int cli_fail(struct cli *cli)
{
    fprintf(stderr, "Error: %s\n", cli->e.message[0] ? cli->e.message : "failed");
    return cli->command->failure;
}

int cli_each(struct cli *cli, int argc, char **argv,
             int (*each)(struct cli *cli, void *options, const char *name), void *options)
{
    int code = 0;

    for (int i = 0; i < argc; i++) {
        cli->e = (struct wharf_error){ 0 };
        if (each(cli, options, argv[i]) < 0)
            code = cli_fail(cli);
        else
            printf("%s\n", argv[i]);
    }
    return code;
}
