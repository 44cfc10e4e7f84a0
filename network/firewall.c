/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See firewall.h.
 *
 * Traps. (1) net.ipv4.conf.BRIDGE.route_localnet lets 127.0.0.1 reach containers, and would let
 * containers reach what listens on the host's 127.0.0.1 (CVE-2020-8558): the chain "raw" stops
 * them. (2) A neighbour may send us a packet for 127.0.0.1; destination translation comes before
 * the kernel's check of martians, so "prerouting" never translates such an address. (3) A container
 * that uses a published port of its own network would be answered behind the translation's back:
 * such connections are masqueraded.
 */
#include "network/firewall.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include "base/str.h"

/* nft(8)'s numbers of types; a concatenation has 6 bits for each part */
enum { TYPE_IP4 = 7, TYPE_IP6 = 8, TYPE_PROTOCOL = 12, TYPE_PORT = 13, TYPE_IFNAME = 41 };
#define TYPES2(a, b)    ((a) << 6 | (b))
#define TYPES3(a, b, c) ((a) << 12 | (b) << 6 | (c))

#define WORD     4 /* every part of a key takes whole registers */
#define NAME_KEY IFNAMSIZ

static const struct nft_set sets[] = {
    { "bridges", TYPE_IFNAME, NAME_KEY, .text = true },
    { "within", TYPES2(TYPE_IFNAME, TYPE_IFNAME), 2 * NAME_KEY },
    { "internal", TYPE_IFNAME, NAME_KEY, .text = true },
    { "masquerade", TYPE_IFNAME, NAME_KEY, .text = true },
    { "published4", TYPES3(TYPE_PROTOCOL, TYPE_IP4, TYPE_PORT), WORD + 4 + WORD,
      TYPES2(TYPE_IP4, TYPE_PORT), 4 + WORD },
    { "anywhere4", TYPES2(TYPE_PROTOCOL, TYPE_PORT), WORD + WORD, TYPES2(TYPE_IP4, TYPE_PORT),
      4 + WORD },
    { "published6", TYPES3(TYPE_PROTOCOL, TYPE_IP6, TYPE_PORT), WORD + 16 + WORD,
      TYPES2(TYPE_IP6, TYPE_PORT), 16 + WORD },
    { "anywhere6", TYPES2(TYPE_PROTOCOL, TYPE_PORT), WORD + WORD, TYPES2(TYPE_IP6, TYPE_PORT),
      16 + WORD },
};

static const struct {
    const char *name, *type;
    uint32_t hook;
    int32_t priority;
} chains[] = {
    { "raw", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
    { "prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
    { "output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
    { "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
    { "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};

/* ---- pieces of rules ------------------------------------------------------------------------- */

static void family_is(struct nft *nft, unsigned char family)
{
    nft_meta(nft, NFT_META_NFPROTO, 0);
    nft_compare(nft, true, 0, &family, 1);
}

static void interface(struct nft *nft, uint32_t key, const char *set, bool wanted)
{
    nft_meta(nft, key, 0);
    nft_lookup(nft, set, wanted, 0, -1);
}

static void comes_from(struct nft *nft, const char *set)
{
    interface(nft, NFT_META_IIFNAME, set, true);
}

static void goes_to(struct nft *nft, const char *set)
{
    interface(nft, NFT_META_OIFNAME, set, true);
}

/* Any of `bits`, which are in host order as the kernel keeps them. */
static void conntrack_has(struct nft *nft, uint32_t key, uint32_t bits)
{
    static const uint32_t none;

    nft_ct(nft, key, 0);
    nft_mask(nft, 0, &bits, sizeof(bits));
    nft_compare(nft, false, 0, &none, sizeof(none));
}

/* Of the destination, which stands at 16 (linux/ip.h). */
static void is_loopback4(struct nft *nft)
{
    static const unsigned char mask[4] = { 255 }, net[4] = { 127 };

    family_is(nft, NFPROTO_IPV4);
    nft_payload(nft, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, 0);
    nft_mask(nft, 0, mask, 4);
    nft_compare(nft, true, 0, net, 4);
}

static void verdict(struct nft *nft, int code)
{
    nft_verdict(nft, code);
    nft_rule_end(nft);
}

/* ---- the rules ------------------------------------------------------------------------------- */

/* Looks the packet up by its destination address and port. */
static void rule_published(struct nft *nft, const char *chain, bool six)
{
    unsigned words = six ? 4 : 1;

    nft_rule(nft, chain);
    family_is(nft, six ? NFPROTO_IPV6 : NFPROTO_IPV4);
    nft_meta(nft, NFT_META_L4PROTO, 0);
    nft_payload(nft, NFT_PAYLOAD_NETWORK_HEADER, six ? 24 : 16, six ? 16 : 4, 1);
    nft_payload(nft, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 1 + words);
    nft_lookup(nft, six ? "published6" : "published4", true, 0, 0);
    nft_dnat(nft, six ? NFPROTO_IPV6 : NFPROTO_IPV4, 0, words);
    nft_rule_end(nft);
}

/* ... and by its port, if the address is one of this host. */
static void rule_anywhere(struct nft *nft, const char *chain, bool six)
{
    static const uint32_t local = RTN_LOCAL;

    nft_rule(nft, chain);
    family_is(nft, six ? NFPROTO_IPV6 : NFPROTO_IPV4);
    nft_fib_type(nft, 0);
    nft_compare(nft, true, 0, &local, sizeof(local));
    nft_meta(nft, NFT_META_L4PROTO, 0);
    nft_payload(nft, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 1);
    nft_lookup(nft, six ? "anywhere6" : "anywhere4", true, 0, 0);
    nft_dnat(nft, six ? NFPROTO_IPV6 : NFPROTO_IPV4, 0, six ? 4 : 1);
    nft_rule_end(nft);
}

static void rules_destination(struct nft *nft, const char *chain)
{
    for (int six = 0; six < 2; six++) {
        rule_published(nft, chain, six);
        rule_anywhere(nft, chain, six);
    }
}

static void rules_raw(struct nft *nft)
{
    nft_rule(nft, "raw");
    comes_from(nft, "bridges");
    is_loopback4(nft);
    verdict(nft, NF_DROP);
}

static void rules_prerouting(struct nft *nft)
{
    nft_rule(nft, "prerouting");
    is_loopback4(nft);
    verdict(nft, NFT_RETURN);
    rules_destination(nft, "prerouting");
}

/* A connection from ::1 could go out, but its answers are dropped as martians: IPv6 has nothing
 * like route_localnet. Left alone it is refused at once, and clients turn to 127.0.0.1. */
static void rules_output(struct nft *nft)
{
    static const unsigned char loopback[16] = { [15] = 1 };

    nft_rule(nft, "output");
    family_is(nft, NFPROTO_IPV6);
    nft_payload(nft, NFT_PAYLOAD_NETWORK_HEADER, 24, 16, 0);
    nft_compare(nft, true, 0, loopback, 16);
    verdict(nft, NFT_RETURN);
    rules_destination(nft, "output");
}

static void rules_forward(struct nft *nft)
{
    /* linux/netfilter/nf_conntrack_common.h: NF_CT_STATE_BIT of established and related */
    nft_rule(nft, "forward");
    conntrack_has(nft, NFT_CT_STATE,
                  NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED));
    verdict(nft, NF_ACCEPT);

    nft_rule(nft, "forward");
    nft_meta(nft, NFT_META_IIFNAME, 0);
    nft_meta(nft, NFT_META_OIFNAME, NAME_KEY / WORD);
    nft_lookup(nft, "within", true, 0, -1);
    verdict(nft, NF_ACCEPT);

    nft_rule(nft, "forward");
    comes_from(nft, "internal");
    verdict(nft, NF_DROP);

    nft_rule(nft, "forward");
    goes_to(nft, "internal");
    verdict(nft, NF_DROP);

    nft_rule(nft, "forward");
    goes_to(nft, "bridges");
    conntrack_has(nft, NFT_CT_STATUS, IPS_DST_NAT);
    verdict(nft, NF_ACCEPT);

    nft_rule(nft, "forward");
    goes_to(nft, "bridges");
    verdict(nft, NF_DROP);
}

static void masquerade(struct nft *nft)
{
    nft_masquerade(nft);
    nft_rule_end(nft);
}

static void rules_postrouting(struct nft *nft)
{
    static const char nowhere[NAME_KEY];

    nft_rule(nft, "postrouting");
    comes_from(nft, "masquerade");
    interface(nft, NFT_META_OIFNAME, "bridges", false);
    masquerade(nft);

    nft_rule(nft, "postrouting");
    comes_from(nft, "bridges");
    goes_to(nft, "bridges");
    conntrack_has(nft, NFT_CT_STATUS, IPS_DST_NAT);
    masquerade(nft);

    /* the same, where it is bridged (br_netfilter tells no interface); and from the host itself */
    nft_rule(nft, "postrouting");
    nft_meta(nft, NFT_META_IIFNAME, 0);
    nft_compare(nft, true, 0, nowhere, sizeof(nowhere));
    goes_to(nft, "bridges");
    conntrack_has(nft, NFT_CT_STATUS, IPS_DST_NAT);
    masquerade(nft);
}

/* ---- elements -------------------------------------------------------------------------------- */

static void element_name(struct nft *nft, bool add, const char *set, const char *name, bool twice)
{
    char key[2 * NAME_KEY] = "";

    memcpy(key, name, strnlen(name, NAME_KEY - 1));
    memcpy(key + NAME_KEY, key, NAME_KEY);
    nft_element(nft, add, set, key, twice ? sizeof(key) : NAME_KEY, NULL, 0);
}

static void element_network(struct nft *nft, bool add, const struct firewall_network *n)
{
    element_name(nft, add, "bridges", n->bridge, false);
    if (n->icc)
        element_name(nft, add, "within", n->bridge, true);
    if (n->internal)
        element_name(nft, add, "internal", n->bridge, false);
    if (n->masquerade)
        element_name(nft, add, "masquerade", n->bridge, false);
}

static size_t put_port(unsigned char *at, uint16_t port)
{
    memset(at, 0, WORD);
    at[0] = (unsigned char)(port >> 8);
    at[1] = (unsigned char)port;
    return WORD;
}

/* A port as an element: its set, its key, what it leads to. */
struct element {
    const char *set;
    unsigned char key[WORD + 16 + WORD], value[16 + WORD];
    size_t key_length, value_length;
};

static struct element element_of(const struct published *p)
{
    bool six = p->to.family == AF_INET6, any = ipaddr_is_any(&p->host);
    struct element x = { .key = { (unsigned char)p->protocol },
                         .key_length = WORD,
                         .value_length = ipaddr_length(&p->to) };

    if (any) {
        x.set = six ? "anywhere6" : "anywhere4";
    } else {
        x.set = six ? "published6" : "published4";
        memcpy(x.key + x.key_length, p->host.bytes, ipaddr_length(&p->host));
        x.key_length += ipaddr_length(&p->host);
    }
    x.key_length += put_port(x.key + x.key_length, p->host_port);
    memcpy(x.value, p->to.bytes, x.value_length);
    x.value_length += put_port(x.value + x.value_length, p->to_port);
    return x;
}

static void element_port(struct nft *nft, bool add, const struct published *p)
{
    struct element x = element_of(p);

    nft_element(nft, add, x.set, x.key, x.key_length, add ? x.value : NULL, x.value_length);
}

int firewall_make(struct nft *nft, const char *table, const struct firewall_network *networks,
                  size_t network_count, const struct published *ports, size_t port_count,
                  struct wharf_error *e)
{
    nft_begin(nft, table);
    nft_add_table(nft); /* so that there is one to delete */
    nft_delete_table(nft);
    nft_add_table(nft);
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        nft_add_set(nft, &sets[i]);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
        nft_add_chain(nft, chains[i].name, chains[i].type, chains[i].hook, chains[i].priority);
    rules_raw(nft);
    rules_prerouting(nft);
    rules_output(nft);
    rules_forward(nft);
    rules_postrouting(nft);
    for (size_t i = 0; i < network_count; i++)
        element_network(nft, true, &networks[i]);
    for (size_t i = 0; i < port_count; i++)
        element_port(nft, true, &ports[i]);
    return nft_commit(nft, e);
}

/* Takes those away that are there and, but for `anybody`, lead where they are said to lead: the
 * port may be another container's by now. A transaction fails as a whole, and the kernel waits for
 * every CPU before it says so, if one element is missing: hence the look at each. */
static int take(struct nft *nft, const char *table, const struct published *ports, size_t count,
                bool anybody, struct wharf_error *e)
{
    autofree bool *there = calloc(count, sizeof(*there));
    bool any = false;

    if (!there)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++) {
        struct element x = element_of(&ports[i]);
        unsigned char value[sizeof(x.value)];
        int r = nft_find_element(nft, table, x.set, x.key, x.key_length, value, x.value_length, e);

        if (r < 0)
            return r;
        there[i] = r > 0 && (anybody || memcmp(value, x.value, x.value_length) == 0);
        any = any || there[i];
    }
    if (!any)
        return 0;
    nft_begin(nft, table);
    for (size_t i = 0; i < count; i++) {
        if (there[i])
            element_port(nft, false, &ports[i]);
    }
    int r = nft_commit(nft, e);
    return r == -ENOENT ? 0 : r; /* somebody was faster */
}

static int add(struct nft *nft, const char *table, const struct firewall_network *network,
               const struct published *ports, size_t count, struct wharf_error *e)
{
    nft_begin(nft, table);
    element_network(nft, true, network);
    for (size_t i = 0; i < count; i++)
        element_port(nft, true, &ports[i]);
    return nft_commit(nft, e);
}

int firewall_add(struct nft *nft, const char *table, const struct firewall_network *network,
                 const struct published *ports, size_t count, struct wharf_error *e)
{
    struct wharf_error first = { 0 };
    int r = add(nft, table, network, ports, count, &first);

    if (r < 0 && r != -EEXIST && r != -EBUSY && e)
        *e = first;
    if (r != -EBUSY && r != -EEXIST)
        return r;
    /* the caller holds the host's ports, so whatever stands there is a dead container's */
    r = take(nft, table, ports, count, true, e);
    return r < 0 ? r : add(nft, table, network, ports, count, e);
}

int firewall_remove_network(struct nft *nft, const char *table,
                            const struct firewall_network *network, struct wharf_error *e)
{
    nft_begin(nft, table);
    element_network(nft, false, network);
    int r = nft_commit(nft, e);
    return r == -ENOENT ? 0 : r;
}

int firewall_unpublish(struct nft *nft, const char *table, const struct published *ports,
                       size_t count, struct wharf_error *e)
{
    return count == 0 ? 0 : take(nft, table, ports, count, false, e);
}
