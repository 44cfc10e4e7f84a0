/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's name server: listens on 127.0.0.11, port 53, inside the container's network
 * namespace, answers for the containers of its networks from their files (names.h) and asks the
 * host's name servers, through the namespace of whoever runs it, for everything else.
 *
 * It lives in a loop of somebody else's (the shim's): dns_fd becomes readable when there is work,
 * dns_run does it and never blocks. What a container can make it hold is bounded: DNS_PENDING_MAX
 * questions under way, DNS_STREAMS_MAX connections.
 *
 *     dns_open(&dns, netns, directory, container_id, e);
 *     ... when dns_fd(dns) is readable: dns_run(dns);
 *     dns_close(dns);
 */
#ifndef NETWORK_DNS_H
#define NETWORK_DNS_H

#include "base/err.h"
#include "base/macros.h"

#define DNS_ADDRESS        "127.0.0.11"
#define DNS_PENDING_MAX    64
#define DNS_STREAMS_MAX    16
#define DNS_SERVER_WAIT_MS 2000  /* for one server, before the next is asked */
#define DNS_STREAM_WAIT_MS 10000 /* for a connection in which nothing happens */

struct dns;

/* The namespace's loopback must be up. `directory` and `container` must stay. */
int dns_open(struct dns **ret, int netns, int directory, const char *container,
             struct wharf_error *e);
void dns_close(struct dns *dns);
int dns_fd(const struct dns *dns);
void dns_run(struct dns *dns);

#endif
