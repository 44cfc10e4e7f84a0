/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any Docker daemon as a service: a message becomes the request that its row of the operation table
 * describes, the response becomes the reply. Nothing here knows one operation from another, but for
 * the forms of bodies.
 *
 * libcurl speaks HTTP. A request that takes the connection over (attach, exec start) cannot go
 * through it: there libcurl only connects (CURLOPT_CONNECT_ONLY), and docker-takeover.c writes and
 * reads the two heads.
 */
#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include "base/str.h"
#include "libswarm/adapters/docker.h"

#define CONNECT_TIMEOUT_S 10

/* ---- requests -------------------------------------------------------------------------------- */

static void add_escaped(struct buf *b, const char *text, bool keep_slashes)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

    for (; *text; text++) {
        if (strchr(plain, *text) || (keep_slashes && (*text == '/' || *text == ':')))
            buf_char(b, *text);
        else
            buf_printf(b, "%%%02X", (unsigned char)*text);
    }
}

static void add_path(struct buf *b, const struct message *m)
{
    const char *at = m->op->path, *open;

    for (; (open = strchr(at, '{')); at = strchr(open, '}') + 1) {
        autofree char *name = strndup(open + 1, strcspn(open + 1, "}"));
        const char *value = name ? message_string(m, name) : NULL;

        buf_add(b, at, (size_t)(open - at));
        add_escaped(b, value ? value : "", true);
    }
    buf_str(b, at);
}

static void add_pair(struct buf *b, char *separator, const char *name, const char *value)
{
    buf_char(b, *separator);
    *separator = '&';
    buf_str(b, name);
    buf_char(b, '=');
    add_escaped(b, value, false);
}

static void add_value(struct buf *b, char *separator, const char *name, const json_t *value)
{
    const json_t *item;
    char number[32];
    size_t i;

    if (json_is_string(value)) {
        add_pair(b, separator, name, json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        add_pair(b, separator, name, number);
    } else if (json_is_boolean(value)) {
        add_pair(b, separator, name, json_is_true(value) ? "1" : "0");
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, item)
            add_value(b, separator, name, item);
    } else if (json_is_object(value)) { /* filters */
        autofree char *text = json_write(value, JSON_COMPACT);

        add_pair(b, separator, name, text ? text : "");
    }
}

void docker_target(struct buf *b, const struct message *m, unsigned api)
{
    char separator = '?';

    buf_printf(b, "/v1.%u", api);
    add_path(b, m);
    for (const struct parameter *p = m->op->parameters; p->name; p++)
        if (p->in == IN_QUERY && p->since <= api)
            add_value(b, &separator, p->name, json_object_get(m->args, p->name));
}

static struct curl_slist *request_headers(const struct message *m)
{
    struct curl_slist *list = NULL;

    if (m->body)
        list = curl_slist_append(list, "Content-Type: application/json");
    else if (m->stream >= 0)
        list = curl_slist_append(list, "Content-Type: application/x-tar");
    for (const struct parameter *p = m->op->parameters; p->name; p++) {
        const char *value = p->in == IN_HEADER ? message_string(m, p->name) : NULL;
        autofree char *line = value ? str_format("%s: %s", p->name, value) : NULL;

        if (line)
            list = curl_slist_append(list, line);
    }
    return list;
}

/* ---- responses ------------------------------------------------------------------------------- */

struct exchange {
    struct message *message;
    struct reply *reply;
    CURL *curl;
    int failed; /* of the reply: whoever asked is gone */
};

static int begin(struct exchange *x, unsigned status)
{
    char *type = NULL;
    enum form form = x->message->op->reply;

    curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type);
    if (status >= 400)
        form = FORM_JSON;
    else if (form == FORM_CONNECTION) /* of an exec that nobody is attached to */
        form = FORM_TEXT;
    else if (form == FORM_MULTIPLEXED && type && strstr(type, "raw-stream"))
        form = FORM_CONNECTION;
    return reply_begin(x->reply, status, form);
}

/* Headers that are part of an answer (docker-api 3.9). The head is passed on when it ends: of a
 * wait or a follow the body may come much later, and the CLI starts a container only when it has
 * the head of its wait. */
static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    static const char stat_name[] = "X-Docker-Container-Path-Stat";
    struct exchange *x = user;
    size_t len = size * count, n = sizeof stat_name - 1;
    long status = 0;

    if (len > n + 1 && !strncasecmp(line, stat_name, n) && line[n] == ':') {
        autofree char *value = strndup(line + n + 1, len - n - 1);

        if (value) {
            value[strcspn(value, "\r\n")] = '\0';
            reply_header(x->reply, stat_name, value + strspn(value, " "));
        }
    }
    if (len <= 2 && x->reply->state == REPLY_OPEN) { /* the empty line */
        curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200)
            x->failed = begin(x, (unsigned)status);
    }
    return x->failed < 0 ? 0 : len;
}

static size_t on_bytes(char *data, size_t size, size_t count, void *user)
{
    struct exchange *x = user;

    if (x->failed == 0)
        x->failed = reply_write(x->reply, data, size * count);
    return x->failed < 0 ? 0 : size * count;
}

static size_t on_upload(char *data, size_t size, size_t count, void *user)
{
    ssize_t n;

    do
        n = read(((struct exchange *)user)->message->stream, data, size * count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? CURL_READFUNC_ABORT : (size_t)n;
}

/* Called about once a second while nothing comes: has the caller gone away? */
static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct exchange *x = user;
    struct pollfd gone = { .fd = x->reply->gone_fd, .events = POLLRDHUP };

    return gone.fd >= 0 && poll(&gone, 1, 0) > 0;
}

/* ---- the service ----------------------------------------------------------------------------- */

int docker_connect_options(struct docker *d, CURL *curl)
{
    if (d->socket_path)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, d->socket_path);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    return 0;
}

/* A handle from the pool, so that connections are used again. */
static CURL *take_handle(struct docker *d)
{
    CURL *curl = NULL;

    pthread_mutex_lock(&d->lock);
    if (d->idle_count)
        curl = d->idle[--d->idle_count];
    pthread_mutex_unlock(&d->lock);
    if (curl)
        curl_easy_reset(curl); /* keeps its connections */
    return curl ? curl : curl_easy_init();
}

static void give_handle(struct docker *d, CURL *curl)
{
    pthread_mutex_lock(&d->lock);
    if (d->idle_count < DOCKER_IDLE_MAX) {
        d->idle[d->idle_count++] = curl;
        curl = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    if (curl)
        curl_easy_cleanup(curl);
}

static int transport_error(const struct docker *d, CURLcode code, struct wharf_error *e)
{
    return err_set(e, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE,
                   "cannot reach the Docker daemon at '%s': %s", d->address,
                   curl_easy_strerror(code));
}

static size_t on_ping_header(char *line, size_t size, size_t count, void *user)
{
    unsigned *api = user;
    size_t len = size * count;
    autofree char *copy = strndup(line, len);

    if (copy && !strncasecmp(copy, "Api-Version:", 12))
        sscanf(copy + 12, " 1.%u", api);
    return len;
}

/* What the daemon speaks, asked once; it may be older than we are. */
static int negotiate(struct docker *d, unsigned *ret, struct wharf_error *e)
{
    autofree char *url = str_format("%s/_ping", d->base);
    unsigned api = 0;
    CURLcode code;
    CURL *curl;

    if ((*ret = __atomic_load_n(&d->api, __ATOMIC_ACQUIRE)))
        return 0;
    curl = take_handle(d);
    if (!curl || !url)
        return err_nomem(e);
    docker_connect_options(d, curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_ping_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &api);
    code = curl_easy_perform(curl);
    give_handle(d, curl);
    if (code != CURLE_OK)
        return transport_error(d, code, e);
    api = api ? MIN(api, API_NEWEST) : API_OLDEST;
    __atomic_store_n(&d->api, api, __ATOMIC_RELEASE);
    *ret = api;
    return 0;
}

static void request_options(CURL *curl, struct exchange *x, const char *url,
                            struct curl_slist *headers, const char *body)
{
    const struct operation *op = x->message->op;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (streq(op->method, "HEAD")) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    } else if (x->message->stream >= 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(curl, CURLOPT_READDATA, x);
    } else if (streq(op->method, "POST") || streq(op->method, "PUT")) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, op->method);
}

static int exchange(struct docker *d, struct message *m, struct reply *r, unsigned api,
                    struct wharf_error *e)
{
    autobuf struct buf url = BUF(DOCKER_TARGET_MAX);
    autofree char *body = m->body ? json_write(m->body, JSON_COMPACT) : NULL;
    struct exchange x = { .message = m, .reply = r, .curl = take_handle(d) };
    struct curl_slist *headers;
    CURLcode code;

    if (!x.curl || (m->body && !body))
        return err_nomem(e);
    buf_str(&url, d->base);
    docker_target(&url, m, api);
    if (url.error) {
        give_handle(d, x.curl);
        return err_code(e, url.error, "%s: the request is too long", m->op->name);
    }
    headers = request_headers(m);
    docker_connect_options(d, x.curl);
    request_options(x.curl, &x, url.data, headers, body);
    code = curl_easy_perform(x.curl);
    curl_slist_free_all(headers);
    give_handle(d, x.curl);
    if (x.failed < 0)
        return err_code(e, x.failed, "the caller of %s is gone", m->op->name);
    return code == CURLE_OK ? reply_end(r) : transport_error(d, code, e);
}

static int docker_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    struct docker *d = (struct docker *)s;
    unsigned api;
    int n = negotiate(d, &api, e);

    if (n < 0)
        return n;
    api = MIN(api, m->api);
    if (m->op->since > api)
        return err_unsupported(e, "the Docker daemon at '%s' is too old for %s", d->address,
                               m->op->name);
    if (m->op->reply == FORM_WEBSOCKET)
        return err_unsupported(e, "attach over a websocket is not passed on to a Docker daemon");
    if (m->op->reply == FORM_CONNECTION && !json_is_true(json_object_get(m->body, "Detach")))
        return docker_take_over(d, m, r, api, e);
    return exchange(d, m, r, api, e);
}

static void docker_free(struct service *s)
{
    struct docker *d = (struct docker *)s;

    for (size_t i = 0; i < d->idle_count; i++)
        curl_easy_cleanup(d->idle[i]);
    pthread_mutex_destroy(&d->lock);
    free(d->address);
    free(d->base);
    free(d->socket_path);
}

static const struct service_ops docker_ops = { .name = "docker",
                                               .call = docker_call,
                                               .free = docker_free };

/* Takes unix://PATH and tcp://HOST:PORT apart. */
static int parse_address(struct docker *d, const char *text, struct wharf_error *e)
{
    const char *path = str_after(text, "unix://"), *host = str_after(text, "tcp://");

    if (path && *path == '/') {
        d->socket_path = strdup(path);
        d->base = strdup("http://docker");
    } else if (host && *host) {
        d->base = str_format("http://%s", host);
    } else {
        return err_invalid(e,
                           "no address of a Docker daemon: '%s': say unix://PATH or "
                           "tcp://HOST:PORT",
                           text);
    }
    d->address = strdup(text);
    return d->address && d->base && (!path || d->socket_path) ? 0 : err_nomem(e);
}

int docker_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e)
{
    struct docker *d;
    int r;

    if (a->word_count != 1 || a->inner_count)
        return err_invalid(e, "one address is expected: unix://PATH or tcp://HOST:PORT");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_nomem(e);
    d = (struct docker *)service_new(sizeof *d, &docker_ops);
    if (!d)
        return err_nomem(e);
    pthread_mutex_init(&d->lock, NULL);
    r = parse_address(d, a->words[0], e);
    if (r < 0) {
        service_unref(&d->service);
        return r;
    }
    *ret = &d->service;
    return 0;
}
