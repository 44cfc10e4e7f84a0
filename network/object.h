/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects: a network, and a container's place in it (an endpoint). The part of a network that
 * its maker describes is kept as the document of docker-api section "Networks", read and written by
 * one table; the same for an endpoint.
 */
#ifndef NETWORK_OBJECT_H
#define NETWORK_OBJECT_H

#include "base/fields.h"
#include "network/address.h"

#define NETWORK_ID_LENGTH    64
#define NETWORK_DOCUMENT_MAX (1u << 20)
#define NETWORK_ARENA_MAX    (64u << 20)

enum network_kind { NETWORK_BRIDGE, NETWORK_HOST, NETWORK_NONE };

struct network_pool {
    char *subnet, *range, *gateway;
    field_pairs auxiliary;
};

struct network_ipam {
    char *driver;
    LIST_OF(struct network_pool) pools;
    field_pairs options;
};

/* As it was asked for, subnets and gateways filled in. */
struct network_document {
    char *name, *driver, *scope;
    bool internal, attachable, ingress, config_only, ipv6;
    struct opt_bool ipv4;
    struct network_ipam *ipam;
    field_pairs options, labels;
};
extern const struct field network_document_fields[];

struct network {
    char *id;
    int64_t owner; /* uid; NETWORK_EVERYBODY: predefined */
    int64_t created_ns;
    char *bridge; /* the interface's name; "" for host and none */
    struct network_document document;
    /* derived from it */
    enum network_kind kind;
    bool predefined, icc, masquerade;
    unsigned mtu;               /* 0: the kernel's default */
    struct ipaddr host_binding; /* where ports are published without an address; none: any */
    struct subnet subnet[2];    /* IPv4, IPv6, with the gateway as address; family 0: none */
};
#define NETWORK_EVERYBODY (-1)

/* Fills the derived members; everything that can be wrong with a description alone. */
int network_derive(struct network *n, struct wharf_error *e);

/* A label's or an option's value, or NULL. */
const char *pair_find(const field_pairs *pairs, const char *key);

struct endpoint_ipam {
    char *ipv4, *ipv6;
    field_strings link_local;
};

/* What was asked for: docker's EndpointSettings without its outputs. */
struct endpoint_settings {
    struct endpoint_ipam *ipam;
    field_strings links, aliases;
    char *mac;
    field_pairs driver_options;
    int64_t gateway_priority;
};
extern const struct field endpoint_settings_fields[];

struct endpoint {
    char *id, *network, *container;
    char *name, *hostname; /* of the container */
    int64_t owner;
    struct endpoint_settings settings;
    /* while it is attached */
    bool active;
    unsigned char mac[6];
    struct ipaddr address[2]; /* IPv4, IPv6 */
    char *interface;          /* in the container */
};

/* The host's end of the pair: follows from the id, so that anybody can find and remove it. */
#define ENDPOINT_LINK_MAX 16
void endpoint_link(const struct endpoint *p, char name[ENDPOINT_LINK_MAX]);

int id_make(char id[NETWORK_ID_LENGTH + 1]);

#endif
