/* SPDX-License-Identifier: Apache-2.0 */
/* A repository at its registry. See registry-client.h. */
#include "libimage/registry-client.h"
#include "base/json.h"
#include "base/str.h"

static bool is_loopback(const char *host)
{
    return str_after(host, "127.") || str_after(host, "[::1]") || streq(host, "localhost") ||
           str_after(host, "localhost:");
}

static bool is_listed(const char *const *list, const char *host)
{
    for (; list && *list; list++) {
        if (streq(*list, host))
            return true;
    }
    return false;
}

static void set_trust(struct remote *r, const struct image_remote_options *o)
{
    bool insecure = is_listed(o->insecure, r->host);

    r->trust.unverified = insecure;
    r->plain_allowed = insecure || is_loopback(r->host);
    r->trust.ca_file = o->ca_file;
    if (o->ca_file)
        return;
    snprintf(r->ca_file, sizeof(r->ca_file), "/etc/docker/certs.d/%s/ca.crt", r->host);
    if (access(r->ca_file, R_OK) == 0)
        r->trust.ca_file = r->ca_file;
}

static int set_base(struct remote *r, const struct image_reference *ref, const char *mirror,
                    struct wharf_error *e)
{
    const char *host = streq(ref->domain, "docker.io") ? "registry-1.docker.io" : ref->domain;
    const char *rest;

    if (!mirror) {
        snprintf(r->host, sizeof(r->host), "%s", ref->domain);
        snprintf(r->base, sizeof(r->base), "https://%s", host);
        return 0;
    }
    rest = str_after(mirror, "https://");
    if (!rest)
        rest = str_after(mirror, "http://");
    if (!rest || !*rest || strlen(rest) > IMAGE_NAME_MAX)
        return err_invalid(e, "mirror '%.200s' is no URL such as https://HOST", mirror);
    snprintf(r->host, sizeof(r->host), "%.*s", (int)strcspn(rest, "/"), rest);
    snprintf(r->base, sizeof(r->base), "%.*s",
             (int)(strlen(mirror) - (mirror[strlen(mirror) - 1] == '/')), mirror);
    return 0;
}

int remote_init(struct remote *r, const struct image_reference *ref, const char *mirror,
                const char *scope, const struct image_remote_options *o, struct wharf_error *e)
{
    struct image_remote_options nobody = { .config = "/nonexistent" };
    int code;

    *r = (struct remote){ 0 };
    snprintf(r->repository, sizeof(r->repository), "%s", ref->path);
    code = set_base(r, ref, mirror, e);
    if (code < 0)
        return code;
    set_trust(r, o);
    code = auth_init(&r->auth, r->host, mirror ? &nobody : o, e);
    if (code < 0)
        return code;
    r->auth.trust = &r->trust;
    r->multi = curl_multi_init();
    if (scope)
        r->auth.scope = str_format("repository:%s:%s", r->repository, scope);
    return r->multi && (!scope || r->auth.scope) ? 0 : err_nomem(e);
}

int remote_clone(struct remote *r, const struct remote *from, struct wharf_error *e)
{
    *r = *from;
    r->auth.trust = &r->trust;
    if (from->trust.ca_file == from->ca_file)
        r->trust.ca_file = r->ca_file;
    r->auth.host = r->host;
    r->multi = curl_multi_init();
    return auth_copy(&r->auth, &from->auth) < 0 || !r->multi ? err_nomem(e) : 0;
}

void remote_done(struct remote *r)
{
    auth_done(&r->auth);
    if (r->multi)
        curl_multi_cleanup(r->multi);
    r->multi = NULL;
}

int remote_open(struct remote *r, struct exchange *x, const char *method, const char *path,
                size_t body_max)
{
    char url[REMOTE_URL_MAX + 2 * IMAGE_NAME_MAX];
    bool whole = str_after(path, "https://") || str_after(path, "http://");
    int n;

    if (whole)
        n = snprintf(url, sizeof(url), "%s", path);
    else if (*path == '/')
        n = snprintf(url, sizeof(url), "%s%s", r->base, path);
    else
        n = snprintf(url, sizeof(url), "%s/v2/%s/%s", r->base, r->repository, path);
    return n >= (int)sizeof(url) ? -ENAMETOOLONG
                                 : exchange_open(x, method, url, &r->trust, body_max);
}

int remote_authorize(struct remote *r, struct exchange *x)
{
    const char *url = NULL, *rest;

    curl_easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &url);
    rest = url ? str_after(url, r->base) : NULL;
    if (!r->auth.header || !rest || *rest != '/')
        return 0;
    return exchange_header(x, "%s", r->auth.header);
}

/* Puts our header into a list that the caller made, in place of an older one. */
static int renew_authorization(struct remote *r, struct exchange *x)
{
    struct curl_slist *old = x->headers;
    int code = 0;

    x->headers = NULL;
    for (struct curl_slist *h = old; h && code == 0; h = h->next) {
        if (!str_after(h->data, "Authorization:"))
            code = exchange_header(x, "%s", h->data);
    }
    curl_slist_free_all(old);
    if (!x->headers)
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
    return code < 0 ? code : remote_authorize(r, x);
}

/* TLS was not understood: the same again by plain HTTP. */
static bool fall_back(struct remote *r, struct exchange *x)
{
    const char *rest = str_after(r->base, "https://"), *url = NULL;
    autofree char *again = NULL;

    if (x->result != CURLE_SSL_CONNECT_ERROR || !rest || !r->plain_allowed)
        return false;
    curl_easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &url);
    again = url && str_after(url, "https://") ? str_format("http://%s", url + 8) : NULL;
    if (!again)
        return false;
    memmove(r->base + strlen("http://"), rest, strlen(rest) + 1);
    memcpy(r->base, "http://", strlen("http://"));
    r->auth.plain = true;
    curl_easy_setopt(x->easy, CURLOPT_URL, again);
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    return true;
}

int remote_run(struct remote *r, struct exchange *x, const char *object, struct wharf_error *e)
{
    bool answered = false;
    unsigned tries = 0;

    if (str_after(r->base, "http://"))
        r->auth.plain = true;
    for (;;) {
        int code = renew_authorization(r, x);

        if (code < 0)
            return err_nomem(e);
        exchange_perform(x, r->multi);
        if (fall_back(r, x))
            continue;
        if (x->result == CURLE_OK && exchange_status(x) == 401 && !answered) {
            answered = true;
            code = auth_answer(&r->auth, x, e);
            if (code < 0)
                return err_wrap(e, code, "'%s'", object);
            continue;
        }
        if (x->once || !exchange_may_retry(x) || ++tries >= HTTP_TRIES)
            break;
        usleep((useconds_t)exchange_backoff_ms(x, tries - 1) * 1000);
    }
    return x->result == CURLE_OK && !x->fault ? 0 : exchange_error(x, r->host, object, e);
}

int remote_resolve(struct exchange *x, const char *text, char url[REMOTE_URL_MAX])
{
    char *base = NULL, *whole = NULL;
    CURLU *u = curl_url();
    int r = -EINVAL;

    if (u && curl_easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &base) == CURLE_OK &&
        curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK && strlen(whole) < REMOTE_URL_MAX) {
        snprintf(url, REMOTE_URL_MAX, "%s", whole);
        r = 0;
    }
    curl_free(whole);
    curl_url_cleanup(u);
    return r;
}

/* The target of `Link: <..>; rel="next"` (RFC 8288); false: this was the last page. */
static bool next_page(struct exchange *x, char url[REMOTE_URL_MAX])
{
    const char *link = exchange_value(x, "link", 0), *end;
    autofree char *target = NULL;

    if (!link || *link != '<' || !(end = strchr(link, '>')) || !strstr(end, "next"))
        return false;
    target = strndup(link + 1, (size_t)(end - link - 1));
    return target && remote_resolve(x, target, url) == 0;
}

static int read_tags(struct remote *r, struct exchange *x, char ***tags, struct wharf_error *e)
{
    autojson json_t *j = NULL;
    json_t *tag;
    size_t i;
    int code = exchange_status(x) == 200 ? 0 : exchange_error(x, r->host, r->repository, e);

    if (code == 0)
        code = json_read(x->body.data ? x->body.data : "", x->body.len, JSON_LIMITS, "tags", &j, e);
    json_array_foreach (json_object_get(j, "tags"), i, tag) {
        if (code == 0 && json_is_string(tag) && strv_add(tags, json_string_value(tag)) < 0)
            code = err_nomem(e);
    }
    return code;
}

int remote_tags(const struct image_reference *ref, const struct image_remote_options *options,
                char ***ret, size_t max, struct wharf_error *e)
{
    autoremote struct remote r = { 0 };
    autostrv char **tags = NULL;
    char path[REMOTE_URL_MAX] = "tags/list";
    int code = remote_init(&r, ref, NULL, NULL, options, e);
    bool more = true;

    while (code == 0 && more && strv_count((const char *const *)tags) < max) {
        autoexchange struct exchange x = { 0 };

        code = remote_open(&r, &x, NULL, path, IMAGE_DOCUMENT_MAX);
        if (code < 0)
            return err_code(e, code, "'%s'", r.repository);
        code = remote_run(&r, &x, r.repository, e);
        if (code == 0)
            code = read_tags(&r, &x, &tags, e);
        more = code == 0 && next_page(&x, path);
    }
    if (code == 0)
        *ret = take_ptr(&tags);
    return code;
}
