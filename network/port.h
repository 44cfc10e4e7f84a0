/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports: what was asked for (docker's PortBindings), and taking ports of the host.
 *
 * A port is taken by binding a socket to it, so that anything on the host that uses it is noticed,
 * and notices us. Nobody ever reads from these sockets: the packet filter leads traffic past them.
 * They lie, undelivered, in the queue of one socket pair, the keep; whoever holds its end holds the
 * ports, and when the last holder dies they are free.
 */
#ifndef NETWORK_PORT_H
#define NETWORK_PORT_H

#include "base/fields.h"
#include "network/published.h"

#define PORTS_MAX 65536 /* published by one container */

struct port_request {
    int protocol;
    uint16_t port;        /* of the container */
    struct ipaddr host;   /* none: wherever the network publishes */
    uint16_t first, last; /* of the host, a range to choose from; 0: any */
};
typedef LIST_OF(struct port_request) port_list;

/* "80", "80/udp", "8000-8010/tcp": ports without protocol are TCP. */
int port_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, int *ret_protocol);

/* Reads {"80/tcp":[{"HostIp","HostPort"}]}; with `publish_all` every port of `exposed`
 * ({"80/tcp":{}}) that is not bound gets any port of the host. Either may be NULL. */
int port_requests(json_t *bindings, json_t *exposed, bool publish_all, struct arena *arena,
                  port_list *ret, struct wharf_error *e);

/* Taking ports. */
#define KEEP_BATCH 200
struct port_keep {
    int in, out;
    int pending[KEEP_BATCH];
    size_t count;
};
int port_keep_open(struct port_keep *keep, struct wharf_error *e);
void port_keep_close(struct port_keep *keep);
#define autokeep __attribute__((cleanup(port_keep_close)))
/* The end to hold; nothing can be taken any more. */
int port_keep_seal(struct port_keep *keep, struct wharf_error *e);

/* Takes a port for each family that the container has an address of (`to`), the same number for
 * both; fills one or two of `ret` and returns how many. */
int port_take(struct port_keep *keep, const struct port_request *request,
              const struct ipaddr *fallback, const struct ipaddr to[2], struct published ret[2],
              struct wharf_error *e);

#endif
