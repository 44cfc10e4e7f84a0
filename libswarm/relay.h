/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between two stream sockets, both ways, where a descriptor cannot simply be passed on. */
#ifndef LIBSWARM_RELAY_H
#define LIBSWARM_RELAY_H

#include <stddef.h>

/* Copies until both sides have ended; the end of one side is passed on as the end of that direction
 * alone (shutdown(2)). A slow side slows the other down, nothing is kept but one buffer a
 * direction. Both descriptors stay the caller's. 0, or -errno when one side broke. */
int relay(int a, int b);

/* All of it, on a socket that may not block, without SIGPIPE. 0 or -errno. */
int socket_write_all(int fd, const void *data, size_t len);

#endif
