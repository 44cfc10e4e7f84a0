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

struct address {
    int family; /* AF_INET, AF_INET6; 0: none */
    unsigned char bytes[16];
};

struct subnet {
    struct address address; /* with host bits or without, as it was read */
    unsigned prefix;
};

#define ADDRESS_TEXT_MAX INET6_ADDRSTRLEN
#define SUBNET_TEXT_MAX  (INET6_ADDRSTRLEN + 4)
#define MAC_TEXT_MAX     18

static inline size_t address_length(const struct address *a)
{
    return a->family == AF_INET6 ? 16 : a->family == AF_INET ? 4 : 0;
}

static inline unsigned address_bits(const struct address *a)
{
    return (unsigned)address_length(a) * 8;
}

/* 0, or -EINVAL; *ret is untouched on failure. */
int address_parse(const char *text, struct address *ret);
/* "address/prefix"; without a prefix -EINVAL. */
int subnet_parse(const char *text, struct subnet *ret);
/* Raw bytes, 4 or 16 of them; other lengths give "none". */
struct address address_from(const void *bytes, size_t length);

/* "" for none. */
const char *address_text(const struct address *a, char text[ADDRESS_TEXT_MAX]);
const char *subnet_text(const struct subnet *s, char text[SUBNET_TEXT_MAX]);

/* Order within a family (IPv4 before IPv6); 0: the same. */
int address_compare(const struct address *a, const struct address *b);
bool address_is_loopback(const struct address *a);
bool address_is_any(const struct address *a); /* none counts as any */

/* The next address; false: it was the highest of its family. */
bool address_next(struct address *a);

/* The block's first and last address. */
struct address subnet_first(const struct subnet *s);
struct address subnet_last(const struct subnet *s);
bool subnet_contains(const struct subnet *s, const struct address *a);
bool subnet_overlaps(const struct subnet *a, const struct subnet *b);

/* "02:42:ac:11:00:02" in any case, or with '-'. */
int mac_parse(const char *text, unsigned char ret[6]);
const char *mac_text(const unsigned char mac[6], char text[MAC_TEXT_MAX]);

#endif
