/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that a function writes into a descriptor. It runs on a thread of its own with a socket
 * pair in between; when the caller goes away we close our end, and the next write fails. A socket
 * rather than a pipe: MSG_NOSIGNAL is not the function's to give, so SIGPIPE must be ignored by the
 * program either way, but a socket's buffer grows.
 */
#include "engine/service-internal.h"

#include <pthread.h>
#include <sys/socket.h>

#define PIECE (256u << 10)

struct writer {
    struct byte_source source;
    int fd, result;
    struct wharf_error error;
};

static void *write_it(void *user)
{
    struct writer *w = user;

    w->result = w->source.write(w->fd, w->source.user, &w->error);
    w->fd = fd_close(w->fd);
    return NULL;
}

/* Passes on until the end; the reply begins with the first byte. */
static int pass_on(struct call *c, enum form form, int fd)
{
    autofree char *piece = malloc(PIECE);
    ssize_t n = 0;
    int r = piece ? 0 : -ENOMEM;

    while (r == 0 && (n = recv(fd, piece, PIECE, 0)) > 0) {
        if (c->reply->state == REPLY_OPEN)
            r = reply_begin(c->reply, 200, form);
        if (r == 0)
            r = reply_write(c->reply, piece, (size_t)n);
    }
    return r < 0 ? r : n < 0 ? -errno : 0;
}

int call_bytes(struct call *c, enum form form, struct byte_source source, struct wharf_error *e)
{
    struct writer w = { .source = source };
    int pair[2], r;
    pthread_t thread;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket pair");
    w.fd = pair[1];
    r = -pthread_create(&thread, NULL, write_it, &w);
    if (r < 0) {
        close(pair[0]);
        close(pair[1]);
        return err_code(e, r, "cannot start a thread");
    }
    r = pass_on(c, form, pair[0]);
    close(pair[0]);
    pthread_join(thread, NULL);
    if (r == 0 && w.result < 0) {
        if (e)
            *e = w.error;
        return w.result;
    }
    if (r == 0 && c->reply->state == REPLY_OPEN) /* not one byte is an answer, too */
        r = reply_begin(c->reply, 200, form);
    return r < 0 ? r : reply_end(c->reply);
}
