/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See link.h. Two messages make a container's interface: one on the host (the pair, born with its
 * names, its hardware address, its bridge, the far end in the namespace), one inside (loopback,
 * addresses, up, routes). The number of the far end must be asked for in between.
 *
 * A hardware address follows from the IPv4 address, as docker's do, so that a neighbour who still
 * remembers the last user of an address speaks to the right interface. Addresses are known to be
 * free: no duplicate detection, and no link-local address where the network has no IPv6 at all.
 */
#include "network/link.h"

#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/netlink-message.h"

#define LOOPBACK_INDEX 1 /* LOOPBACK_IFINDEX of the kernel */

int netns_make(struct wharf_error *e)
{
    autoclose int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    if (home < 0)
        return err_sys(e, "cannot open '/proc/thread-self/ns/net'");
    if (unshare(CLONE_NEWNET) < 0)
        return err_sys(e, "cannot make a network namespace");
    autoclose int made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = made < 0 ? -errno : 0;
    if (setns(home, CLONE_NEWNET) < 0)
        return err_sys(e, "cannot return to the own network namespace");
    return r < 0 ? err_code(e, r, "cannot keep a network namespace") : take_fd(&made);
}

/* ---- bridges --------------------------------------------------------------------------------- */

struct seen {
    int index;
    char mark[BRIDGE_MARK_MAX];
    bool bridge;
};

static int see(void *user, const struct nlmsghdr *m)
{
    const struct ifinfomsg *info = NLMSG_DATA(m);
    const struct rtattr *alias = netlink_find(m, sizeof(*info), IFLA_IFALIAS);
    const struct rtattr *link = netlink_find(m, sizeof(*info), IFLA_LINKINFO);
    const struct rtattr *kind = link ? netlink_find_in(link, IFLA_INFO_KIND) : NULL;
    struct seen *seen = user;

    seen->index = info->ifi_index;
    seen->bridge = kind && strncmp(RTA_DATA(kind), "bridge", RTA_PAYLOAD(kind)) == 0;
    if (alias)
        snprintf(seen->mark, sizeof(seen->mark), "%.*s", (int)RTA_PAYLOAD(alias),
                 (const char *)RTA_DATA(alias));
    return 0;
}

static int look(struct netlink *nl, const char *name, struct seen *ret, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };

    *ret = (struct seen){ 0 };
    netlink_request(nl, RTM_GETLINK, 0, &info, sizeof(info), "find interface '%s'", name);
    netlink_attr_str(nl, IFLA_IFNAME, name);
    return netlink_ask(nl, see, ret, e);
}

int bridge_owner(struct netlink *nl, const char *name, char mark[BRIDGE_MARK_MAX],
                 struct wharf_error *e)
{
    struct seen seen;
    int r = look(nl, name, &seen, e);

    if (r == 0)
        memcpy(mark, seen.mark, BRIDGE_MARK_MAX);
    return r;
}

static int make_bridge(struct netlink *nl, const struct network *n, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    unsigned char mac[6] = { 0x02, 0x42 };

    if (getrandom(mac + 2, 4, 0) != 4)
        return err_sys(e, "cannot make an address for '%s'", n->bridge);
    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info),
                    "make bridge '%s'", n->bridge);
    netlink_attr_str(nl, IFLA_IFNAME, n->bridge);
    netlink_attr(nl, IFLA_ADDRESS, mac, sizeof(mac));
    if (n->mtu)
        netlink_attr_u32(nl, IFLA_MTU, n->mtu);
    size_t link = netlink_nest(nl, IFLA_LINKINFO);
    netlink_attr_str(nl, IFLA_INFO_KIND, "bridge");
    netlink_nest_end(nl, link);
    int r = netlink_submit(nl, e);
    return r == -EEXIST ? 0 : r;
}

static int mark_bridge(struct netlink *nl, int index, const char *mark, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info), "mark interface %d", index);
    netlink_attr(nl, IFLA_IFALIAS, mark, strlen(mark));
    return netlink_submit(nl, e);
}

static struct netlink_address with_prefix(const struct ipaddr *a, unsigned prefix)
{
    struct netlink_address to = { .family = a->family, .prefix = prefix };

    memcpy(to.bytes, a->bytes, ipaddr_length(a));
    return to;
}

static int sysctl(const char *what, const char *name, const char *value, struct wharf_error *e)
{
    char path[128], now[8] = "";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof(path), what, name); /* `what` is a literal of this file */
#pragma GCC diagnostic pop
    autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) /* a kernel without IPv6 */
        return 0;
    if (fd >= 0 && pread(fd, now, sizeof(now) - 1, 0) > 0 && now[0] == value[0])
        return 0;
    if (fd < 0 || pwrite(fd, value, strlen(value), 0) < 0)
        return err_sys(e, "cannot write '%s'", path);
    return 0;
}

/* Forwarding is the host's own setting; nobody reaches a container or the world without it. */
static int bridge_sysctls(const struct network *n, struct wharf_error *e)
{
    int r = sysctl("/proc/sys/net/ipv4/conf/%s/route_localnet", n->bridge, "1", e);

    if (r == 0 && !n->document.internal)
        r = sysctl("/proc/sys/net/ipv4/ip_forward%s", "", "1", e);
    if (r < 0 || !n->subnet[1].address.family)
        return r;
    r = sysctl("/proc/sys/net/ipv6/conf/%s/disable_ipv6", n->bridge, "0", e);
    if (r == 0)
        r = sysctl("/proc/sys/net/ipv6/conf/%s/accept_ra", n->bridge, "0", e);
    if (r == 0 && !n->document.internal)
        r = sysctl("/proc/sys/net/ipv6/conf/%s/forwarding", "all", "1", e);
    return r;
}

static int complete_bridge(struct netlink *nl, const struct network *n, int index, const char *mark,
                           struct wharf_error *e)
{
    int r = bridge_sysctls(n, e);

    for (int six = 0; r == 0 && six < 2; six++) {
        const struct subnet *s = &n->subnet[six];
        struct netlink_address gateway = with_prefix(&s->address, s->prefix);

        if (!s->address.family)
            continue;
        r = netlink_add_address(nl, index, &gateway, e);
        r = r == -EEXIST ? 0 : r;
    }
    if (r == 0)
        r = netlink_set_up(nl, index, true, e);
    return r < 0 ? r : mark_bridge(nl, index, mark, e);
}

int bridge_claim(struct netlink *nl, const char *name, const char *mark, struct wharf_error *e)
{
    char claimed[BRIDGE_MARK_MAX];
    int r = netlink_add_bridge(nl, name, e);
    int index = r < 0 ? r : netlink_index(nl, name, e);

    snprintf(claimed, sizeof(claimed), "%.*s" BRIDGE_CLAIMED, (int)sizeof(claimed) - 2, mark);
    return index < 0 ? index : mark_bridge(nl, index, claimed, e);
}

/* Ours, or nobody's, and not yet whole. */
static bool is_unfinished(const char *seen, const char *mark)
{
    const char *rest = str_after(seen, mark);

    return !*seen || (rest && streq(rest, BRIDGE_CLAIMED));
}

int bridge_ensure(struct netlink *nl, const struct network *n, const char *mark,
                  struct wharf_error *e)
{
    struct seen seen;
    int r = look(nl, n->bridge, &seen, NULL);

    if (r == 0 && streq(seen.mark, mark))
        return seen.index;
    if (r == -ENODEV) {
        r = make_bridge(nl, n, e);
        if (r == 0)
            r = look(nl, n->bridge, &seen, e);
    }
    if (r < 0)
        return err_code(e, r, "cannot make bridge '%s'", n->bridge);
    if (!seen.bridge || (!streq(seen.mark, mark) && !is_unfinished(seen.mark, mark)))
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                       "interface '%s' of network %s belongs to somebody else (%s)", n->bridge,
                       n->document.name, seen.mark[0] ? seen.mark : "no bridge");
    r = complete_bridge(nl, n, seen.index, mark, e);
    return r < 0 ? r : seen.index;
}

int bridge_remove(struct netlink *nl, const char *name, const char *mark, struct wharf_error *e)
{
    struct seen seen;
    int r = look(nl, name, &seen, e);

    if (r < 0 || !streq(seen.mark, mark))
        return r == -ENODEV ? 0 : r;
    r = netlink_delete_link(nl, seen.index, e);
    return r == -ENODEV ? 0 : r;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static void pair_request(struct netlink *nl, const char *host, int bridge, const struct network *n,
                         const struct endpoint *p, int netns)
{
    struct ifinfomsg up = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    struct ifinfomsg far = { .ifi_family = AF_UNSPEC };

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &up, sizeof(up),
                    "make interface '%s'", host);
    netlink_attr_str(nl, IFLA_IFNAME, host);
    netlink_attr_u32(nl, IFLA_MASTER, (uint32_t)bridge);
    if (n->mtu)
        netlink_attr_u32(nl, IFLA_MTU, n->mtu);
    size_t link = netlink_nest(nl, IFLA_LINKINFO);
    netlink_attr_str(nl, IFLA_INFO_KIND, "veth");
    size_t data = netlink_nest(nl, IFLA_INFO_DATA), other = netlink_nest(nl, VETH_INFO_PEER);
    buf_add(&nl->out, &far, sizeof(far)); /* this nest begins with a header of its own */
    netlink_attr_str(nl, IFLA_IFNAME, p->interface);
    netlink_attr(nl, IFLA_ADDRESS, p->mac, sizeof(p->mac));
    netlink_attr_u32(nl, IFLA_NET_NS_FD, (uint32_t)netns);
    if (n->mtu)
        netlink_attr_u32(nl, IFLA_MTU, n->mtu);
    netlink_nest_end(nl, other);
    netlink_nest_end(nl, data);
    netlink_nest_end(nl, link);
}

/* One setting of a bridge's port. */
static void port_request(struct netlink *nl, const char *host, uint16_t what)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    const unsigned char on = 1;

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info), "set up interface '%s'", host);
    netlink_attr_str(nl, IFLA_IFNAME, host);
    size_t link = netlink_nest(nl, IFLA_LINKINFO);
    netlink_attr_str(nl, IFLA_INFO_SLAVE_KIND, "bridge");
    size_t data = netlink_nest(nl, IFLA_INFO_SLAVE_DATA);
    netlink_attr(nl, what, &on, sizeof(on));
    netlink_nest_end(nl, data);
    netlink_nest_end(nl, link);
    netlink_submit(nl, NULL); /* queued */
}

/* Where bridged packets pass the packet filter, one that is translated back to its own port is
 * bridged there, not routed, and that needs the port's leave (br_netfilter). */
static bool filter_sees_bridges(void)
{
    autoclose int fd = open("/proc/sys/net/bridge/bridge-nf-call-iptables", O_RDONLY | O_CLOEXEC);
    char on = '0';

    return fd >= 0 && read(fd, &on, 1) == 1 && on == '1';
}

static int make_pair(struct netlink *nl, int bridge, const struct network *n,
                     const struct endpoint *p, int netns, struct wharf_error *e)
{
    char host[ENDPOINT_LINK_MAX];

    endpoint_link(p, host);
    netlink_begin(nl);
    pair_request(nl, host, bridge, n, p, netns);
    netlink_submit(nl, e);
    if (!n->icc) /* it may speak to the bridge alone */
        port_request(nl, host, IFLA_BRPORT_ISOLATED);
    if (filter_sees_bridges())
        port_request(nl, host, IFLA_BRPORT_MODE);
    return netlink_end(nl, e);
}

static void no_link_local(struct netlink *nl, int index)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };
    const unsigned char none = IN6_ADDR_GEN_MODE_NONE;

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info), "prepare interface %d", index);
    size_t families = netlink_nest(nl, IFLA_AF_SPEC), six = netlink_nest(nl, AF_INET6);
    netlink_attr(nl, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
    netlink_nest_end(nl, six);
    netlink_nest_end(nl, families);
}

static int default_route(struct netlink *nl, int index, const struct ipaddr *gateway,
                         struct wharf_error *e)
{
    struct netlink_route route = { .destination = { .family = gateway->family },
                                   .gateway = with_prefix(gateway, ipaddr_bits(gateway)),
                                   .index = index };

    return netlink_add_route(nl, &route, e);
}

static int settle(const struct network *n, const struct endpoint *p, int netns,
                  const struct link_routes *routes, struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    const bool wanted[2] = { routes->default4, routes->default6 };
    int r = netlink_open(&nl, netns, e);

    if (r < 0)
        return r;
    int index = netlink_index(nl, p->interface, e);
    if (index < 0)
        return index;
    netlink_begin(nl);
    netlink_set_up(nl, LOOPBACK_INDEX, true, NULL);
    if (!p->address[1].family) {
        no_link_local(nl, index);
        netlink_submit(nl, NULL);
    }
    for (int i = 0; i < 2; i++) {
        struct netlink_address a = with_prefix(&p->address[i], n->subnet[i].prefix);

        if (p->address[i].family)
            netlink_add_address(nl, index, &a, NULL);
    }
    netlink_set_up(nl, index, true, NULL);
    for (int i = 0; i < 2; i++) {
        if (wanted[i] && p->address[i].family)
            default_route(nl, index, &n->subnet[i].address, NULL);
    }
    return netlink_end(nl, e);
}

int link_attach(struct netlink *nl, int bridge, const struct network *n, const struct endpoint *p,
                int netns, const struct link_routes *routes, struct wharf_error *e)
{
    int r = make_pair(nl, bridge, n, p, netns, NULL);

    if (r == -EEXIST) { /* of a start that was killed */
        link_detach(nl, p, NULL);
        r = make_pair(nl, bridge, n, p, netns, e);
    } else if (r < 0) {
        err_code(e, r, "cannot make interface '%s' of network %s", p->interface, n->document.name);
    }
    return r < 0 ? r : settle(n, p, netns, routes, e);
}

int link_default_route(const struct network *n, const struct endpoint *p, int netns,
                       struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    int r = netlink_open(&nl, netns, e);
    int index = r < 0 ? r : netlink_index(nl, p->interface, e);

    r = MIN(index, 0);
    for (int i = 0; r == 0 && i < 2; i++) {
        if (!p->address[i].family)
            continue;
        r = default_route(nl, index, &n->subnet[i].address, NULL);
        if (r < 0 && r != -EEXIST)
            return err_code(e, r, "cannot make network %s the default route", n->document.name);
        r = 0;
    }
    return r;
}

/* The host's end of the pair: > 0, 0: there is none. */
static int find_pair(struct netlink *nl, const struct endpoint *p, struct wharf_error *e)
{
    char host[ENDPOINT_LINK_MAX];
    int index;

    endpoint_link(p, host);
    index = netlink_index(nl, host, NULL);
    return index == -ENODEV ? 0
           : index < 0      ? err_code(e, index, "cannot find interface '%s'", host)
                            : index;
}

int link_cut(struct netlink *nl, const struct endpoint *p, struct wharf_error *e)
{
    int index = find_pair(nl, p, e);
    int r = index > 0 ? netlink_set_up(nl, index, false, e) : index;

    return r == -ENODEV ? 0 : r;
}

int link_detach(struct netlink *nl, const struct endpoint *p, struct wharf_error *e)
{
    int index = find_pair(nl, p, e);
    int r = index > 0 ? netlink_delete_link(nl, index, e) : index;

    return r == -ENODEV ? 0 : r;
}
