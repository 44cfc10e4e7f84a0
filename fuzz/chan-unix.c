/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, with as many descriptors as the first byte says, from a peer of the unix dialect of
 * 2014. Each message that arrives is sent back. What was sent back, sent to us again, must come
 * back byte for byte: then what we decode is what we encode. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 32 << 10, OUTPUT_MAX = 128 << 10, FDS_MAX = 4 };

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void say(int fd, const uint8_t *data, size_t size, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control = { .align = { CMSG_LEN(sizeof(int) * n_fds), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec iov = { (void *)data, size };
    struct msghdr h = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = n_fds ? &control : NULL,
                        .msg_controllen = n_fds ? CMSG_SPACE(sizeof(int) * n_fds) : 0 };

    for (unsigned i = 0; i < n_fds; i++)
        memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(int));
    check(sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
}

static void echo(struct chan_session *s)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx = NULL;
    struct chan_rx *rx = NULL;

    if (m && chan_open(s, &tx, NULL) == 0 && chan_accept(s, CHAN_NOW, &rx, NULL) == 0) {
        while (chan_recv(rx, m, CHAN_NOW, NULL) == 0) {
            if (chan_send(tx, m, CHAN_NOW, NULL) < 0)
                break;
        }
    }
    chan_rx_unref(rx);
    chan_tx_unref(tx);
    chan_msg_free(m);
}

/* What comes back for `data`. */
static size_t exchange(const uint8_t *data, size_t size, unsigned n_fds, uint8_t *out)
{
    struct chan_options o = { .dialects = { chan_dialect_unix_2014() }, .no_threads = true };
    struct chan_session *s;
    size_t got = 0;
    ssize_t n;
    int pair[2];

    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    say(pair[0], data, size, n_fds);
    check(chan_attach(pair[1], true, &o, &s, NULL) == 0);
    chan_session_step(s, NULL);
    echo(s);
    chan_session_unref(s);
    /* read() takes no descriptors: the kernel closes them */
    while (got < OUTPUT_MAX && (n = read(pair[0], out + got, OUTPUT_MAX - got)) > 0)
        got += (size_t)n;
    close(pair[0]);
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned n_fds = size ? data[0] % (FDS_MAX + 1) : 0;
    autofree uint8_t *first = malloc(OUTPUT_MAX), *second = malloc(OUTPUT_MAX);
    size_t n;

    if (size < 2 || size > INPUT_MAX || !first || !second)
        return 0;
    n = exchange(data + 1, size - 1, n_fds, first);
    if (n)
        check(exchange(first, n, n_fds, second) == n && memcmp(first, second, n) == 0);
    return 0;
}
