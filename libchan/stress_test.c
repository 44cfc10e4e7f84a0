/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels sent through channels across three processes: the client sends calls through a forwarder
 * to a server; each carries a return channel, and every eighth a descriptor. The number of messages
 * is the argument (the suite runs a short version); descriptors of all three are counted at the
 * end.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "base/str.h"
#include "chan.h"

#define SOON    chan_after_ms(15000)
#define THREADS 3

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "stress: %s:%d: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The server: answers the number plus one, on the channel that the message brings. */
static void *serve_channel(void *arg)
{
    struct chan_rx *rx = arg;
    struct chan_msg *m = chan_msg_new(), *answer = chan_msg_new();

    while (chan_recv(rx, m, SOON, NULL) == 0) {
        struct chan_tx *ret;
        int64_t n = 0;

        NEED(chan_get_int(chan_get(chan_root(m), "n"), &n) == 0);
        NEED(chan_take_tx(chan_get(chan_root(m), "ret"), &ret) == 0);
        chan_put_int(answer, n + 1);
        NEED(chan_send_last(ret, answer, SOON, NULL) == 0);
        chan_tx_unref(ret);
    }
    chan_rx_unref(rx);
    chan_msg_free(m);
    chan_msg_free(answer);
    return NULL;
}

static void for_each_channel(struct chan_session *s, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    struct chan_rx *rx;

    for (int i = 0; i < THREADS; i++) {
        NEED(chan_accept(s, SOON, &rx, NULL) == 0);
        NEED(pthread_create(&threads[i], NULL, run, rx) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static struct chan_session *attach(int fd, bool accepting)
{
    struct chan_session *s;

    NEED(chan_attach(fd, accepting, NULL, &s, NULL) == 0);
    return s;
}

static void server(int fd)
{
    struct chan_session *s = attach(fd, true);

    for_each_channel(s, serve_channel);
    NEED(chan_session_shutdown(s, SOON, NULL) == 0);
    chan_session_unref(s);
}

/* The forwarder: each channel goes on to the server, and what is attached with it. */
static struct chan_session *next_hop;

static void *forward_channel(void *arg)
{
    struct wharf_error e = { 0 };
    struct chan_rx *rx = arg;
    struct chan_tx *tx;

    NEED(chan_open(next_hop, &tx, NULL) == 0);
    if (chan_copy(tx, rx, CHAN_FOREVER, &e) < 0) {
        fprintf(stderr, "stress: forwarding: %s\n", e.message);
        _exit(1);
    }
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    return NULL;
}

static void forwarder(int from, int to)
{
    struct chan_session *s = attach(from, true);

    next_hop = attach(to, false);
    for_each_channel(s, forward_channel);
    NEED(chan_session_shutdown(next_hop, SOON, NULL) == 0);
    NEED(chan_session_shutdown(s, SOON, NULL) == 0);
    chan_session_unref(next_hop);
    chan_session_unref(s);
}

static int64_t calls;

static void *call_many(void *arg)
{
    struct chan_tx *tx = arg;
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };

    for (int64_t i = 0; i < calls; i++) {
        bool with_fd = i % 8 == 0;
        struct chan_rx *ret;
        int64_t n = 0;

        chan_put_map(m, with_fd ? 3 : 2);
        chan_put_str(m, "n");
        chan_put_int(m, i);
        chan_put_str(m, "ret");
        NEED(chan_put_return(m, &ret) == 0);
        if (with_fd) {
            chan_put_str(m, "fd");
            NEED(chan_put_fd(m, fcntl(0, F_DUPFD_CLOEXEC, 3), CHAN_READ) == 0);
        }
        NEED(chan_send(tx, m, SOON, NULL) == 0);
        if (chan_recv(ret, m, SOON, &e) < 0) {
            fprintf(stderr, "stress: the answer to call %d: %s\n", (int)i, e.message);
            _exit(1);
        }
        NEED(chan_get_int(chan_root(m), &n) == 0 && n == i + 1);
        NEED(chan_recv(ret, m, SOON, NULL) == -ENODATA);
        chan_rx_unref(ret);
    }
    chan_msg_free(m);
    chan_tx_unref(tx);
    return NULL;
}

static void client(int fd)
{
    struct chan_session *s = attach(fd, false);
    pthread_t threads[THREADS];
    struct chan_tx *tx;

    for (int i = 0; i < THREADS; i++) {
        NEED(chan_open(s, &tx, NULL) == 0);
        NEED(pthread_create(&threads[i], NULL, call_many, tx) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    NEED(chan_session_shutdown(s, SOON, NULL) == 0);
    chan_session_unref(s);
}

/* Waits for pumps that are about to end; the descriptors must be those of the beginning. */
static void check_fds(const char *who, int before)
{
    for (int i = 0; i < 100 && count_fds() != before; i++)
        usleep(20000);
    if (count_fds() != before) {
        fprintf(stderr, "stress: the %s has %d descriptors, had %d\n", who, count_fds(), before);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int first[2], second[2], before, status, failed = 0;
    uint64_t total = 3000;
    pid_t pids[2];

    if (argc > 1)
        NEED(parse_u64(argv[1], THREADS, 1000000000, &total) == 0);
    calls = (int64_t)total / THREADS;
    before = count_fds();
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first) == 0);
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second) == 0);
    pids[0] = fork();
    if (pids[0] == 0) {
        close(first[0]), close(first[1]), close(second[0]);
        server(second[1]);
        check_fds("server", before);
        exit(0);
    }
    pids[1] = fork();
    if (pids[1] == 0) {
        close(first[0]), close(second[1]);
        forwarder(first[1], second[0]);
        check_fds("forwarder", before);
        exit(0);
    }
    close(first[1]), close(second[0]), close(second[1]);
    client(first[0]);
    check_fds("client", before);
    for (int i = 0; i < 2; i++) {
        waitpid(pids[i], &status, 0);
        failed |= status;
    }
    return failed ? 1 : 0;
}
