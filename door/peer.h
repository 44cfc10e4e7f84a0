/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection: from the connection alone, never from a request. */
#ifndef DOOR_PEER_H
#define DOOR_PEER_H

#include "base/err.h"
#include "base/macros.h"
#include "swarm.h"

#define PEER_CONNECTION_MAX 80

struct peer {
    struct principal principal;
    char connection[PEER_CONNECTION_MAX]; /* "unix", "tcp 127.0.0.1:5000": for the audit */
};

/* Of a socket without TLS: the process's user, or "anonymous:tcp". */
int peer_of_socket(int fd, struct peer *ret);
/* Of one whose certificate said `subject`; NULL: "anonymous:tls". */
int peer_of_subject(int fd, const char *subject, struct peer *ret);

#endif
