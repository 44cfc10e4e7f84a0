/* SPDX-License-Identifier: Apache-2.0 */
/* A published port as text, and protocols by name: what engine and shim tell each other. */
#ifndef NETWORK_PUBLISHED_H
#define NETWORK_PUBLISHED_H

#include "base/buf.h"
#include "network/firewall.h"

/* "tcp", "udp", "sctp"; NULL and -EINVAL for others. */
const char *protocol_name(int protocol);
int protocol_parse(const char *name, int *ret);
/* "tcp 0.0.0.0 8080 172.17.0.2 80" */
void published_write(const struct published *p, struct buf *b);
int published_read(const char *text, struct published *ret);

#endif
