/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer, on the worker's side: service_call, and the reply it writes to. See
 * internal.h for the ways an answer leaves. */
#include "door/internal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "base/fd.h"

struct exchange *exchange_new(struct docker_server *s, const char *target)
{
    struct exchange *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->target = strdup(target);
    if (!x->target) {
        free(x);
        return NULL;
    }
    x->server = s;
    x->references = 1;
    x->fd = x->upload.fd = x->upgrade_keep = -1;
    x->body = BUF(REQUEST_JSON_MAX + 1);
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->taken, NULL);
    reply_init(&x->reply, &exchange_reply_ops);
    return x;
}

void exchange_unref(struct exchange *x)
{
    if (__atomic_sub_fetch(&x->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (x->own_fd)
        fd_close(x->fd);
    if (x->response)
        MHD_destroy_response(x->response);
    fd_close(x->upload.fd);
    fd_close(x->upgrade_keep);
    message_free(x->message);
    reply_done(&x->reply);
    buf_done(&x->body);
    pthread_mutex_destroy(&x->lock);
    pthread_cond_destroy(&x->taken);
    free(x->target);
    free(x);
}

/* ---- among the running: docker_server_free hangs up on them ----------------------------------- */

static void list(struct exchange *x)
{
    struct docker_server *s = x->server;

    pthread_mutex_lock(&s->lock);
    x->next = s->running;
    x->link = &s->running;
    if (x->next)
        x->next->link = &x->next;
    s->running = x;
    pthread_mutex_unlock(&s->lock);
}

static void unlist(struct exchange *x)
{
    pthread_mutex_lock(&x->server->lock);
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    pthread_mutex_unlock(&x->server->lock);
}

static void answer(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->answered = true;
    if (x->parked && !x->upgrading)
        loop_resume(x->server, x->connection);
    pthread_mutex_unlock(&x->lock);
}

void exchange_work(void *user)
{
    struct exchange *x = user;

    list(x);
    service_call(x->server->service, x->message, &x->reply);
    unlist(x);
    fd_close(message_take_stream(x->message)); /* who still uploads hears that nobody reads */
    answer(x);
    exchange_unref(x);
}

void exchange_refuse(struct exchange *x, const struct wharf_error *e)
{
    reply_error(&x->reply, e);
    x->answered = true;
}

/* ---- writing to the socket -------------------------------------------------------------------- */

static int send_all(int fd, struct iovec *iov, size_t count)
{
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };

    while (msg.msg_iovlen) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };

            poll(&p, 1, -1);
            continue;
        }
        if (n < 0 && errno != EINTR)
            return -errno;
        while (msg.msg_iovlen && (n > 0 || (n == 0 && !msg.msg_iov->iov_len))) {
            size_t step = MIN((size_t)n, msg.msg_iov->iov_len);

            msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + step;
            msg.msg_iov->iov_len -= step;
            n -= (ssize_t)step;
            if (!msg.msg_iov->iov_len)
                msg.msg_iov++, msg.msg_iovlen--;
        }
    }
    return 0;
}

static int send_head(struct exchange *x, int64_t length, const void *data, size_t len)
{
    autobuf struct buf head = BUF(HEAD_MAX + REPLY_HEADERS_MAX * (64u << 10));

    head_write(x, &head, length);
    if (head.error)
        return head.error;
    struct iovec iov[] = { { head.data, head.len }, { (void *)data, len } };
    return send_all(x->fd, iov, ARRAY_SIZE(iov));
}

/* ---- the reply -------------------------------------------------------------------------------- */

/* Is MHD done with the request, so that it can be given a whole answer? */
static bool is_parked(struct exchange *x)
{
    bool parked;

    pthread_mutex_lock(&x->lock);
    parked = x->parked;
    pthread_mutex_unlock(&x->lock);
    return parked;
}

static int on_head(struct reply *r, unsigned status, enum form form)
{
    struct exchange *x = (struct exchange *)r;

    x->status = status;
    x->form = form;
    if (r->whole)
        return 0;
    x->direct = true;
    x->chunked = !x->old_http;
    return send_head(x, -1, NULL, 0);
}

static int write_whole(struct exchange *x, const void *data, size_t len)
{
    bool none = x->status == 204 || x->status == 304;

    if (!x->uploading || is_parked(x)) {
        x->response = head_response(x, data, len);
        return x->response ? 0 : -ENOMEM;
    }
    x->direct = true;
    return send_head(x, none ? -1 : (int64_t)len, data, none ? 0 : len);
}

static int on_write(struct reply *r, const void *data, size_t len)
{
    struct exchange *x = (struct exchange *)r;
    char size[20];
    int n;

    if (r->whole)
        return write_whole(x, data, len);
    n = x->chunked ? snprintf(size, sizeof size, "%zx\r\n", len) : 0;
    struct iovec iov[] = { { size, (size_t)n },
                           { (void *)data, len },
                           { (void *)"\r\n", x->chunked ? 2 : 0 } };
    return send_all(x->fd, iov, ARRAY_SIZE(iov));
}

/* An error in the middle: logs tell it in a frame of its own; of an archive the end is left out,
 * so that nobody takes a part for the whole. */
static void on_end(struct reply *r, const struct wharf_error *e)
{
    struct exchange *x = (struct exchange *)r;
    struct iovec last = { (void *)"0\r\n\r\n", 5 };

    if (r->whole && !x->response && !x->direct)
        write_whole(x, "", 0);
    if (r->whole)
        return;
    if (e && x->form == FORM_MULTIPLEXED) {
        size_t len = strlen(e->message);
        unsigned char frame[8 + WHARF_ERROR_MESSAGE_MAX] = { [0] = 3 };

        frame[6] = (unsigned char)(len >> 8);
        frame[7] = (unsigned char)len;
        memcpy(frame + 8, e->message, len);
        on_write(r, frame, 8 + len);
    }
    if (x->chunked && !(e && x->form == FORM_TAR))
        send_all(x->fd, &last, 1);
}

const struct reply_ops exchange_reply_ops = {
    .head = on_head, .write = on_write, .end = on_end, .take = exchange_take
};
