/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests after which the connection belongs to the caller (docker-api 3.3): the two heads by
 * hand, then bytes between the two sockets until both have ended.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "base/str.h"
#include "libswarm/adapters/docker.h"
#include "libswarm/relay.h"

#define HEAD_MAX     (64u << 10)
#define ERROR_MAX    (64u << 10) /* bytes of an error's body */
#define HEAD_WAIT_MS 60000       /* the daemon may have to start something first */

struct head {
    char bytes[HEAD_MAX + 1];
    size_t len;  /* of all that came */
    size_t body; /* where the body begins */
    unsigned status;
    bool framed; /* Content-Type says multiplexed-stream */
};

static int write_request(int fd, const struct message *m, unsigned api)
{
    autobuf struct buf b = BUF(DOCKER_TARGET_MAX + (16u << 20));
    autofree char *body = m->body ? json_write(m->body, JSON_COMPACT) : strdup("");

    buf_printf(&b, "%s ", m->op->method);
    docker_target(&b, m, api);
    buf_str(&b, " HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n");
    if (m->body)
        buf_str(&b, "Content-Type: application/json\r\n");
    buf_printf(&b, "Content-Length: %zu\r\n\r\n%s", body ? strlen(body) : 0, body ? body : "");
    if (b.error || !body)
        return b.error ? b.error : -ENOMEM;
    return socket_write_all(fd, b.data, b.len);
}

/* One more piece; 1, 0 at the end, -errno. */
static int read_more(int fd, struct head *h)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = poll(&p, 1, HEAD_WAIT_MS);
    ssize_t n;

    if (r <= 0)
        return r < 0 ? (errno == EINTR ? 1 : -errno) : -ETIMEDOUT;
    n = recv(fd, h->bytes + h->len, HEAD_MAX - h->len, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    h->len += (size_t)n;
    h->bytes[h->len] = '\0';
    return n > 0;
}

static int read_head(int fd, struct head *h)
{
    const char *end;
    int r;

    while (!(end = strstr(h->bytes, "\r\n\r\n"))) {
        r = h->len == HEAD_MAX ? -EMSGSIZE : read_more(fd, h);
        if (r <= 0)
            return r < 0 ? r : -ECONNRESET;
    }
    h->body = (size_t)(end - h->bytes) + 4;
    h->framed = memmem(h->bytes, h->body, "multiplexed-stream", 18) != NULL;
    return sscanf(h->bytes, "HTTP/1.%*u %u", &h->status) == 1 ? 0 : -EBADMSG;
}

/* A refusal: the daemon's own words, to the end of what it sends at once. */
static int pass_refusal(int fd, struct head *h, struct reply *r)
{
    const char *length = strcasestr(h->bytes, "\r\nContent-Length:");
    size_t want = ERROR_MAX;

    if (length)
        sscanf(length + 17, " %zu", &want);
    while (h->len - h->body < want && h->len < HEAD_MAX && read_more(fd, h) > 0)
        continue;
    if (reply_begin(r, h->status, FORM_JSON) == 0)
        reply_write(r, h->bytes + h->body, h->len - h->body);
    return reply_end(r);
}

static int join_sockets(int fd, const struct head *h, struct reply *r, struct wharf_error *e)
{
    struct connection c = { .fd = -1 };
    int n = reply_take(r, h->framed ? FORM_MULTIPLEXED : FORM_CONNECTION, &c, e);

    if (n < 0)
        return n;
    n = socket_write_all(c.fd, h->bytes + h->body, h->len - h->body);
    if (n == 0)
        n = socket_write_all(fd, c.early, c.early_len);
    if (n == 0)
        n = relay(c.fd, fd);
    free(c.early);
    close(c.fd);
    return n;
}

static int talk(int fd, struct message *m, struct reply *r, unsigned api, const char *address,
                struct wharf_error *e)
{
    autofree struct head *h = calloc(1, sizeof *h);
    int n = h ? write_request(fd, m, api) : -ENOMEM;

    if (n == 0)
        n = read_head(fd, h);
    if (n < 0)
        return err_code(e, n, "the Docker daemon at '%s' gives no answer to %s", address,
                        m->op->name);
    if (h->status != 101 && h->status != 200)
        return pass_refusal(fd, h, r);
    return join_sockets(fd, h, r, e);
}

int docker_take_over(struct docker *d, struct message *m, struct reply *r, unsigned api,
                     struct wharf_error *e)
{
    CURL *curl = curl_easy_init();
    curl_socket_t fd;
    CURLcode code;
    int n;

    if (!curl)
        return err_nomem(e);
    docker_connect_options(d, curl);
    curl_easy_setopt(curl, CURLOPT_URL, d->base);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd);
    n = code == CURLE_OK ? talk(fd, m, r, api, d->address, e)
                         : err_set(e, -EHOSTUNREACH, WHARF_ERROR_UNAVAILABLE,
                                   "cannot reach the Docker daemon at '%s': %s", d->address,
                                   curl_easy_strerror(code));
    curl_easy_cleanup(curl);
    return n;
}
