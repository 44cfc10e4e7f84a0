/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of channels in memory: pipes, rendezvous, closing, select. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include "base/err.h"
#include "libchan/channel.h"

#define SOON chan_after_ms(5000)

static int send_int(struct chan_tx *tx, int64_t n, chan_time deadline)
{
    struct chan_msg *m = chan_msg_new();
    int r;

    chan_put_int(m, n);
    r = chan_send(tx, m, deadline, NULL);
    chan_msg_free(m);
    return r;
}

/* The number received, or what chan_recv returned. */
static int64_t recv_int(struct chan_rx *rx, chan_time deadline)
{
    struct chan_msg *m = chan_msg_new();
    int64_t n = -1000000;
    int r = chan_recv(rx, m, deadline, NULL);

    if (r == 0)
        assert_int_equal(chan_get_int(chan_root(m), &n), 0);
    chan_msg_free(m);
    return r < 0 ? r : n;
}

static void test_buffered(void **state)
{
    static const unsigned capacities[] = { 1, 2, 3, 7, 64 };

    for (size_t i = 0; i < ARRAY_SIZE(capacities); i++) {
        unsigned n = capacities[i];
        struct chan_tx *tx;
        struct chan_rx *rx;

        assert_int_equal(chan_pipe(n, &tx, &rx), 0);
        for (unsigned lap = 0; lap < 3; lap++) {
            for (unsigned k = 0; k < n; k++)
                assert_int_equal(send_int(tx, k, CHAN_NOW), 0);
            assert_int_equal(send_int(tx, 0, CHAN_NOW), -EAGAIN);
            assert_int_equal(send_int(tx, 0, chan_after_ms(2)), -ETIMEDOUT);
            for (unsigned k = 0; k < n; k++)
                assert_int_equal(recv_int(rx, CHAN_NOW), k);
            assert_int_equal(recv_int(rx, CHAN_NOW), -EAGAIN);
            assert_int_equal(recv_int(rx, chan_after_ms(2)), -ETIMEDOUT);
        }
        chan_tx_unref(tx);
        assert_int_equal(recv_int(rx, SOON), -ENODATA);
        chan_rx_unref(rx);
    }
}

static void test_endings(void **state)
{
    struct wharf_error why = { 0 }, e = { 0 };
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;

    err_set(&why, -ENOSPC, WHARF_ERROR_LIMIT, "the disk is full");
    chan_pipe(2, &tx, &rx);
    assert_int_equal(send_int(tx, 1, SOON), 0);
    chan_abort(tx, &why);
    assert_int_equal(send_int(tx, 2, SOON), -ESHUTDOWN);
    assert_int_equal(recv_int(rx, SOON), 1);
    assert_int_equal(chan_recv(rx, m, SOON, &e), -ECONNABORTED);
    assert_int_equal(e.code, ENOSPC);
    assert_int_equal(e.kind, WHARF_ERROR_LIMIT);
    assert_string_equal(e.message, "the disk is full");
    chan_tx_unref(tx);
    chan_rx_unref(rx);

    chan_pipe(2, &tx, &rx);
    chan_cancel(rx, &why);
    chan_put_nil(m);
    assert_int_equal(chan_send(tx, m, SOON, &e), -EPIPE);
    assert_string_equal(e.message, "the disk is full");
    assert_int_equal(chan_msg_size(m), 1); /* a failed send leaves the message alone */
    assert_int_equal(recv_int(rx, SOON), -ECANCELED);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_msg_free(m);
}

struct peer {
    pthread_t thread;
    struct chan_tx *tx;
    struct chan_rx *rx;
    int64_t count, sum;
};

static void *send_many(void *arg)
{
    struct peer *p = arg;

    for (int64_t i = 1; i <= p->count; i++)
        assert_int_equal(send_int(p->tx, i, SOON), 0);
    chan_tx_unref(p->tx);
    return NULL;
}

static void *recv_all(void *arg)
{
    struct peer *p = arg;
    int64_t n;

    while ((n = recv_int(p->rx, SOON)) >= 0)
        p->sum += n;
    assert_int_equal(n, -ENODATA);
    return NULL;
}

/* Several senders, several receivers: nothing lost, nothing twice. */
static void exchange(unsigned capacity, int64_t count)
{
    struct peer senders[3], receivers[3];
    struct chan_tx *tx;
    struct chan_rx *rx;
    int64_t sum = 0;

    assert_int_equal(chan_pipe(capacity, &tx, &rx), 0);
    for (unsigned i = 0; i < 3; i++) {
        senders[i] = (struct peer){ .tx = chan_tx_ref(tx), .count = count };
        receivers[i] = (struct peer){ .rx = rx };
        pthread_create(&receivers[i].thread, NULL, recv_all, &receivers[i]);
        pthread_create(&senders[i].thread, NULL, send_many, &senders[i]);
    }
    chan_tx_unref(tx);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(senders[i].thread, NULL);
        pthread_join(receivers[i].thread, NULL);
        sum += receivers[i].sum;
    }
    assert_int_equal(sum, 3 * count * (count + 1) / 2);
    chan_rx_unref(rx);
}

static void test_threads(void **state)
{
    exchange(64, 3000);
    exchange(1, 1000);
    exchange(0, 1000);
}

static void *select_both(void *arg)
{
    struct peer *p = arg;
    struct chan_msg *out = chan_msg_new(), *in = chan_msg_new();
    struct chan_case cases[2] = {
        { .op = CHAN_SEND, .tx = p->tx, .msg = out },
        { .op = CHAN_RECV, .rx = p->rx, .msg = in },
    };
    int64_t sent = 0, n;

    while (cases[0].op || cases[1].op) {
        int i;

        if (cases[0].op && !chan_msg_size(out))
            chan_put_int(out, sent + 1);
        i = chan_select(cases, 2, SOON, NULL);
        assert_in_range(i, 0, 1);
        if (i == 0) {
            assert_int_equal(cases[0].result, 0);
            if (++sent == p->count) {
                cases[0].op = CHAN_IDLE;
                chan_close(p->tx);
            }
        } else if (cases[1].result == -ENODATA) {
            cases[1].op = CHAN_IDLE;
        } else {
            assert_int_equal(cases[1].result, 0);
            chan_get_int(chan_root(in), &n);
            p->sum += n;
        }
    }
    chan_msg_free(in);
    chan_msg_free(out);
    chan_tx_unref(p->tx);
    chan_rx_unref(p->rx);
    return NULL;
}

/* Two threads select over a send to and a receive from each other. */
static void cross(unsigned capacity, int64_t count)
{
    struct peer a = { .count = count }, b = { .count = count };

    chan_pipe(capacity, &a.tx, &b.rx);
    chan_pipe(capacity, &b.tx, &a.rx);
    pthread_create(&a.thread, NULL, select_both, &a);
    pthread_create(&b.thread, NULL, select_both, &b);
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    assert_int_equal(a.sum, count * (count + 1) / 2);
    assert_int_equal(b.sum, count * (count + 1) / 2);
}

static void test_select(void **state)
{
    cross(4, 2000);
    cross(1, 1000);
    cross(0, 500);
}

static void test_select_now(void **state)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx[2];
    struct chan_rx *rx[2];
    struct chan_case cases[2] = { 0 };
    unsigned seen[2] = { 0 };

    for (int i = 0; i < 2; i++) {
        chan_pipe(64, &tx[i], &rx[i]);
        cases[i] = (struct chan_case){ .op = CHAN_RECV, .rx = rx[i], .msg = m };
    }
    assert_int_equal(chan_select(cases, 2, CHAN_NOW, NULL), -EAGAIN);
    assert_int_equal(chan_select(cases, 2, chan_after_ms(2), NULL), -ETIMEDOUT);
    assert_int_equal(chan_select(cases, 0, CHAN_NOW, NULL), -EINVAL);
    for (int n = 0; n < 32; n++) {
        send_int(tx[0], n, SOON);
        send_int(tx[1], n, SOON);
    }
    for (int n = 0; n < 32; n++)
        seen[chan_select(cases, 2, CHAN_NOW, NULL)]++;
    assert_in_range(seen[0], 8, 24); /* the choice rotates: none starves */
    for (int i = 0; i < 2; i++) {
        chan_tx_unref(tx[i]);
        chan_rx_unref(rx[i]);
    }
    chan_msg_free(m);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void test_pollfd(void **state)
{
    struct chan_tx *tx;
    struct chan_rx *rx;
    int fd;

    chan_pipe(4, &tx, &rx);
    send_int(tx, 1, SOON);
    fd = chan_rx_pollfd(rx);
    assert_true(readable(fd));
    recv_int(rx, CHAN_NOW);
    assert_false(readable(fd));
    send_int(tx, 1, SOON);
    send_int(tx, 2, SOON);
    recv_int(rx, CHAN_NOW);
    assert_true(readable(fd)); /* level-triggered */
    recv_int(rx, CHAN_NOW);
    assert_false(readable(fd));
    chan_tx_unref(tx);
    assert_true(readable(fd));
    assert_int_equal(recv_int(rx, CHAN_NOW), -ENODATA);
    assert_true(readable(fd));
    chan_rx_unref(rx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffered),   cmocka_unit_test(test_endings),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_select),
        cmocka_unit_test(test_select_now), cmocka_unit_test(test_pollfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
