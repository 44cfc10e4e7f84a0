/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's half of networks: bridges on the host, pairs of interfaces that lead from a bridge
 * into a container's network namespace. Everything can be done again; what a killed process left
 * half made is completed by the next call.
 */
#ifndef NETWORK_LINK_H
#define NETWORK_LINK_H

#include "libcontainer/netlink.h"
#include "network/object.h"

#define BRIDGE_MARK_MAX 256 /* IFALIASZ */

/* A new network namespace, its loopback down: descriptor or -errno. The thread keeps its own. */
int netns_make(struct wharf_error *e);

/* Makes the network's bridge ready and returns its index. `mark` is written into the interface's
 * alias when all is done: it tells whose bridge this is, and that it is whole. -EEXIST: an
 * interface of this name is somebody else's. */
int bridge_ensure(struct netlink *nl, const struct network *n, const char *mark,
                  struct wharf_error *e);
/* Makes an empty bridge whose mark ends with BRIDGE_CLAIMED: the name is taken, bridge_ensure will
 * complete it. -EEXIST: the name was taken before. */
#define BRIDGE_CLAIMED "?"
int bridge_claim(struct netlink *nl, const char *name, const char *mark, struct wharf_error *e);
/* Removes it if it is ours; nothing is fine. */
int bridge_remove(struct netlink *nl, const char *name, const char *mark, struct wharf_error *e);
/* Whose it is: the alias of the interface, "" when it has none; 0 or -ENODEV. */
int bridge_owner(struct netlink *nl, const char *name, char mark[BRIDGE_MARK_MAX],
                 struct wharf_error *e);

/* Makes the pair: one end in the bridge, the other as p->interface in the namespace, with its
 * addresses, up, and the default routes that are wanted. Also sets the namespace's loopback up. */
struct link_routes {
    bool default4, default6;
};
int link_attach(struct netlink *nl, int bridge, const struct network *n, const struct endpoint *p,
                int netns, const struct link_routes *routes, struct wharf_error *e);
/* Makes this endpoint's network the way out of the namespace; a way that is there is fine. */
int link_default_route(const struct network *n, const struct endpoint *p, int netns,
                       struct wharf_error *e);
/* Takes the interface out of use: nobody on the bridge hears of it any more, its address may go to
 * another. The pair itself goes with its namespace, which the kernel does behind everybody's back;
 * taking it away would be waited for (13 ms, rcu_barrier in netdev_run_todo). Nothing is fine. */
int link_cut(struct netlink *nl, const struct endpoint *p, struct wharf_error *e);
/* Takes the pair away. Nothing is fine. */
int link_detach(struct netlink *nl, const struct endpoint *p, struct wharf_error *e);

#endif
