/* SPDX-License-Identifier: Apache-2.0 */
/* chan-call ADDRESS TEXT - calls a server of chan-echo.c (or `chan serve ADDRESS --echo`) and
 * prints the answer. The return channel travels inside the message. */
#include <stdio.h>
#include "chan.h"

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *answer;
    const char *text;
    size_t len;

    if (argc != 3 || chan_dial(argv[1], NULL, chan_after_ms(5000), &session, &e) < 0 ||
        chan_open(session, &tx, &e) < 0) {
        fprintf(stderr, "chan-call: %s\n", e.code ? e.message : "usage: chan-call ADDRESS TEXT");
        return 1;
    }
    chan_put_map(m, 2);
    chan_put_str(m, "value");
    chan_put_str(m, argv[2]);
    chan_put_str(m, "ret");
    chan_put_return(m, &answer);
    if (chan_send(tx, m, chan_after_ms(5000), &e) < 0 ||
        chan_recv(answer, m, chan_after_ms(5000), &e) < 0) {
        fprintf(stderr, "chan-call: %s\n", e.message);
        return 1;
    }
    if (chan_get_str(chan_root(m), &text, &len) == 0)
        printf("%.*s\n", (int)len, text);
    chan_rx_unref(answer);
    chan_tx_unref(tx);
    chan_msg_free(m);
    chan_session_unref(session);
    return 0;
}
