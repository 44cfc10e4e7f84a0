/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet filter of one root: one nftables table of family inet, made by wharf alone and never
 * looking into anybody else's. Its rules are fixed; networks and published ports are elements of
 * its sets and maps, so a container costs one transaction of a few elements, whatever else runs.
 *
 *     bridges      names of our bridges
 *     within       bridge . bridge: its containers may talk to each other
 *     internal     bridges that lead nowhere else
 *     masquerade   bridges whose containers go out under the host's address
 *     published4   protocol . host address . port  ->  container address . port   (and 6)
 *     anywhere4    protocol . port                 ->  container address . port   (and 6)
 *
 * What the rules say: published ports reach containers from everywhere, 127.0.0.1 only from this
 * machine, ::1 not at all (IPv6 cannot); everything else that comes from outside, or from another
 * network, does not. A policy of somebody else's table (dockerd sets the FORWARD policy of its own
 * to DROP) still holds: nftables lets every table veto. See docs/networks.md.
 */
#ifndef NETWORK_FIREWALL_H
#define NETWORK_FIREWALL_H

#include "network/address.h"
#include "network/nft.h"

/* A port of the host that leads to a container. */
struct published {
    int protocol;       /* IPPROTO_TCP, _UDP, _SCTP */
    struct ipaddr host; /* any (0.0.0.0, ::): every address of the host */
    uint16_t host_port;
    struct ipaddr to; /* of the same family */
    uint16_t to_port;
};

struct firewall_network {
    const char *bridge;
    bool internal, icc, masquerade;
};

/* Makes the table anew with just these, in one transaction: nobody sees half of it. */
int firewall_make(struct nft *nft, const char *table, const struct firewall_network *networks,
                  size_t network_count, const struct published *ports, size_t port_count,
                  struct wharf_error *e);

/* A network and ports more; what is there already is fine. -ENOENT: the table is gone (somebody
 * flushed the rules): make it anew. */
int firewall_add(struct nft *nft, const char *table, const struct firewall_network *network,
                 const struct published *ports, size_t port_count, struct wharf_error *e);

/* The other way; what is not there is fine, as is a missing table. */
int firewall_remove_network(struct nft *nft, const char *table,
                            const struct firewall_network *network, struct wharf_error *e);
int firewall_unpublish(struct nft *nft, const char *table, const struct published *ports,
                       size_t count, struct wharf_error *e);

#endif
