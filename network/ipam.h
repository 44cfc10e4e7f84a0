/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses: choosing a network's block where none was asked for, checking what was asked
 * for, giving addresses of a block out and taking them back. All inside the caller's transaction.
 */
#ifndef NETWORK_IPAM_H
#define NETWORK_IPAM_H

#include "network/store.h"

/* Blocks that this host already uses: those of its own addresses and routes. */
typedef LIST_OF(struct subnet) subnet_list;
int ipam_host_subnets(struct arena *arena, subnet_list *ret, struct wharf_error *e);

/* Where networks get their blocks from when they do not say: docker's default-address-pools. */
struct ipam_pool {
    struct subnet base;
    unsigned size; /* prefix length of a block */
};

/* Fills in what the description of a bridge network leaves open (its subnet, its gateway) and
 * checks it against all other networks and the host. `pools` of count 0: docker's. Derives it
 * again. */
int ipam_network(struct network_store *s, struct network *n, const struct ipam_pool *pools,
                 size_t pool_count, const subnet_list *host, struct arena *arena,
                 struct wharf_error *e);

/* Reserves gateway and auxiliary addresses of a new network. */
int ipam_reserve(struct network_store *s, const struct network *n, struct wharf_error *e);

/* An address for the endpoint: `wanted` (text; NULL or "": any) of family index `six`. */
int ipam_take(struct network_store *s, const struct network *n, bool six, const char *wanted,
              const char *endpoint, struct ipaddr *ret, struct wharf_error *e);
int ipam_give_back(struct network_store *s, const char *endpoint, struct wharf_error *e);

#endif
