/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the opening handshake of a websocket's peer; or, if bit 1 of the first byte is set,
 * as the frames behind a good one. Bit 0: we are the side that dialled. The wire must say what it
 * read or that it failed, within its bounds. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/macros.h"
#include "libchan/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 100 << 10, DIALLED = 1, FRAMES = 2 };

static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: libchan.1\r\n\r\n";

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void say(int fd, const void *data, size_t size)
{
    check(!size || send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
}

static void converse(struct wire *w)
{
    struct wharf_error e = { 0 };
    struct iovec answer = { (char[]){ "answer" }, 6 };
    uint8_t bytes[1000];
    ssize_t n;

    if (w->ops->handshake(w, time_now() + 1000000000, &e) < 0) {
        check(e.message[0]);
        return;
    }
    while ((n = w->ops->read(w, bytes, sizeof(bytes), NULL, false)) > 0)
        check((size_t)n <= sizeof(bytes));
    check(n != -EPROTO || w->fault);
    w->ops->write(w, &answer, 1, NULL, 0);
    w->ops->shutdown(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire *socket_wire, *w;
    int pair[2];

    if (size < 1 || size > INPUT_MAX)
        return 0;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    if (data[0] & FRAMES)
        say(pair[0], request, sizeof(request) - 1);
    say(pair[0], data + 1, size - 1);
    shutdown(pair[0], SHUT_WR);
    check(wire_socket(pair[1], &socket_wire, NULL) == 0);
    check(chan_websocket()->wrap(socket_wire, NULL, !(data[0] & DIALLED), "host", "/", &w, NULL) ==
          0);
    converse(w);
    w->ops->free(w);
    close(pair[0]);
    return 0;
}
