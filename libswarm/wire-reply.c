/* SPDX-License-Identifier: Apache-2.0 */
/* Replies over libchan: a reply that writes them, and what reads them back. */
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"
#include "libswarm/relay.h"
#include "libswarm/wire.h"

#define PIECE_MAX (1u << 20) /* bytes of one {"data"} */

/* Header names that a reply may have: they must be static (swarm.h). */
static const char *const header_names[] = { "X-Docker-Container-Path-Stat" };

/* ---- writing --------------------------------------------------------------------------------- */

static int send_out(struct wire_reply *w)
{
    return chan_send(w->tx, w->out, CHAN_FOREVER, NULL);
}

static void put_head(struct wire_reply *w, unsigned pairs, unsigned status, enum form form)
{
    const struct reply *r = &w->reply;

    chan_msg_clear(w->out);
    chan_put_map(w->out, 3 + pairs);
    chan_put_str(w->out, "status");
    chan_put_uint(w->out, status);
    chan_put_str(w->out, "form");
    chan_put_uint(w->out, form);
    chan_put_str(w->out, "headers");
    chan_put_map(w->out, (unsigned)r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        chan_put_str(w->out, r->headers[i].name);
        chan_put_str(w->out, r->headers[i].value);
    }
}

static int wire_head(struct reply *r, unsigned status, enum form form)
{
    struct wire_reply *w = (struct wire_reply *)r;

    put_head(w, 0, status, form);
    return send_out(w);
}

static int wire_write(struct reply *r, const void *data, size_t len)
{
    struct wire_reply *w = (struct wire_reply *)r;
    int n = 0;

    for (size_t at = 0; at < len && n == 0; at += PIECE_MAX) {
        chan_msg_clear(w->out);
        chan_put_map(w->out, 1);
        chan_put_str(w->out, "data");
        chan_put_bin(w->out, (const char *)data + at, MIN(len - at, (size_t)PIECE_MAX));
        n = send_out(w);
    }
    return n;
}

static void wire_end(struct reply *r, const struct wharf_error *e)
{
    struct wire_reply *w = (struct wire_reply *)r;

    chan_msg_clear(w->out);
    chan_put_map(w->out, 1);
    chan_put_str(w->out, e ? "error" : "end");
    if (e) {
        chan_put_map(w->out, 3);
        chan_put_str(w->out, "code");
        chan_put_int(w->out, e->code);
        chan_put_str(w->out, "kind");
        chan_put_int(w->out, e->kind);
        chan_put_str(w->out, "message");
        chan_put_str(w->out, e->message);
    } else {
        chan_put_bool(w->out, true);
    }
    chan_send_last(w->tx, w->out, CHAN_FOREVER, NULL);
}

static int wire_take(struct reply *r, enum form form, struct connection *ret)
{
    struct wire_reply *w = (struct wire_reply *)r;
    int pair[2], n;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    put_head(w, 1, 101, form);
    chan_put_str(w->out, "connection");
    n = chan_put_fd(w->out, pair[1], CHAN_READ | CHAN_WRITE);
    if (n < 0)
        close(pair[1]);
    else
        n = chan_send_last(w->tx, w->out, CHAN_FOREVER, NULL);
    if (n < 0) {
        close(pair[0]);
        return n;
    }
    *ret = (struct connection){ .fd = pair[0] };
    return 0;
}

int wire_reply_init(struct wire_reply *w, struct chan_tx *tx)
{
    static const struct reply_ops ops = {
        .head = wire_head, .write = wire_write, .end = wire_end, .take = wire_take
    };

    reply_init(&w->reply, &ops);
    w->tx = tx;
    w->out = chan_msg_new();
    return w->out ? 0 : -ENOMEM;
}

void wire_reply_done(struct wire_reply *w)
{
    reply_done(&w->reply);
    chan_msg_free(w->out);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void pass_headers(struct chan_value headers, struct reply *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(header_names); i++) {
        const char *text;
        size_t len;

        if (chan_get_str(chan_get(headers, header_names[i]), &text, &len) < 0)
            continue;
        autofree char *value = strndup(text, len);
        if (value)
            reply_header(r, header_names[i], value);
    }
}

static int join_connection(int fd, enum form form, struct reply *r, struct wharf_error *e)
{
    struct connection c = { .fd = -1 };
    int n = reply_take(r, form, &c, e);

    if (n == 0)
        n = socket_write_all(fd, c.early, c.early_len);
    if (n == 0)
        n = relay(c.fd, fd);
    free(c.early);
    fd_close(c.fd);
    return n;
}

static int read_failure(struct chan_value v, struct wharf_error *e)
{
    int64_t code = EIO, kind = WHARF_ERROR_INTERNAL;
    const char *text = "";
    size_t len = 0;

    chan_get_int(chan_get(v, "code"), &code);
    chan_get_int(chan_get(v, "kind"), &kind);
    chan_get_str(chan_get(v, "message"), &text, &len);
    if (code <= 0 || code > 4095 || kind <= 0 || kind >= WHARF_ERROR_KINDS)
        code = EIO, kind = WHARF_ERROR_INTERNAL;
    return err_set(e, -(int)code, (enum wharf_error_kind)kind, "%.*s", (int)len, text);
}

static int pass_head(struct chan_value root, struct reply *r, struct wharf_error *e)
{
    uint64_t status, form = FORM_JSON;
    autoclose int fd = -1;

    if (chan_get_uint(chan_get(root, "status"), &status) < 0 ||
        chan_get_uint(chan_get(root, "form"), &form) < 0 || form > FORM_WEBSOCKET || status > 599)
        return err_invalid(e, "a reply without a head");
    pass_headers(chan_get(root, "headers"), r);
    if (chan_kind_of(chan_get(root, "connection")) == CHAN_FD) {
        int n = chan_take_fd(chan_get(root, "connection"), &fd);

        return n < 0 ? err_code(e, n, "cannot take the connection")
                     : join_connection(fd, (enum form)form, r, e);
    }
    return reply_begin(r, (unsigned)status, (enum form)form);
}

/* What follows the head: 1 at the end. */
static int pass_piece(struct chan_value root, struct reply *r, struct wharf_error *e)
{
    const void *data;
    size_t len;

    if (chan_get_bin(chan_get(root, "data"), &data, &len) == 0)
        return reply_write(r, data, len);
    if (chan_kind_of(chan_get(root, "error")) == CHAN_MAP)
        return read_failure(chan_get(root, "error"), e);
    return chan_kind_of(chan_get(root, "end")) == CHAN_BOOL ? 1 : 0;
}

int wire_pass_reply(struct chan_rx *rx, struct reply *r, struct wharf_error *e)
{
    struct chan_msg *in = chan_msg_new();
    int n = in ? chan_recv(rx, in, CHAN_FOREVER, e) : err_nomem(e);

    if (n == 0)
        n = pass_head(chan_root(in), r, e);
    while (n == 0 && r->state == REPLY_BEGUN) {
        n = chan_recv(rx, in, CHAN_FOREVER, e);
        if (n == 0)
            n = pass_piece(chan_root(in), r, e);
    }
    chan_msg_free(in);
    return n == 1 ? reply_end(r) : n;
}
