/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Websocket (RFC 6455) over another wire (libchan-websocket): binary messages whose borders mean
 * nothing, subprotocol libchan.1. Framing is wslay's; the opening handshake is here.
 *
 * A wire's write must tell how much has left, wslay's queue does not: so one message is in the
 * queue at a time, and its bytes count as written only when the queue is empty. Until then the
 * caller, who keeps them at the head of its buffer, hears -EAGAIN.
 */
#include <openssl/evp.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <wslay/wslay.h>
#include "base/buf.h"
#include "base/str.h"
#include "libchan/transport.h"

#define HEAD_MAX     8192        /* bytes of the HTTP request or answer */
#define MESSAGE_MAX  (64u << 10) /* of one websocket message that we send */
#define INPUT_MAX    (64u << 10) /* payload that is taken in at once */
#define HANDSHAKE_MS 10000
#define PROTOCOL     "libchan.1"

struct ws_wire {
    struct wire wire;
    struct wire *inner;
    struct lock lock;
    wslay_event_context_ptr ctx;
    bool accepting;
    char *host, *path;
    struct buf in; /* payload received and not yet read */
    size_t in_at;
    struct buf early; /* what came behind the head of the handshake */
    size_t early_at;
    size_t queued; /* bytes in wslay's queue, not yet told as written */
    int inner_error;
    bool data_frame; /* the frame that is coming in is one */
};

static struct ws_wire *ws_of(struct wire *w)
{
    return (struct ws_wire *)w;
}

/* ---- wslay's callbacks ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *data, size_t len, int flags, void *arg)
{
    struct ws_wire *w = arg;
    size_t early = w->early.len - w->early_at;
    ssize_t n = -EAGAIN;

    if (early) {
        n = (ssize_t)MIN(early, len);
        memcpy(data, w->early.data + w->early_at, (size_t)n);
        w->early_at += (size_t)n;
        return n;
    }
    if (w->in.len < INPUT_MAX)
        n = w->inner->ops->read(w->inner, data, len, NULL, false);
    if (n > 0)
        return n;
    w->inner_error = n == 0 ? -ENODATA : (int)n;
    wslay_event_set_error(ctx, n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct ws_wire *w = arg;
    struct iovec iov = { (void *)data, len };
    ssize_t n = w->inner->ops->write(w->inner, &iov, 1, NULL, 0);

    if (n > 0)
        return n;
    w->inner_error = (int)n;
    wslay_event_set_error(ctx, n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *data, size_t len, void *arg)
{
    return getrandom(data, len, 0) == (ssize_t)len ? 0 : -1;
}

static void on_start(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
    struct ws_wire *w = arg;

    w->data_frame =
        frame->opcode == WSLAY_BINARY_FRAME || frame->opcode == WSLAY_CONTINUATION_FRAME;
    if (frame->opcode == WSLAY_TEXT_FRAME)
        w->in.error = -EBADMSG; /* as a faulty frame: read_now names it */
}

static void on_chunk(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *arg)
{
    struct ws_wire *w = arg;

    if (w->data_frame)
        buf_add(&w->in, chunk->data, chunk->data_length);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .genmask_callback = on_mask,
    .on_frame_recv_start_callback = on_start,
    .on_frame_recv_chunk_callback = on_chunk,
};

/* ---- the opening handshake ---- */

/* RFC 6455, 4.2.2: base64 of SHA-1 of the key and a fixed text. */
static void accept_key(const char *key, char out[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char text[128];

    snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}

/* The value of a header field in an HTTP head, without blanks around it. */
static bool field(const char *head, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1 + strspn(line + n + 1, " \t");
            size_t len = strcspn(value, "\r\n");

            while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
                len--;
            if (len >= size)
                return false;
            memcpy(out, value, len);
            out[len] = '\0';
            return true;
        }
    }
    return false;
}

static int wait_for(struct ws_wire *w, short events, chan_time deadline)
{
    struct pollfd p = { .fd = w->wire.fd, .events = events };
    chan_time left = MAX(deadline - time_now(), 0);
    struct timespec ts = { left / 1000000000, left % 1000000000 };

    return ppoll(&p, 1, &ts, NULL) == 0 ? -ETIMEDOUT : 0;
}

static int write_head(struct ws_wire *w, const char *text, chan_time deadline)
{
    size_t len = strlen(text);
    int r = 0;

    while (len && r == 0) {
        struct iovec iov = { (void *)text, len };
        ssize_t n = w->inner->ops->write(w->inner, &iov, 1, NULL, 0);

        if (n == -EAGAIN)
            r = wait_for(w, POLLOUT, deadline);
        else if (n < 0)
            return (int)n;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return r;
}

/* Reads to the empty line; what follows stays in w->early. The head is cut behind its last line
 * end. */
static int read_head(struct ws_wire *w, chan_time deadline, char head[HEAD_MAX + 1])
{
    int r = 0;

    while (r == 0) {
        const char *end = w->early.data ? strstr(w->early.data, "\r\n\r\n") : NULL;
        char *room;
        ssize_t n;

        if (end) {
            size_t len = (size_t)(end - w->early.data) + 2;

            memcpy(head, w->early.data, len);
            head[len] = '\0';
            w->early_at = len + 2;
            return 0;
        }
        room = w->early.len < HEAD_MAX ? buf_reserve(&w->early, HEAD_MAX - w->early.len) : NULL;
        if (!room)
            return -EMSGSIZE;
        n = w->inner->ops->read(w->inner, room, HEAD_MAX - w->early.len, NULL, false);
        if (n == -EAGAIN)
            r = wait_for(w, POLLIN, deadline);
        else if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
        else
            w->early.data[w->early.len += (size_t)n] = '\0';
    }
    return r;
}

static int shake_client(struct ws_wire *w, chan_time deadline, struct wharf_error *e)
{
    unsigned char nonce[16];
    char key[32], expected[32], got[64], head[HEAD_MAX + 1];
    autofree char *request = NULL;
    int r;

    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        return err_sys(e, "no random numbers");
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof(nonce));
    accept_key(key, expected);
    request =
        str_format("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " PROTOCOL "\r\n\r\n",
                   w->path, w->host, key);
    if (!request)
        return err_nomem(e);
    r = write_head(w, request, deadline);
    if (r == 0)
        r = read_head(w, deadline, head);
    if (r < 0)
        return err_code(e, r, "no answer to the websocket request");
    if (!str_after(head, "HTTP/1.1 101"))
        return err_set(e, -ECONNREFUSED, WHARF_ERROR_UNAVAILABLE,
                       "the websocket was refused: '%.*s'", (int)strcspn(head, "\r\n"), head);
    if (!field(head, "Sec-WebSocket-Accept", got, sizeof(got)) || !streq(got, expected))
        return err_set(e, -EPROTO, WHARF_ERROR_CORRUPT, "the websocket answer does not fit");
    if (!field(head, "Sec-WebSocket-Protocol", got, sizeof(got)) || !streq(got, PROTOCOL))
        return err_set(e, -EPROTO, WHARF_ERROR_UNSUPPORTED,
                       "the websocket server does not speak " PROTOCOL);
    return 0;
}

static int shake_server(struct ws_wire *w, chan_time deadline, struct wharf_error *e)
{
    char key[64], value[256], accept[32], head[HEAD_MAX + 1];
    autofree char *answer = NULL;
    int r = read_head(w, deadline, head);

    if (r < 0)
        return err_code(e, r, "no websocket request");
    if (!str_after(head, "GET ") || !field(head, "Upgrade", value, sizeof(value)) ||
        strcasecmp(value, "websocket") != 0 ||
        !field(head, "Sec-WebSocket-Key", key, sizeof(key)) ||
        !field(head, "Sec-WebSocket-Protocol", value, sizeof(value)) || !strstr(value, PROTOCOL)) {
        write_head(w,
                   "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n",
                   deadline);
        return err_set(e, -EPROTO, WHARF_ERROR_INVALID,
                       "the request is none for a websocket with subprotocol " PROTOCOL);
    }
    accept_key(key, accept);
    answer = str_format("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                        "Sec-WebSocket-Protocol: " PROTOCOL "\r\n\r\n",
                        accept);
    if (!answer)
        return err_nomem(e);
    r = write_head(w, answer, deadline);
    return r < 0 ? err_code(e, r, "cannot answer the websocket request") : 0;
}

static int ws_handshake(struct wire *wire, chan_time deadline, struct wharf_error *e)
{
    struct ws_wire *w = ws_of(wire);
    chan_time until = time_now() + HANDSHAKE_MS * INT64_C(1000000);
    int r = 0;

    if (w->inner->ops->handshake)
        r = w->inner->ops->handshake(w->inner, deadline, e);
    if (r == 0)
        r = w->accepting ? shake_server(w, until, e) : shake_client(w, until, e);
    return r == -ETIMEDOUT ? err_set(e, -ECONNRESET, WHARF_ERROR_TIMEOUT,
                                     "no websocket handshake within %d ms", HANDSHAKE_MS)
                           : r;
}

/* ---- the wire ---- */

static ssize_t take_payload(struct ws_wire *w, void *data, size_t size)
{
    size_t n = MIN(size, w->in.len - w->in_at);

    memcpy(data, w->in.data + w->in_at, n);
    w->in_at += n;
    if (w->in_at == w->in.len) {
        w->in_at = 0;
        buf_reset(&w->in);
    }
    return (ssize_t)n;
}

static ssize_t read_now(struct ws_wire *w, void *data, size_t size)
{
    ssize_t n = -EAGAIN;
    int r;

    lock_take(&w->lock);
    w->inner_error = 0;
    r = w->in.len ? 0 : wslay_event_recv(w->ctx);
    if (r == 0 && wslay_event_want_write(w->ctx)) /* a pong, or the answer to a close */
        wslay_event_send(w->ctx);
    if (w->in.error)
        n = w->in.error;
    else if (w->in.len)
        n = take_payload(w, data, size);
    else if (w->inner_error == -ENODATA || wslay_event_get_close_received(w->ctx))
        n = 0;
    else if (w->inner_error && w->inner_error != -EAGAIN)
        n = w->inner_error;
    else if (r != 0 || !wslay_event_want_read(w->ctx)) /* it reads no more after a faulty frame */
        n = -EBADMSG;
    if (n == -EBADMSG) {
        w->wire.fault = "a frame that websocket does not allow, or not here (RFC 6455)";
        n = -EPROTO;
    }
    lock_drop(&w->lock);
    return n;
}

static ssize_t ws_read(struct wire *wire, void *data, size_t size, struct fd_queue *fds, bool wait)
{
    struct ws_wire *w = ws_of(wire);
    ssize_t n = read_now(w, data, size);

    if (n != -EAGAIN || !wait)
        return n;
    wait_for(w, POLLIN, time_now() + WIRE_PATIENCE_MS * INT64_C(1000000));
    return read_now(w, data, size);
}

static int queue_message(struct ws_wire *w, const struct iovec *iov, int n)
{
    autofree uint8_t *data = malloc(MESSAGE_MAX);
    struct wslay_event_msg m = { .opcode = WSLAY_BINARY_FRAME, .msg = data };

    if (!data)
        return -ENOMEM;
    for (int i = 0; i < n && m.msg_length < MESSAGE_MAX; i++) {
        size_t step = MIN(iov[i].iov_len, MESSAGE_MAX - m.msg_length);

        memcpy(data + m.msg_length, iov[i].iov_base, step);
        m.msg_length += step;
    }
    if (wslay_event_queue_msg(w->ctx, &m) != 0)
        return -ECONNRESET;
    w->queued = m.msg_length;
    return 0;
}

static ssize_t ws_write(struct wire *wire, const struct iovec *iov, int n, const int *fds,
                        unsigned n_fds)
{
    struct ws_wire *w = ws_of(wire);
    ssize_t r = 0;

    lock_take(&w->lock);
    w->inner_error = 0;
    if (!w->queued)
        r = queue_message(w, iov, n);
    if (r == 0 && wslay_event_send(w->ctx) != 0)
        r = w->inner_error ? w->inner_error : -ECONNRESET;
    if (r == 0 && wslay_event_want_write(w->ctx))
        r = -EAGAIN;
    if (r == 0) {
        r = (ssize_t)w->queued;
        w->queued = 0;
    }
    lock_drop(&w->lock);
    return r;
}

static int ws_peer(struct wire *wire, struct chan_peer *ret, struct wharf_error *e)
{
    struct wire *inner = ws_of(wire)->inner;
    int r = inner->ops->peer ? inner->ops->peer(inner, ret, e) : 0;

    if (streq(inner->ops->name, "tls"))
        ret->transport = "wss";
    return r;
}

static void ws_shutdown(struct wire *wire)
{
    struct ws_wire *w = ws_of(wire);

    lock_take(&w->lock);
    if (wslay_event_queue_close(w->ctx, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
        wslay_event_send(w->ctx);
    lock_drop(&w->lock);
    w->inner->ops->shutdown(w->inner);
}

static void ws_free(struct wire *wire)
{
    struct ws_wire *w = ws_of(wire);

    wslay_event_context_free(w->ctx);
    w->inner->ops->free(w->inner);
    buf_done(&w->in);
    buf_done(&w->early);
    free(w->host);
    free(w->path);
    free(w);
}

static const struct wire_ops ws_ops = {
    .name = "ws",
    .handshake = ws_handshake,
    .read = ws_read,
    .write = ws_write,
    .peer = ws_peer,
    .shutdown = ws_shutdown,
    .free = ws_free,
};

static int ws_wrap(struct wire *inner, void *shared, bool accepting, const char *host,
                   const char *path, struct wire **ret, struct wharf_error *e)
{
    struct ws_wire *w = calloc(1, sizeof(*w));
    int r = -1;

    if (w) {
        w->host = strdup(host);
        w->path = strdup(path);
        r = accepting ? wslay_event_context_server_init(&w->ctx, &callbacks, w)
                      : wslay_event_context_client_init(&w->ctx, &callbacks, w);
    }
    if (r != 0 || !w->host || !w->path) {
        if (w && r == 0)
            wslay_event_context_free(w->ctx);
        if (w) {
            free(w->host);
            free(w->path);
        }
        free(w);
        return err_nomem(e);
    }
    wslay_event_config_set_no_buffering(w->ctx, 1);
    wslay_event_config_set_max_recv_msg_length(w->ctx, UINT32_MAX);
    w->wire = (struct wire){ &ws_ops, inner->fd };
    w->inner = inner;
    w->accepting = accepting;
    w->in = BUF(INPUT_MAX * 2 + 8192);
    w->early = BUF(HEAD_MAX + 1);
    *ret = &w->wire;
    return 0;
}

__attribute__((visibility("default"))) const struct chan_layer *chan_websocket(void)
{
    static const struct chan_layer websocket = { .name = "websocket", .wrap = ws_wrap };

    return &websocket;
}
