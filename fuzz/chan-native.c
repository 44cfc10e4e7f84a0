/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what the peer of an accepted connection sends, behind a good greeting if the first
 * byte is even. The session must end or wait; nothing may leak. */
#include <string.h>
#include <sys/socket.h>
#include "base/macros.h"
#include "chan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t greeting[] = "\x89"
                                  "chan\r\n\x1a"
                                  "\0\0\0\x18\1\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0\1\0\1\0\0\0\1\0\4\0\0\1\0\0\0\0\1\0\0\0\0\0\xfd";

static void converse(struct chan_session *s)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *rx;

    while (chan_session_step(s, NULL) == 0)
        ;
    while (m && chan_accept(s, CHAN_NOW, &rx, NULL) == 0) {
        while (chan_recv(rx, m, CHAN_NOW, NULL) == 0)
            ;
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chan_options o = { .no_threads = true };
    struct chan_session *s;
    int pair[2];

    if (size < 1 || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    if (!(data[0] & 1) && send(pair[0], greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0)
        size = 1;
    if (size > 1 && send(pair[0], data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        size = 1;
    shutdown(pair[0], SHUT_WR);
    if (chan_attach(pair[1], true, &o, &s, NULL) == 0) {
        converse(s);
        chan_session_unref(s);
    } else {
        close(pair[1]);
    }
    close(pair[0]);
    return 0;
}
