/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expansion. See expand.h. A scanner walks the text once and calls itself for the words inside of
 * braces. Two results grow together: the text, and where the words end in it. A blank ends a word
 * only if it was neither quoted nor escaped; `words` NULL: nobody asked.
 */
#include "libimage/build/expand.h"
#include "base/str.h"

struct scan {
    const struct expander *x;
    const char *p, *end;
    bool raw_escapes;
    unsigned depth;
    struct wharf_error *e;
};

/* Text with its word borders: `words` holds each finished word and a NUL. */
struct output {
    struct buf *text;
    struct buf *words; /* NULL: not wanted */
    bool in_word;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void put_raw(struct output *o, const char *s, size_t len)
{
    buf_add(o->text, s, len);
    if (o->words) {
        buf_add(o->words, s, len);
        o->in_word |= len > 0;
    }
}

static void put(struct output *o, const char *s, size_t len)
{
    buf_add(o->text, s, len);
    for (size_t i = 0; o->words && i < len; i++) {
        if (!is_blank(s[i])) {
            buf_char(o->words, s[i]);
            o->in_word = true;
        } else if (o->in_word) {
            buf_char(o->words, 0);
            o->in_word = false;
        }
    }
}

/* ---- patterns -------------------------------------------------------------------------------- */

static size_t utf8_step(const char *s, size_t len)
{
    size_t n = 1;

    while (n < len && ((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* True if all of `s` fits the pattern. Backslash makes `*`, `?` and itself plain. The classic
 * two-pointer walk: the last star takes one character more whenever the rest does not fit. */
static bool fits(const char *p, size_t plen, const char *s, size_t slen)
{
    size_t pi = 0, si = 0, star = SIZE_MAX, from = 0;

    for (;;) {
        bool literal = pi + 1 < plen && p[pi] == '\\';
        size_t at = pi + literal;

        if (pi < plen && !literal && p[pi] == '*') {
            star = ++pi;
            from = si;
            continue;
        }
        if (si == slen && pi == plen)
            return true;
        if (si < slen && pi < plen && ((!literal && p[pi] == '?') || p[at] == s[si])) {
            si += p[pi] == '?' && !literal ? utf8_step(s + si, slen - si) : 1;
            pi = at + 1;
            continue;
        }
        if (star == SIZE_MAX || from >= slen)
            return false;
        si = ++from;
        pi = star;
    }
}

/* Checks escapes, and drops those before '}' and '/', which only keep the scanner off. */
static int clean_pattern(struct scan *s, struct buf *pattern)
{
    size_t to = 0;

    for (size_t i = 0; i < pattern->len; i++) {
        char c = pattern->data[i], next = i + 1 < pattern->len ? pattern->data[i + 1] : 0;

        if (c == '\\' && (next == '}' || next == '/'))
            continue;
        if (c == '\\' && !(next == '*' || next == '?' || next == '\\'))
            return err_invalid(s->e,
                               "invalid pattern (%.100s) in substitution: invalid escape '\\%c'",
                               pattern->data, next ? next : ' ');
        pattern->data[to++] = c;
        if (c == '\\')
            pattern->data[to++] = pattern->data[++i];
    }
    pattern->len = to;
    return 0;
}

/* ${x#p} and its three relatives: how many bytes go. */
static size_t trimmed(const struct buf *pattern, const char *value, bool suffix, bool greedy)
{
    size_t len = strlen(value);

    for (size_t i = 0; i <= len; i++) {
        size_t n = greedy ? len - i : i;

        if (fits(pattern->data, pattern->len, suffix ? value + len - n : value, n))
            return n;
    }
    return 0;
}

/* ${x/p/r}: leftmost, longest. */
static void replace(const struct buf *pattern, const char *value, const struct buf *by, bool all,
                    struct buf *out)
{
    size_t len = strlen(value), at = 0;
    bool done = false;

    while (at <= len) {
        size_t n = len - at;

        while (!done && n > 0 && !fits(pattern->data, pattern->len, value + at, n))
            n--;
        bool found = !done && (n > 0 || fits(pattern->data, pattern->len, value + at, 0));
        if (found) {
            buf_add(out, by->data, by->len);
            done = !all;
        }
        if (at == len)
            break;
        if (!found || n == 0) {
            n = 1;
            buf_char(out, value[at]);
        }
        at += n;
        if (found && at == len)
            break;
    }
}

/* ---- variables ------------------------------------------------------------------------------- */

static int scan_until(struct scan *s, char stop, bool raw_escapes, struct output *out);

static const char *value_of(const struct scan *s, const char *name, size_t len)
{
    return s->x->lookup ? s->x->lookup(name, len, s->x->arg) : NULL;
}

static size_t name_length(const char *p, const char *end)
{
    const char *q = p;

    if (p == end)
        return 0;
    if (*p >= '0' && *p <= '9') {
        while (q < end && *q >= '0' && *q <= '9')
            q++;
        return (size_t)(q - p);
    }
    if (strchr("@*#?-$!", *p))
        return 1;
    while (q < end && ((*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z') || *q == '_' ||
                       (*q >= '0' && *q <= '9')))
        q++;
    return (size_t)(q - p);
}

/* The text up to `stop`, expanded, ended by NUL. */
static int inner_word(struct scan *s, char stop, bool raw_escapes, struct buf *word)
{
    struct output out = { .text = word };
    int r = scan_until(s, stop, raw_escapes, &out);

    if (r < 0 && s->p == s->end)
        return err_invalid(s->e, stop == '/' ? "syntax error: missing '/' in ${}"
                                             : "syntax error: missing '}'");
    if (r == 0 && !buf_reserve(word, 0))
        return err_nomem(s->e);
    return r;
}

/* `${name` is behind us; `op` is at s->p. */
static int substitute(struct scan *s, const char *start, const char *name, size_t len,
                      struct buf *out)
{
    autobuf struct buf word = BUF(EXPAND_MAX), by = BUF(EXPAND_MAX);
    const char *value = value_of(s, name, len), *modifier;
    bool colon = *s->p == ':', all = false, greedy = false;
    int r = 0;

    s->p += colon;
    modifier = s->p;
    char op = s->p < s->end ? *s->p++ : 0;
    if (!op || !strchr(colon ? "+-?#%" : "+-?#%/", op))
        return err_invalid(s->e, "unsupported modifier (%.*s) in substitution",
                           (int)(s->p - modifier), modifier);
    if (op == '/' && s->p < s->end && *s->p == '/') {
        all = true;
        s->p++;
    }
    r = inner_word(s, op == '/' ? '/' : '}', strchr("#%/", op) != NULL, &word);
    if (r == 0 && op == '/')
        r = inner_word(s, '}', true, &by);
    if (r < 0)
        return r;
    if (!value && s->x->skip_unset) {
        buf_add(out, start, (size_t)(s->p - start));
        return 0;
    }
    bool missing = !value || (colon && !*value);
    if (op == '-' || op == '+') {
        if (missing == (op == '-'))
            buf_add(out, word.data, word.len);
        else if (op == '-')
            buf_str(out, value);
        return 0;
    }
    if (op == '?' && missing)
        return err_invalid(s->e, "%.*s: %s", (int)len, name,
                           word.len ? word.data
                           : value  ? "is not allowed to be empty"
                                    : "is not allowed to be unset");
    if (op == '?') {
        buf_str(out, value);
        return 0;
    }
    if (op != '/' && word.len > 0 && word.data[0] == op) {
        greedy = true;
        memmove(word.data, word.data + 1, word.len--);
    }
    r = clean_pattern(s, &word);
    if (r < 0)
        return r;
    value = value ? value : "";
    if (op == '/') {
        replace(&word, value, &by, all, out);
    } else {
        size_t gone = trimmed(&word, value, op == '%', greedy);

        buf_add(out, op == '%' ? value : value + gone, strlen(value) - gone);
    }
    return 0;
}

/* At a dollar sign. */
static int scan_dollar(struct scan *s, struct buf *out)
{
    const char *start = s->p++, *name = s->p;
    size_t len;

    if (s->p == s->end || *s->p != '{') {
        len = name_length(s->p, s->end);
        const char *value = len ? value_of(s, name, len) : NULL;

        s->p += len;
        if (len == 0 || (!value && s->x->skip_unset))
            buf_add(out, start, (size_t)(s->p - start));
        else
            buf_str(out, value ? value : "");
        return 0;
    }
    name = ++s->p;
    if (s->p == s->end)
        return err_invalid(s->e, "syntax error: missing '}'");
    if (strchr("{}:", *s->p))
        return err_invalid(s->e, "syntax error: bad substitution");
    len = name_length(name, s->end);
    s->p += len;
    if (s->p == s->end)
        return err_invalid(s->e, "syntax error: missing '}'");
    if (*s->p == '}') {
        const char *value = value_of(s, name, len);

        s->p++;
        if (!value && s->x->skip_unset)
            buf_add(out, start, (size_t)(s->p - start));
        else
            buf_str(out, value ? value : "");
        return 0;
    }
    return substitute(s, start, name, len, out);
}

/* ---- quotes and the rest --------------------------------------------------------------------- */

static int scan_single(struct scan *s, struct buf *out)
{
    const char *start = s->p++, *close = memchr(s->p, '\'', (size_t)(s->end - s->p));
    size_t raw = s->x->raw_quotes;

    if (!close)
        return err_invalid(s->e,
                           "unexpected end of statement while looking for matching single-quote");
    buf_add(out, start + 1 - raw, (size_t)(close - start) - 1 + 2 * raw);
    s->p = close + 1;
    return 0;
}

static int scan_double(struct scan *s, struct buf *out)
{
    const char escape = s->x->escape;

    if (s->x->raw_quotes)
        buf_char(out, '"');
    s->p++;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p == '$') {
            int r = scan_dollar(s, out);

            if (r < 0)
                return r;
            continue;
        }
        if (*s->p != escape) {
            buf_char(out, *s->p++);
            continue;
        }
        if (++s->p == s->end)
            break;
        bool special = *s->p == '"' || *s->p == '$' || *s->p == escape;
        if (s->raw_escapes || !special)
            buf_char(out, escape);
        if (special)
            buf_char(out, *s->p++);
    }
    if (s->p == s->end)
        return err_invalid(s->e,
                           "unexpected end of statement while looking for matching double-quote");
    if (s->x->raw_quotes)
        buf_char(out, '"');
    s->p++;
    return 0;
}

/* One quote or variable, added to the output in the manner of its kind. */
static int scan_special(struct scan *s, struct output *out)
{
    autobuf struct buf piece = BUF(EXPAND_MAX);
    char kind = *s->p;
    int r = kind == '$'   ? scan_dollar(s, &piece)
            : kind == '"' ? scan_double(s, &piece)
                          : scan_single(s, &piece);

    if (r < 0)
        return r;
    if (piece.error)
        return err_set(s->e, piece.error, WHARF_ERROR_LIMIT, "a word expands to more than %d bytes",
                       EXPAND_MAX);
    if (kind == '$')
        put(out, piece.data ? piece.data : "", piece.len);
    else
        put_raw(out, piece.data ? piece.data : "", piece.len);
    return 0;
}

/* `stop` 0: to the end of the text. */
static int scan_until(struct scan *s, char stop, bool raw_escapes, struct output *out)
{
    bool before = s->raw_escapes, closed = !stop;
    int r = 0;

    if (++s->depth > EXPAND_DEPTH_MAX)
        return err_set(s->e, -EINVAL, WHARF_ERROR_LIMIT, "substitutions nested deeper than %d",
                       EXPAND_DEPTH_MAX);
    s->raw_escapes = raw_escapes;
    while (s->p < s->end && r == 0) {
        char c = *s->p;

        if (stop && c == stop) {
            s->p++;
            closed = true;
            break;
        }
        if (c == '$' || (!s->x->no_quotes && (c == '\'' || c == '"'))) {
            r = scan_special(s, out);
            continue;
        }
        s->p++;
        if (c != s->x->escape) {
            put(out, &c, 1);
            continue;
        }
        if (s->raw_escapes)
            put_raw(out, &c, 1);
        if (s->p < s->end) {
            put_raw(out, s->p, 1);
            s->p++;
        }
    }
    if (r == 0 && !closed)
        r = err_invalid(s->e, "unexpected end of statement while looking for matching %c", stop);
    s->raw_escapes = before;
    s->depth--;
    return r;
}

static int expand(const struct expander *x, const char *text, struct output *out,
                  struct wharf_error *e)
{
    struct scan s = { .x = x, .p = text, .end = text + strlen(text), .e = e };
    int r = scan_until(&s, 0, x->raw_escapes, out);

    if (r == 0 && (out->text->error || (out->words && out->words->error)))
        r = err_set(e, out->text->error ? out->text->error : out->words->error, WHARF_ERROR_LIMIT,
                    "a word expands to more than %d bytes", EXPAND_MAX);
    return r < 0 ? err_wrap(e, r, "failed to process \"%.200s\"", text) : 0;
}

int expand_word(const struct expander *x, const char *text, struct buf *out, struct wharf_error *e)
{
    struct output o = { .text = out };
    int r = expand(x, text, &o, e);

    if (r == 0 && !buf_reserve(out, 0))
        r = err_nomem(e);
    return r;
}

int expand_words(const struct expander *x, const char *text, struct arena *arena, char ***ret,
                 size_t *ret_count, struct wharf_error *e)
{
    autobuf struct buf whole = BUF(EXPAND_MAX), words = BUF(2 * EXPAND_MAX);
    struct output o = { .text = &whole, .words = &words };
    size_t count = 0, i = 0;
    int r = expand(x, text, &o, e);

    if (r < 0)
        return r;
    if (o.in_word)
        buf_char(&words, 0);
    for (size_t at = 0; at < words.len; at++)
        count += words.data[at] == 0;
    char **list = arena_array(arena, count + 1, sizeof(*list));
    char *copy = list && words.len ? arena_strn(arena, words.data, words.len) : NULL;
    if (!list || (words.len && !copy))
        return err_nomem(e);
    for (char *p = copy; i < count; p += strlen(p) + 1)
        list[i++] = p;
    *ret = list;
    if (ret_count)
        *ret_count = count;
    return 0;
}
