/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of both families and the blocks they are given from: parsing, text, order, arithmetic.
 * Values, no memory; an address of family 0 is "none".
 */
#ifndef NETWORK_ADDRESS_H
#define NETWORK_ADDRESS_H

#include <netinet/in.h>
#include "base/buf.h"
#include "base/macros.h"

struct ipaddr {
    int family; /* AF_INET, AF_INET6; 0: none */
    unsigned char bytes[16];
};

struct subnet {
    struct ipaddr address; /* with host bits or without, as it was read */
    unsigned prefix;
};

#define ADDRESS_TEXT_MAX INET6_ADDRSTRLEN
#define SUBNET_TEXT_MAX  (INET6_ADDRSTRLEN + 4)
#define MAC_TEXT_MAX     18

static inline size_t ipaddr_length(const struct ipaddr *a)
{
    return a->family == AF_INET6 ? 16 : a->family == AF_INET ? 4 : 0;
}

static inline unsigned ipaddr_bits(const struct ipaddr *a)
{
    return (unsigned)ipaddr_length(a) * 8;
}

/* 0, or -EINVAL; *ret is untouched on failure. */
int ipaddr_parse(const char *text, struct ipaddr *ret);
/* "address/prefix"; without a prefix -EINVAL. */
int subnet_parse(const char *text, struct subnet *ret);
/* Raw bytes, 4 or 16 of them; other lengths give "none". */
struct ipaddr ipaddr_from(const void *bytes, size_t length);

/* "" for none. */
const char *ipaddr_text(const struct ipaddr *a, char text[ADDRESS_TEXT_MAX]);
const char *subnet_text(const struct subnet *s, char text[SUBNET_TEXT_MAX]);

/* Order within a family (IPv4 before IPv6); 0: the same. */
int ipaddr_compare(const struct ipaddr *a, const struct ipaddr *b);
bool ipaddr_is_loopback(const struct ipaddr *a);
bool ipaddr_is_any(const struct ipaddr *a); /* none counts as any */

/* The next address; false: it was the highest of its family. */
bool ipaddr_next(struct ipaddr *a);

/* The block's first and last address. */
struct ipaddr subnet_first(const struct subnet *s);
struct ipaddr subnet_last(const struct subnet *s);
bool subnet_contains(const struct subnet *s, const struct ipaddr *a);
bool subnet_overlaps(const struct subnet *a, const struct subnet *b);

/* "02:42:ac:11:00:02" in any case, or with '-'. */
int mac_parse(const char *text, unsigned char ret[6]);
const char *mac_text(const unsigned char mac[6], char text[MAC_TEXT_MAX]);

#endif
