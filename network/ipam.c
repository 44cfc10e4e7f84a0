/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See ipam.h. The lowest free address of a block is given, as docker does; an ordered walk over
 * those that are taken finds it. Blocks are tried in docker's order: 172.17.0.0/16 to
 * 172.31.0.0/16, then parts of 192.168.0.0/16. A network of IPv6 without a subnet gets a unique
 * local one that follows from its id (RFC 4193).
 */
#include "network/ipam.h"

#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "libcontainer/netlink.h"

static const struct {
    unsigned char base[4];
    unsigned prefix, size;
} docker_pools[] = {
    { { 172, 17 }, 16, 16 },  { { 172, 18 }, 16, 16 }, { { 172, 19 }, 16, 16 },
    { { 172, 20 }, 14, 16 },  { { 172, 24 }, 14, 16 }, { { 172, 28 }, 14, 16 },
    { { 192, 168 }, 16, 20 },
};

/* ---- the host -------------------------------------------------------------------------------- */

#define HOST_SUBNETS_MAX 65536

struct gathering {
    struct arena *arena;
    subnet_list *list;
    size_t room;
};

/* Default routes say nothing about where addresses are. */
static int gather_route(void *user, const struct netlink_route *route)
{
    struct gathering *g = user;
    const struct netlink_address *to = &route->destination;

    if (to->prefix == 0 || g->list->count == HOST_SUBNETS_MAX)
        return 0;
    if (g->list->count == g->room) {
        size_t room = g->room ? g->room * 2 : 64;
        struct subnet *more = arena_array(g->arena, room, sizeof(*more));

        if (!more)
            return -ENOMEM;
        if (g->list->count)
            memcpy(more, g->list->items, g->list->count * sizeof(*more));
        g->list->items = more;
        g->room = room;
    }
    g->list->items[g->list->count++] =
        (struct subnet){ .address = ipaddr_from(to->bytes, to->family == AF_INET6 ? 16 : 4),
                         .prefix = to->prefix };
    return 0;
}

int ipam_host_subnets(struct arena *arena, subnet_list *ret, struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    subnet_list list = { 0 };
    struct gathering g = { arena, &list, 0 };
    int r = netlink_open(&nl, -1, e);

    if (r == 0)
        r = netlink_routes(nl, 0, gather_route, &g, e);
    if (r == -ENOMEM)
        return err_nomem(e);
    if (r == 0)
        *ret = list;
    return r;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

struct used {
    const network_list_of *networks;
    const subnet_list *host;
};

static bool is_used_by_network(const struct used *used, const struct subnet *block)
{
    for (size_t i = 0; i < used->networks->count; i++) {
        const struct subnet *of = used->networks->items[i].subnet;

        if (subnet_overlaps(&of[0], block) || subnet_overlaps(&of[1], block))
            return true;
    }
    return false;
}

static bool is_used(const struct used *used, const struct subnet *block)
{
    for (size_t i = 0; i < used->host->count; i++) {
        if (subnet_overlaps(&used->host->items[i], block))
            return true;
    }
    return is_used_by_network(used, block);
}

/* The first free block of a pool. */
static bool choose_in(const struct ipam_pool *pool, const struct used *used, struct subnet *ret)
{
    struct subnet block = { subnet_first(&pool->base), pool->size };

    while (subnet_contains(&pool->base, &block.address)) {
        if (!is_used(used, &block)) {
            *ret = block;
            return true;
        }
        block.address = subnet_last(&block);
        if (!ipaddr_next(&block.address))
            break;
    }
    return false;
}

static int choose_block(const struct ipam_pool *pools, size_t count, const struct used *used,
                        struct subnet *ret, struct wharf_error *e)
{
    bool found = false;

    for (size_t i = 0; i < count && !found; i++)
        found = pools[i].base.address.family == AF_INET && choose_in(&pools[i], used, ret);
    for (size_t i = 0; i < ARRAY_SIZE(docker_pools) && !found && count == 0; i++) {
        struct ipam_pool pool = { { ipaddr_from(docker_pools[i].base, 4), docker_pools[i].prefix },
                                  docker_pools[i].size };

        found = choose_in(&pool, used, ret);
    }
    if (found)
        return 0;
    return err_set(e, -EADDRNOTAVAIL, WHARF_ERROR_FORBIDDEN,
                   "could not find an available, non-overlapping IPv4 address pool among the "
                   "defaults to assign to the network");
}

/* fd, 40 bits of the network's id, subnet 0 (RFC 4193, section 3.1). */
static struct subnet local_block6(const char *id)
{
    struct subnet block = { .address = { .family = AF_INET6, .bytes = { 0xfd } }, .prefix = 64 };
    unsigned char *at = block.address.bytes + 1;

    for (int i = 0; i < 10; i++) {
        const char *digits = "0123456789abcdef", *found = strchr(digits, id[i]);

        at[i / 2] = (unsigned char)(at[i / 2] << 4 | (found ? found - digits : 0));
    }
    return block;
}

static int add_pool(struct network *n, const struct subnet *block, struct arena *arena,
                    struct wharf_error *e)
{
    char text[SUBNET_TEXT_MAX];
    struct network_ipam *ipam = n->document.ipam;
    struct network_pool *pools = arena_array(arena, ipam->pools.count + 1, sizeof(*pools));

    if (!pools)
        return err_nomem(e);
    if (ipam->pools.count)
        memcpy(pools, ipam->pools.items, ipam->pools.count * sizeof(*pools));
    pools[ipam->pools.count].subnet = arena_str(arena, subnet_text(block, text));
    ipam->pools.items = pools;
    ipam->pools.count++;
    return pools[ipam->pools.count - 1].subnet ? 0 : err_nomem(e);
}

/* The first address that a host may have: of the range where one is given, else of the subnet. */
static struct ipaddr first_host(const struct subnet *block)
{
    struct ipaddr a = subnet_first(block);

    if (block->prefix + 1 < ipaddr_bits(&a))
        ipaddr_next(&a);
    return a;
}

static bool names_address(const struct network_pool *pool, const struct ipaddr *a)
{
    struct ipaddr other;

    for (size_t i = 0; i < pool->auxiliary.count; i++) {
        if (ipaddr_parse(pool->auxiliary.items[i].value, &other) == 0 &&
            ipaddr_compare(&other, a) == 0)
            return true;
    }
    return false;
}

static int check_range(const struct network_pool *pool, const struct subnet *block,
                       struct wharf_error *e)
{
    struct subnet range;

    if (!pool->range || !*pool->range)
        return 0;
    if (subnet_parse(pool->range, &range) < 0)
        return err_invalid(e, "invalid CIDR address: %s", pool->range);
    if (!subnet_contains(block, &range.address) || range.prefix < block->prefix)
        return err_invalid(e, "invalid ip-range %s: it is not within subnet %s", pool->range,
                           pool->subnet);
    return 0;
}

/* The gateway, and whether everything named lies in the block. */
static int complete_pool(struct network_pool *pool, struct arena *arena, struct wharf_error *e)
{
    char text[ADDRESS_TEXT_MAX];
    struct subnet block;
    struct ipaddr a;

    if (!pool->subnet || subnet_parse(pool->subnet, &block) < 0)
        return err_invalid(e, "invalid CIDR address: %s", pool->subnet ? pool->subnet : "");
    int r = check_range(pool, &block, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < pool->auxiliary.count; i++) {
        const char *value = pool->auxiliary.items[i].value;

        if (ipaddr_parse(value, &a) < 0 || !subnet_contains(&block, &a))
            return err_invalid(e, "invalid auxiliary address %s: it is not within subnet %s", value,
                               pool->subnet);
    }
    if (pool->gateway && *pool->gateway) {
        if (ipaddr_parse(pool->gateway, &a) < 0 || !subnet_contains(&block, &a))
            return err_invalid(e, "invalid gateway %s: it is not within subnet %s", pool->gateway,
                               pool->subnet);
        return 0;
    }
    for (a = first_host(&block); names_address(pool, &a);)
        ipaddr_next(&a);
    pool->gateway = arena_str(arena, ipaddr_text(&a, text));
    return pool->gateway ? 0 : err_nomem(e);
}

static int check_pools(const struct network *n, const struct used *used, struct wharf_error *e)
{
    for (size_t i = 0; i < n->document.ipam->pools.count; i++) {
        struct subnet block;

        if (subnet_parse(n->document.ipam->pools.items[i].subnet, &block) < 0)
            return err_invalid(e, "invalid CIDR address: %s",
                               n->document.ipam->pools.items[i].subnet);
        if (is_used_by_network(used, &block))
            return err_set(e, -EEXIST, WHARF_ERROR_FORBIDDEN,
                           "Pool overlaps with other one on this address space");
    }
    return 0;
}

int ipam_network(struct network_store *s, struct network *n, const struct ipam_pool *pools,
                 size_t pool_count, const subnet_list *host, struct arena *arena,
                 struct wharf_error *e)
{
    network_list_of all = { 0 };
    struct used used = { &all, host };
    struct subnet block;
    int r = netstore_networks(s, 0, arena, &all, e);

    if (r == 0 && !n->document.ipam)
        n->document.ipam = arena_alloc(arena, sizeof(*n->document.ipam));
    if (r == 0 && !n->document.ipam)
        r = err_nomem(e);
    if (r == 0)
        r = check_pools(n, &used, e);
    bool four = !n->document.ipv4.set || n->document.ipv4.value;
    if (r == 0 && four && !n->subnet[0].address.family) {
        r = choose_block(pools, pool_count, &used, &block, e);
        if (r == 0)
            r = add_pool(n, &block, arena, e);
    }
    if (r == 0 && n->document.ipv6 && !n->subnet[1].address.family) {
        block = local_block6(n->id);
        r = add_pool(n, &block, arena, e);
    }
    for (size_t i = 0; r == 0 && i < n->document.ipam->pools.count; i++)
        r = complete_pool(&n->document.ipam->pools.items[i], arena, e);
    memset(n->subnet, 0, sizeof(n->subnet));
    return r < 0 ? r : network_derive(n, e);
}

/* ---- addresses ------------------------------------------------------------------------------- */

#define TAKE "INSERT INTO address(network, ip, endpoint) VALUES(?,?,?)"

int ipam_reserve(struct network_store *s, const struct network *n, struct wharf_error *e)
{
    struct ipaddr a;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n->document.ipam->pools.count; i++) {
        const struct network_pool *pool = &n->document.ipam->pools.items[i];

        if (ipaddr_parse(pool->gateway, &a) == 0)
            r = netstore_run(s, e, "INSERT OR IGNORE INTO address VALUES(?,?,'')", "sa", n->id, &a);
        for (size_t k = 0; r >= 0 && k < pool->auxiliary.count; k++) {
            if (ipaddr_parse(pool->auxiliary.items[k].value, &a) == 0)
                r = netstore_run(s, e, "INSERT OR IGNORE INTO address VALUES(?,?,'')", "sa", n->id,
                                 &a);
        }
    }
    return MIN(r, 0);
}

/* The range that addresses are given from: ip-range, or the block without its first and, for IPv4,
 * last address. */
static void bounds(const struct network *n, bool six, struct ipaddr *first, struct ipaddr *last)
{
    const struct subnet *block = &n->subnet[six];
    struct subnet range = *block;

    for (size_t i = 0; i < n->document.ipam->pools.count; i++) {
        const struct network_pool *pool = &n->document.ipam->pools.items[i];
        struct subnet s, r;

        if (subnet_parse(pool->subnet, &s) == 0 && subnet_overlaps(&s, block) && pool->range &&
            subnet_parse(pool->range, &r) == 0)
            range = r;
    }
    *first = subnet_first(&range);
    *last = subnet_last(&range);
    struct ipaddr network = subnet_first(block), broadcast = subnet_last(block);
    bool tiny = block->prefix + 1 >= ipaddr_bits(&block->address);
    if (!tiny && ipaddr_compare(first, &network) == 0)
        ipaddr_next(first);
    if (!tiny && !six && ipaddr_compare(last, &broadcast) == 0)
        last->bytes[3]--; /* all ones: no borrow */
}

static int lowest_free(struct network_store *s, const struct network *n, bool six,
                       struct ipaddr *ret, struct wharf_error *e)
{
    autostatement sqlite3_stmt *q = NULL;
    struct ipaddr at, last;

    bounds(n, six, &at, &last);
    int r = netstore_query(s, &q, e,
                           "SELECT ip FROM address WHERE network=?1 AND ip>=?2 AND ip<=?3 AND"
                           " length(ip)=length(?2) ORDER BY ip",
                           "saa", n->id, &at, &last);
    while (r >= 0 && (r = netstore_next(s, q, e)) > 0) {
        struct ipaddr taken = column_address(q, 0);

        if (ipaddr_compare(&taken, &at) != 0)
            break;
        if (ipaddr_compare(&at, &last) == 0 || !ipaddr_next(&at))
            r = -EADDRNOTAVAIL;
    }
    if (r < 0 && r != -EADDRNOTAVAIL)
        return r;
    if (r < 0 || ipaddr_compare(&at, &last) > 0)
        return err_set(e, -EADDRNOTAVAIL, WHARF_ERROR_FORBIDDEN,
                       "no available %s addresses on this network's address pools: %s (%s)",
                       six ? "IPv6" : "IPv4", n->document.name, n->id);
    *ret = at;
    return 0;
}

static int wanted_address(const struct network *n, bool six, const char *wanted, struct ipaddr *ret,
                          struct wharf_error *e)
{
    if (ipaddr_parse(wanted, ret) < 0 || (ret->family == AF_INET6) != six)
        return err_invalid(e, "invalid %s address: %s", six ? "IPv6" : "IPv4", wanted);
    if (!subnet_contains(&n->subnet[six], ret))
        return err_invalid(e, "no configured subnet contains IP address %s", wanted);
    return 0;
}

int ipam_take(struct network_store *s, const struct network *n, bool six, const char *wanted,
              const char *endpoint, struct ipaddr *ret, struct wharf_error *e)
{
    bool chosen = wanted && *wanted;
    struct ipaddr a;
    int r = chosen ? wanted_address(n, six, wanted, &a, e) : lowest_free(s, n, six, &a, e);

    if (r == 0)
        r = netstore_run(s, e, TAKE, "sas", n->id, &a, endpoint);
    if (r == -EEXIST)
        return err_set(e, -EADDRINUSE, WHARF_ERROR_FORBIDDEN, "Address already in use");
    if (r < 0)
        return r;
    *ret = a;
    return 0;
}

int ipam_give_back(struct network_store *s, const char *endpoint, struct wharf_error *e)
{
    int r = netstore_run(s, e, "DELETE FROM address WHERE endpoint=?", "s", endpoint);

    return MIN(r, 0);
}
