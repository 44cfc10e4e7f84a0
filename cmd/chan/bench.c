/* SPDX-License-Identifier: Apache-2.0 */
/* chan bench: how fast is this machine? A figure for a person; bench/chan compares with others. */
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include "base/err.h"
#include "cmd/chan/command.h"

#define BENCH_CALLS  20000
#define BENCH_STREAM 1000000

static void *bench_server(void *session)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *rx;
    struct chan_tx *tx;

    chan_open(session, &tx, NULL);
    if (chan_accept(session, CHAN_FOREVER, &rx, NULL) == 0) {
        for (int i = 0; i < BENCH_CALLS && chan_recv(rx, m, CHAN_FOREVER, NULL) == 0; i++)
            chan_send(tx, m, CHAN_FOREVER, NULL);
        for (int i = 0; i < BENCH_STREAM && chan_recv(rx, m, CHAN_FOREVER, NULL) == 0; i++)
            ;
        chan_put_nil(m);
        chan_send(tx, m, CHAN_FOREVER, NULL);
        chan_rx_unref(rx);
    }
    chan_tx_unref(tx);
    chan_msg_free(m);
    return NULL;
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int bench(struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_session *a, *b;
    char data[64] = "";
    struct chan_tx *tx;
    struct chan_rx *rx;
    pthread_t thread;
    int pair[2];
    double t;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
        chan_attach(pair[0], false, NULL, &a, e) < 0 || chan_attach(pair[1], true, NULL, &b, e) < 0)
        return err_sys(e, "cannot connect two threads");
    pthread_create(&thread, NULL, bench_server, b);
    chan_open(a, &tx, e);
    chan_accept(a, CHAN_FOREVER, &rx, e);
    t = seconds();
    for (int i = 0; i < BENCH_CALLS; i++) {
        chan_put_bin(m, data, sizeof(data));
        chan_send(tx, m, CHAN_FOREVER, NULL);
        chan_recv(rx, m, CHAN_FOREVER, NULL);
        chan_msg_clear(m);
    }
    printf("round trip of 64 bytes: %.2f us\n", (seconds() - t) / BENCH_CALLS * 1e6);
    t = seconds();
    for (int i = 0; i < BENCH_STREAM; i++) {
        chan_put_bin(m, data, sizeof(data));
        chan_send(tx, m, CHAN_FOREVER, NULL);
    }
    chan_recv(rx, m, CHAN_FOREVER, NULL);
    printf("one way: %.0f messages a second\n", BENCH_STREAM / (seconds() - t));
    pthread_join(thread, NULL);
    chan_msg_free(m);
    chan_tx_unref(tx);
    chan_rx_unref(rx);
    chan_session_unref(a);
    chan_session_unref(b);
    return 0;
}

int command_bench(const struct settings *s)
{
    struct wharf_error e = { 0 };

    return bench(&e) < 0 ? settings_fail(&e) : 0;
}
