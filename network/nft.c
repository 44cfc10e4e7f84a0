/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See nft.h. All numbers of nf_tables are in network order. Elements of one set that follow each
 * other share a message, up to what the 16-bit length of an attribute can hold.
 */
#include "network/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "base/str.h"
#include "libcontainer/netlink-message.h"

#define ELEMENTS_MAX 60000 /* bytes of elements in one message */

struct nft {
    struct netlink *nl;
    const char *table;
    uint32_t sets; /* numbered within the transaction */
    /* the message of elements that is being written; set "": none */
    const char *list_set;
    bool list_add;
    size_t list;
    size_t rule; /* the list of expressions of the rule that is being written */
};

int nft_open(struct nft **ret, struct wharf_error *e)
{
    struct nft *nft = calloc(1, sizeof(*nft));

    if (!nft)
        return err_nomem(e);
    int r = netlink_open_protocol(&nft->nl, NETLINK_NETFILTER, -1, e);
    if (r < 0) {
        free(nft);
        return r;
    }
    *ret = nft;
    return 0;
}

void nft_close(struct nft *nft)
{
    if (!nft)
        return;
    netlink_close(nft->nl);
    free(nft);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void number(struct nft *nft, uint16_t type, uint32_t value)
{
    netlink_attr_u32(nft->nl, type, htonl(value));
}

static size_t nest(struct nft *nft, uint16_t type)
{
    return netlink_nest(nft->nl, type);
}

static void nest_end(struct nft *nft, size_t at)
{
    netlink_nest_end(nft->nl, at);
}

static void close_list(struct nft *nft)
{
    if (!nft->list_set)
        return;
    nest_end(nft, nft->list);
    netlink_submit(nft->nl, NULL);
    nft->list_set = NULL;
}

static void request(struct nft *nft, uint16_t type, uint16_t flags, const char *verb,
                    const char *name)
{
    struct nfgenmsg body = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };

    close_list(nft);
    netlink_request(nft->nl, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &body,
                    sizeof(body), "%s '%s' of the packet filter", verb, name);
}

static void submit(struct nft *nft)
{
    netlink_submit(nft->nl, NULL); /* queued: nothing can fail yet */
}

static void frame(struct nft *nft, uint16_t type, const char *what)
{
    struct nfgenmsg body = { .res_id = htons(NFNL_SUBSYS_NFTABLES) };

    netlink_request(nft->nl, type, 0, &body, sizeof(body), "%s a change of the packet filter",
                    what);
    submit(nft);
}

void nft_begin(struct nft *nft, const char *table)
{
    nft->table = table;
    nft->sets = 0;
    netlink_begin(nft->nl);
    frame(nft, NFNL_MSG_BATCH_BEGIN, "begin");
}

int nft_commit(struct nft *nft, struct wharf_error *e)
{
    struct netlink *nl = nft->nl;

    close_list(nft);
    if (!nl->out.error)
        ((struct nlmsghdr *)(void *)(nl->out.data + nl->begun))->nlmsg_flags |= NLM_F_ACK;
    frame(nft, NFNL_MSG_BATCH_END, "end");
    return netlink_commit(nl, e);
}

/* ---- tables, sets, chains -------------------------------------------------------------------- */

static int ignore(void *user, const struct nlmsghdr *message)
{
    return 0;
}

int nft_has_table(struct nft *nft, const char *table, struct wharf_error *e)
{
    request(nft, NFT_MSG_GETTABLE, 0, "find table", table);
    netlink_attr_str(nft->nl, NFTA_TABLE_NAME, table);
    int r = netlink_ask(nft->nl, ignore, NULL, e);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

void nft_add_table(struct nft *nft)
{
    request(nft, NFT_MSG_NEWTABLE, NLM_F_CREATE, "make table", nft->table);
    netlink_attr_str(nft->nl, NFTA_TABLE_NAME, nft->table);
    submit(nft);
}

void nft_delete_table(struct nft *nft)
{
    request(nft, NFT_MSG_DELTABLE, 0, "delete table", nft->table);
    netlink_attr_str(nft->nl, NFTA_TABLE_NAME, nft->table);
    submit(nft);
}

void nft_add_set(struct nft *nft, const struct nft_set *set)
{
    /* libnftnl/udata.h: NFTNL_UDATA_SET_KEYBYTEORDER, four bytes, the host's order */
    const uint32_t host_order = 1;
    unsigned char user[] = { 0, sizeof(host_order), 0, 0, 0, 0 };

    memcpy(user + 2, &host_order, sizeof(host_order));
    request(nft, NFT_MSG_NEWSET, NLM_F_CREATE, "make set", set->name);
    netlink_attr_str(nft->nl, NFTA_SET_TABLE, nft->table);
    netlink_attr_str(nft->nl, NFTA_SET_NAME, set->name);
    number(nft, NFTA_SET_FLAGS, set->data_length ? NFT_SET_MAP : 0);
    number(nft, NFTA_SET_KEY_TYPE, set->key_type);
    number(nft, NFTA_SET_KEY_LEN, set->key_length);
    if (set->data_length) {
        number(nft, NFTA_SET_DATA_TYPE, set->data_type);
        number(nft, NFTA_SET_DATA_LEN, set->data_length);
    }
    number(nft, NFTA_SET_ID, ++nft->sets);
    if (set->text)
        netlink_attr(nft->nl, NFTA_SET_USERDATA, user, sizeof(user));
    submit(nft);
}

static void data(struct nft *nft, uint16_t type, const void *value, size_t length)
{
    size_t at = nest(nft, type);

    netlink_attr(nft->nl, NFTA_DATA_VALUE, value, length);
    nest_end(nft, at);
}

/* Opens a message of elements, unless one for the same set is open and has room. */
static void open_list(struct nft *nft, bool add, const char *set)
{
    if (nft->list_set && nft->list_add == add && streq(nft->list_set, set) &&
        nft->nl->out.len - nft->list < ELEMENTS_MAX)
        return;
    request(nft, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0,
            add ? "add to" : "take from", set);
    netlink_attr_str(nft->nl, NFTA_SET_ELEM_LIST_TABLE, nft->table);
    netlink_attr_str(nft->nl, NFTA_SET_ELEM_LIST_SET, set);
    nft->list = nest(nft, NFTA_SET_ELEM_LIST_ELEMENTS);
    nft->list_set = set;
    nft->list_add = add;
}

void nft_element(struct nft *nft, bool add, const char *set, const void *key, size_t key_length,
                 const void *value, size_t value_length)
{
    open_list(nft, add, set);
    size_t at = nest(nft, NFTA_LIST_ELEM);
    data(nft, NFTA_SET_ELEM_KEY, key, key_length);
    if (value)
        data(nft, NFTA_SET_ELEM_DATA, value, value_length);
    nest_end(nft, at);
}

struct found {
    void *data;
    size_t length;
};

static int take_data(void *user, const struct nlmsghdr *m)
{
    static const uint16_t path[] = { NFTA_LIST_ELEM, NFTA_SET_ELEM_DATA, NFTA_DATA_VALUE };
    const struct rtattr *at = netlink_find(m, sizeof(struct nfgenmsg), NFTA_SET_ELEM_LIST_ELEMENTS);
    struct found *found = user;

    for (size_t i = 0; at && i < ARRAY_SIZE(path); i++)
        at = netlink_find_in(at, path[i]);
    if (at)
        memcpy(found->data, RTA_DATA(at), MIN(found->length, (size_t)RTA_PAYLOAD(at)));
    return 0;
}

int nft_find_element(struct nft *nft, const char *table, const char *set, const void *key,
                     size_t key_length, void *value, size_t length, struct wharf_error *e)
{
    struct found found = { value, length };

    request(nft, NFT_MSG_GETSETELEM, 0, "look into", set);
    netlink_attr_str(nft->nl, NFTA_SET_ELEM_LIST_TABLE, table);
    netlink_attr_str(nft->nl, NFTA_SET_ELEM_LIST_SET, set);
    size_t list = nest(nft, NFTA_SET_ELEM_LIST_ELEMENTS), at = nest(nft, NFTA_LIST_ELEM);
    data(nft, NFTA_SET_ELEM_KEY, key, key_length);
    nest_end(nft, at);
    nest_end(nft, list);
    memset(value, 0, length);
    int r = netlink_ask(nft->nl, take_data, &found, e);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

void nft_add_chain(struct nft *nft, const char *name, const char *type, uint32_t hook,
                   int32_t priority)
{
    request(nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "make chain", name);
    netlink_attr_str(nft->nl, NFTA_CHAIN_TABLE, nft->table);
    netlink_attr_str(nft->nl, NFTA_CHAIN_NAME, name);
    size_t at = nest(nft, NFTA_CHAIN_HOOK);
    number(nft, NFTA_HOOK_HOOKNUM, hook);
    number(nft, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    nest_end(nft, at);
    netlink_attr_str(nft->nl, NFTA_CHAIN_TYPE, type);
    submit(nft);
}

/* ---- rules ----------------------------------------------------------------------------------- */

void nft_rule(struct nft *nft, const char *chain)
{
    request(nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add a rule to chain", chain);
    netlink_attr_str(nft->nl, NFTA_RULE_TABLE, nft->table);
    netlink_attr_str(nft->nl, NFTA_RULE_CHAIN, chain);
    nft->rule = nest(nft, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft *nft)
{
    nest_end(nft, nft->rule);
    submit(nft);
}

struct expression {
    size_t element, body;
};

static struct expression expression(struct nft *nft, const char *name)
{
    struct expression x = { .element = nest(nft, NFTA_LIST_ELEM) };

    netlink_attr_str(nft->nl, NFTA_EXPR_NAME, name);
    x.body = nest(nft, NFTA_EXPR_DATA);
    return x;
}

static void expression_end(struct nft *nft, struct expression x)
{
    nest_end(nft, x.body);
    nest_end(nft, x.element);
}

static void in_register(struct nft *nft, uint16_t type, unsigned reg)
{
    number(nft, type, NFT_REG32_00 + reg);
}

void nft_meta(struct nft *nft, uint32_t key, unsigned reg)
{
    struct expression x = expression(nft, "meta");

    number(nft, NFTA_META_KEY, key);
    in_register(nft, NFTA_META_DREG, reg);
    expression_end(nft, x);
}

void nft_payload(struct nft *nft, uint32_t base, uint32_t offset, uint32_t length, unsigned reg)
{
    struct expression x = expression(nft, "payload");

    in_register(nft, NFTA_PAYLOAD_DREG, reg);
    number(nft, NFTA_PAYLOAD_BASE, base);
    number(nft, NFTA_PAYLOAD_OFFSET, offset);
    number(nft, NFTA_PAYLOAD_LEN, length);
    expression_end(nft, x);
}

void nft_ct(struct nft *nft, uint32_t key, unsigned reg)
{
    struct expression x = expression(nft, "ct");

    number(nft, NFTA_CT_KEY, key);
    in_register(nft, NFTA_CT_DREG, reg);
    expression_end(nft, x);
}

void nft_fib_type(struct nft *nft, unsigned reg)
{
    struct expression x = expression(nft, "fib");

    in_register(nft, NFTA_FIB_DREG, reg);
    number(nft, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    number(nft, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    expression_end(nft, x);
}

void nft_compare(struct nft *nft, bool equal, unsigned reg, const void *value, size_t length)
{
    struct expression x = expression(nft, "cmp");

    in_register(nft, NFTA_CMP_SREG, reg);
    number(nft, NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    data(nft, NFTA_CMP_DATA, value, length);
    expression_end(nft, x);
}

void nft_mask(struct nft *nft, unsigned reg, const void *mask, size_t length)
{
    static const unsigned char zero[16];
    struct expression x = expression(nft, "bitwise");

    in_register(nft, NFTA_BITWISE_SREG, reg);
    in_register(nft, NFTA_BITWISE_DREG, reg);
    number(nft, NFTA_BITWISE_LEN, (uint32_t)length);
    data(nft, NFTA_BITWISE_MASK, mask, length);
    data(nft, NFTA_BITWISE_XOR, zero, length);
    expression_end(nft, x);
}

void nft_lookup(struct nft *nft, const char *set, bool wanted, unsigned reg, int value)
{
    struct expression x = expression(nft, "lookup");

    netlink_attr_str(nft->nl, NFTA_LOOKUP_SET, set);
    in_register(nft, NFTA_LOOKUP_SREG, reg);
    if (value >= 0)
        in_register(nft, NFTA_LOOKUP_DREG, (unsigned)value);
    if (!wanted)
        number(nft, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    expression_end(nft, x);
}

void nft_dnat(struct nft *nft, int family, unsigned address, unsigned port)
{
    struct expression x = expression(nft, "nat");

    number(nft, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    number(nft, NFTA_NAT_FAMILY, (uint32_t)family);
    in_register(nft, NFTA_NAT_REG_ADDR_MIN, address);
    in_register(nft, NFTA_NAT_REG_PROTO_MIN, port);
    expression_end(nft, x);
}

void nft_masquerade(struct nft *nft)
{
    expression_end(nft, expression(nft, "masq"));
}

void nft_verdict(struct nft *nft, int verdict)
{
    struct expression x = expression(nft, "immediate");

    number(nft, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    size_t value = nest(nft, NFTA_IMMEDIATE_DATA), code = nest(nft, NFTA_DATA_VERDICT);
    number(nft, NFTA_VERDICT_CODE, (uint32_t)verdict);
    nest_end(nft, code);
    nest_end(nft, value);
    expression_end(nft, x);
}
