/* SPDX-License-Identifier: Apache-2.0 */
/* Words. See words.h. */
#include "libimage/build/words.h"

#include "base/buf.h"
#include "base/str.h"

int words_add(struct arena *arena, field_strings *list, const char *word, size_t len)
{
    char *copy = arena_strn(arena, word, len);
    char **at = copy ? LIST_ADD(arena, list, WORDS_MAX) : NULL;

    if (!at)
        return -ENOMEM;
    *at = copy;
    return 0;
}

int words_split(const char *text, struct arena *arena, field_strings *ret)
{
    const char *p = text + strspn(text, WORD_BLANKS);
    int r = 0;

    for (; *p && r == 0; p += strspn(p, WORD_BLANKS)) {
        size_t n = strcspn(p, WORD_BLANKS);

        r = words_add(arena, ret, p, n);
        p += n;
    }
    return r;
}

int words_quoted(const char *text, char escape, struct arena *arena, field_strings *ret)
{
    const char *p = text + strspn(text, WORD_BLANKS);
    int r = 0;

    while (*p && r == 0) {
        const char *start = p;
        char quote = 0;

        for (; *p && (quote || !strchr(WORD_BLANKS, *p)); p++) {
            if (*p == escape && quote != '\'' && p[1])
                p++;
            else if (*p == quote)
                quote = 0;
            else if (!quote && (*p == '\'' || *p == '"'))
                quote = *p;
        }
        r = words_add(arena, ret, start, (size_t)(p - start));
        p += strspn(p, WORD_BLANKS);
    }
    return r;
}

int words_flags(const char *text, struct arena *arena, field_strings *ret, const char **ret_rest)
{
    autobuf struct buf word = BUF(DOCKERFILE_MAX);
    const char *p = text + strspn(text, WORD_BLANKS);
    int r = 0;

    while (r == 0 && strncmp(p, "--", 2) == 0) {
        char quote = 0;

        buf_reset(&word);
        for (; *p && (quote || !strchr(WORD_BLANKS, *p)); p++) {
            if (*p == '\\' && p[1])
                buf_char(&word, *++p);
            else if (*p == quote)
                quote = 0;
            else if (!quote && (*p == '\'' || *p == '"'))
                quote = *p;
            else if (*p != '\\')
                buf_char(&word, *p);
        }
        p += strspn(p, WORD_BLANKS);
        if (word.error)
            return word.error;
        if (streq(word.data, "--"))
            break;
        r = words_add(arena, ret, word.data, word.len);
    }
    *ret_rest = p;
    return r;
}

/* To the end of the array that `text` begins with: what stands behind it does not count. */
static size_t list_length(const char *text)
{
    bool quoted = false;
    size_t depth = 0;
    const char *p;

    for (p = text; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && *p == '[')
            depth++;
        else if (!quoted && *p == ']' && --depth == 0)
            return (size_t)(p + 1 - text);
    }
    return (size_t)(p - text);
}

int words_json(const char *text, struct arena *arena, field_strings *ret, struct wharf_error *e)
{
    autojson json_t *list = NULL;
    json_t *item;
    size_t i;
    int r = 0;

    if (*text != '[' || json_read(text, list_length(text), JSON_LIMITS, "", &list, NULL) < 0)
        return 0;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return err_invalid(e, "when using JSON array syntax, arrays must be comprised of "
                                  "strings only");
        if (r == 0)
            r = words_add(arena, ret, json_string_value(item), json_string_length(item));
    }
    return r < 0 ? err_nomem(e) : 1;
}
