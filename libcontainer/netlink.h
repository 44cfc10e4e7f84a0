/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink without running a command: interfaces, addresses, routes, bridges, veth pairs, moving
 * devices between network namespaces. Requests may be batched: one sendmsg, one pass over the
 * answers.
 *
 *     struct netlink *nl;
 *     netlink_open(&nl, -1, e);                            // the caller's network namespace
 *     int index = netlink_index(nl, "eth0", e);
 *     netlink_set_up(nl, index, true, e);
 */
#ifndef LIBCONTAINER_NETLINK_H
#define LIBCONTAINER_NETLINK_H

#include <net/if.h>
#include "base/err.h"
#include "base/macros.h"

struct netlink;

struct netlink_address {
    int family; /* AF_INET, AF_INET6 */
    unsigned char bytes[16];
    unsigned prefix;
    unsigned char scope; /* RT_SCOPE_*; 0: global */
    unsigned flags;      /* IFA_F_* as the kernel tells them; adding ignores them */
};

struct netlink_route {
    struct netlink_address destination; /* prefix 0: the default route */
    struct netlink_address gateway;     /* family 0: none, on link */
    int index;                          /* interface; 0: any */
    unsigned table, scope, priority;    /* 0: main, universe, none */
};

struct netlink_link {
    int index, master;
    char name[IFNAMSIZ];
    unsigned flags, mtu;
    unsigned char mac[6];
    char kind[16]; /* "veth", "bridge", ... or "" */
};

/* Opens a socket in the network namespace `netns` (a descriptor; -1: the caller's). The thread's
 * namespace is restored before it returns. */
int netlink_open(struct netlink **ret, int netns, struct wharf_error *e);
void netlink_close(struct netlink *nl);
DEFINE_AUTO(struct netlink, netlink_close)

/* Between begin and end, changing calls are queued and answer 0; netlink_end sends them in one
 * message and returns the first error. */
void netlink_begin(struct netlink *nl);
int netlink_end(struct netlink *nl, struct wharf_error *e);

int netlink_index(struct netlink *nl, const char *name, struct wharf_error *e); /* > 0 or -ENODEV */
int netlink_link_get(struct netlink *nl, int index, struct netlink_link *ret,
                     struct wharf_error *e);
int netlink_links(struct netlink *nl, int (*each)(void *, const struct netlink_link *), void *user,
                  struct wharf_error *e);

int netlink_set_up(struct netlink *nl, int index, bool up, struct wharf_error *e);
int netlink_set_name(struct netlink *nl, int index, const char *name, struct wharf_error *e);
int netlink_set_mtu(struct netlink *nl, int index, unsigned mtu, struct wharf_error *e);
int netlink_set_mac(struct netlink *nl, int index, const unsigned char mac[6],
                    struct wharf_error *e);
int netlink_set_master(struct netlink *nl, int index, int master, struct wharf_error *e);
/* Moves it to another namespace, renamed in the same request where `name` is not NULL. */
int netlink_move(struct netlink *nl, int index, int netns, const char *name, struct wharf_error *e);
int netlink_delete_link(struct netlink *nl, int index, struct wharf_error *e);

int netlink_add_bridge(struct netlink *nl, const char *name, struct wharf_error *e);
/* A pair; the peer is born in `peer_netns` (-1: here). */
int netlink_add_veth(struct netlink *nl, const char *name, const char *peer, int peer_netns,
                     struct wharf_error *e);

int netlink_add_address(struct netlink *nl, int index, const struct netlink_address *address,
                        struct wharf_error *e);
int netlink_delete_address(struct netlink *nl, int index, const struct netlink_address *address,
                           struct wharf_error *e);
int netlink_addresses(struct netlink *nl, int index,
                      int (*each)(void *, const struct netlink_address *), void *user,
                      struct wharf_error *e);
int netlink_add_route(struct netlink *nl, const struct netlink_route *route, struct wharf_error *e);
int netlink_delete_route(struct netlink *nl, const struct netlink_route *route,
                         struct wharf_error *e);
int netlink_routes(struct netlink *nl, int index, int (*each)(void *, const struct netlink_route *),
                   void *user, struct wharf_error *e);

/* netDevices of runtime-spec 1.3: moves `host` from this namespace into `netns` as `inside`,
 * keeping its global addresses and setting it up. */
int netlink_give_device(const char *host, int netns, const char *inside, struct wharf_error *e);

#endif
