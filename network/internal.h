/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind network.h share. */
#ifndef NETWORK_INTERNAL_H
#define NETWORK_INTERNAL_H

#include <pthread.h>
#include "network/link.h"
#include "network/network.h"
#include "network/nft.h"
#include "network/store.h"

#define DEFAULT_NETWORK "bridge"
#define DEFAULT_BRIDGE  "wharf0"

struct networks {
    struct networks_options options;
    char *names_path; /* RUN/names */
    int names;        /* its descriptor */
    char mark[BRIDGE_MARK_MAX];
    char *table; /* of the packet filter */
    struct network_store store;
    struct netlink *nl; /* both opened when first needed */
    struct nft *nft;
    pthread_mutex_t lock;
};

int64_t networks_now_ns(void);

/* The kernel's ends; 0 or -errno. */
int networks_netlink(struct networks *nw, struct wharf_error *e);
int networks_filter(struct networks *nw, struct wharf_error *e);

static inline void networks_unlock(struct networks **nw)
{
    pthread_mutex_unlock(&(*nw)->lock);
}
/* Until the end of the scope. */
#define LOCKED(nw)                                                                                 \
    __attribute__((cleanup(networks_unlock))) hidden_unused struct networks *locked_ = (nw);       \
    pthread_mutex_lock(&(nw)->lock)

/* sandbox.c: 1 when it gave something back */
int sandbox_stop(struct networks *nw, const char *container, struct wharf_error *e);
struct firewall_network network_filter_of(const struct network *n);
/* Makes the filter anew from what is written down. */
int filter_repair(struct networks *nw, struct wharf_error *e);

/* document.c: 1 when the network passes the filters; -EINVAL for one that is not known. `prune`:
 * the filters of prune. */
int network_matches(struct networks *nw, const struct network *n, json_t *filters, bool prune,
                    struct wharf_error *e);

/* name-files.c: inside a transaction */
int name_files_network(struct networks *nw, const struct network *n, struct arena *arena,
                       struct wharf_error *e);
int name_files_container(struct networks *nw, const char *container, const field_strings *dns,
                         struct arena *arena, struct wharf_error *e);
void name_files_forget(struct networks *nw, const char *container, const char *network);
/* The host's name servers, as `nameserver` lines of its resolv.conf; loopback ones only where
 * `loopback`. */
int host_servers(bool loopback, struct arena *arena, field_strings *ret);

/* endpoint.c: by container and network; -ENOENT without a message */
int endpoint_of(struct networks *nw, const char *container, const char *network,
                struct arena *arena, struct endpoint *ret, struct wharf_error *e);
/* Inside a transaction: writes down one more, checked. */
int endpoint_add(struct networks *nw, const struct network_member *member, const struct network *n,
                 const struct endpoint_settings *settings, struct wharf_error *e);
/* The network of an endpoint. */
int endpoint_network(struct networks *nw, const struct endpoint *p, struct arena *arena,
                     struct network *ret, struct wharf_error *e);
/* Which of a container's endpoints leads to the world; NULL: none. `networks[i]` is that of
 * list->items[i]. */
const struct endpoint *endpoint_gateway(const endpoint_list *list, const struct network *networks);

#endif
