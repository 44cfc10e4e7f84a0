/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References: what a person types becomes domain, path, tag and digest, by docker's rules.
 *
 * The grammar is that of the distribution project (reference/regexp.go describes it): a first
 * component is a domain if it has a dot, a colon or upper case, or is `localhost`; everything else
 * is a path on docker.io, where a path of one component is below `library/`. The trap: 64
 * hexadecimal digits alone are an id, never a name.
 */
#include "libimage/digest.h"
#include "base/str.h"

#define LOWER       "abcdefghijklmnopqrstuvwxyz0123456789"
#define LETTERS     LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HUB         "docker.io"
#define HUB_LIBRARY "library/"
#define OLD_HUB     "index.docker.io"

/* A piece of the text. */
struct view {
    const char *p;
    size_t n;
};

static size_t span(struct view v, size_t at, const char *set)
{
    size_t n = 0;

    while (at + n < v.n && strchr(set, v.p[at + n]))
        n++;
    return n;
}

/* Lower case and digits, joined by '.', one or two '_', or any number of '-'. */
static bool component_valid(struct view v)
{
    size_t at = span(v, 0, LOWER);

    if (at == 0)
        return false;
    while (at < v.n) {
        char c = v.p[at];
        size_t joint = strchr("._-", c) ? span(v, at, (char[]){ c, 0 }) : 0;
        size_t word;

        if (joint == 0 || (c == '.' && joint > 1) || (c == '_' && joint > 2))
            return false;
        at += joint;
        word = span(v, at, LOWER);
        if (word == 0)
            return false;
        at += word;
    }
    return true;
}

static bool path_valid(struct view v)
{
    size_t start = 0;

    for (size_t i = 0; i <= v.n; i++) {
        if (i < v.n && v.p[i] != '/')
            continue;
        if (!component_valid((struct view){ v.p + start, i - start }))
            return false;
        start = i + 1;
    }
    return true;
}

/* Labels of letters, digits and inner '-', joined by '.', or an IPv6 address in brackets; a port.
 */
static bool domain_valid(struct view v)
{
    size_t at = 0;

    if (v.n > 0 && v.p[0] == '[') {
        at = 1 + span(v, 1, "0123456789abcdefABCDEF:");
        if (at < 3 || at >= v.n || v.p[at++] != ']')
            return false;
    } else {
        for (;;) {
            size_t label = span(v, at, LETTERS "-");

            if (label == 0 || v.p[at] == '-' || v.p[at + label - 1] == '-')
                return false;
            at += label;
            if (at >= v.n || v.p[at] != '.')
                break;
            at++;
        }
    }
    if (at == v.n)
        return true;
    return v.p[at] == ':' && at + 1 < v.n && span(v, at + 1, "0123456789") == v.n - at - 1;
}

static bool tag_valid(struct view v)
{
    return v.n > 0 && v.n <= IMAGE_TAG_MAX && v.p[0] != '.' && v.p[0] != '-' &&
           span(v, 0, LETTERS "_.-") == v.n;
}

static bool is_domain(struct view v)
{
    static const char localhost[] = "localhost";

    if (v.n == strlen(localhost) && memcmp(v.p, localhost, v.n) == 0)
        return true;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '.' || v.p[i] == ':' || (v.p[i] >= 'A' && v.p[i] <= 'Z'))
            return true;
    }
    return false;
}

static void copy(char *to, struct view from)
{
    memcpy(to, from.p, from.n);
    to[from.n] = 0;
}

/* Cuts what stands behind the last `mark`, if there is one behind `least`. */
static bool cut_last(struct view *v, char mark, size_t least, struct view *ret_tail)
{
    for (size_t i = v->n; i-- > least;) {
        if (v->p[i] != mark)
            continue;
        *ret_tail = (struct view){ v->p + i + 1, v->n - i - 1 };
        v->n = i;
        return true;
    }
    return false;
}

static int split_name(struct image_reference *r, struct view name)
{
    const char *slash = memchr(name.p, '/', name.n);
    struct view domain = { HUB, strlen(HUB) }, path = name;
    bool official;

    if (slash && is_domain((struct view){ name.p, (size_t)(slash - name.p) })) {
        domain = (struct view){ name.p, (size_t)(slash - name.p) };
        path = (struct view){ slash + 1, name.n - domain.n - 1 };
        if (domain.n == strlen(OLD_HUB) && memcmp(domain.p, OLD_HUB, domain.n) == 0)
            domain = (struct view){ HUB, strlen(HUB) };
    }
    if (!domain_valid(domain) || !path_valid(path))
        return -EINVAL;
    if (domain.n > IMAGE_NAME_MAX)
        return -ENAMETOOLONG;
    copy(r->domain, domain);
    official = streq(r->domain, HUB) && !memchr(path.p, '/', path.n);
    if (domain.n + 1 + (official ? strlen(HUB_LIBRARY) : 0) + path.n > IMAGE_NAME_MAX)
        return -ENAMETOOLONG;
    if (official)
        memcpy(r->path, HUB_LIBRARY, strlen(HUB_LIBRARY));
    copy(r->path + (official ? strlen(HUB_LIBRARY) : 0), path);
    return 0;
}

int image_reference_parse(struct image_reference *ret, const char *text, struct wharf_error *e)
{
    struct image_reference r = { 0 };
    struct view name = { text, strlen(text) }, tail;
    const char *slash;

    if (cut_last(&name, '@', 0, &tail)) {
        if (!digest_valid(tail.p))
            return err_invalid(e, "invalid reference '%.200s': no valid digest behind '@'", text);
        copy(r.digest, tail);
    }
    slash = memrchr(name.p, '/', name.n);
    if (cut_last(&name, ':', slash ? (size_t)(slash - name.p) : 0, &tail)) {
        if (!tag_valid(tail))
            return err_invalid(e, "invalid reference '%.200s': no valid tag behind ':'", text);
        copy(r.tag, tail);
    } else if (!r.digest[0]) {
        memcpy(r.tag, "latest", sizeof("latest"));
    }
    if (name.n == 64 && span(name, 0, "0123456789abcdef") == 64)
        return err_invalid(e, "invalid reference '%.200s': 64 hexadecimal digits are an id", text);
    switch (split_name(&r, name)) {
    case 0:
        *ret = r;
        return 0;
    case -ENAMETOOLONG:
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT,
                       "invalid reference '%.100s..': a name has at most %d characters", text,
                       IMAGE_NAME_MAX);
    default:
        return err_invalid(e,
                           "invalid reference '%.200s': a name is lower case letters and digits "
                           "joined by '.', '_', '__', '-' and '/'",
                           text);
    }
}

/* The path as it is shown: without docker's own prefix when the form is short. */
static const char *shown_path(const struct image_reference *r, bool hub)
{
    const char *library = hub ? str_after(r->path, HUB_LIBRARY) : NULL;

    return library && !strchr(library, '/') ? library : r->path;
}

void image_reference_format(const struct image_reference *r, int short_form, char *text)
{
    bool hub = short_form && streq(r->domain, HUB);
    const char *parts[] = {
        hub ? "" : r->domain,    hub ? "" : "/", shown_path(r, hub), r->tag[0] ? ":" : "", r->tag,
        r->digest[0] ? "@" : "", r->digest
    };
    size_t used = 0;

    /* the parts were checked when parsed; what a caller made himself is cut rather than overrun */
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t n = MIN(strlen(parts[i]), (size_t)IMAGE_REFERENCE_MAX - 1 - used);

        memcpy(text + used, parts[i], n);
        used += n;
    }
    text[used] = 0;
}
