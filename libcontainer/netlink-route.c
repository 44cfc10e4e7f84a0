/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and routes. */
#include <sys/socket.h>
#include "base/str.h"
#include "libcontainer/netlink-message.h"

static size_t family_bytes(int family)
{
    return family == AF_INET6 ? 16 : 4;
}

static int check_address(const struct netlink_address *a, struct wharf_error *e)
{
    if ((a->family != AF_INET && a->family != AF_INET6) || a->prefix > family_bytes(a->family) * 8)
        return err_invalid(e, "family %d with prefix %u is no address", a->family, a->prefix);
    return 0;
}

static void copy_address(struct netlink_address *to, const struct rtattr *attr)
{
    if (attr && RTA_PAYLOAD(attr) == family_bytes(to->family))
        memcpy(to->bytes, RTA_DATA(attr), RTA_PAYLOAD(attr));
}

static uint32_t u32_of(const struct rtattr *attr, uint32_t otherwise)
{
    uint32_t value = otherwise;

    if (attr && RTA_PAYLOAD(attr) >= sizeof(value))
        memcpy(&value, RTA_DATA(attr), sizeof(value));
    return value;
}

/* ---- addresses ---- */

static int change_address(struct netlink *nl, bool add, int index, const struct netlink_address *a,
                          struct wharf_error *e)
{
    struct ifaddrmsg info = { .ifa_family = (unsigned char)a->family,
                              .ifa_prefixlen = (unsigned char)a->prefix,
                              .ifa_scope = a->scope,
                              .ifa_index = (unsigned)index };
    int r = check_address(a, e);

    if (r < 0)
        return r;
    /* the container's side of a moved address is known to be free: no duplicate detection */
    if (add && a->family == AF_INET6)
        info.ifa_flags = IFA_F_NODAD;
    netlink_request(nl, add ? RTM_NEWADDR : RTM_DELADDR,
                    NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), &info, sizeof(info),
                    "%s an address of interface %d", add ? "add" : "delete", index);
    netlink_attr(nl, IFA_LOCAL, a->bytes, family_bytes(a->family));
    netlink_attr(nl, IFA_ADDRESS, a->bytes, family_bytes(a->family));
    return netlink_submit(nl, e);
}

int netlink_add_address(struct netlink *nl, int index, const struct netlink_address *address,
                        struct wharf_error *e)
{
    return change_address(nl, true, index, address, e);
}

int netlink_delete_address(struct netlink *nl, int index, const struct netlink_address *address,
                           struct wharf_error *e)
{
    return change_address(nl, false, index, address, e);
}

struct address_visit {
    int index;
    int (*each)(void *, const struct netlink_address *);
    void *user;
};

static int visit_address(void *user, const struct nlmsghdr *m)
{
    const struct ifaddrmsg *info = NLMSG_DATA(m);
    struct address_visit *visit = user;
    struct netlink_address a = { 0 };
    const struct rtattr *local;

    if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
        (int)info->ifa_index != visit->index ||
        (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
        return 0;
    a.family = info->ifa_family;
    a.prefix = info->ifa_prefixlen;
    a.scope = info->ifa_scope;
    a.flags = u32_of(netlink_find(m, sizeof(*info), IFA_FLAGS), info->ifa_flags);
    local =
        netlink_find(m, sizeof(*info), IFA_LOCAL); /* IFA_ADDRESS is the peer's, if both stand */
    copy_address(&a, local ? local : netlink_find(m, sizeof(*info), IFA_ADDRESS));
    return visit->each(visit->user, &a);
}

int netlink_addresses(struct netlink *nl, int index,
                      int (*each)(void *, const struct netlink_address *), void *user,
                      struct wharf_error *e)
{
    struct ifaddrmsg info = { .ifa_family = AF_UNSPEC };
    struct address_visit visit = { index, each, user };

    netlink_request(nl, RTM_GETADDR, NLM_F_DUMP, &info, sizeof(info), "list addresses");
    return netlink_ask(nl, visit_address, &visit, e);
}

/* ---- routes ---- */

/* A route without a gateway leads to the link itself; deleting takes any scope. */
static unsigned char scope_of(const struct netlink_route *route, bool add)
{
    if (route->scope)
        return (unsigned char)route->scope;
    if (!add)
        return RT_SCOPE_NOWHERE;
    return route->gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
}

static int change_route(struct netlink *nl, bool add, const struct netlink_route *route,
                        struct wharf_error *e)
{
    const struct netlink_address *to = &route->destination, *via = &route->gateway;
    unsigned table = route->table ? route->table : RT_TABLE_MAIN;
    struct rtmsg info = { .rtm_family = (unsigned char)to->family,
                          .rtm_dst_len = (unsigned char)to->prefix,
                          .rtm_table = (unsigned char)(table < 256 ? table : RT_TABLE_UNSPEC),
                          .rtm_scope = scope_of(route, add) };
    int r = check_address(to, e);

    if (r == 0 && via->family && via->family != to->family)
        r = err_invalid(e, "a route's gateway is of another family than its destination");
    if (r < 0)
        return r;
    if (add) {
        info.rtm_protocol = RTPROT_STATIC;
        info.rtm_type = RTN_UNICAST;
    }
    netlink_request(nl, add ? RTM_NEWROUTE : RTM_DELROUTE,
                    NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), &info, sizeof(info),
                    "%s a route", add ? "add" : "delete");
    netlink_attr_u32(nl, RTA_TABLE, table);
    if (to->prefix > 0)
        netlink_attr(nl, RTA_DST, to->bytes, family_bytes(to->family));
    if (via->family)
        netlink_attr(nl, RTA_GATEWAY, via->bytes, family_bytes(via->family));
    if (route->index > 0)
        netlink_attr_u32(nl, RTA_OIF, (uint32_t)route->index);
    if (route->priority)
        netlink_attr_u32(nl, RTA_PRIORITY, route->priority);
    return netlink_submit(nl, e);
}

int netlink_add_route(struct netlink *nl, const struct netlink_route *route, struct wharf_error *e)
{
    return change_route(nl, true, route, e);
}

int netlink_delete_route(struct netlink *nl, const struct netlink_route *route,
                         struct wharf_error *e)
{
    return change_route(nl, false, route, e);
}

struct route_visit {
    int index;
    int (*each)(void *, const struct netlink_route *);
    void *user;
};

static int visit_route(void *user, const struct nlmsghdr *m)
{
    const struct rtmsg *info = NLMSG_DATA(m);
    struct route_visit *visit = user;
    struct netlink_route route = { 0 };
    const struct rtattr *via;

    if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
        (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) ||
        info->rtm_type != RTN_UNICAST)
        return 0;
    route.index = (int)u32_of(netlink_find(m, sizeof(*info), RTA_OIF), 0);
    if (visit->index > 0 && route.index != visit->index)
        return 0;
    route.table = u32_of(netlink_find(m, sizeof(*info), RTA_TABLE), info->rtm_table);
    route.priority = u32_of(netlink_find(m, sizeof(*info), RTA_PRIORITY), 0);
    route.scope = info->rtm_scope;
    route.destination.family = info->rtm_family;
    route.destination.prefix = info->rtm_dst_len;
    copy_address(&route.destination, netlink_find(m, sizeof(*info), RTA_DST));
    via = netlink_find(m, sizeof(*info), RTA_GATEWAY);
    if (via) {
        route.gateway.family = info->rtm_family;
        route.gateway.prefix = (unsigned)family_bytes(info->rtm_family) * 8;
        copy_address(&route.gateway, via);
    }
    return visit->each(visit->user, &route);
}

int netlink_routes(struct netlink *nl, int index, int (*each)(void *, const struct netlink_route *),
                   void *user, struct wharf_error *e)
{
    struct rtmsg info = { .rtm_family = AF_UNSPEC };
    struct route_visit visit = { index, each, user };

    netlink_request(nl, RTM_GETROUTE, NLM_F_DUMP, &info, sizeof(info), "list routes");
    return netlink_ask(nl, visit_route, &visit, e);
}
