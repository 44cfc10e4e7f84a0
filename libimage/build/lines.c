/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logical lines. See lines.h. The rules, as BuildKit has them: a line goes on when its last visible
 * character is the escape character (two of them: it does not); inside of a continued line,
 * comments vanish and empty lines are allowed with a warning; pieces are joined without a blank.
 */
#include "libimage/build/lines.h"

#include "base/buf.h"
#include "base/str.h"
#include "libimage/build/expand.h"
#include <strings.h>

bool list_grow(struct arena *arena, void *list, size_t item_size, size_t max)
{
    LIST_OF(char) *l = list;
    char *items;

    if (l->count >= max)
        return false;
    if (l->count & (l->count - 1) || (l->count > 0 && l->count < 4))
        return true; /* there is room: it was doubled at a power of two */
    items = arena_array(arena, l->count ? 2 * l->count : 4, item_size);
    if (!items)
        return false;
    if (l->count)
        memcpy(items, l->items, l->count * item_size);
    l->items = items;
    return true;
}

struct reader {
    const char *p, *end;
    int number; /* of the last line that was read */
    struct arena *arena;
    struct source_lines *out;
    struct wharf_error *e;
};

struct view {
    const char *p;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct view trim_left(struct view v)
{
    while (v.len > 0 && is_blank(*v.p))
        v.p++, v.len--;
    return v;
}

static struct view trim_right(struct view v)
{
    while (v.len > 0 && is_blank(v.p[v.len - 1]))
        v.len--;
    return v;
}

/* The next physical line, without its newline (nor a carriage return before it). */
static bool next_line(struct reader *r, struct view *ret)
{
    if (r->p >= r->end)
        return false;
    const char *newline = memchr(r->p, '\n', (size_t)(r->end - r->p));
    const char *stop = newline ? newline : r->end;

    *ret = (struct view){ r->p, (size_t)(stop - r->p) };
    if (ret->len > 0 && ret->p[ret->len - 1] == '\r')
        ret->len--;
    r->p = newline ? newline + 1 : r->end;
    r->number++;
    return true;
}

static bool is_comment(struct view v)
{
    v = trim_left(v);
    return v.len > 0 && *v.p == '#';
}

/* ---- directives ------------------------------------------------------------------------------ */

/* `# name = value`; an empty name: it is none. */
static void take_directive(struct view v, struct view *ret_name, struct view *ret_value)
{
    size_t n = 0;

    *ret_name = *ret_value = (struct view){ 0 };
    if (!is_comment(v))
        return;
    v = trim_left(v);
    v.p++, v.len--;
    v = trim_right(trim_left(v));
    while (n < v.len && ((v.p[n] | 32) >= 'a' && (v.p[n] | 32) <= 'z'))
        n++;
    struct view rest = trim_left((struct view){ v.p + n, v.len - n });
    if (n == 0 || rest.len < 2 || *rest.p != '=')
        return;
    rest.p++, rest.len--;
    *ret_name = (struct view){ v.p, n };
    *ret_value = trim_left(rest);
}

static bool view_is(struct view v, const char *word)
{
    return strlen(word) == v.len && strncasecmp(word, v.p, v.len) == 0;
}

static int set_directive(struct reader *r, struct view name, struct view value)
{
    struct source_lines *out = r->out;
    const char **at = view_is(name, "syntax") ? &out->syntax : &out->check;

    if (view_is(name, "escape")) {
        if (value.len != 1 || (*value.p != '\\' && *value.p != '`'))
            return err_invalid(r->e, "invalid escape token '%.*s' does not match ` or \\",
                               (int)MIN(value.len, 50u), value.p);
        out->escape = *value.p;
        return 0;
    }
    if (*at)
        return err_invalid(r->e, "only one %.*s parser directive can be used", (int)name.len,
                           name.p);
    *at = arena_strn(r->arena, value.p, value.len);
    return *at ? 0 : err_nomem(r->e);
}

/* Directives end at the first line that is none; that line is not taken. */
static int read_directives(struct reader *r)
{
    struct reader ahead = *r;
    struct view v, name, value;
    bool escape_seen = false;

    while (next_line(&ahead, &v)) {
        take_directive(v, &name, &value);
        if (!view_is(name, "syntax") && !view_is(name, "check") && !view_is(name, "escape"))
            break;
        r->p = ahead.p;
        r->number = ahead.number;
        if (view_is(name, "escape") && escape_seen)
            return err_invalid(r->e, "only one escape parser directive can be used");
        escape_seen |= view_is(name, "escape");
        int code = set_directive(r, name, value);
        if (code < 0)
            return code;
    }
    return 0;
}

/* ---- here-documents -------------------------------------------------------------------------- */

int heredoc_word(const char *word, struct arena *arena, struct heredoc *ret, struct wharf_error *e)
{
    struct expander raw = {
        .escape = '\\', .raw_quotes = true, .raw_escapes = true, .skip_unset = true
    };
    struct expander plain = { .escape = '\\', .skip_unset = true };
    char **words, **bare;
    size_t count;
    const char *p = word + strspn(word, "0123456789");

    if (p[0] != '<' || p[1] != '<')
        return 0;
    p += 2;
    bool chomp = *p == '-';
    p += chomp;
    if (!*p || strchr(p, '<'))
        return 0;
    int r = expand_words(&raw, p, arena, &words, &count, e);
    if (r == 0 && count != 1)
        return 0;
    if (r == 0)
        r = expand_words(&plain, p, arena, &bare, &count, e);
    if (r < 0)
        return r;
    if (count != 1)
        return 0;
    *ret = (struct heredoc){
        .name = bare[0], .content = "", .expand = streq(words[0], bare[0]), .chomp = chomp
    };
    return 1;
}

static size_t word_length(const char *p)
{
    return strcspn(p, " \t\v\f\r");
}

/* RUN, COPY or ADD, also behind ONBUILD, and not in the JSON form (flags may stand before it). */
static bool takes_heredoc(const char *text)
{
    static const char *const names[] = { "RUN", "COPY", "ADD" };
    size_t n = word_length(text);

    if (n == 7 && strncasecmp(text, "ONBUILD", 7) == 0) {
        text += n + strspn(text + n, " \t\v\f\r");
        n = word_length(text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) != n || strncasecmp(text, names[i], n) != 0)
            continue;
        const char *rest = text + n;
        do
            rest += strspn(rest, " \t\v\f\r");
        while (strncmp(rest, "--", 2) == 0 && (rest += word_length(rest)));
        autojson json_t *list = NULL;
        return *rest != '[' || json_read(rest, strlen(rest), JSON_LIMITS, "", &list, NULL) < 0;
    }
    return false;
}

static int read_heredoc(struct reader *r, struct heredoc *doc)
{
    autobuf struct buf content = BUF(DOCKERFILE_MAX);
    size_t name_len = strlen(doc->name);
    const char *start = r->p;
    struct view v;

    while (next_line(r, &v)) {
        size_t tabs = 0;

        while (doc->chomp && tabs < v.len && v.p[tabs] == '\t')
            tabs++;
        if (v.len - tabs == name_len && memcmp(v.p + tabs, doc->name, name_len) == 0) {
            doc->content = arena_strn(r->arena, content.data ? content.data : "", content.len);
            return doc->content && !content.error ? 0 : err_nomem(r->e);
        }
        buf_add(&content, v.p + tabs, (size_t)(r->p - v.p) - tabs);
    }
    r->p = start;
    return err_invalid(r->e, "unterminated heredoc");
}

static int read_heredocs(struct reader *r, struct line *line)
{
    struct expander raw = {
        .escape = '\\', .raw_quotes = true, .raw_escapes = true, .skip_unset = true
    };
    char **words;
    size_t count;

    if (!strstr(line->text, "<<") || !takes_heredoc(line->text))
        return 0;
    int code = expand_words(&raw, line->text, r->arena, &words, &count, r->e);
    for (size_t i = 0; i < count && code >= 0; i++) {
        struct heredoc found, *doc;

        code = heredoc_word(words[i], r->arena, &found, r->e);
        if (code <= 0)
            continue;
        doc = LIST_ADD(r->arena, &line->docs, DOCKERFILE_HEREDOCS_MAX);
        if (!doc)
            return err_set(r->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d heredocs on a line",
                           DOCKERFILE_HEREDOCS_MAX);
        *doc = found;
        code = read_heredoc(r, doc);
    }
    return MIN(code, 0);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static int warn(struct reader *r, int line, const char *instruction)
{
    struct warning *w = LIST_ADD(r->arena, &r->out->warnings, DOCKERFILE_LINES_MAX);
    const char *text =
        arena_format(r->arena, "Empty continuation line found in:\n    %s", instruction);

    if (!w || !text)
        return err_nomem(r->e);
    *w = (struct warning){ line, text };
    return 0;
}

/* Cuts a trailing escape; true if the line goes on. */
static bool cut_continuation(char escape, struct view *v)
{
    struct view t = trim_right(*v);

    if (t.len == 0 || t.p[t.len - 1] != escape || (t.len > 1 && t.p[t.len - 2] == escape))
        return false;
    v->len = t.len - 1;
    return true;
}

/* Joins what belongs to the line `v`; `text` gets it. *ret_empty: number of the first empty line in
 * between, if any. */
static int join(struct reader *r, struct view v, struct buf *text, int *ret_empty)
{
    bool more = cut_continuation(r->out->escape, &v);

    buf_add(text, v.p, v.len);
    while (more && next_line(r, &v)) {
        if (is_comment(v))
            continue;
        if (trim_left(v).len == 0) {
            *ret_empty = *ret_empty ? *ret_empty : r->number;
            continue;
        }
        more = cut_continuation(r->out->escape, &v);
        buf_add(text, v.p, v.len);
    }
    return text->error ? err_set(r->e, text->error, WHARF_ERROR_LIMIT, "a line is too long") : 0;
}

static int read_logical(struct reader *r, struct view first, struct buf *text)
{
    struct line *line;
    int number = r->number, empty = 0, code;

    buf_reset(text);
    code = join(r, trim_left(first), text, &empty);
    if (code < 0)
        return code;
    struct view all =
        trim_left(trim_right((struct view){ text->data ? text->data : "", text->len }));
    if (all.len == 0)
        return 0;
    line = LIST_ADD(r->arena, &r->out->lines, DOCKERFILE_LINES_MAX);
    if (!line)
        return err_set(r->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d instructions",
                       DOCKERFILE_LINES_MAX);
    line->text = arena_strn(r->arena, all.p, all.len);
    line->at = (struct span){ number, r->number };
    if (!line->text)
        return err_nomem(r->e);
    if (empty && warn(r, empty, line->text) < 0)
        return -ENOMEM;
    code = read_heredocs(r, line);
    line->at.last = r->number;
    return code;
}

int lines_read(const char *text, size_t len, struct arena *arena, struct source_lines *ret,
               struct span *ret_fault, struct wharf_error *e)
{
    struct source_lines out = { .escape = '\\' };
    struct reader r = { .p = text, .end = text + len, .arena = arena, .out = &out, .e = e };
    autobuf struct buf joined = BUF(DOCKERFILE_MAX);
    struct view v;
    int code;

    if (len > DOCKERFILE_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT,
                       "the Dockerfile has %zu bytes, the limit is %d", len, DOCKERFILE_MAX);
    if (memchr(text, 0, len))
        return err_invalid(e, "the Dockerfile is not text: it holds a zero byte");
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        r.p += 3;
    code = read_directives(&r);
    if (code < 0) {
        *ret_fault = (struct span){ r.number, r.number };
        return err_wrap(e, code, "failed to parse Dockerfile");
    }
    while (code == 0 && next_line(&r, &v)) {
        int first = r.number;

        if (!is_comment(v))
            code = read_logical(&r, v, &joined);
        if (code < 0)
            *ret_fault = (struct span){ first, r.number };
    }
    if (code < 0)
        return err_wrap(e, code, "dockerfile parse error line %d", ret_fault->first);
    *ret = out;
    return 0;
}
