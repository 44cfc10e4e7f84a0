/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of others' servers and answered from there: the index of a registry (GET
 * /images/search), which is docker's of 2013 (HOST/v1/search?q=TERM&n=LIMIT), and the session of
 * BuildKit, which this engine does not have.
 */
#include "engine/service-internal.h"

#include <sys/mman.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#define SEARCH_LIMIT         100 /* results */
#define SEARCH_LIMIT_DEFAULT 25
#define SEARCH_ANSWER_MAX    (4u << 20)
#define SEARCH_INDEX         "index.docker.io"

/* "localhost:5000/busybox" asks that host; docker.io's own names ask the public index. */
static size_t host_length(const char *term)
{
    const char *slash = strchr(term, '/');
    size_t len = slash ? (size_t)(slash - term) : 0;
    bool host = memchr(term, '.', len) || memchr(term, ':', len) ||
                (len == 9 && strncmp(term, "localhost", 9) == 0);

    return host ? len : 0;
}

static bool is_plain(const struct engine_remote *remote, const char *host)
{
    for (const char *const *p = remote->insecure; p && *p; p++)
        if (streq(*p, host))
            return true;
    return str_after(host, "localhost") || str_after(host, "127.");
}

/* The letters that stand in a query for themselves (RFC 3986 section 2.3). */
static void add_escaped(struct buf *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain =
            (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("-._~", c);

        buf_printf(b, plain ? "%c" : "%%%02X", c);
    }
}

static int make_url(const struct engine_remote *remote, const char *term, int64_t limit,
                    struct buf *url)
{
    size_t len = host_length(term);
    autofree char *host = len ? strndup(term, len) : strdup(SEARCH_INDEX);
    const char *rest = len ? term + len + 1 : term;

    if (!host)
        return -ENOMEM;
    if (streq(host, "docker.io")) {
        free(host);
        host = strdup(SEARCH_INDEX);
    }
    if (str_after(rest, "library/"))
        rest = str_after(rest, "library/");
    buf_printf(url, "%s://%s/v1/search?q=", host && is_plain(remote, host) ? "http" : "https",
               host ? host : "");
    add_escaped(url, rest);
    buf_printf(url, "&n=%lld", (long long)limit);
    return host ? url->error : -ENOMEM;
}

static int ask(const struct engine_remote *remote, const char *url, json_t **ret,
               struct wharf_error *e)
{
    autoclose int fd = memfd_create("search", MFD_CLOEXEC);
    autobuf struct buf text = BUF(SEARCH_ANSWER_MAX);
    struct build_fetched fetched;
    int r = fd < 0 ? err_sys(e, "cannot keep an answer") : remote->fetch(url, fd, &fetched, e);

    if (r < 0)
        return r;
    r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(fd, &text);
    if (r == 0)
        r = json_read(text.data ? text.data : "", text.len, JSON_LIMITS, "answer", ret, NULL);
    return r < 0 ? err_set(e, -EBADMSG, WHARF_ERROR_UNAVAILABLE,
                           "'%.200s' did not answer with search results", url)
                 : 0;
}

/* ---- filters --------------------------------------------------------------------------------- */

struct wishes {
    int official, automated; /* -1: no matter */
    uint64_t stars;
};

static int read_bool(json_t *filters, const char *name, int *ret, struct wharf_error *e)
{
    json_t *values = json_object_get(filters, name);
    const char *text = json_string_value(json_array_get(values, 0));

    *ret = -1;
    if (!values)
        return 0;
    if (text && (streq(text, "true") || streq(text, "1")))
        *ret = 1;
    else if (text && (streq(text, "false") || streq(text, "0")))
        *ret = 0;
    else
        return err_invalid(e, "invalid filter '%s=%.50s'", name, text ? text : "");
    return 0;
}

static int read_wishes(json_t *filters, struct wishes *ret, struct wharf_error *e)
{
    json_t *values = json_object_get(filters, "stars"), *value;
    uint64_t stars;
    size_t i;
    int r = read_bool(filters, "is-official", &ret->official, e);

    if (r == 0)
        r = read_bool(filters, "is-automated", &ret->automated, e);
    json_array_foreach (values, i, value) {
        if (r == 0 && parse_u64(json_string_value(value), 0, INT32_MAX, &stars) < 0)
            r = err_invalid(e, "invalid filter 'stars=%.50s'", json_string_value(value));
        ret->stars = r == 0 ? MAX(ret->stars, stars) : 0;
    }
    return r;
}

static bool is_wished(json_t *result, const struct wishes *w)
{
    bool official = json_is_true(json_object_get(result, "is_official"));
    bool automated = json_is_true(json_object_get(result, "is_automated"));

    return (w->official < 0 || official == w->official) &&
           (w->automated < 0 || automated == w->automated) &&
           json_integer_value(json_object_get(result, "star_count")) >= (json_int_t)w->stars;
}

static int search(struct call *c, struct wharf_error *e)
{
    const struct engine_remote *remote = c->options->remote;
    const char *term = message_string(c->message, "term");
    int64_t limit =
        message_has(c->message, "limit") ? message_int(c->message, "limit") : SEARCH_LIMIT_DEFAULT;
    autobuf struct buf url = BUF(64u << 10);
    autojson json_t *answer = NULL, *found = json_array();
    struct wishes wishes = { 0 };
    json_t *result;
    size_t i;
    int r = read_wishes(json_object_get(c->message->args, "filters"), &wishes, e);

    if (r < 0)
        return r;
    if (!remote || !remote->fetch)
        return err_unsupported(e, "this engine has no registry client");
    if (limit == 0)
        limit = SEARCH_LIMIT_DEFAULT;
    if (limit < 1 || limit > SEARCH_LIMIT)
        return err_invalid(e, "Limit %lld is outside the range of [1, %d]", (long long)limit,
                           SEARCH_LIMIT);
    if (str_after(term, "http://") || str_after(term, "https://"))
        return err_invalid(e, "invalid repository name \"%.100s\": remove the scheme", term);
    r = make_url(remote, term, limit, &url);
    r = r < 0 ? err_nomem(e) : ask(remote, url.data, &answer, e);
    if (r < 0)
        return r;
    json_array_foreach (json_object_get(answer, "results"), i, result) {
        if (is_wished(result, &wishes))
            json_array_append(found, result);
    }
    return found ? reply_json(c->reply, 200, found) : err_nomem(e);
}

static int session(struct call *c, struct wharf_error *e)
{
    return err_invalid(e, "this engine has no BuildKit, so no sessions: set DOCKER_BUILDKIT=0");
}

const struct handler search_handlers[] = {
    { "image.search", search },
    { "system.session", session },
    { NULL, NULL },
};
