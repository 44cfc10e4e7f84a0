/* SPDX-License-Identifier: Apache-2.0 */
#include "door/request.h"

#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "base/str.h"
#include "door/old-api.h"

#define JSON_BODY_LIMITS                                                                           \
    ((struct json_limits){ .size = REQUEST_JSON_MAX, .depth = 64, .fold_case = true })

/* ---- the version ------------------------------------------------------------------------------ */

/* Two numbers with a dot between, the second may be absent; what follows does not count. */
static int read_version(const char *text, uint64_t *ret_major, uint64_t *ret_minor)
{
    autofree char *copy = strdup(text);
    char *minor = copy ? strchr(copy, '.') : NULL;
    uint64_t a, b = 0;

    if (!copy)
        return -ENOMEM;
    if (minor) {
        *minor++ = '\0';
        minor[strcspn(minor, ".")] = '\0';
    }
    if (parse_u64(copy, 0, UINT32_MAX, &a) < 0 ||
        (minor && parse_u64(minor, 0, UINT32_MAX, &b) < 0))
        return -EINVAL;
    *ret_major = a;
    *ret_minor = b;
    return 0;
}

static int check_version(const char *text, unsigned *ret_api, struct wharf_error *e)
{
    uint64_t major, minor;
    int r = read_version(text, &major, &minor);

    if (r < 0)
        return err_not_found(e, "page not found");
    if (major > 1 || (major == 1 && minor > API_NEWEST))
        return err_invalid(e, "client version %s is too new. Maximum supported API version is 1.%d",
                           text, API_NEWEST);
    if (major < 1 || minor < API_OLDEST)
        return err_invalid(e,
                           "client version %s is too old. Minimum supported API version is 1.%d, "
                           "please upgrade your client to a newer version",
                           text, API_OLDEST);
    *ret_api = (unsigned)minor;
    return 0;
}

/* Takes /vX.Y off the path; without it the newest holds. */
static int split_version(char **path, unsigned *ret_api, struct wharf_error *e)
{
    size_t len = str_after(*path, "/v") ? strspn(*path + 2, "0123456789.") : 0;
    char *rest = *path + 2 + len;

    *ret_api = API_NEWEST;
    if (!len || *rest != '/')
        return 0;
    *rest = '\0';
    if (check_version(*path + 2, ret_api, e) < 0)
        return e && e->kind == WHARF_ERROR_NOT_FOUND ? -ENOENT : -EINVAL;
    *rest = '/';
    *path = rest;
    return 0;
}

/* ---- the query -------------------------------------------------------------------------------- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place as application/x-www-form-urlencoded; a NUL is no part of any parameter. */
static int decode(char *text, struct wharf_error *e)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        if (*in == '+') {
            *out++ = ' ';
        } else if (*in != '%') {
            *out++ = *in;
        } else if (hex(in[1]) < 0 || hex(in[2]) < 0 || (in[1] == '0' && in[2] == '0')) {
            return err_invalid(e, "invalid URL escape \"%.3s\"", in);
        } else {
            *out++ = (char)(hex(in[1]) << 4 | hex(in[2]));
            in += 2;
        }
    }
    *out = '\0';
    return 0;
}

static int read_pair(struct message *m, char *pair, struct wharf_error *e)
{
    char *value = strchr(pair, '=');
    int r;

    if (strchr(pair, ';'))
        return err_invalid(e, "invalid semicolon separator in query");
    if (value)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    r = decode(pair, e);
    if (r == 0)
        r = decode(value, e);
    return r < 0 ? r : message_set(m, pair, value, e);
}

static int read_query(struct message *m, char *query, struct wharf_error *e)
{
    char *pair;
    int r = 0;

    while (r == 0 && (pair = strsep(&query, "&")))
        if (*pair)
            r = read_pair(m, pair, e);
    return r;
}

/* ---- the head --------------------------------------------------------------------------------- */

static int read_headers(struct message *m, const struct request_head *head, struct wharf_error *e)
{
    const char *value;
    int r = 0;

    for (const struct parameter *p = m->op->parameters; p->name && r == 0; p++)
        if (p->in == IN_HEADER && (value = head->header(head->user, p->name)))
            r = message_set(m, p->name, value, e);
    return r;
}

static int find(const char *method, const char *path, unsigned api, struct principal who,
                struct message **ret, struct wharf_error *e)
{
    autojson json_t *args = json_object();
    const struct operation *op = args ? operation_find(method, path, api, args) : NULL;
    int r;

    if (!op)
        return args ? err_not_found(e, "page not found") : err_nomem(e);
    r = message_new(op->name, who, ret, e);
    if (r < 0)
        return r;
    json_decref((*ret)->args);
    (*ret)->args = take_ptr(&args);
    (*ret)->api = api;
    return 0;
}

/* RFC 9112 section 3.2.2: a server takes the absolute form as well. */
static char *path_of(char *target)
{
    char *path;

    if (strncasecmp(target, "http://", 7))
        return target;
    path = strchr(target + 7, '/');
    return path ? path : target;
}

int request_read(const struct request_head *head, struct principal who, struct message **ret,
                 struct wharf_error *e)
{
    autofree char *target = strdup(head->target);
    struct message *m = NULL;
    struct wharf_error reason = { 0 };
    char *path, *query;
    unsigned api;
    int r = 0;

    if (!target)
        return err_nomem(e);
    path = path_of(target);
    query = path + strcspn(path, "?");
    if (*query)
        *query++ = '\0';
    r = split_version(&path, &api, &reason);
    if (r == 0)
        r = find(head->method, path, api, who, &m, &reason);
    if (r == 0)
        r = read_query(m, query, &reason);
    if (r == 0)
        r = read_headers(m, head, &reason);
    if (r == 0)
        r = message_check(m, &reason);
    if (r == 0) {
        *ret = m;
        return 0;
    }
    message_free(m);
    if (e)
        *e = reason;
    return r;
}

/* ---- the body --------------------------------------------------------------------------------- */

static bool is_json(const char *content_type)
{
    size_t len = strcspn(content_type, "; \t");

    return len == strlen("application/json") && !strncasecmp(content_type, "application/json", len);
}

int request_body(struct message *m, const char *content_type, const char *text, size_t len,
                 struct wharf_error *e)
{
    json_t *tree = NULL;
    int r;

    if (!len)
        return 0;
    if (!content_type || !is_json(content_type))
        return err_invalid(e, "Content-Type specified (%s) must be 'application/json'",
                           content_type ? content_type : "");
    r = json_read(text, len, JSON_BODY_LIMITS, m->op->document ? m->op->document : "body", &tree,
                  e);
    if (r < 0)
        return err_wrap(e, r, "invalid JSON");
    if (json_is_null(tree)) { /* Go decodes null into nothing */
        json_decref(tree);
        return 0;
    }
    r = old_api_body(m, tree, e);
    if (r < 0) {
        json_decref(tree);
        return r;
    }
    json_decref(m->body);
    m->body = tree;
    return 0;
}
