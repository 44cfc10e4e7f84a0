/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of chan_options, each at its border, in every dialect that has it: what fits passes,
 * the next one is refused with an error that names the limit, and nothing else is harmed. And what
 * no_threads refuses, and the forwarding that it refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/macros.h"
#include "chan.h"

#define SOON  chan_after_ms(10000)
#define LIMIT 8

struct pair {
    struct chan_session *a, *b; /* a dialled; only b has the options */
};

static int connected(int domain, int fds[2])
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    int l;

    if (domain == AF_UNIX)
        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&sin, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&sin, len), 0);
    fds[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    return close(l);
}

static struct pair pair_new(int domain, struct chan_options of_b)
{
    struct chan_options of_a = { .dialects = { of_b.dialects[0] } };
    struct pair p;
    int fds[2];

    assert_int_equal(connected(domain, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, &of_a, &p.a, NULL), 0);
    assert_int_equal(chan_attach(fds[1], true, &of_b, &p.b, NULL), 0);
    chan_session_step(p.a, NULL); /* the greetings */
    chan_session_step(p.b, NULL);
    chan_session_step(p.a, NULL);
    return p;
}

static void pair_free(struct pair *p)
{
    chan_session_unref(p->a);
    chan_session_unref(p->b);
}

static struct chan_tx *open_one(struct pair *p)
{
    struct chan_tx *tx;

    assert_int_equal(chan_open(p->a, &tx, NULL), 0);
    return tx;
}

static struct chan_rx *accept_one(struct pair *p)
{
    struct chan_rx *rx;

    assert_int_equal(chan_accept(p->b, SOON, &rx, NULL), 0);
    return rx;
}

static void send_int(struct chan_tx *tx, int64_t n)
{
    struct chan_msg *m = chan_msg_new();

    chan_put_int(m, n);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    chan_msg_free(m);
}

static void expect_int(struct chan_rx *rx, int64_t want)
{
    struct chan_msg *m = chan_msg_new();
    int64_t n;

    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_get_int(chan_root(m), &n), 0);
    assert_int_equal(n, want);
    chan_msg_free(m);
}

/* ---- channels ---- */

/* The peer says how many it takes: one more is refused before it is on the wire. */
static void test_max_channels(void **state)
{
    struct pair p = pair_new(AF_UNIX, (struct chan_options){ .max_channels = LIMIT });
    struct chan_tx *tx[LIMIT], *more = NULL;
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_rx *ret = NULL;

    for (int i = 0; i < LIMIT; i++)
        tx[i] = open_one(&p);
    assert_int_equal(chan_open(p.a, &more, &e), -EMLINK);
    assert_non_null(strstr(e.message, "8 channels"));
    chan_put_return(m, &ret);
    assert_int_equal(chan_send(tx[0], m, SOON, &e), -EMLINK); /* attached ones count too */
    chan_msg_clear(m);
    send_int(tx[0], 7);
    struct chan_rx *rx = accept_one(&p);
    expect_int(rx, 7);
    chan_tx_unref(tx[1]); /* room for one */
    assert_int_equal(chan_open(p.a, &more, NULL), 0);
    chan_tx_unref(more);
    for (int i = 0; i < LIMIT; i++) {
        if (i != 1)
            chan_tx_unref(tx[i]);
    }
    chan_rx_unref(ret);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* Channels that nobody accepts are turned away, and their sender learns why; the others go on. */
static void check_max_pending(const struct chan_dialect *dialect, const char *why)
{
    struct pair p =
        pair_new(AF_UNIX, (struct chan_options){ .max_pending = LIMIT, .dialects = { dialect } });
    struct chan_tx *tx[LIMIT + 1];
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    int r = 0;

    for (int i = 0; i <= LIMIT; i++)
        tx[i] = open_one(&p);
    chan_session_step(p.b, NULL);
    for (int i = 0; i < 100 && r == 0; i++) {
        chan_session_step(p.a, NULL);
        chan_put_int(m, i);
        r = chan_send(tx[LIMIT], m, SOON, &e);
    }
    assert_int_equal(r, -EPIPE);
    for (int i = 0; i < LIMIT; i++)
        send_int(tx[i], i);
    for (int i = 0; i < LIMIT; i++) {
        struct chan_rx *rx = accept_one(&p);

        expect_int(rx, i);
        chan_rx_unref(rx);
        chan_tx_unref(tx[i]);
    }
    chan_tx_unref(tx[LIMIT]);
    chan_msg_free(m);
    pair_free(&p);
}

static void test_max_pending(void **state)
{
    check_max_pending(chan_dialect_native(), "nobody accepts channels here");
    check_max_pending(chan_dialect_spdy_2015(), "cancelled the stream");
    check_max_pending(chan_dialect_spdy_010(), "cancelled the stream");
}

/* ---- messages and descriptors ---- */

static void test_max_message(void **state)
{
    struct pair p = pair_new(AF_UNIX, (struct chan_options){ .max_message = 65536 });
    struct chan_tx *tx = open_one(&p);
    struct chan_msg *m = chan_msg_new();
    autofree char *data = calloc(1, 65536);
    struct wharf_error e = { 0 };

    chan_put_bin(m, data, 65536);
    assert_int_equal(chan_send(tx, m, SOON, &e), -EMSGSIZE);
    assert_non_null(strstr(e.message, "65536 bytes"));
    chan_msg_clear(m);
    chan_put_bin(m, data, 65536 - 3); /* with its head just as much */
    assert_int_equal(chan_send(tx, m, CHAN_NOW, &e), 0);
    struct chan_rx *rx = accept_one(&p);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_msg_size(m), 65536);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
    pair_free(&p);
}

/* Descriptors that are received and not taken: one too many ends the connection, by name. */
static void test_max_fds(void **state)
{
    struct pair p = pair_new(AF_UNIX, (struct chan_options){ .max_fds = LIMIT });
    struct chan_tx *tx = open_one(&p);
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };

    for (int i = 0; i <= LIMIT; i++) {
        chan_put_fd(m, fcntl(2, F_DUPFD_CLOEXEC, 3), CHAN_READ);
        assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
        if (i == LIMIT - 1)
            assert_int_equal(chan_session_step(p.b, NULL), 0);
    }
    chan_session_flush(p.a, SOON, NULL);
    assert_int_equal(chan_session_step(p.b, &e), -EMFILE);
    assert_non_null(strstr(e.message, "8 descriptors"));
    assert_int_equal(chan_send(tx, m, SOON, NULL), -EINVAL); /* empty: not sent at all */
    chan_tx_unref(tx);
    chan_msg_free(m);
    pair_free(&p);
}

/* A window, and one message: then the sender waits until some is taken. */
static void test_window(void **state)
{
    struct pair p = pair_new(AF_UNIX, (struct chan_options){ .window = 4096 });
    struct chan_tx *tx = open_one(&p);
    struct chan_msg *m = chan_msg_new();
    char data[1000] = "";
    int sent = 0, r;

    for (;;) {
        chan_put_bin(m, data, sizeof(data));
        r = chan_send(tx, m, CHAN_NOW, NULL);
        if (r < 0)
            break;
        sent++;
    }
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(sent, 5); /* 4 * 1019 are below 4096 */
    struct chan_rx *rx = accept_one(&p);
    struct chan_msg *in = chan_msg_new();
    for (int i = 0; i < 3; i++)
        assert_int_equal(chan_recv(rx, in, SOON, NULL), 0);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(in);
    chan_msg_free(m);
    pair_free(&p);
}

/* ---- keepalive ---- */

/* A peer that answers nothing is given up after twice the time, with an error that says so. */
static void check_silent_peer(const struct chan_dialect *dialect)
{
    const struct chan_options o = { .keepalive_ms = 50, .dialects = { dialect } };
    struct wharf_error e = { 0 };
    struct chan_session *s;
    struct chan_rx *rx;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, &o, &s, NULL), 0);
    chan_time begin = chan_after_ms(0);
    assert_int_equal(chan_accept(s, SOON, &rx, &e), -ECONNRESET);
    assert_non_null(strstr(e.message, "silent for 100 ms"));
    assert_true(chan_after_ms(0) - begin < 2000 * INT64_C(1000000));
    close(fds[1]);
    chan_session_unref(s);
}

/* A peer that only has nothing to say stays. */
static void check_quiet_peer(const struct chan_dialect *dialect)
{
    const struct chan_options o = { .keepalive_ms = 50, .dialects = { dialect } };
    struct pair p = pair_new(AF_UNIX, o);
    struct chan_case cases[2] = { { .op = CHAN_ACCEPT, .session = p.a },
                                  { .op = CHAN_ACCEPT, .session = p.b } };

    assert_int_equal(chan_select(cases, 2, chan_after_ms(400), NULL), -ETIMEDOUT);
    assert_int_equal(chan_session_step(p.b, NULL), 0);
    pair_free(&p);
}

static void test_keepalive(void **state)
{
    const struct chan_dialect *dialects[] = { chan_dialect_native(), chan_dialect_spdy_2015() };

    for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
        check_silent_peer(dialects[i]);
        check_quiet_peer(dialects[i]);
    }
}

/* ---- threads ---- */

static void test_no_threads(void **state)
{
    struct chan_options o = { .no_threads = true };
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_session *s;
    struct chan_tx *tx, *mine, *copy;
    struct chan_rx *rx;
    int fds[2];

    assert_int_equal(connected(AF_INET, fds), 0);
    assert_int_equal(chan_attach(fds[0], false, &o, &s, NULL), 0);
    struct chan_session *other;
    assert_int_equal(chan_attach(fds[1], true, NULL, &other, NULL), 0);
    chan_session_step(other, NULL);
    chan_session_step(s, NULL);
    assert_int_equal(chan_open(s, &tx, NULL), 0);
    chan_put_fd(m, fcntl(2, F_DUPFD_CLOEXEC, 3), CHAN_WRITE);
    assert_int_equal(chan_send(tx, m, SOON, &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.message, "without a thread"));
    chan_msg_clear(m);
    assert_int_equal(chan_pipe(1, &mine, &rx), 0);
    copy = chan_tx_ref(mine); /* two holders: it would have to be forwarded */
    chan_put_tx(m, mine);
    assert_int_equal(chan_send(tx, m, SOON, &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.message, "without a thread"));
    chan_msg_free(m);
    chan_tx_unref(copy);
    chan_rx_unref(rx);
    chan_tx_unref(tx);
    chan_session_unref(s);
    chan_session_unref(other);
}

/* A byte stream that came over one connection and is sent on over another without being taken. */
static void check_forwarded_stream(const struct chan_dialect *dialect)
{
    const struct chan_options o = { .dialects = { dialect } };
    struct pair first = pair_new(AF_INET, o), second = pair_new(AF_INET, o);
    struct chan_tx *tx = open_one(&first), *on = open_one(&second);
    struct chan_rx *rx = accept_one(&first), *at_end = accept_one(&second);
    struct chan_msg *m = chan_msg_new();
    char text[16] = "";
    int pair[2], fd;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    chan_put_fd(m, pair[1], CHAN_READ | CHAN_WRITE);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
    assert_int_equal(chan_send(on, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(at_end, m, SOON, NULL), 0);
    assert_int_equal(chan_take_fd(chan_root(m), &fd), 0);
    /* its pumps read the connections of both pairs from here on */
    assert_int_equal(write(pair[0], "there", 5), 5);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_string_equal(text, "there");
    assert_int_equal(write(fd, "back!", 5), 5);
    assert_int_equal(read(pair[0], text, sizeof(text)), 5);
    assert_string_equal(text, "back!");
    shutdown(pair[0], SHUT_WR);
    assert_int_equal(read(fd, text, sizeof(text)), 0); /* ends pass too, each way by itself */
    close(fd);
    assert_int_equal(read(pair[0], text, sizeof(text)), 0);
    close(pair[0]);
    chan_tx_unref(tx), chan_tx_unref(on);
    chan_rx_unref(rx), chan_rx_unref(at_end);
    chan_msg_free(m);
    pair_free(&first);
    pair_free(&second);
}

static void test_forwarded_stream(void **state)
{
    check_forwarded_stream(chan_dialect_native());
    check_forwarded_stream(chan_dialect_spdy_2015());
    check_forwarded_stream(chan_dialect_spdy_010());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_channels), cmocka_unit_test(test_max_pending),
        cmocka_unit_test(test_max_message),  cmocka_unit_test(test_max_fds),
        cmocka_unit_test(test_window),       cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_no_threads),   cmocka_unit_test(test_forwarded_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
