/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry's requests: a target is taken apart once into {what, repository, last part}; each
 * (what, method) has a row with the function that looks at the head and the one that acts at the
 * end. (OCI distribution-spec 1.1; "end-N" are its endpoint numbers.)
 */
#include "libimage/registry-call.h"
#include "base/fd.h"
#include "base/str.h"

static void get_root(struct registry_call *c)
{
    buf_str(&c->reply.text, "{}\n");
    reply_header(c, "Content-Type: application/json");
    reply_status(c, 200);
}

static const struct registry_row rows[] = {
    { ROOT, "GET", NULL, get_root },
    { CATALOG, "GET", NULL, get_catalog },
    { BLOB, "GET", get_blob, NULL },
    { BLOB, "DELETE", NULL, delete_blob },
    { MANIFEST, "GET", get_manifest, NULL },
    { MANIFEST, "PUT", put_manifest_begin, put_manifest },
    { MANIFEST, "DELETE", NULL, delete_manifest },
    { UPLOADS, "POST", post_upload_begin, post_upload },
    { UPLOAD, "PATCH", patch_upload_begin, patch_upload },
    { UPLOAD, "PUT", put_upload_begin, put_upload },
    { UPLOAD, "GET", get_upload_begin, get_upload },
    { UPLOAD, "DELETE", get_upload_begin, delete_upload },
    { TAGS, "GET", NULL, get_tags },
    { REFERRERS, "GET", NULL, get_referrers },
};

/* Takes the last part of a path off. */
static const char *cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash)
        return "";
    *slash = 0;
    return slash + 1;
}

static bool take_suffix(char *path, const char *suffix)
{
    if (!str_ends(path, suffix) || strlen(path) <= strlen(suffix))
        return false;
    path[strlen(path) - strlen(suffix)] = 0;
    return true;
}

/* From the right, since a repository may be called `a/blobs/b`. */
static enum registry_noun parse_path(struct registry_call *c, char *path)
{
    static const struct {
        const char *suffix;
        enum registry_noun what;
    } kinds[] = { { "/blobs/uploads", UPLOAD },
                  { "/blobs", BLOB },
                  { "/manifests", MANIFEST },
                  { "/referrers", REFERRERS } };
    const char *part;

    if (streq(path, "") || streq(path, "/"))
        return ROOT;
    if (streq(path, "/_catalog"))
        return CATALOG;
    if (take_suffix(path, "/blobs/uploads/") || take_suffix(path, "/blobs/uploads"))
        return UPLOADS;
    if (take_suffix(path, "/tags/list"))
        return TAGS;
    part = cut(path);
    if (strlen(part) >= sizeof(c->part))
        part = "?"; /* neither a digest nor a tag */
    snprintf(c->part, sizeof(c->part), "%s", part);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (take_suffix(path, kinds[i].suffix))
            return kinds[i].what;
    }
    return NOTHING;
}

static void find_row(struct registry_call *c, const struct registry_request *q)
{
    const char *method = c->head ? "GET" : q->method;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].what == c->what && streq(rows[i].method, method))
            c->row = &rows[i];
    }
    if (c->row && c->r->read_only && !streq(method, "GET"))
        reply_error(c, 405, "UNSUPPORTED", "this registry is read only");
    if (!c->row)
        reply_error(c, c->what == NOTHING ? 404 : 405, "UNSUPPORTED", "no such operation");
}

struct registry_call *registry_begin(struct registry *r, const struct registry_request *q)
{
    struct registry_call *c = calloc(1, sizeof(*c));
    const char *rest = str_after(q->target, "/v2");
    char *mark;

    if (!c)
        return NULL;
    c->r = r;
    c->dir = c->fd = c->reply.fd = -1;
    c->what = NOTHING;
    c->head = streq(q->method, "HEAD");
    c->reply.headers = BUF(64 << 10);
    c->reply.text = BUF(64 << 20);
    reply_header(c, "Docker-Distribution-Api-Version: registry/2.0");
    if (strlen(q->target) > REGISTRY_TARGET_MAX) {
        reply_error(c, 414, "UNSUPPORTED", "the request's target is too long");
        rest = NULL;
    }
    c->target = strdup(rest ? rest : "");
    if (!c->target) {
        registry_call_free(c);
        return NULL;
    }
    mark = strchr(c->target, '?');
    if (mark) {
        *mark = 0;
        c->query = mark + 1;
    }
    if (rest && strchr("/?", *rest) && percent_decode(c->target))
        c->what = parse_path(c, c->target);
    if (c->what >= BLOB && c->what != NOTHING) {
        if (*c->target == '/' && registry_name_valid(c->target + 1))
            snprintf(c->name, sizeof(c->name), "%s", c->target + 1);
        else
            reply_error(c, 400, "NAME_INVALID", "not a name of a repository");
    }
    if (!c->reply.status)
        find_row(c, q);
    if (!c->reply.status && c->row->begin)
        c->row->begin(c, q);
    return c;
}

void registry_body(struct registry_call *c, const void *data, size_t len)
{
    int r;

    if (c->reply.status || c->fault)
        return;
    if (c->what == MANIFEST) {
        buf_add(&c->body, data, len);
        return;
    }
    if (c->fd < 0 || (c->what == UPLOADS && !c->hasher.on))
        return;
    if (c->hasher.on)
        hasher_add(&c->hasher, data, len);
    r = fd_write_all(c->fd, data, len);
    if (r < 0) {
        c->fault = r;
        reply_errno(c, r);
        return;
    }
    c->at += (int64_t)len;
}

struct registry_reply *registry_end(struct registry_call *c)
{
    if (c->row && c->row->end && !c->reply.status)
        c->row->end(c);
    c->fd = fd_close(c->fd); /* and its lock: the answer may be followed by the next chunk */
    if (c->reply.fd < 0)
        c->reply.length = (int64_t)c->reply.text.len;
    if (!c->reply.status || c->reply.text.error)
        c->reply.status = 500;
    return &c->reply;
}

void registry_call_free(struct registry_call *c)
{
    if (!c)
        return;
    fd_close(c->dir);
    fd_close(c->fd);
    fd_close(c->reply.fd);
    hasher_done(&c->hasher);
    buf_done(&c->body);
    buf_done(&c->reply.headers);
    buf_done(&c->reply.text);
    free(c->type);
    free(c->target);
    free(c);
}
