/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing. See parse.h. An instruction is a row of one table: its name, the form of its arguments,
 * how many there must be; a flag is a row of another: its name, its kind, which instructions take
 * it, where its value goes.
 */
#include "libimage/build/parse.h"

#include <strings.h>
#include "base/buf.h"
#include "base/str.h"
#include "libimage/build/duration.h"
#include "libimage/build/words.h"

/* What an error is about, as docker's messages tell it. */
enum blame { BLAME_INSTRUCTION, BLAME_FORM, BLAME_FILE };

struct parser {
    struct arena *arena;
    char escape;
    enum blame blame;
    struct wharf_error *e;
};

enum form {
    FORM_COMMAND, /* JSON array, or the text as it stands */
    FORM_LIST,    /* JSON array, or words */
    FORM_NAMES,   /* words that may be name=value */
    FORM_PAIRS,   /* name=value .., or `name rest of the line` */
    FORM_TEXT,    /* one text */
    FORM_WORDS,
    FORM_HEALTH,  /* NONE, or CMD and a command */
    FORM_TRIGGER, /* another instruction */
};

static const struct {
    const char *name;
    enum form form;
    size_t min, max; /* arguments; max 0: any number */
} table[INSTRUCTION_KINDS] = {
    [INSTRUCTION_ADD] = { "ADD", FORM_LIST, 2, 0 },
    [INSTRUCTION_ARG] = { "ARG", FORM_NAMES, 1, 0 },
    [INSTRUCTION_CMD] = { "CMD", FORM_COMMAND, 0, 0 },
    [INSTRUCTION_COPY] = { "COPY", FORM_LIST, 2, 0 },
    [INSTRUCTION_ENTRYPOINT] = { "ENTRYPOINT", FORM_COMMAND, 0, 0 },
    [INSTRUCTION_ENV] = { "ENV", FORM_PAIRS, 1, 0 },
    [INSTRUCTION_EXPOSE] = { "EXPOSE", FORM_WORDS, 1, 0 },
    [INSTRUCTION_FROM] = { "FROM", FORM_WORDS, 0, 0 },
    [INSTRUCTION_HEALTHCHECK] = { "HEALTHCHECK", FORM_HEALTH, 1, 0 },
    [INSTRUCTION_LABEL] = { "LABEL", FORM_PAIRS, 1, 0 },
    [INSTRUCTION_MAINTAINER] = { "MAINTAINER", FORM_TEXT, 1, 1 },
    [INSTRUCTION_ONBUILD] = { "ONBUILD", FORM_TRIGGER, 1, 0 },
    [INSTRUCTION_RUN] = { "RUN", FORM_COMMAND, 1, 0 },
    [INSTRUCTION_SHELL] = { "SHELL", FORM_COMMAND, 1, 0 },
    [INSTRUCTION_STOPSIGNAL] = { "STOPSIGNAL", FORM_TEXT, 1, 1 },
    [INSTRUCTION_USER] = { "USER", FORM_TEXT, 1, 1 },
    [INSTRUCTION_VOLUME] = { "VOLUME", FORM_LIST, 1, 0 },
    [INSTRUCTION_WORKDIR] = { "WORKDIR", FORM_TEXT, 1, 1 },
};

const char *instruction_name(enum instruction_kind kind)
{
    return table[kind].name;
}

/* ---- flags ----------------------------------------------------------------------------------- */

enum flag_type { FLAG_TEXT, FLAG_BOOL, FLAG_LIST, FLAG_BOOL_TEXT };

#define ON(kind)        (1u << INSTRUCTION_##kind)
#define FLAG_AT(member) offsetof(struct instruction_flags, member)

static const struct flag {
    const char *name;
    enum flag_type type;
    unsigned on;
    size_t offset;
} flags[] = {
    { "from", FLAG_TEXT, ON(COPY), FLAG_AT(from) },
    { "chown", FLAG_TEXT, ON(ADD) | ON(COPY), FLAG_AT(chown) },
    { "chmod", FLAG_TEXT, ON(ADD) | ON(COPY), FLAG_AT(chmod) },
    { "link", FLAG_BOOL, ON(ADD) | ON(COPY), FLAG_AT(link) },
    { "parents", FLAG_BOOL, ON(COPY), FLAG_AT(parents) },
    { "exclude", FLAG_LIST, ON(ADD) | ON(COPY), FLAG_AT(excludes) },
    { "checksum", FLAG_TEXT, ON(ADD), FLAG_AT(checksum) },
    { "keep-git-dir", FLAG_BOOL, ON(ADD), FLAG_AT(keep_git_dir) },
    { "unpack", FLAG_BOOL_TEXT, ON(ADD), FLAG_AT(unpack) },
    { "platform", FLAG_TEXT, ON(FROM), FLAG_AT(platform) },
    { "mount", FLAG_LIST, ON(RUN), FLAG_AT(mounts) },
    { "network", FLAG_TEXT, ON(RUN), FLAG_AT(network) },
    { "security", FLAG_TEXT, ON(RUN), FLAG_AT(security) },
    { "interval", FLAG_TEXT, ON(HEALTHCHECK), FLAG_AT(interval) },
    { "timeout", FLAG_TEXT, ON(HEALTHCHECK), FLAG_AT(timeout) },
    { "start-period", FLAG_TEXT, ON(HEALTHCHECK), FLAG_AT(start_period) },
    { "start-interval", FLAG_TEXT, ON(HEALTHCHECK), FLAG_AT(start_interval) },
    { "retries", FLAG_TEXT, ON(HEALTHCHECK), FLAG_AT(retries) },
};

static const struct flag *find_flag(const struct instruction *i, const char *name, size_t len)
{
    for (size_t n = 0; n < ARRAY_SIZE(flags); n++) {
        if ((flags[n].on & 1u << i->kind) && strlen(flags[n].name) == len &&
            strncmp(flags[n].name, name, len) == 0)
            return &flags[n];
    }
    return NULL;
}

static int set_bool(struct parser *p, const struct flag *f, struct instruction *i,
                    const char *value)
{
    if (value && !streq(value, "true") && !streq(value, "false"))
        return err_invalid(p->e, "Expecting boolean value for flag %s, not: %.100s", f->name,
                           value);
    value = value ? value : "true";
    if (f->type == FLAG_BOOL_TEXT)
        *(const char **)((char *)&i->flags + f->offset) = arena_str(p->arena, value);
    else
        *(bool *)((char *)&i->flags + f->offset) = streq(value, "true");
    return 0;
}

static int set_flag(struct parser *p, struct instruction *i, const char *word, bool *seen)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    const struct flag *f = find_flag(i, name, len);

    if (!f)
        return err_invalid(p->e, "Unknown flag: %.*s", (int)MIN(len, 100u), name);
    if (seen[f - flags] && f->type != FLAG_LIST)
        return err_invalid(p->e, "Duplicate flag specified: %s", f->name);
    seen[f - flags] = true;
    if (f->type == FLAG_BOOL || f->type == FLAG_BOOL_TEXT)
        return set_bool(p, f, i, value);
    if (!value)
        return err_invalid(p->e, "Missing a value on flag: %s", f->name);
    if (f->type == FLAG_LIST)
        return words_add(p->arena, (field_strings *)((char *)&i->flags + f->offset), value,
                         strlen(value));
    *(const char **)((char *)&i->flags + f->offset) = value;
    return 0;
}

static int read_flags(struct parser *p, struct instruction *i)
{
    bool seen[ARRAY_SIZE(flags)] = { false };
    int r = 0;

    for (size_t n = 0; n < i->flags_text.count && r == 0; n++)
        r = set_flag(p, i, i->flags_text.items[n], seen);
    return r;
}

/* ---- forms ----------------------------------------------------------------------------------- */

static int add(struct parser *p, field_strings *args, const char *word, size_t len)
{
    return words_add(p->arena, args, word, len) < 0 ? err_nomem(p->e) : 0;
}

/* NAME=VALUE pairs, or the old form of one name and the rest of the line. */
static int read_pairs(struct parser *p, struct instruction *i, field_strings *args)
{
    const char *rest = i->arguments;
    field_strings words = { 0 };
    int r = words_quoted(rest, p->escape, p->arena, &words);

    if (r == 0 && words.count > 0 && !strchr(words.items[0], '=')) {
        size_t n = strcspn(rest, WORD_BLANKS);
        const char *value = rest + n + strspn(rest + n, WORD_BLANKS);

        if (!*value)
            return err_invalid(p->e, "%s must have two arguments", table[i->kind].name);
        r = add(p, args, rest, n);
        return r < 0 ? r : add(p, args, value, strlen(value));
    }
    for (size_t n = 0; n < words.count && r == 0; n++) {
        const char *word = words.items[n], *equals = strchr(word, '=');

        if (!equals)
            return err_invalid(p->e,
                               "Syntax error - can't find = in \"%.100s\". Must be of the form: "
                               "name=value",
                               word);
        r = add(p, args, word, (size_t)(equals - word));
        if (r == 0)
            r = add(p, args, equals + 1, strlen(equals + 1));
    }
    return r;
}

static int read_command(struct parser *p, struct instruction *i, const char *text,
                        field_strings *args)
{
    int r = words_json(text, p->arena, args, p->e);

    i->json = r > 0;
    if (r != 0 || !*text)
        return MIN(r, 0);
    return add(p, args, text, strlen(text));
}

static int read_health(struct parser *p, struct instruction *i, field_strings *args)
{
    size_t n = strcspn(i->arguments, WORD_BLANKS);
    const char *rest = i->arguments + n + strspn(i->arguments + n, WORD_BLANKS);
    int r = 0;

    if (n == 0)
        return 0;
    r = add(p, args, i->arguments, n);
    return r < 0 ? r : read_command(p, i, rest, args);
}

static int read_arguments(struct parser *p, struct instruction *i)
{
    field_strings args = { 0 };
    const char *text = i->arguments;
    int r = 0;

    switch (table[i->kind].form) {
    case FORM_COMMAND:
        r = read_command(p, i, text, &args);
        break;
    case FORM_LIST:
        r = words_json(text, p->arena, &args, p->e);
        i->json = r > 0;
        r = r == 0 ? words_split(text, p->arena, &args) : MIN(r, 0);
        break;
    case FORM_NAMES:
        r = words_quoted(text, p->escape, p->arena, &args);
        break;
    case FORM_PAIRS:
        r = read_pairs(p, i, &args);
        break;
    case FORM_TEXT:
    case FORM_TRIGGER:
        r = *text ? add(p, &args, text, strlen(text)) : 0;
        break;
    case FORM_WORDS:
        r = words_split(text, p->arena, &args);
        break;
    case FORM_HEALTH:
        r = read_health(p, i, &args);
        break;
    }
    i->args = args.items;
    i->count = args.count;
    return r == -ENOMEM ? err_nomem(p->e) : r;
}

/* ---- what must hold of one instruction ------------------------------------------------------- */

static int check_count(struct parser *p, const struct instruction *i)
{
    const char *name = table[i->kind].name;

    if (i->count >= table[i->kind].min &&
        (table[i->kind].max == 0 || i->count <= table[i->kind].max))
        return 0;
    if (table[i->kind].min == 2)
        return err_invalid(p->e,
                           "%s requires at least two arguments, but only one was provided. "
                           "Destination could not be determined",
                           name);
    return err_invalid(p->e, "%s requires %s one argument", name,
                       table[i->kind].max == 1 ? "exactly" : "at least");
}

static int check_trigger(struct parser *p, const struct instruction *i)
{
    static const char *const refused[] = { "MAINTAINER", "FROM" };
    const char *text = i->args[0];
    size_t n = strcspn(text, WORD_BLANKS);

    if (n == 7 && strncasecmp(text, "ONBUILD", n) == 0)
        return err_invalid(p->e, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    for (size_t k = 0; k < ARRAY_SIZE(refused); k++) {
        if (strlen(refused[k]) == n && strncasecmp(text, refused[k], n) == 0)
            return err_invalid(p->e, "%s isn't allowed as an ONBUILD trigger", refused[k]);
    }
    return 0;
}

static int check_duration(struct parser *p, const char *flag, const char *text)
{
    int64_t ns;

    if (!text)
        return 0;
    if (duration_parse(text, &ns) < 0)
        return err_invalid(p->e, "time: invalid duration \"%.50s\"", text);
    if (ns < 0 || (ns > 0 && ns < 1000000))
        return err_invalid(p->e, "Interval \"%s\" cannot be less than 1ms", flag);
    return 0;
}

static int check_health(struct parser *p, const struct instruction *i)
{
    const struct instruction_flags *f = &i->flags;
    int64_t retries;
    int r;

    if (strcasecmp(i->args[0], "NONE") == 0)
        return i->count > 1 ? err_invalid(p->e, "HEALTHCHECK NONE takes no arguments") : 0;
    if (strcasecmp(i->args[0], "CMD") != 0)
        return err_invalid(p->e, "Unknown type \"%.50s\" in HEALTHCHECK (try CMD)", i->args[0]);
    if (i->count < 2)
        return err_invalid(p->e, "Missing command after HEALTHCHECK CMD");
    if ((r = check_duration(p, "interval", f->interval)) < 0 ||
        (r = check_duration(p, "timeout", f->timeout)) < 0 ||
        (r = check_duration(p, "start-period", f->start_period)) < 0 ||
        (r = check_duration(p, "start-interval", f->start_interval)) < 0)
        return r;
    if (f->retries && parse_i64(f->retries, INT32_MIN, INT32_MAX, &retries) < 0)
        return err_invalid(p->e, "--retries: '%.50s' is not a number", f->retries);
    return f->retries && retries < 1
               ? err_invalid(p->e, "--retries must be at least 1 (not %lld)", (long long)retries)
               : 0;
}

static int check_names(struct parser *p, const struct instruction *i)
{
    for (size_t n = 0; n < i->count; n += 2) {
        if (!*i->args[n])
            return err_invalid(p->e, "%s names can not be blank", table[i->kind].name);
    }
    return 0;
}

static int check_args(struct parser *p, const struct instruction *i)
{
    for (size_t n = 0; n < i->count; n++) {
        if (!*i->args[n] || *i->args[n] == '=')
            return err_invalid(p->e, "ARG names can not be blank");
    }
    return 0;
}

static int check_instruction(struct parser *p, const struct instruction *i)
{
    struct heredoc doc;
    int r = check_count(p, i);

    if (r < 0)
        return r;
    switch (i->kind) {
    case INSTRUCTION_ARG:
        return check_args(p, i);
    case INSTRUCTION_ENV:
    case INSTRUCTION_LABEL:
        return check_names(p, i);
    case INSTRUCTION_HEALTHCHECK:
        return check_health(p, i);
    case INSTRUCTION_ONBUILD:
        return check_trigger(p, i);
    case INSTRUCTION_SHELL:
        return i->json ? 0 : err_invalid(p->e, "SHELL requires the arguments to be in JSON form");
    case INSTRUCTION_VOLUME:
        for (size_t n = 0; n < i->count; n++) {
            if (!*i->args[n])
                return err_invalid(p->e, "VOLUME specified can not be an empty string");
        }
        return 0;
    case INSTRUCTION_ADD:
    case INSTRUCTION_COPY:
        r = i->json ? 0 : heredoc_word(i->args[i->count - 1], p->arena, &doc, NULL);
        return r > 0 ? err_invalid(p->e, "%s cannot accept a heredoc as a destination",
                                   table[i->kind].name)
                     : 0;
    default:
        return 0;
    }
}

static int read_instruction(struct parser *p, const struct line *line, struct instruction *ret)
{
    size_t n = strcspn(line->text, WORD_BLANKS), kind = 0;
    struct instruction i = { .text = line->text, .at = line->at, .docs = line->docs };
    int r;

    while (kind < INSTRUCTION_KINDS &&
           (strlen(table[kind].name) != n || strncasecmp(table[kind].name, line->text, n) != 0))
        kind++;
    if (kind == INSTRUCTION_KINDS) {
        char name[64];

        snprintf(name, sizeof(name), "%.*s", (int)MIN(n, 60u), line->text);
        for (char *c = name; *c; c++)
            *c -= *c >= 'a' && *c <= 'z' ? 32 : 0;
        return err_invalid(p->e, "unknown instruction: %s", name);
    }
    i.kind = (enum instruction_kind)kind;
    p->blame = BLAME_FORM;
    r = words_flags(line->text + n, p->arena, &i.flags_text, &i.arguments);
    if (r < 0)
        return err_nomem(p->e);
    r = read_arguments(p, &i);
    if (r == 0) {
        p->blame = BLAME_INSTRUCTION;
        r = read_flags(p, &i);
    }
    if (r == 0)
        r = check_instruction(p, &i);
    if (r == 0)
        *ret = i;
    return r;
}

/* ---- stages ---------------------------------------------------------------------------------- */

static bool stage_name_valid(const char *name)
{
    return *name >= 'a' && *name <= 'z' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static int read_from(struct parser *p, const struct instruction *i, struct dockerfile *d)
{
    struct stage *stage;
    char *name = NULL;

    if (i->count == 3 && strcasecmp(i->args[1], "AS") == 0) {
        name = arena_str(p->arena, i->args[2]);
        for (char *c = name; c && *c; c++)
            *c += *c >= 'A' && *c <= 'Z' ? 32 : 0;
        if (!name || !stage_name_valid(name))
            return err_invalid(p->e,
                               "invalid name for build stage: \"%.100s\", name can't start with a "
                               "number or contain symbols",
                               i->args[2]);
    } else if (i->count != 1) {
        return err_invalid(p->e, "FROM requires either one or three arguments");
    }
    stage = LIST_ADD(p->arena, &d->stages, DOCKERFILE_STAGES_MAX);
    if (!stage)
        return err_set(p->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d stages",
                       DOCKERFILE_STAGES_MAX);
    *stage = (struct stage){ .base = i->args[0], .name = name, .from = *i };
    return 0;
}

static int place(struct parser *p, const struct instruction *i, struct dockerfile *d)
{
    instructions *list = &d->args;
    struct instruction *at;

    if (i->kind == INSTRUCTION_FROM)
        return read_from(p, i, d);
    if (d->stages.count > 0)
        list = &d->stages.items[d->stages.count - 1].body;
    else if (i->kind != INSTRUCTION_ARG) {
        p->blame = BLAME_FILE;
        return err_invalid(p->e, "no build stage in current context");
    }
    at = LIST_ADD(p->arena, list, DOCKERFILE_LINES_MAX);
    if (!at)
        return err_nomem(p->e);
    *at = *i;
    return 0;
}

static int blamed(struct parser *p, int r, int line)
{
    if (p->blame == BLAME_FILE)
        return r;
    return p->blame == BLAME_FORM ? err_wrap(p->e, r, "failed to parse Dockerfile")
                                  : err_wrap(p->e, r, "dockerfile parse error line %d", line);
}

int dockerfile_parse(const char *text, size_t len, struct arena *arena, struct dockerfile *ret,
                     struct span *ret_fault, struct wharf_error *e)
{
    struct parser p = { .arena = arena, .e = e };
    struct source_lines source;
    struct dockerfile d = { 0 };
    struct span fault = { 0 };
    int r = lines_read(text, len, arena, &source, &fault, e);

    if (r < 0) {
        *ret_fault = fault;
        return r;
    }
    p.escape = d.escape = source.escape;
    d.syntax = source.syntax;
    d.check = source.check;
    d.warnings.items = source.warnings.items;
    d.warnings.count = source.warnings.count;
    for (size_t n = 0; n < source.lines.count; n++) {
        struct instruction i;

        p.blame = BLAME_INSTRUCTION;
        r = read_instruction(&p, &source.lines.items[n], &i);
        if (r == 0)
            r = place(&p, &i, &d);
        if (r < 0) {
            *ret_fault = source.lines.items[n].at;
            return blamed(&p, r, ret_fault->first);
        }
    }
    if (d.stages.count == 0) {
        *ret_fault = (struct span){ 0 };
        return err_invalid(e, source.lines.count ? "no build stage in current context"
                                                 : "failed to parse Dockerfile: file with no "
                                                   "instructions");
    }
    *ret = d;
    return 0;
}

int trigger_parse(const char *text, struct arena *arena, instructions *ret, struct wharf_error *e)
{
    struct parser p = { .arena = arena, .e = e };
    struct source_lines source;
    struct span fault = { 0 };
    instructions list = { 0 };
    int r = lines_read(text, strlen(text), arena, &source, &fault, e);

    p.escape = '\\';
    for (size_t n = 0; r == 0 && n < source.lines.count; n++) {
        struct instruction i, *at;

        r = read_instruction(&p, &source.lines.items[n], &i);
        if (r == 0 && (i.kind == INSTRUCTION_ONBUILD || i.kind == INSTRUCTION_FROM ||
                       i.kind == INSTRUCTION_MAINTAINER))
            r = err_invalid(e, "%s isn't allowed as an ONBUILD trigger", table[i.kind].name);
        at = r == 0 ? LIST_ADD(arena, &list, DOCKERFILE_LINES_MAX) : NULL;
        if (r == 0 && !at)
            r = err_nomem(e);
        if (at)
            *at = i;
    }
    if (r < 0)
        return err_wrap(e, r, "in the trigger \"%.100s\"", text);
    *ret = list;
    return 0;
}
