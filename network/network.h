/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The networks of one root, and the places of its containers in them.
 *
 * Any number of processes work on one root at once, with a daemon or without: what is asked for is
 * in ROOT/network.db, what is so is in the kernel, nothing is in a process. Whoever is killed
 * leaves nothing that the next call on the same object does not put right.
 *
 *     networks_open(&nw, &(struct networks_options){ .root = "/var/lib/wharf", .run = "/run/wharf"
 * }, &e); network_create(nw, uid, body, &reply, &e);             // POST /networks/create
 *
 *     network_join(nw, &member, "front", endpoints, NULL, &e);   // a container is created
 *     network_start(nw, &request, &sandbox, &e);                 // ... starts:  a namespace
 *     network_files(nw, &member, &files, directory, &e);         //              /etc/hosts & co.
 *     network_stop(nw, member.id, &e);                           // ... has ended
 *     network_leave(nw, member.id, &e);                          // ... is removed
 *
 * `owner` is the uid that asks: what belongs to another is answered like what does not exist, 0
 * sees all; the predefined networks are everybody's. Documents are those of the Docker API
 * (docker-api section "Networks"), messages are docker's. What lives as long as a container, its
 * name server and its hold on ports, runs in its shim: keeper.h.
 *
 * Calls may come from any thread; they take turns on one struct networks, for a millisecond.
 */
#ifndef NETWORK_NETWORK_H
#define NETWORK_NETWORK_H

#include "base/fields.h"
#include "network/ipam.h"

struct networks;
struct netns_pool;

struct networks_options {
    const char *root, *run; /* absolute */
    const char *bridge_ip;  /* of the default bridge, "172.28.0.1/16"; NULL: the first free block */
    unsigned mtu;           /* of networks that say nothing; 0: the kernel's */
    const struct ipam_pool *pools; /* blocks for networks that say nothing */
    size_t pool_count;             /* 0: docker's */
    struct netns_pool *spare; /* namespaces made ahead of need (pool.h); NULL: made when needed */
};

/* Options stay the caller's until networks_close. */
int networks_open(struct networks **ret, const struct networks_options *options,
                  struct wharf_error *e);
void networks_close(struct networks *nw);
DEFINE_AUTO(struct networks, networks_close)

/* ---- networks -------------------------------------------------------------------------------- */

/* {"Id","Warning"} */
int network_create(struct networks *nw, int64_t owner, json_t *body, json_t **ret,
                   struct wharf_error *e);
/* `ret_id`: NETWORK_ID_LENGTH + 1 bytes, may be NULL. */
int network_remove(struct networks *nw, int64_t owner, const char *reference, char *ret_id,
                   struct wharf_error *e);
/* With its containers. */
int network_inspect(struct networks *nw, int64_t owner, const char *reference, json_t **ret,
                    struct wharf_error *e);
/* An array; `filters` {"name":["v"]} (dangling driver id label name scope type) or NULL.
 * `containers`: with them, as below API 1.28. */
int network_list(struct networks *nw, int64_t owner, json_t *filters, bool containers, json_t **ret,
                 struct wharf_error *e);
/* {"NetworksDeleted":[names]}; filters label, label!, until. */
int network_prune(struct networks *nw, int64_t owner, json_t *filters, json_t **ret,
                  struct wharf_error *e);

/* ---- containers ------------------------------------------------------------------------------ */

struct network_member {
    const char *id, *name, *hostname; /* name without "/" */
    int64_t owner;
};

/* What a mode (HostConfig.NetworkMode) says. */
enum network_mode_kind {
    NETWORK_MODE_OWN,   /* networks: a namespace from network_start */
    NETWORK_MODE_HOST,  /* the host's namespace */
    NETWORK_MODE_NONE,  /* a namespace with nothing but loopback */
    NETWORK_MODE_SHARED /* "container:ID": another container's */
};
enum network_mode_kind network_mode(const char *mode);

/* A container is created: writes down the networks it is to be in: the one of `mode` ("", "default"
 * and "bridge" are the predefined bridge) and those of `endpoints` (EndpointsConfig). `links`:
 * HostConfig.Links, `mac`: Config.MacAddress; all three may be NULL. */
int network_join(struct networks *nw, const struct network_member *member, const char *mode,
                 json_t *endpoints, json_t *links, const char *mac, struct wharf_error *e);
/* Forgets all of it; also stops. 0 or -errno. */
int network_leave(struct networks *nw, const char *container, struct wharf_error *e);
int network_rename(struct networks *nw, const char *container, const char *name,
                   struct wharf_error *e);

struct network_request {
    const struct network_member *member;
    json_t *port_bindings, *exposed; /* HostConfig.PortBindings, Config.ExposedPorts or NULL */
    bool publish_all;
    const field_strings *dns; /* HostConfig.Dns: where its name server asks; NULL: as the host */
};
struct network_sandbox {
    int netns;    /* the caller's to close; -1: this container needs none of ours */
    int ports;    /* holds its ports while it is open, see port.h; -1: none */
    char *keeper; /* what its shim must know (keeper.h); free() it; NULL: nothing */
};
/* It starts: everything is there, and reaches the outside, when this returns. */
int network_start(struct networks *nw, const struct network_request *request,
                  struct network_sandbox *ret, struct wharf_error *e);
void network_sandbox_done(struct network_sandbox *sandbox);
/* It has ended, however: gives back addresses and ports. 1; 0 when there was nothing to give back.
 */
int network_stop(struct networks *nw, const char *container, struct wharf_error *e);

/* One network more or less, also while it runs: `netns` is then its namespace, else -1. */
int network_connect(struct networks *nw, int64_t owner, const char *reference,
                    const struct network_member *member, json_t *settings, int netns,
                    struct wharf_error *e);
int network_disconnect(struct networks *nw, int64_t owner, const char *reference,
                       const struct network_member *member, int netns, bool force,
                       struct wharf_error *e);

/* NetworkSettings of inspect, and the same's Ports in the form of a list entry (an array). */
int network_settings(struct networks *nw, const char *container, json_t *exposed, json_t **ret,
                     struct wharf_error *e);
int network_ports(struct networks *nw, const char *container, json_t *exposed, json_t **ret,
                  struct wharf_error *e);

/* The files that are mounted over those of the image: "hosts", "hostname" and "resolv.conf" in
 * `directory`. Written in place, so that a running container sees them change. */
struct network_files {
    const char *domainname; /* NULL or "": none */
    const field_strings *extra_hosts, *dns, *dns_search, *dns_options;
};
int network_files(struct networks *nw, const struct network_member *member,
                  const struct network_files *files, int directory, struct wharf_error *e);

#endif
