/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/ws: the service speaks bytes, the client websocket (RFC 6455), and a thread copies between
 * them. Framing is wslay's, the handshake is here. Either side's end ends both.
 */
#include "door/internal.h"

#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <wslay/wslay.h>
#include "base/fd.h"
#include "base/str.h"
#include "libswarm/relay.h"

#define INPUT_MAX (64u << 10) /* payload that the service has not taken */
#define PIECE_MAX (32u << 10) /* of one message to the client */

struct bridge {
    wslay_event_context_ptr ctx;
    int client, service, stop;
    bool text, data_frame, client_gone;
    struct buf in; /* for the service */
    char *early;   /* came behind the request */
    size_t early_len, early_at;
};

/* ---- the handshake ---------------------------------------------------------------------------- */

static const char *header(struct exchange *x, const char *name)
{
    const char *value = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);

    return value ? value : "";
}

int websocket_key(struct exchange *x, char key[WEBSOCKET_KEY_MAX])
{
    const char *given = header(x, "Sec-WebSocket-Key");

    if (strcasecmp(header(x, "Upgrade"), "websocket") || !*given ||
        !streq(header(x, "Sec-WebSocket-Version"), "13"))
        return -EINVAL;
    return snprintf(key, WEBSOCKET_KEY_MAX, "%s", given) < WEBSOCKET_KEY_MAX ? 0 : -EINVAL;
}

/* Section 4.2.2: the base64 of the SHA-1 of the key and a fixed text. */
static int write_head(int fd, const char *key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[WEBSOCKET_KEY_MAX + 40], accept[32], head[256];
    unsigned len = 0;
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    if (!EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL))
        return -EIO;
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)len);
    n = snprintf(head, sizeof head,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    return socket_write_all(fd, head, (size_t)n);
}

/* ---- wslay's callbacks ------------------------------------------------------------------------ */

static ssize_t failed(struct bridge *b, wslay_event_context_ptr ctx, ssize_t n)
{
    bool later = n < 0 && (errno == EAGAIN || errno == EINTR);

    b->client_gone |= !later;
    wslay_event_set_error(ctx, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *data, size_t len, int flags, void *arg)
{
    struct bridge *b = arg;
    size_t early = MIN(b->early_len - b->early_at, len);
    ssize_t n;

    if (early) {
        memcpy(data, b->early + b->early_at, early);
        b->early_at += early;
        return (ssize_t)early;
    }
    n = recv(b->client, data, len, MSG_DONTWAIT);
    return n > 0 ? n : failed(b, ctx, n);
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct bridge *b = arg;
    ssize_t n = send(b->client, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n >= 0 ? n : failed(b, ctx, n);
}

static void on_start(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
    ((struct bridge *)arg)->data_frame = !wslay_is_ctrl_frame(frame->opcode);
}

static void on_chunk(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *arg)
{
    struct bridge *b = arg;

    if (b->data_frame)
        buf_add(&b->in, chunk->data, chunk->data_length);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .on_frame_recv_start_callback = on_start,
    .on_frame_recv_chunk_callback = on_chunk,
};

/* ---- copying ---------------------------------------------------------------------------------- */

/* What came for the service. -errno: it takes no more. */
static int feed_service(struct bridge *b)
{
    ssize_t n = send(b->service, b->in.data, b->in.len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    memmove(b->in.data, b->in.data + n, b->in.len - (size_t)n);
    b->in.len -= (size_t)n;
    return 0;
}

/* One piece of the service's as a message; 0 at its end. */
static ssize_t read_service(struct bridge *b)
{
    uint8_t piece[PIECE_MAX];
    ssize_t n = recv(b->service, piece, sizeof piece, MSG_DONTWAIT);
    struct wslay_event_msg m = { b->text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, piece,
                                 (size_t)n };

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : 0;
    if (n == 0)
        wslay_event_queue_close(b->ctx, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
    else if (wslay_event_queue_msg(b->ctx, &m))
        return 0;
    return n;
}

static void copy(struct bridge *b)
{
    bool ended = false;

    while (!(ended && !wslay_event_want_write(b->ctx))) {
        bool out = wslay_event_want_write(b->ctx), in = b->in.len < INPUT_MAX;
        bool early = b->early_at < b->early_len;
        struct pollfd p[] = {
            { b->client, (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)), 0 },
            { b->service, (short)((!out && !ended ? POLLIN : 0) | (b->in.len ? POLLOUT : 0)), 0 },
            { b->stop, POLLIN, 0 },
        };

        if ((poll(p, ARRAY_SIZE(p), early ? 0 : -1) < 0 && errno != EINTR) || p[2].revents)
            return;
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR) || early) && wslay_event_recv(b->ctx))
            b->client_gone = true;
        if (b->in.error || (b->in.len && feed_service(b) < 0))
            ended = true;
        if (!out && !ended && p[1].revents & (POLLIN | POLLHUP | POLLERR))
            ended = read_service(b) == 0;
        if (wslay_event_want_write(b->ctx) && wslay_event_send(b->ctx))
            b->client_gone = true;
        if (b->client_gone || wslay_event_get_close_received(b->ctx))
            return;
    }
}

static void bridge_free(struct bridge *b)
{
    if (b->ctx)
        wslay_event_context_free(b->ctx);
    fd_close(b->client);
    fd_close(b->service);
    buf_done(&b->in);
    free(b->early);
    free(b);
}

static void bridge_work(void *user)
{
    copy(user);
    bridge_free(user);
}

int websocket_start(struct docker_server *s, const char *key, unsigned api, struct connection *c)
{
    struct bridge *b = calloc(1, sizeof *b);
    int pair[2], r;

    if (!b)
        return -ENOMEM;
    *b = (struct bridge){ .client = -1, .service = -1, .stop = s->stop.fd, .text = api < 28 };
    /* a frame of any length comes in pieces no larger than what one read takes */
    b->in = BUF(4 * INPUT_MAX);
    if (wslay_event_context_server_init(&b->ctx, &callbacks, b) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        bridge_free(b);
        return -ENOMEM;
    }
    wslay_event_config_set_no_buffering(b->ctx, 1);
    b->service = pair[0];
    r = write_head(c->fd, key);
    if (r == 0) {
        b->client = c->fd;
        b->early = c->early;
        b->early_len = c->early_len;
        r = workers_run(s->workers, bridge_work, b);
    }
    if (r < 0) {
        b->client = -1;
        b->early = NULL;
        bridge_free(b);
        fd_close(pair[1]);
        return r;
    }
    *c = (struct connection){ .fd = pair[1] };
    return 0;
}
