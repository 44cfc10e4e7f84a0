/* SPDX-License-Identifier: Apache-2.0 */
/* chan-echo ADDRESS - serves connections one after the other; answers {"value": x, "ret": Sender}
 * with x. */
#include <stdio.h>
#include "chan.h"

static void serve(struct chan_session *session)
{
    struct chan_msg *m = chan_msg_new(), *answer = chan_msg_new();
    struct chan_rx *rx;
    struct chan_tx *ret;

    while (chan_accept(session, CHAN_FOREVER, &rx, NULL) == 0) {
        while (chan_recv(rx, m, CHAN_FOREVER, NULL) == 0) {
            if (chan_take_tx(chan_get(chan_root(m), "ret"), &ret) < 0)
                continue;
            chan_put_value(answer, chan_get(chan_root(m), "value"));
            chan_send_last(ret, answer, chan_after_ms(1000), NULL);
            chan_msg_clear(answer);
            chan_tx_unref(ret);
        }
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
    chan_msg_free(answer);
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct chan_listener *listener;
    struct chan_session *session;

    if (argc != 2 || chan_listen(argv[1], NULL, &listener, &e) < 0) {
        fprintf(stderr, "chan-echo: %s\n", e.code ? e.message : "usage: chan-echo ADDRESS");
        return 1;
    }
    while (chan_listener_accept(listener, CHAN_FOREVER, &session, &e) == 0) {
        serve(session);
        chan_session_unref(session);
    }
    fprintf(stderr, "chan-echo: %s\n", e.message);
    chan_listener_free(listener);
    return 1;
}
