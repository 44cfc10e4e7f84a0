/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP exchanges. See registry-http.h. */
#include "libimage/registry-http.h"
#include "base/json.h"
#include "base/str.h"

#include <pthread.h>

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * count;

    (void)data;
    x->header_bytes += len;
    if (x->header_bytes <= HTTP_HEADERS_MAX)
        return len;
    x->fault = err_set(&x->error, -EFBIG, WHARF_ERROR_LIMIT,
                       "answers with more than %d bytes of "
                       "headers",
                       HTTP_HEADERS_MAX);
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * count;
    long status = exchange_status(x);

    if (x->sink && status >= 200 && status < 300) {
        x->fault = x->sink(x, data, len);
        return x->fault < 0 ? 0 : len;
    }
    buf_add(&x->body, data, len);
    if (!x->body.error)
        return len;
    if (status >= 400)
        return len; /* an error's text may be cut */
    x->fault = err_set(&x->error, -EFBIG, WHARF_ERROR_LIMIT, "answers with more than %zu bytes",
                       x->body.max);
    return 0;
}

int exchange_open(struct exchange *x, const char *method, const char *url,
                  const struct http_trust *trust, size_t body_max)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bool tls = str_after(url, "https://");

    pthread_once(&once, init_curl);
    *x = (struct exchange){ .body = BUF(body_max), .easy = curl_easy_init() };
    if (!x->easy)
        return -ENOMEM;
    curl_easy_setopt(x->easy, CURLOPT_URL, url);
    curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->text);
    curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "wharf/" WHARF_VERSION);
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(x->easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(x->easy, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
    curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(x->easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
    curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_S);
    curl_easy_setopt(x->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(x->easy, CURLOPT_LOW_SPEED_TIME, (long)HTTP_STALL_S);
    curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    if (trust && trust->ca_file)
        curl_easy_setopt(x->easy, CURLOPT_CAINFO, trust->ca_file);
    if (trust && trust->unverified) {
        curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (method && streq(method, "HEAD"))
        curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
    else if (method)
        curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

void exchange_close(struct exchange *x)
{
    if (x->easy)
        curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    buf_done(&x->body);
    *x = (struct exchange){ 0 };
}

int exchange_header(struct exchange *x, const char *format, ...)
{
    struct curl_slist *list;
    va_list args;
    char *text;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return -ENOMEM;
    list = curl_slist_append(x->headers, text);
    free(text);
    if (!list)
        return -ENOMEM;
    x->headers = list;
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, list);
    return 0;
}

static size_t on_read(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t want = (size_t)MIN((int64_t)(size * count), x->length - x->sent);
    ssize_t n = want ? pread(x->from, data, want, x->start + x->sent) : 0;

    if (n < 0 || (n == 0 && want)) {
        x->fault = err_set(&x->error, -EIO, WHARF_ERROR_INTERNAL, "cannot read what to send");
        return CURL_READFUNC_ABORT;
    }
    x->sent += n;
    if (x->tick && (x->fault = x->tick(x)) < 0)
        return CURL_READFUNC_ABORT;
    return (size_t)n;
}

/* A redirect or a challenge asks for the body once more. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct exchange *x = arg;

    if (origin != SEEK_SET || offset < 0 || offset > x->length)
        return CURL_SEEKFUNC_FAIL;
    x->sent = offset;
    return CURL_SEEKFUNC_OK;
}

void exchange_send_file(struct exchange *x, int fd, int64_t start, int64_t length)
{
    x->from = fd;
    x->start = start;
    x->length = length;
    curl_easy_setopt(x->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(x->easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(x->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(x->easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(x->easy, CURLOPT_READDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(x->easy, CURLOPT_SEEKDATA, x);
}

void exchange_send(struct exchange *x, const void *data, size_t len)
{
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, data);
}

static CURLcode perform_on(CURLM *multi, CURL *easy)
{
    CURLcode result = CURLE_FAILED_INIT;
    bool done = false;
    int running, left;

    if (curl_multi_add_handle(multi, easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (!done && curl_multi_perform(multi, &running) == CURLM_OK) {
        CURLMsg *m;

        while ((m = curl_multi_info_read(multi, &left))) {
            if (m->msg != CURLMSG_DONE || m->easy_handle != easy)
                continue;
            result = m->data.result;
            done = true;
        }
        if (!done)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    curl_multi_remove_handle(multi, easy);
    return result;
}

void exchange_perform(struct exchange *x, CURLM *multi)
{
    buf_reset(&x->body);
    x->header_bytes = 0;
    x->sent = 0;
    x->fault = 0;
    x->result = multi ? perform_on(multi, x->easy) : curl_easy_perform(x->easy);
}

long exchange_status(const struct exchange *x)
{
    long status = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

const char *exchange_value(struct exchange *x, const char *name, size_t at)
{
    struct curl_header *h;

    return curl_easy_header(x->easy, name, at, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

bool exchange_may_retry(const struct exchange *x)
{
    long status = exchange_status(x);

    if (x->fault)
        return false;
    switch (x->result) {
    case CURLE_OK:
        return status == 429 || (status >= 500 && status != 501);
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

int64_t exchange_backoff_ms(struct exchange *x, unsigned tries)
{
    curl_off_t after = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &after);
    if (after > 0)
        return MIN(after, HTTP_WAIT_MAX_S) * 1000;
    return (int64_t)HTTP_BACKOFF_MS << MIN(tries, 8u);
}

/* A member of the first error of the document, or "". */
static void read_error(struct exchange *x, const char *member, char text[200])
{
    autojson json_t *tree = NULL;
    json_t *first;
    const char *value;

    text[0] = 0;
    if (!x->body.len || json_read(x->body.data, x->body.len, JSON_LIMITS, "", &tree, NULL) < 0)
        return;
    first = json_array_get(json_object_get(tree, "errors"), 0);
    value = json_string_value(json_object_get(first, member));
    if (value)
        snprintf(text, 200, "%.190s", value);
}

bool exchange_code_is(struct exchange *x, const char *code)
{
    char text[200];

    read_error(x, "code", text);
    return streq(text, code);
}

static const struct {
    long status;
    int code;
    enum wharf_error_kind kind;
    const char *text;
} statuses[] = {
    { 401, -EACCES, WHARF_ERROR_UNAUTHORIZED,
      "wants a login, or refuses the one it got; log in "
      "to it" },
    { 403, -EPERM, WHARF_ERROR_FORBIDDEN, "does not allow it with this login" },
    { 404, -ENOENT, WHARF_ERROR_NOT_FOUND, "does not have it (or it needs a login)" },
    { 405, -EOPNOTSUPP, WHARF_ERROR_UNSUPPORTED, "does not support it" },
    { 413, -EFBIG, WHARF_ERROR_LIMIT, "finds it too large" },
    { 429, -EAGAIN, WHARF_ERROR_UNAVAILABLE, "limits requests; log in, or try again later" },
};

static int status_error(struct exchange *x, const char *host, const char *object,
                        struct wharf_error *e)
{
    long status = exchange_status(x);
    char reason[200];

    read_error(x, "message", reason);
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        if (statuses[i].status == status)
            return err_set(e, statuses[i].code, statuses[i].kind, "'%s': registry '%s' %s%s%s",
                           object, host, statuses[i].text, *reason ? ": " : "", reason);
    }
    if (status >= 500)
        return err_set(e, -EAGAIN, WHARF_ERROR_UNAVAILABLE,
                       "'%s': registry '%s' fails with status %ld%s%s; try again later", object,
                       host, status, *reason ? ": " : "", reason);
    return err_set(e, -EPROTO, WHARF_ERROR_INVALID,
                   "'%s': registry '%s' answers with status %ld%s%s", object, host, status,
                   *reason ? ": " : "", reason);
}

static const struct {
    CURLcode result;
    int code;
    enum wharf_error_kind kind;
    const char *text;
} faults[] = {
    { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE,
      "has no address; check "
      "its name" },
    { CURLE_COULDNT_CONNECT, -ECONNREFUSED, WHARF_ERROR_UNAVAILABLE, "cannot be reached" },
    { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "does not answer in time" },
    { CURLE_TOO_MANY_REDIRECTS, -ELOOP, WHARF_ERROR_LIMIT, "redirects too often" },
    { CURLE_PEER_FAILED_VERIFICATION, -EACCES, WHARF_ERROR_UNAUTHORIZED,
      "has a certificate that is not trusted; give the certificate of its authority, or list it "
      "as insecure" },
    { CURLE_SSL_CACERT_BADFILE, -EINVAL, WHARF_ERROR_INVALID,
      "cannot be verified: the file of "
      "its authority is unusable" },
    { CURLE_SSL_CONNECT_ERROR, -EPROTO, WHARF_ERROR_UNAVAILABLE,
      "does not speak TLS as we do; if it is a plain HTTP registry, list it as insecure" },
    { CURLE_UNSUPPORTED_PROTOCOL, -EPERM, WHARF_ERROR_FORBIDDEN,
      "redirects to a plain or unknown "
      "protocol" },
    { CURLE_PARTIAL_FILE, -ENODATA, WHARF_ERROR_UNAVAILABLE, "cuts its answers short" },
};

int exchange_error(struct exchange *x, const char *host, const char *object, struct wharf_error *e)
{
    if (x->fault) {
        if (e)
            *e = x->error;
        return err_wrap(e, x->fault, "'%s': registry '%s'", object, host);
    }
    if (x->result == CURLE_OK)
        return status_error(x, host, object, e);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        if (faults[i].result == x->result)
            return err_set(e, faults[i].code, faults[i].kind, "'%s': registry '%s' %s (%.150s)",
                           object, host, faults[i].text,
                           *x->text ? x->text : curl_easy_strerror(x->result));
    }
    return err_set(e, -EIO, WHARF_ERROR_UNAVAILABLE, "'%s': registry '%s': %.200s", object, host,
                   *x->text ? x->text : curl_easy_strerror(x->result));
}
