/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd's callbacks, all in the loop's thread. MHD calls on_request for the head, then for
 * pieces of the body, then once more at its end; only there may an answer be queued without losing
 * the connection, so what is wrong with a request is remembered until then.
 */
#include "door/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "base/str.h"

/* Head of a request and what MHD needs for its answer. Registry credentials make the head long. */
#define CONNECTION_MEMORY (32u << 10)

static const char *header(void *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result queue(struct exchange *x)
{
    struct MHD_Response *response = take_ptr(&x->response);
    unsigned status = x->upgrading ? MHD_HTTP_SWITCHING_PROTOCOLS : x->status;
    enum MHD_Result r;

    if (!response)
        return MHD_NO;
    r = MHD_queue_response(x->connection, status, response);
    MHD_destroy_response(response);
    return r;
}

/* ---- the head --------------------------------------------------------------------------------- */

static void refuse(struct exchange *x, const struct wharf_error *e)
{
    if (!x->refusal.code)
        x->refusal = *e;
}

/* A length that is announced and will not be read: the answer goes out at once, and the connection
 * is closed behind it. */
static bool is_hopeless(struct exchange *x)
{
    const char *length = header(x->connection, "Content-Length");
    uint64_t bytes;

    if (!length || parse_u64(length, 0, UINT64_MAX, &bytes) < 0)
        return false;
    if (!x->refusal.code && x->message->op->request == FORM_TAR)
        return false;
    if (!x->refusal.code && x->message->op->request == FORM_JSON && bytes > REQUEST_JSON_MAX)
        err_set(&x->refusal, -EFBIG, WHARF_ERROR_LIMIT,
                "the body is too long: %llu bytes; it may have %u", (unsigned long long)bytes,
                REQUEST_JSON_MAX);
    return bytes > DRAIN_MAX || (x->refusal.code && bytes > REQUEST_JSON_MAX);
}

static enum MHD_Result begin(struct exchange *x, struct MHD_Connection *connection,
                             const char *method, const char *version)
{
    struct request_head head = { method, x->target, header, connection };
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *context =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct client *client = context->socket_context;

    x->begun = true;
    x->connection = connection;
    x->old_http = streq(version, MHD_HTTP_VERSION_1_0);
    x->fd = info->connect_fd;
    x->client = client;
    memcpy(x->came_by, client->peer.connection, sizeof x->came_by);
    client_move(&x->server->clients, client, CLIENT_BODY);
    if (request_read(&head, client->peer.principal, &x->message, &x->refusal) == 0) {
        x->message->connection = x->came_by;
        x->reply.api = x->message->api;
    }
    if (is_hopeless(x)) {
        exchange_refuse(x, &x->refusal);
        return queue(x);
    }
    return MHD_YES;
}

/* ---- uploads: body -> socket pair -> service -------------------------------------------------- */

/* A byte lies unread in our end until the body has come whole: closing a socket with unread bytes
 * gives its reader ECONNRESET behind the last byte, taking it out first gives an end of file. So an
 * upload that breaks off is never taken for a whole one. (unix_release_sock, net/unix/af_unix.c) */
static int open_upload(struct exchange *x)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (send(pair[1], "", 1, MSG_NOSIGNAL) != 1) {
        fd_close(pair[0]);
        fd_close(pair[1]);
        return -EIO;
    }
    x->upload.fd = pair[0];
    x->message->stream = pair[1];
    return 0;
}

static void close_upload(struct docker_server *s, struct exchange *x, bool whole)
{
    char byte;

    if (x->upload_watched)
        loop_forget(s, &x->upload);
    x->upload_watched = false;
    if (whole && x->upload.fd >= 0)
        recv(x->upload.fd, &byte, 1, MSG_DONTWAIT);
    x->upload.fd = fd_close(x->upload.fd);
}

static int run(struct exchange *x, struct wharf_error *e)
{
    x->reply.gone_fd = x->fd;
    client_move(&x->server->clients, x->client, CLIENT_SERVED);
    __atomic_add_fetch(&x->references, 1, __ATOMIC_RELAXED);
    if (workers_run(x->server->workers, exchange_work, x) == 0)
        return 0;
    exchange_unref(x);
    return err_set(e, -EAGAIN, WHARF_ERROR_UNAVAILABLE,
                   "too many requests are in progress: %u; try again later", WORKERS_MAX);
}

/* The reader runs beside us. MHD goes on with the connection, so the reader needs a socket that
 * stays. */
static int start_upload(struct exchange *x, struct wharf_error *e)
{
    int r = open_upload(x), fd = -1;

    if (r == 0) {
        fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 3);
        r = fd < 0 ? -errno : 0;
    }
    if (r < 0)
        return err_code(e, r, "cannot take the upload");
    x->fd = fd;
    x->own_fd = true;
    x->uploading = true;
    return run(x, e);
}

static void on_upload_ready(struct docker_server *s, struct watch *w, uint32_t events)
{
    struct exchange *x = (struct exchange *)((char *)w - offsetof(struct exchange, upload));

    loop_forget(s, w);
    x->upload_watched = false;
    MHD_resume_connection(x->connection);
}

static enum MHD_Result drain(struct exchange *x, size_t *size)
{
    x->drained += *size;
    *size = 0;
    return x->drained > DRAIN_MAX ? MHD_NO : MHD_YES;
}

/* Gives the reader what it takes; with a full socket, MHD reads no more until there is room. */
static enum MHD_Result feed(struct exchange *x, const char *data, size_t *size)
{
    ssize_t n = send(x->upload.fd, data, *size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN && errno != EINTR) { /* nobody reads any more */
        close_upload(x->server, x, false);
        return drain(x, size);
    }
    *size -= (size_t)MAX(n, 0);
    if (!*size)
        return MHD_YES;
    x->upload.ready = on_upload_ready;
    if (loop_watch(x->server, &x->upload, EPOLLOUT) < 0)
        return MHD_NO;
    x->upload_watched = true;
    MHD_suspend_connection(x->connection);
    return MHD_YES;
}

/* ---- the body --------------------------------------------------------------------------------- */

static enum MHD_Result body(struct exchange *x, const char *data, size_t *size)
{
    struct wharf_error e = { 0 };
    enum form form = x->message ? x->message->op->request : FORM_NONE;

    if (x->refusal.code)
        return drain(x, size);
    if (form == FORM_TAR && !x->uploading && start_upload(x, &e) < 0) {
        refuse(x, &e);
        return drain(x, size);
    }
    if (form == FORM_TAR)
        return x->upload.fd >= 0 ? feed(x, data, size) : drain(x, size);
    if (form != FORM_JSON)
        return drain(x, size);
    buf_add(&x->body, data, *size);
    *size = 0;
    if (x->body.error) {
        err_set(&e, -EFBIG, WHARF_ERROR_LIMIT, "the body is too long: it may have %u bytes",
                REQUEST_JSON_MAX);
        refuse(x, &e);
        buf_done(&x->body);
    }
    return MHD_YES;
}

/* ---- the end ---------------------------------------------------------------------------------- */

/* Everything is here: the message goes to a worker, and MHD waits. */
static void start(struct exchange *x)
{
    struct wharf_error *e = &x->refusal;

    if (!e->code && x->message->op->request == FORM_JSON)
        request_body(x->message, header(x->connection, "Content-Type"), x->body.data, x->body.len,
                     e);
    buf_done(&x->body);
    if (e->code) {
        exchange_refuse(x, e);
        return;
    }
    x->parked = true;
    MHD_suspend_connection(x->connection);
    if (run(x, e) < 0) {
        exchange_refuse(x, e);
        MHD_resume_connection(x->connection);
    }
}

static enum MHD_Result finish(struct exchange *x)
{
    bool ready;

    if (x->uploading)
        close_upload(x->server, x, true);
    else if (!x->parked && !x->answered)
        start(x);
    pthread_mutex_lock(&x->lock);
    ready = x->answered || x->upgrading;
    if (!ready && !x->parked) {
        x->parked = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return ready ? queue(x) : MHD_YES;
}

/* ---- callbacks -------------------------------------------------------------------------------- */

static void *on_target(void *server, const char *target, struct MHD_Connection *connection)
{
    return exchange_new(server, target);
}

static enum MHD_Result on_request(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    struct exchange *x = *context;

    if (!x)
        return MHD_NO;
    if (!x->begun)
        return begin(x, connection, method, version);
    return *size ? body(x, data, size) : finish(x);
}

static void on_completed(void *server, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct docker_server *s = server;
    struct exchange *x = *context;

    if (!x)
        return;
    *context = NULL;
    close_upload(s, x, false);
    exchange_upgraded(x, -ECONNRESET, NULL, 0);
    if (x->client)
        client_move(&s->clients, x->client, CLIENT_IDLE);
    exchange_unref(x);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct docker_server *s = cls;
    struct client *c = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        c = *context = take_ptr(&s->incoming);
        c->known_to_mhd = true;
    } else if (c) {
        client_move(&s->clients, c, CLIENT_SERVED);
        free(c);
        *context = NULL;
    }
}

/* The target is kept as it came: request.c decodes it by docker's rules. */
static size_t keep_raw(void *cls, struct MHD_Connection *connection, char *text)
{
    return strlen(text);
}

static void be_silent(void *cls, const char *format, va_list arguments)
{
}

int http_start(struct docker_server *s, struct wharf_error *e)
{
    const union MHD_DaemonInfo *info;

    s->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
            MHD_USE_TURBO | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, be_silent, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_raw, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        s, MHD_OPTION_CONNECTION_LIMIT, (unsigned)DOCKER_SERVER_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)DOCKER_SERVER_IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (!s->mhd)
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "cannot start the HTTP library");
    info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    s->http.fd = info->epoll_fd;
    return 0;
}
