/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of sessions over the native protocol: calls, attachments, credit, endings, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "libchan/channel.h"

#define SOON chan_after_ms(10000)

/* Two sessions joined by a socket pair; `domain` AF_UNIX passes descriptors. */
struct pair {
    struct chan_session *a, *b;
};

static struct pair pair_new(const struct chan_options *o)
{
    struct pair p;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, o, &p.a, NULL), 0);
    assert_int_equal(chan_attach(fds[1], true, o, &p.b, NULL), 0);
    return p;
}

/* The same over TCP, where descriptors are pumped. */
static struct pair pair_tcp(const struct chan_options *o)
{
    struct chan_listener *l;
    struct pair p;
    int accepted;

    assert_int_equal(chan_listen("tcp:127.0.0.1:0", o, &l, NULL), 0);
    /* one thread: dial cannot wait for a greeting that nobody sends, so the listener accepts by its
     * descriptor only afterwards */
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(getsockname(chan_listener_pollfd(l), (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    accepted = chan_listener_accept(l, SOON, &p.b, NULL);
    assert_int_equal(accepted, 0);
    assert_int_equal(chan_attach(fd, false, o, &p.a, NULL), 0);
    chan_listener_free(l);
    return p;
}

static void pair_free(struct pair *p)
{
    chan_session_unref(p->a);
    chan_session_unref(p->b);
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void *echo(void *arg)
{
    struct chan_session *s = arg;
    struct chan_msg *m = chan_msg_new(), *answer = chan_msg_new();
    struct chan_rx *rx;

    if (chan_accept(s, SOON, &rx, NULL) == 0) {
        while (chan_recv(rx, m, SOON, NULL) == 0) {
            struct chan_tx *ret;

            assert_int_equal(chan_take_tx(chan_get(chan_root(m), "ret"), &ret), 0);
            assert_int_equal(chan_put_value(answer, chan_get(chan_root(m), "data")), 0);
            assert_int_equal(chan_send_last(ret, answer, SOON, NULL), 0);
            chan_tx_unref(ret);
        }
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
    chan_msg_free(answer);
    return NULL;
}

/* One call with `len` bytes: the answer is checked. */
static void call(struct chan_tx *tx, struct chan_msg *m, char *data, size_t len)
{
    struct wharf_error e = { 0 };
    struct chan_rx *ret;
    const void *back;
    size_t n;
    int r;

    chan_put_map(m, 2);
    chan_put_str(m, "data");
    chan_put_bin_ref(m, data, len, NULL, NULL);
    chan_put_str(m, "ret");
    assert_int_equal(chan_put_return(m, &ret), 0);
    r = chan_send(tx, m, SOON, &e);
    if (r < 0)
        print_message("send: %d %s\n", r, e.message);
    assert_int_equal(r, 0);
    r = chan_recv(ret, m, SOON, &e);
    if (r < 0)
        print_message("recv: %d %s\n", r, e.message);
    assert_int_equal(r, 0);
    assert_int_equal(chan_get_bin(chan_root(m), &back, &n), 0);
    assert_int_equal(n, len);
    assert_memory_equal(back, data, len);
    assert_int_equal(chan_recv(ret, m, SOON, NULL), -ENODATA);
    chan_rx_unref(ret);
}

static void calls_over(struct pair p)
{
    static const size_t sizes[] = { 0, 64, 1000, 4096, 5000, 65536, 100029, 3 << 20 };
    static char data[3 << 20];
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    pthread_t thread;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 31 >> 3);
    pthread_create(&thread, NULL, echo, p.b);
    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (int k = 0; k < 5; k++)
            call(tx, m, data, sizes[i]);
    }
    chan_tx_unref(tx);
    pthread_join(thread, NULL);
    chan_msg_free(m);
    pair_free(&p);
}

static void test_calls(void **state)
{
    int before = count_fds();

    calls_over(pair_new(NULL));
    calls_over(pair_tcp(NULL));
    calls_over(pair_new(&(struct chan_options){ .no_threads = true, .window = 4096 }));
    assert_int_equal(count_fds(), before);
}

/* A descriptor in a message: itself on a unix socket, a pumped stream on TCP. */
static void pass_descriptor(struct pair p)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;
    int pipe_fds[2], fd = -1;
    char text[6] = "";

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    chan_open(p.a, &tx, NULL);
    chan_put_fd(m, pipe_fds[0], CHAN_READ);
    assert_int_equal(write(pipe_fds[1], "hello", 5), 5);
    close(pipe_fds[1]);
    /* the greeting has to be read before there is credit: one thread serves both sides */
    while (chan_send(tx, m, CHAN_NOW, NULL) == -EAGAIN)
        chan_session_step(p.b, NULL);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_take_fd(chan_root(m), &fd), 0);
    assert_int_equal(read(fd, text, 5), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(read(fd, text, 5), 0);
    close(fd);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

static void test_descriptors(void **state)
{
    int before = count_fds();

    pass_descriptor(pair_new(NULL));
    assert_int_equal(count_fds(), before);
    pass_descriptor(pair_tcp(NULL));
}

static void test_endings(void **state)
{
    struct pair p = pair_new(NULL);
    struct wharf_error why = { 0 }, e = { 0 };
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;

    err_set(&why, -ENOSPC, WHARF_ERROR_LIMIT, "the disk is full");
    chan_session_step(p.a, NULL);
    chan_open(p.a, &tx, NULL);
    chan_put_int(m, 1);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    chan_abort(tx, &why);
    chan_tx_unref(tx);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, &e), -ECONNABORTED);
    assert_int_equal(e.code, ENOSPC);
    assert_string_equal(e.message, "the disk is full");
    chan_rx_unref(rx);

    chan_open(p.a, &tx, NULL);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    chan_cancel(rx, &why);
    chan_session_step(p.a, NULL);
    chan_put_int(m, 1);
    assert_int_equal(chan_send(tx, m, SOON, &e), -EPIPE);
    assert_int_equal(e.kind, WHARF_ERROR_LIMIT);
    chan_tx_unref(tx);
    chan_rx_unref(rx);

    /* a connection that is cut is no end of channel */
    chan_open(p.a, &tx, NULL);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    chan_session_kill(p.a, NULL);
    assert_int_equal(chan_recv(rx, m, SOON, &e), -ECONNRESET);
    chan_msg_clear(m);
    chan_put_nil(m);
    assert_int_equal(chan_send(tx, m, SOON, &e), -ECONNRESET);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* One channel is never read; its sender runs out of credit, the others go on. */
static void test_stalled(void **state)
{
    struct pair p = pair_new(&(struct chan_options){ .window = 8192 });
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *stalled, *lively;
    struct chan_rx *a, *b;
    char data[1000] = "";
    int sent = 0, r;

    chan_session_step(p.a, NULL);
    chan_open(p.a, &stalled, NULL);
    chan_open(p.a, &lively, NULL);
    for (;;) {
        chan_put_bin(m, data, sizeof(data));
        r = chan_send(stalled, m, CHAN_NOW, NULL);
        chan_msg_clear(m);
        if (r < 0)
            break;
        sent++;
    }
    assert_int_equal(r, -EAGAIN);
    assert_in_range(sent, 8, 9);
    assert_int_equal(chan_accept(p.b, SOON, &a, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &b, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        chan_put_bin(m, data, sizeof(data));
        assert_int_equal(chan_send(lively, m, SOON, NULL), 0);
        assert_int_equal(chan_recv(b, m, SOON, NULL), 0);
        chan_msg_clear(m);
    }
    for (int i = 0; i < sent; i++)
        assert_int_equal(chan_recv(a, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(a, m, CHAN_NOW, NULL), -EAGAIN);
    chan_tx_unref(stalled);
    chan_tx_unref(lively);
    chan_rx_unref(a);
    chan_rx_unref(b);
    chan_msg_free(m);
    pair_free(&p);
}

#define MANY 10000

/* Ten thousand channels on one connection, the first one stalled; an idle one costs at most 512
 * bytes a side. */
static void test_many_channels(void **state)
{
    struct chan_options o = { .window = 4096, .max_pending = MANY };
    struct pair p = pair_new(&o);
    struct chan_tx **tx = calloc(MANY, sizeof(*tx));
    struct chan_rx **rx = calloc(MANY, sizeof(*rx));
    struct chan_msg *m = chan_msg_new();
    char data[2000] = "";
    size_t before, used;

    chan_session_step(p.a, NULL);
    before = mallinfo2().uordblks;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(chan_open(p.a, &tx[i], NULL), 0);
        assert_int_equal(chan_accept(p.b, SOON, &rx[i], NULL), 0);
    }
    used = (mallinfo2().uordblks - before) / (2 * MANY);
    print_message("an idle channel: %zu bytes a side\n", used);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(used, 1, 512);
#endif
    for (int i = 0; i < 3; i++) {
        chan_put_bin(m, data, sizeof(data));
        assert_int_equal(chan_send(tx[0], m, SOON, NULL), 0);
    }
    chan_put_bin(m, data, sizeof(data));
    assert_int_equal(chan_send(tx[0], m, CHAN_NOW, NULL), -EAGAIN);
    for (int i = 1; i < MANY; i++) {
        chan_msg_clear(m);
        chan_put_int(m, i);
        assert_int_equal(chan_send(tx[i], m, SOON, NULL), 0);
        assert_int_equal(chan_recv(rx[i], m, SOON, NULL), 0);
    }
    for (int i = 0; i < MANY; i++) {
        chan_tx_unref(tx[i]);
        chan_rx_unref(rx[i]);
    }
    free(tx);
    free(rx);
    chan_msg_free(m);
    pair_free(&p);
}

static void *shut_down(void *arg)
{
    assert_int_equal(chan_session_shutdown(arg, SOON, NULL), 0);
    return NULL;
}

/* Everything sent before the shutdown arrives, and then the channel ends cleanly. */
static void test_shutdown(void **state)
{
    struct pair p = pair_new(NULL);
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;
    pthread_t thread;
    int n = 0, r;

    chan_session_step(p.a, NULL);
    chan_open(p.a, &tx, NULL);
    for (int i = 0; i < 500; i++) {
        chan_put_int(m, i);
        assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    }
    chan_tx_unref(tx);
    pthread_create(&thread, NULL, shut_down, p.a);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    while ((r = chan_recv(rx, m, SOON, NULL)) == 0)
        n++;
    assert_int_equal(r, -ENODATA);
    assert_int_equal(n, 500);
    assert_int_equal(chan_session_shutdown(p.b, SOON, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(chan_open(p.b, &tx, NULL), -ESHUTDOWN);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), -ENODATA);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* A received sender goes back to where it came from, inside a message. */
static void test_send_back_home(void **state)
{
    struct pair p = pair_new(NULL);
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *there, *back, *traveller;
    struct chan_rx *rx_there, *rx_back, *home;
    int64_t n = 0;

    chan_session_step(p.a, NULL);
    chan_session_step(p.b, NULL);
    chan_open(p.a, &there, NULL);
    chan_open(p.b, &back, NULL);
    assert_int_equal(chan_accept(p.b, SOON, &rx_there, NULL), 0);
    assert_int_equal(chan_accept(p.a, SOON, &rx_back, NULL), 0);
    chan_put_return(m, &home);
    assert_int_equal(chan_send(there, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx_there, m, SOON, NULL), 0);
    assert_int_equal(chan_take_tx(chan_root(m), &traveller), 0);
    chan_msg_clear(m);
    assert_int_equal(chan_put_tx(m, traveller), 0);
    assert_int_equal(chan_send(back, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx_back, m, SOON, NULL), 0);
    assert_int_equal(chan_take_tx(chan_root(m), &traveller), 0);
    chan_msg_clear(m);
    chan_put_int(m, 4711);
    assert_int_equal(chan_send_last(traveller, m, SOON, NULL), 0);
    chan_tx_unref(traveller);
    assert_int_equal(chan_recv(home, m, SOON, NULL), 0);
    chan_get_int(chan_root(m), &n);
    assert_int_equal(n, 4711);
    assert_int_equal(chan_recv(home, m, SOON, NULL), -ENODATA);
    chan_rx_unref(home);
    chan_rx_unref(rx_there);
    chan_rx_unref(rx_back);
    chan_tx_unref(there);
    chan_tx_unref(back);
    chan_msg_free(m);
    pair_free(&p);
}

static void *serve(void *arg)
{
    struct chan_session *s;

    assert_int_equal(chan_listener_accept(arg, SOON, &s, NULL), 0);
    echo(s);
    chan_session_unref(s);
    return NULL;
}

static void test_addresses(void **state)
{
    static const char *const urls[] = { "unix:@libchan-session-test", "tcp:127.0.0.1:0" };
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_session *s;

    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct chan_listener *l;
        struct chan_peer peer;
        struct chan_tx *tx;
        pthread_t thread;

        assert_int_equal(chan_listen(urls[i], NULL, &l, NULL), 0);
        pthread_create(&thread, NULL, serve, l);
        assert_int_equal(chan_dial(chan_listener_address(l), NULL, SOON, &s, &e), 0);
        assert_int_equal(chan_session_peer(s, SOON, &peer, NULL), 0);
        assert_int_equal(peer.has_credentials, i == 0);
        if (i == 0)
            assert_int_equal(peer.pid, getpid());
        if (peer.pidfd >= 0)
            close(peer.pidfd);
        assert_int_equal(chan_open(s, &tx, NULL), 0);
        call(tx, m, (char[]){ "abc" }, 3);
        chan_tx_unref(tx);
        pthread_join(thread, NULL);
        chan_session_unref(s);
        chan_listener_free(l);
    }
    assert_int_equal(chan_dial("carrier-pigeon:x", NULL, SOON, &s, &e), -EINVAL);
    assert_int_equal(chan_dial("tls:localhost:1", NULL, SOON, &s, &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.message, "libchan-tls"));
    assert_int_equal(chan_dial("unix:/nonexistent/x", NULL, SOON, &s, &e), -ENOENT);
    chan_msg_free(m);
}

static void test_pollfd(void **state)
{
    struct pair p = pair_new(NULL);
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;
    struct pollfd poll_fd = { .events = POLLIN };

    chan_session_step(p.a, NULL);
    chan_open(p.a, &tx, NULL);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    poll_fd.fd = chan_rx_pollfd(rx);
    assert_true(poll_fd.fd >= 0);
    while (chan_recv(rx, m, CHAN_NOW, NULL) != -EAGAIN)
        ;
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    for (int i = 0; i < 3; i++) {
        chan_put_int(m, i);
        assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll(&poll_fd, 1, 5000), 1);
        assert_int_equal(chan_recv(rx, m, CHAN_NOW, NULL), 0);
    }
    assert_int_equal(chan_recv(rx, m, CHAN_NOW, NULL), -EAGAIN);
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),         cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_endings),       cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_shutdown),      cmocka_unit_test(test_send_back_home),
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_pollfd),
        cmocka_unit_test(test_many_channels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
