/* SPDX-License-Identifier: Apache-2.0 */
/* A SPDY peer that says anything: the first byte chooses the dialect, the rest arrives at an
 * accepted session, whose channels and messages are all taken. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/macros.h"
#include "chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 150 << 10, MESSAGES_MAX = 1 << 16 };

static void take(struct chan_value v)
{
    struct chan_tx *tx;
    struct chan_rx *rx;

    if (chan_take_tx(v, &tx) == 0)
        chan_tx_unref(tx);
    if (chan_take_rx(v, &rx) == 0)
        chan_rx_unref(rx);
}

static void read_all(struct chan_session *s, struct chan_msg *m)
{
    struct chan_rx *rx;

    for (int n = 0; n < MESSAGES_MAX && chan_accept(s, CHAN_NOW, &rx, NULL) == 0; n++) {
        while (chan_recv(rx, m, CHAN_NOW, NULL) == 0) {
            struct chan_value v = chan_first(chan_root(m));

            for (size_t i = chan_count(chan_root(m)) * 2; i && chan_kind_of(v); i--) {
                take(v);
                v = chan_next(v);
            }
        }
        chan_rx_unref(rx);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chan_options o = { .dialects = { chan_dialect_spdy_2015() }, .no_threads = true };
    struct chan_session *s;
    struct chan_msg *m;
    int fds[2];

    if (size < 2 || size > INPUT_MAX)
        return 0;
    if (data[0] & 1)
        o.dialects[0] = chan_dialect_spdy_010();
    if (data[0] & 2)
        o.dialects[1] = data[0] & 1 ? chan_dialect_spdy_2015() : chan_dialect_spdy_010();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    if (chan_attach(fds[1], true, &o, &s, NULL) < 0)
        abort();
    if (send(fds[0], data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        abort();
    close(fds[0]);
    m = chan_msg_new();
    for (int i = 0; i < 8 && chan_session_step(s, NULL) == 0; i++)
        read_all(s, m);
    read_all(s, m);
    chan_msg_free(m);
    chan_session_unref(s);
    return 0;
}
