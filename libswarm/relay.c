/* SPDX-License-Identifier: Apache-2.0 */
/* See relay.h. Plain reads and writes: splice(2) needs a pipe a direction and wins only for bulk.
 */
#include "libswarm/relay.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include "base/macros.h"

#define RELAY_BUFFER (64u << 10)

struct direction {
    int from, to;
    size_t at, len; /* of what is in the buffer */
    bool ended;     /* `from` gave its end, and it was passed on */
    char *buffer;
};

static int wait_writable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int socket_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            int r = wait_writable(fd);

            if (r < 0)
                return r;
            continue;
        }
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* Takes one piece from `from` when the buffer is empty. */
static int fill(struct direction *d)
{
    ssize_t n = recv(d->from, d->buffer, RELAY_BUFFER, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0) {
        d->ended = true;
        shutdown(d->to, SHUT_WR);
    }
    d->at = 0;
    d->len = (size_t)n;
    return 0;
}

static int drain(struct direction *d)
{
    ssize_t n = send(d->to, d->buffer + d->at, d->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    d->at += (size_t)n;
    d->len -= (size_t)n;
    return 0;
}

static int step(struct direction *d)
{
    int r = 0;

    if (!d->len && !d->ended)
        r = fill(d);
    return r == 0 && d->len ? drain(d) : r;
}

int relay(int a, int b)
{
    autofree char *buffers = malloc(2 * RELAY_BUFFER);
    struct direction there = { .from = a, .to = b, .buffer = buffers },
                     back = { .from = b, .to = a, .buffer = buffers + RELAY_BUFFER };
    int r = buffers ? 0 : -ENOMEM;

    while (r == 0 && !(there.ended && back.ended)) {
        struct pollfd fds[2] = {
            { .fd = a,
              .events =
                  (short)((there.len || there.ended ? 0 : POLLIN) | (back.len ? POLLOUT : 0)) },
            { .fd = b,
              .events =
                  (short)((back.len || back.ended ? 0 : POLLIN) | (there.len ? POLLOUT : 0)) },
        };

        for (int i = 0; i < 2; i++) /* poll(2) tells of POLLHUP unasked: not without end */
            if (!fds[i].events)
                fds[i].fd = -1;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -errno;
        r = step(&there);
        if (r == 0)
            r = step(&back);
    }
    return r;
}
