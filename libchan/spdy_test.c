/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SPDY dialects between two of our own sessions, and the recorded traffic of the historical
 * implementations played into one of them and read through chan.h. How they get on with
 * implementations that are not ours: test/chan.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "chan.h"

#define SOON chan_after_ms(10000)

enum { BIG = 100000, STREAM_BYTES = 3 << 20, UNREAD = 1000, CAPTURE_MAX = 1 << 20 };

struct pair {
    struct chan_session *a, *b;
};

/* a speaks `dialect`, b recognises it. */
static struct pair pair_new(const struct chan_dialect *dialect)
{
    const struct chan_options dials = { .dialects = { dialect } };
    const struct chan_options accepts = {
        .dialects = { chan_dialect_native(), chan_dialect_spdy_2015(), chan_dialect_spdy_010() }
    };
    struct pair p;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, &dials, &p.a, NULL), 0);
    assert_int_equal(chan_attach(fds[1], true, &accepts, &p.b, NULL), 0);
    return p;
}

static void pair_free(struct pair *p)
{
    chan_session_unref(p->a);
    chan_session_unref(p->b);
}

static const struct chan_dialect *dialect_of(void **state)
{
    return *(const struct chan_dialect **)state;
}

/* Answers {data, ret} with the data, {chan, ret} with the channel that came. */
static void *serve(void *arg)
{
    struct chan_msg *m = chan_msg_new(), *answer = chan_msg_new();
    struct chan_session *s = arg;
    struct chan_rx *rx;

    if (chan_accept(s, SOON, &rx, NULL) == 0) {
        while (chan_recv(rx, m, SOON, NULL) == 0) {
            struct chan_tx *ret;

            if (chan_take_tx(chan_get(chan_root(m), "ret"), &ret) < 0)
                continue;
            chan_put_value(answer, chan_get(chan_root(m), "data"));
            assert_int_equal(chan_send_last(ret, answer, SOON, NULL), 0);
            chan_tx_unref(ret);
        }
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
    chan_msg_free(answer);
    assert_int_equal(chan_session_shutdown(s, SOON, NULL), 0);
    return NULL;
}

struct fixture {
    struct pair p;
    struct chan_tx *tx;
    struct chan_msg *m;
    pthread_t server;
};

static void begin(struct fixture *f, void **state)
{
    f->p = pair_new(dialect_of(state));
    f->m = chan_msg_new();
    assert_int_equal(pthread_create(&f->server, NULL, serve, f->p.b), 0);
    assert_int_equal(chan_open(f->p.a, &f->tx, NULL), 0);
}

/* Closes, shuts down on both sides, and nothing must be left. */
static void end(struct fixture *f)
{
    struct wharf_error e = { 0 };

    chan_tx_unref(f->tx);
    chan_msg_free(f->m);
    if (chan_session_shutdown(f->p.a, SOON, &e) < 0)
        fail_msg("%s", e.message);
    pthread_join(f->server, NULL);
    pair_free(&f->p);
}

/* Sends {data: ..., ret}, whose data the caller puts first; the answer is in f->m. */
static void begin_call(struct fixture *f)
{
    chan_msg_clear(f->m);
    chan_put_map(f->m, 2);
    chan_put_str(f->m, "data");
}

static void finish_call(struct fixture *f)
{
    struct wharf_error e = { 0 };
    struct chan_rx *ret;

    chan_put_str(f->m, "ret");
    assert_int_equal(chan_put_return(f->m, &ret), 0);
    if (chan_send(f->tx, f->m, SOON, &e) < 0 || chan_recv(ret, f->m, SOON, &e) < 0)
        fail_msg("%s", e.message);
    chan_rx_unref(ret);
}

static void test_calls(void **state)
{
    static const size_t sizes[] = { 0, 64, 5000, BIG, 1 << 20 };
    struct fixture f;
    autofree char *data = malloc(1 << 20);

    begin(&f, state);
    for (size_t i = 0; i < 200; i++) {
        size_t len = sizes[i < 190 ? 1 : i % ARRAY_SIZE(sizes)], n;
        const void *back;

        memset(data, (int)i, len);
        begin_call(&f);
        chan_put_bin_ref(f.m, data, len, NULL, NULL);
        finish_call(&f);
        assert_int_equal(chan_get_bin(chan_root(f.m), &back, &n), 0);
        assert_true(n == len && memcmp(back, data, len) == 0);
    }
    end(&f);
}

static void test_values(void **state)
{
    const char *text;
    struct fixture f;
    uint32_t nsec;
    int64_t sec;
    size_t len;

    begin(&f, state);
    if (dialect_of(state) == chan_dialect_spdy_010()) {
        chan_put_time(f.m, 0, 0);
        assert_int_equal(chan_send(f.tx, f.m, SOON, NULL), -EOPNOTSUPP);
        end(&f);
        return;
    }
    begin_call(&f);
    chan_put_array(f.m, 2);
    chan_put_time(f.m, 1402000000, 123456789);
    chan_put_str(f.m, "text");
    finish_call(&f);
    assert_int_equal(chan_get_time(chan_at(chan_root(f.m), 0), &sec, &nsec), 0);
    assert_true(sec == 1402000000 && nsec == 123456789);
    assert_int_equal(chan_get_str(chan_at(chan_root(f.m), 1), &text, &len), 0);
    assert_memory_equal(text, "text", len);
    end(&f);
}

/* A channel goes to the server and comes back by another, twice re-homed: it still works. */
static void test_echo_channel(void **state)
{
    struct chan_tx *back;
    struct chan_rx *mine;
    struct chan_tx *tx;
    struct fixture f;
    int64_t n;

    begin(&f, state);
    assert_int_equal(chan_pipe(4, &tx, &mine), 0);
    begin_call(&f);
    assert_int_equal(chan_put_tx(f.m, tx), 0);
    finish_call(&f);
    assert_int_equal(chan_take_tx(chan_root(f.m), &back), 0);
    for (int i = 0; i < 10; i++) {
        chan_msg_clear(f.m);
        chan_put_int(f.m, i);
        assert_int_equal(chan_send(back, f.m, SOON, NULL), 0);
        assert_int_equal(chan_recv(mine, f.m, SOON, NULL), 0);
        assert_int_equal(chan_get_int(chan_root(f.m), &n), 0);
        assert_int_equal(n, i);
    }
    chan_tx_unref(back);
    assert_int_equal(chan_recv(mine, f.m, SOON, NULL), -ENODATA);
    chan_rx_unref(mine);
    end(&f);
}

/* A message with a channel that nobody takes out: its sender end closes with the message. */
static void test_never_taken(void **state)
{
    struct chan_tx *tx;
    struct chan_rx *rx;
    struct fixture f;

    begin(&f, state);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(chan_pipe(1, &tx, &rx), 0);
        chan_msg_clear(f.m);
        chan_put_tx(f.m, tx);
        assert_int_equal(chan_send(f.tx, f.m, SOON, NULL), 0);
        assert_int_equal(chan_recv(rx, f.m, SOON, NULL), -ENODATA);
        chan_rx_unref(rx);
    }
    end(&f);
}

/* ---- byte streams ---- */

static void *feed(void *arg)
{
    autofree char *data = calloc(1, 65536);
    int fd = *(int *)arg;
    size_t left = STREAM_BYTES;

    while (left) {
        ssize_t n = send(fd, data, MIN(left, (size_t)65536), MSG_NOSIGNAL);

        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

static size_t read_all(int fd)
{
    autofree char *data = malloc(65536);
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, data, 65536)) > 0)
        total += (size_t)n;
    return total;
}

static void test_byte_stream(void **state)
{
    struct pair p = pair_new(dialect_of(state));
    struct chan_msg *m = chan_msg_new();
    pthread_t there, here;
    struct chan_tx *tx;
    struct chan_rx *rx;
    int fds[2], fd;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    assert_int_equal(chan_put_fd(m, fds[1], CHAN_READ | CHAN_WRITE), 0);
    assert_int_equal(chan_send_last(tx, m, SOON, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_take_fd(chan_root(m), &fd), 0);
    pthread_create(&here, NULL, feed, &fds[0]);
    pthread_create(&there, NULL, feed, &fd);
    {
        size_t at_b, at_a;

        at_b = read_all(fd);
        at_a = read_all(fds[0]);
        assert_int_equal(at_b, STREAM_BYTES);
        assert_int_equal(at_a, STREAM_BYTES);
    }
    pthread_join(here, NULL);
    pthread_join(there, NULL);
    close(fd);
    close(fds[0]);
    chan_msg_free(m);
    chan_rx_unref(rx);
    chan_tx_unref(tx);
    pair_free(&p);
}

/* ---- back-pressure, ends ---- */

static void test_unread(void **state)
{
    struct pair p = pair_new(dialect_of(state));
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *stalled, *moving;
    struct chan_rx *first, *second;
    int64_t n;

    assert_int_equal(chan_open(p.a, &stalled, NULL), 0);
    for (int i = 0; i < UNREAD; i++) {
        chan_put_int(m, i);
        assert_int_equal(chan_send(stalled, m, SOON, NULL), 0);
    }
    assert_int_equal(chan_open(p.a, &moving, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &first, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &second, NULL), 0);
    for (int i = 0; i < UNREAD; i++) {
        chan_put_int(m, i);
        assert_int_equal(chan_send(moving, m, SOON, NULL), 0);
        assert_int_equal(chan_recv(second, m, SOON, NULL), 0);
        chan_msg_clear(m);
    }
    chan_close(stalled);
    for (int i = 0; i < UNREAD; i++) {
        assert_int_equal(chan_recv(first, m, SOON, NULL), 0);
        assert_int_equal(chan_get_int(chan_root(m), &n), 0);
        assert_int_equal(n, i);
    }
    assert_int_equal(chan_recv(first, m, SOON, NULL), -ENODATA);
    chan_tx_unref(stalled);
    chan_tx_unref(moving);
    chan_rx_unref(first);
    chan_rx_unref(second);
    chan_msg_free(m);
    pair_free(&p);
}

/* A sender that nobody reads waits at the window and not before; its sibling does not. */
static void test_window(void **state)
{
    struct pair p = pair_new(dialect_of(state));
    struct chan_msg *m = chan_msg_new();
    autofree char *data = calloc(1, BIG);
    struct chan_tx *tx;
    struct chan_rx *rx, *none;
    int sent = 0, taken = 0;

    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    /* hears b's SETTINGS and WINDOW_UPDATE, and respects windows from then on */
    assert_int_equal(chan_accept(p.a, CHAN_NOW, &none, NULL), -EAGAIN);
    for (;; sent++) {
        chan_msg_clear(m);
        chan_put_bin(m, data, BIG);
        if (chan_send(tx, m, CHAN_NOW, NULL) < 0)
            break;
        chan_accept(p.b, CHAN_NOW, &none, NULL); /* b reads the connection, nobody the channel */
    }
    assert_in_range(sent, 3, 4); /* 256 KiB and what passes the last of it */
    while (chan_recv(rx, m, chan_after_ms(100), NULL) == 0)
        taken++;
    assert_int_equal(taken, sent);
    chan_accept(p.a, CHAN_NOW, &none, NULL);
    chan_msg_clear(m);
    chan_put_bin(m, data, BIG);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    chan_msg_free(m);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    pair_free(&p);
}

static void test_cancel_and_abort(void **state)
{
    struct pair p = pair_new(dialect_of(state));
    struct wharf_error why = { .code = EIO, .message = "reason" };
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx, *none;
    int r = 0;

    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    chan_cancel(rx, &why);
    for (int i = 0; i < 100 && r == 0; i++) {
        chan_accept(p.a, CHAN_NOW, &none, NULL);
        chan_msg_clear(m);
        chan_put_nil(m);
        r = chan_send(tx, m, SOON, NULL);
    }
    assert_int_equal(r, -EPIPE);
    chan_tx_unref(tx);
    chan_rx_unref(rx);

    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    chan_msg_clear(m);
    chan_put_int(m, 7);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    chan_abort(tx, &why);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), -ECONNABORTED);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* Everything sent before the shutdown of one side is read after it on the other. */
static void *shut(void *arg)
{
    assert_int_equal(chan_session_shutdown(arg, SOON, NULL), 0);
    return NULL;
}

static void test_shutdown(void **state)
{
    struct pair p = pair_new(dialect_of(state));
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx, *none;
    pthread_t thread;

    assert_int_equal(chan_open(p.a, &tx, NULL), 0);
    for (int i = 0; i < UNREAD; i++) {
        chan_put_int(m, i);
        assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    }
    chan_close(tx);
    pthread_create(&thread, NULL, shut, p.a);
    assert_int_equal(chan_accept(p.b, SOON, &rx, NULL), 0);
    for (int i = 0; i < UNREAD; i++)
        assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), -ENODATA);
    assert_int_equal(chan_accept(p.b, SOON, &none, NULL), -ENODATA);
    assert_int_equal(chan_session_shutdown(p.b, SOON, NULL), 0);
    pthread_join(thread, NULL);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* ---- recorded traffic ---- */

/* Skips a test without its capture; before anything is allocated, for skip() does not return. */
static void need(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", CHAN_GOLDEN, name);
    if (access(path, R_OK) < 0) {
        print_message("skipped: %s is absent\n", path);
        skip();
    }
}

/* An accepted session into which the bytes of a capture are written; the other end of its socket.
 */
static struct chan_session *replay(const char *name, bool accepting,
                                   const struct chan_options *options, int *ret_fd)
{
    autofree char *path = str_format("%s/%s", CHAN_GOLDEN, name);
    struct chan_session *s;
    char *bytes = NULL;
    ssize_t len = file_read(AT_FDCWD, path, CAPTURE_MAX, &bytes);
    int fds[2], size = CAPTURE_MAX;

    assert_true(len >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    assert_int_equal(chan_attach(fds[1], accepting, options, &s, NULL), 0);
    assert_int_equal(send(fds[0], bytes, (size_t)len, MSG_NOSIGNAL), len);
    free(bytes);
    *ret_fd = fds[0];
    return s;
}

static void next(struct chan_rx *rx, struct chan_msg *m)
{
    struct wharf_error e = { 0 };

    if (chan_recv(rx, m, SOON, &e) < 0)
        fail_msg("%s", e.message);
}

static struct chan_tx *take_ret(struct chan_msg *m)
{
    struct chan_tx *ret;

    assert_int_equal(chan_take_tx(chan_get(chan_root(m), "ret"), &ret), 0);
    return ret;
}

static void test_golden_2015(void **state)
{
    const struct chan_options o = { .dialects = { chan_dialect_spdy_010(),
                                                  chan_dialect_spdy_2015() } };
    struct chan_msg *m;
    struct chan_tx *rets[4];
    struct chan_session *s;
    struct chan_rx *rx;
    uint32_t nsec;
    int64_t sec;
    const void *data;
    size_t len;
    char text[4] = "";
    int fd, stream;

    (void)state;
    need("d3-client-to-server.bin");
    m = chan_msg_new();
    s = replay("d3-client-to-server.bin", true, &o, &fd);
    assert_int_equal(chan_accept(s, SOON, &rx, NULL), 0);
    next(rx, m);
    assert_true(chan_equals(chan_get(chan_root(m), "op"), "echo"));
    assert_true(chan_equals(chan_get(chan_root(m), "data"), "hello"));
    rets[0] = take_ret(m);
    next(rx, m);
    assert_int_equal(chan_get_bin(chan_get(chan_root(m), "data"), &data, &len), 0);
    assert_int_equal(len, BIG);
    rets[1] = take_ret(m);
    next(rx, m);
    assert_true(chan_equals(chan_get(chan_root(m), "op"), "time"));
    assert_int_equal(chan_get_time(chan_get(chan_root(m), "t"), &sec, &nsec), 0);
    assert_true(sec == 1402000000 && nsec == 123456789);
    rets[2] = take_ret(m);
    next(rx, m);
    assert_true(chan_equals(chan_get(chan_root(m), "op"), "stream"));
    rets[3] = take_ret(m);
    assert_int_equal(chan_take_fd(chan_get(chan_root(m), "io"), &stream), 0);
    assert_int_equal(recv(stream, text, 3, MSG_WAITALL), 3);
    assert_string_equal(text, "abc");
    close(stream);
    for (int i = 0; i < 4; i++)
        chan_tx_unref(rets[i]);
    chan_rx_unref(rx);
    chan_session_unref(s);
    close(fd);
    chan_msg_free(m);
}

static void test_golden_010(void **state)
{
    const struct chan_options o = { .dialects = { chan_dialect_spdy_2015(),
                                                  chan_dialect_spdy_010() } };
    static const char *const keys[] = { "Stdin", "Stdout", "Stderr" };
    struct chan_msg *m;
    struct chan_session *s;
    struct chan_tx *status;
    struct chan_rx *rx;
    int fd, stream;
    char byte;

    (void)state;
    need("d2-client-to-server.bin");
    m = chan_msg_new();
    s = replay("d2-client-to-server.bin", true, &o, &fd);
    assert_int_equal(chan_accept(s, SOON, &rx, NULL), 0);
    next(rx, m);
    assert_true(chan_equals(chan_get(chan_root(m), "Cmd"), "/bin/echo"));
    assert_true(chan_equals(chan_at(chan_get(chan_root(m), "Args"), 0), "js-to-go010"));
    assert_int_equal(chan_take_tx(chan_get(chan_root(m), "StatusChan"), &status), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(chan_take_fd(chan_get(chan_root(m), keys[i]), &stream), 0);
        assert_int_equal(recv(stream, &byte, 1, 0), 0); /* each ends at once */
        close(stream);
    }
    assert_int_equal(chan_recv(rx, m, SOON, NULL), -ENODATA);
    chan_tx_unref(status);
    chan_rx_unref(rx);
    chan_session_unref(s);
    close(fd);
    chan_msg_free(m);
}

/* The same calls encoded by us get the recorded answers: our ids are those of the capture. */
static void test_golden_answers(void **state)
{
    const struct chan_options o = { .dialects = { chan_dialect_spdy_2015() } };
    struct chan_msg *m;
    struct chan_rx *rets[4];
    struct chan_session *s;
    struct chan_tx *tx;
    const void *data;
    char text[4] = "";
    int fd, pair[2];
    size_t len;

    (void)state;
    need("d3-server-to-client.bin");
    m = chan_msg_new();
    /* The answers lie in the socket; they are read after the calls have been made. */
    s = replay("d3-server-to-client.bin", false, &o, &fd);
    assert_int_equal(chan_open(s, &tx, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    for (int i = 0; i < 4; i++) {
        chan_msg_clear(m);
        chan_put_map(m, i == 3 ? 2 : 1);
        if (i == 3) {
            chan_put_str(m, "io");
            chan_put_fd(m, pair[1], CHAN_READ | CHAN_WRITE);
        }
        chan_put_str(m, "ret");
        assert_int_equal(chan_put_return(m, &rets[i]), 0);
        assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    }
    next(rets[0], m);
    assert_true(chan_equals(chan_get(chan_root(m), "data"), "hello"));
    next(rets[1], m);
    assert_int_equal(chan_get_bin(chan_get(chan_root(m), "data"), &data, &len), 0);
    assert_int_equal(len, BIG);
    next(rets[2], m);
    assert_true(chan_equals(chan_get(chan_root(m), "s"), "2014-06-05T20:26:40.123456789Z"));
    next(rets[3], m);
    assert_int_equal(chan_kind_of(chan_get(chan_root(m), "ok")), CHAN_BOOL);
    assert_int_equal(recv(pair[0], text, 3, MSG_WAITALL), 3);
    assert_string_equal(text, "ABC");
    for (int i = 0; i < 4; i++)
        chan_rx_unref(rets[i]);
    chan_tx_unref(tx);
    chan_session_unref(s);
    close(pair[0]);
    close(fd);
    chan_msg_free(m);
}

/* The unix dialect: the recorded message with its descriptor, and the same call encoded by us. */
static void check_echo(struct chan_session *s, struct chan_msg *m, bool more)
{
    struct chan_value cmd;
    struct chan_rx *rx;
    int fd;

    assert_int_equal(chan_accept(s, SOON, &rx, NULL), 0);
    next(rx, m);
    cmd = chan_get(chan_at(chan_root(m), 0), "cmd");
    assert_int_equal(chan_count(cmd), 2);
    assert_true(chan_equals(chan_at(cmd, 0), "echo") && chan_equals(chan_at(cmd, 1), "hi"));
    assert_int_equal(chan_take_fd(chan_at(chan_root(m), 1), &fd), 0);
    close(fd);
    if (more) { /* a message without a key or a descriptor */
        next(rx, m);
        assert_int_equal(chan_kind_of(chan_root(m)), CHAN_MAP);
        assert_int_equal(chan_count(chan_root(m)), 0);
    }
    assert_int_equal(chan_recv(rx, m, SOON, NULL), -ENODATA);
    chan_rx_unref(rx);
}

static void send_with_fd(int to, const char *bytes, size_t len, int fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec iov = { (void *)(uintptr_t)bytes, 1 };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };

    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    assert_int_equal(sendmsg(to, &h, MSG_NOSIGNAL), 1);
    assert_int_equal(send(to, bytes + 1, len - 1, MSG_NOSIGNAL), len - 1);
}

static void test_unix_2014(void **state)
{
    const struct chan_options o = { .dialects = { chan_dialect_spdy_2015(),
                                                  chan_dialect_unix_2014() } };
    const struct chan_options dials = { .dialects = { chan_dialect_unix_2014() } };
    static const char recorded[] = "\x80\0\0\x1a"
                                   "000;3:cmd,12:4:echo,2:hi,,\0\0\0\4"
                                   "000;";
    struct chan_msg *m = chan_msg_new();
    struct chan_session *a, *b;
    struct chan_tx *tx;
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_attach(fds[1], true, &o, &b, NULL), 0);
    send_with_fd(fds[0], recorded, sizeof(recorded) - 1, fds[0]);
    close(fds[0]);
    check_echo(b, m, true);
    chan_session_unref(b);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, &dials, &a, NULL), 0);
    assert_int_equal(chan_attach(fds[1], true, &o, &b, NULL), 0);
    assert_int_equal(chan_open(a, &tx, NULL), 0);
    chan_msg_clear(m);
    chan_put_array(m, 2);
    chan_put_map(m, 1);
    chan_put_str(m, "cmd");
    chan_put_array(m, 2);
    chan_put_str(m, "echo");
    chan_put_str(m, "hi");
    chan_put_fd(m, dup(2), CHAN_READ | CHAN_WRITE);
    assert_int_equal(chan_send_last(tx, m, SOON, NULL), 0);
    check_echo(b, m, false);
    chan_tx_unref(tx);
    chan_session_unref(a);
    chan_session_unref(b);
    chan_msg_free(m);
}

/* Reads whatever a session brings, to its end. */
static void read_to_the_end(struct chan_session *s)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *rx;

    while (chan_accept(s, SOON, &rx, NULL) == 0) {
        while (chan_recv(rx, m, SOON, NULL) == 0)
            ;
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
    chan_session_unref(s);
}

static struct chan_session *fed(const char *bytes, size_t len, bool old, int *ret_fd)
{
    const struct chan_options o = { .dialects = { old ? chan_dialect_spdy_010()
                                                      : chan_dialect_spdy_2015() } };
    int fds[2], size = CAPTURE_MAX;
    struct chan_session *s;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    assert_int_equal(chan_attach(fds[1], true, &o, &s, NULL), 0);
    assert_int_equal(send(fds[0], bytes, len, MSG_NOSIGNAL), len);
    *ret_fd = fds[0];
    return s;
}

/* The peer dies at each border of its frames, and within each frame: an error or an end, at once.
 */
static void die_everywhere(const char *name, bool old)
{
    autofree char *path = str_format("%s/%s", CHAN_GOLDEN, name);
    char *bytes = NULL;
    ssize_t len = file_read(AT_FDCWD, path, CAPTURE_MAX, &bytes);
    size_t at = 0;
    int fd;

    assert_true(len >= 0);
    while (at + 8 < (size_t)len) {
        const uint8_t *p = (const uint8_t *)bytes + at;

        at += 8 + ((size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7]);
        for (size_t n = at - 1; n <= at; n++) {
            struct chan_session *s = fed(bytes, n, old, &fd);

            close(fd);
            read_to_the_end(s);
        }
    }
    free(bytes);
}

/* A peer that says GOAWAY and closes at once is done: that our answer to its ping finds nobody
 * there does not keep us from reading the GOAWAY behind it. */
static void test_goaway_behind_ping(void **state)
{
    static const char frames[] = "\x80\3\0\6\0\0\0\4\0\0\0\1"
                                 "\x80\3\0\7\0\0\0\10\0\0\0\0\0\0\0";
    struct chan_session *s;
    int fd;

    (void)state;
    for (size_t ahead = 0; ahead <= 12; ahead += 12) {
        s = fed(frames + ahead, sizeof(frames) - ahead, false, &fd);
        close(fd);
        assert_int_equal(chan_session_shutdown(s, SOON, NULL), 0);
        chan_session_unref(s);
    }
    s = fed(frames, 12, false, &fd);
    close(fd);
    assert_int_equal(chan_session_shutdown(s, SOON, NULL), -ECONNRESET);
    chan_session_unref(s);
}

static void test_peer_dies(void **state)
{
    (void)state;
    need("d3-client-to-server.bin");
    need("d2-client-to-server.bin");
    die_everywhere("d3-client-to-server.bin", false);
    die_everywhere("d2-client-to-server.bin", true);
}

/* Frames that no peer may send: the connection ends, and the error names the fault. */
static void test_hostile(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *fault;
    } cases[] = {
#define CASE(text, fault) { text, sizeof(text) - 1, fault }
        CASE("\x80\x02\x00\x01\x00\x00\x00\x0a", "version"),
        CASE("\x80\x03\x00\x05\x00\x00\x00\x00", "type 5"),
        CASE("\x00\x00\x00\x01\x00\x00\x00\x01\xc0", "never opened"),
        CASE("\x00\x00\x00\x02\x00\x00\x00\x01\xc0", "never opened"),
        CASE("\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x00\x7f\xff\xff\xff", "2^31"),
        CASE("\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x07\x00\x00\x00\x05", "never opened"),
        CASE("\x80\x03\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00xx",
             "header block"),
    };

    int fd;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct chan_session *s = fed(cases[i].bytes, cases[i].len, false, &fd);
        struct wharf_error e = { 0 };
        struct chan_rx *rx;

        assert_int_equal(chan_accept(s, SOON, &rx, &e), -ECONNRESET);
        if (!strstr(e.message, cases[i].fault))
            fail_msg("'%s' does not say '%s'", e.message, cases[i].fault);
        chan_session_unref(s);
        close(fd);
    }
}

#define EACH(test)                                                                                 \
    { #test " 2015", test, NULL, NULL, (void *)chan_dialect_spdy_2015() },                         \
    {                                                                                              \
#test " 0.1", test, NULL, NULL, (void *)chan_dialect_spdy_010()                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_calls),
        EACH(test_values),
        EACH(test_echo_channel),
        EACH(test_never_taken),
        EACH(test_byte_stream),
        EACH(test_unread),
        EACH(test_window),
        EACH(test_cancel_and_abort),
        EACH(test_shutdown),
        cmocka_unit_test(test_golden_2015),
        cmocka_unit_test(test_golden_010),
        cmocka_unit_test(test_golden_answers),
        cmocka_unit_test(test_unix_2014),
        cmocka_unit_test(test_goaway_behind_ping),
        cmocka_unit_test(test_peer_dies),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
