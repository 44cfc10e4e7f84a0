/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces: finding, changing, making, moving; and netDevices of the runtime specification. */
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sys/socket.h>
#include "base/str.h"
#include "libcontainer/netlink-message.h"

enum { GIVE_ADDRESSES_MAX = 256 };

/* The kernel's rule (dev_valid_name), told before something is made half. */
static int check_name(const char *name, struct wharf_error *e)
{
    size_t n = strnlen(name, IFNAMSIZ);

    if (n == 0 || n >= IFNAMSIZ || streq(name, ".") || streq(name, "..") ||
        name[strcspn(name, "/: \t\n\v\f\r")])
        return err_invalid(e,
                           "'%.32s' is no name of an interface: 1 to %d bytes without '/', ':' and "
                           "blanks",
                           name, IFNAMSIZ - 1);
    return 0;
}

static void copy_text(char *to, size_t size, const struct rtattr *attr)
{
    size_t n = attr ? strnlen(RTA_DATA(attr), RTA_PAYLOAD(attr)) : 0;

    n = MIN(n, size - 1);
    if (n > 0)
        memcpy(to, RTA_DATA(attr), n);
    to[n] = 0;
}

static uint32_t u32_of(const struct rtattr *attr)
{
    uint32_t value = 0;

    if (attr && RTA_PAYLOAD(attr) >= sizeof(value))
        memcpy(&value, RTA_DATA(attr), sizeof(value));
    return value;
}

static int parse_link(const struct nlmsghdr *m, struct netlink_link *ret)
{
    const struct ifinfomsg *info = NLMSG_DATA(m);
    const struct rtattr *mac, *kind;

    if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
        return -EBADMSG;
    *ret = (struct netlink_link){ .index = info->ifi_index, .flags = info->ifi_flags };
    ret->mtu = u32_of(netlink_find(m, sizeof(*info), IFLA_MTU));
    ret->master = (int)u32_of(netlink_find(m, sizeof(*info), IFLA_MASTER));
    copy_text(ret->name, sizeof(ret->name), netlink_find(m, sizeof(*info), IFLA_IFNAME));
    mac = netlink_find(m, sizeof(*info), IFLA_ADDRESS);
    if (mac && RTA_PAYLOAD(mac) == sizeof(ret->mac))
        memcpy(ret->mac, RTA_DATA(mac), sizeof(ret->mac));
    kind = netlink_find(m, sizeof(*info), IFLA_LINKINFO);
    copy_text(ret->kind, sizeof(ret->kind), kind ? netlink_find_in(kind, IFLA_INFO_KIND) : NULL);
    return 0;
}

static int keep_link(void *user, const struct nlmsghdr *m)
{
    return parse_link(m, user);
}

int netlink_index(struct netlink *nl, const char *name, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    struct netlink_link link;
    int r = check_name(name, e);

    if (r < 0)
        return r;
    netlink_request(nl, RTM_GETLINK, 0, &info, sizeof(info), "find interface '%s'", name);
    netlink_attr_str(nl, IFLA_IFNAME, name);
    r = netlink_ask(nl, keep_link, &link, e);
    return r < 0 ? r : link.index;
}

int netlink_link_get(struct netlink *nl, int index, struct netlink_link *ret, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };
    struct netlink_link link;
    int r;

    netlink_request(nl, RTM_GETLINK, 0, &info, sizeof(info), "look at interface %d", index);
    r = netlink_ask(nl, keep_link, &link, e);
    if (r == 0)
        *ret = link;
    return r;
}

struct link_visit {
    int (*each)(void *, const struct netlink_link *);
    void *user;
};

static int visit_link(void *user, const struct nlmsghdr *m)
{
    struct link_visit *visit = user;
    struct netlink_link link;

    return parse_link(m, &link) < 0 ? 0 : visit->each(visit->user, &link);
}

int netlink_links(struct netlink *nl, int (*each)(void *, const struct netlink_link *), void *user,
                  struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    struct link_visit visit = { each, user };

    netlink_request(nl, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info), "list interfaces");
    return netlink_ask(nl, visit_link, &visit, e);
}

static void change(struct netlink *nl, int index, const char *verb)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info), "%s interface %d", verb,
                    index);
}

int netlink_set_up(struct netlink *nl, int index, bool up, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC,
                              .ifi_index = index,
                              .ifi_flags = up ? IFF_UP : 0,
                              .ifi_change = IFF_UP };

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK, &info, sizeof(info), "set interface %d %s", index,
                    up ? "up" : "down");
    return netlink_submit(nl, e);
}

int netlink_set_name(struct netlink *nl, int index, const char *name, struct wharf_error *e)
{
    int r = check_name(name, e);

    if (r < 0)
        return r;
    change(nl, index, "rename");
    netlink_attr_str(nl, IFLA_IFNAME, name);
    return netlink_submit(nl, e);
}

int netlink_set_mtu(struct netlink *nl, int index, unsigned mtu, struct wharf_error *e)
{
    change(nl, index, "set the MTU of");
    netlink_attr_u32(nl, IFLA_MTU, mtu);
    return netlink_submit(nl, e);
}

int netlink_set_mac(struct netlink *nl, int index, const unsigned char mac[6],
                    struct wharf_error *e)
{
    change(nl, index, "set the address of");
    netlink_attr(nl, IFLA_ADDRESS, mac, 6);
    return netlink_submit(nl, e);
}

int netlink_set_master(struct netlink *nl, int index, int master, struct wharf_error *e)
{
    change(nl, index, "set the master of");
    netlink_attr_u32(nl, IFLA_MASTER, (uint32_t)master);
    return netlink_submit(nl, e);
}

int netlink_move(struct netlink *nl, int index, int netns, const char *name, struct wharf_error *e)
{
    int r = name ? check_name(name, e) : 0;

    if (r < 0)
        return r;
    change(nl, index, "move");
    netlink_attr_u32(nl, IFLA_NET_NS_FD, (uint32_t)netns);
    if (name)
        netlink_attr_str(nl, IFLA_IFNAME, name);
    return netlink_submit(nl, e);
}

int netlink_delete_link(struct netlink *nl, int index, struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC, .ifi_index = index };

    netlink_request(nl, RTM_DELLINK, NLM_F_ACK, &info, sizeof(info), "delete interface %d", index);
    return netlink_submit(nl, e);
}

static void add_link(struct netlink *nl, const char *name, const char *kind)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };

    netlink_request(nl, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info),
                    "make %s '%s'", kind, name);
    netlink_attr_str(nl, IFLA_IFNAME, name);
}

int netlink_add_bridge(struct netlink *nl, const char *name, struct wharf_error *e)
{
    int r = check_name(name, e);
    size_t link_info;

    if (r < 0)
        return r;
    add_link(nl, name, "bridge");
    link_info = netlink_nest(nl, IFLA_LINKINFO);
    netlink_attr_str(nl, IFLA_INFO_KIND, "bridge");
    netlink_nest_end(nl, link_info);
    return netlink_submit(nl, e);
}

int netlink_add_veth(struct netlink *nl, const char *name, const char *peer, int peer_netns,
                     struct wharf_error *e)
{
    struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
    size_t link_info, data, other;
    int r = check_name(name, e);

    if (r == 0)
        r = check_name(peer, e);
    if (r < 0)
        return r;
    add_link(nl, name, "veth");
    link_info = netlink_nest(nl, IFLA_LINKINFO);
    netlink_attr_str(nl, IFLA_INFO_KIND, "veth");
    data = netlink_nest(nl, IFLA_INFO_DATA);
    other = netlink_nest(nl, VETH_INFO_PEER);
    buf_add(&nl->out, &info, sizeof(info)); /* this nest begins with a header of its own */
    netlink_attr_str(nl, IFLA_IFNAME, peer);
    if (peer_netns >= 0)
        netlink_attr_u32(nl, IFLA_NET_NS_FD, (uint32_t)peer_netns);
    netlink_nest_end(nl, other);
    netlink_nest_end(nl, data);
    netlink_nest_end(nl, link_info);
    return netlink_submit(nl, e);
}

/* ---- netDevices ---- */

struct kept {
    struct netlink_address items[GIVE_ADDRESSES_MAX];
    size_t count;
};

/* Runtime-spec: permanent addresses of global scope go along; link-local and leased ones do not. */
static int keep_address(void *user, const struct netlink_address *address)
{
    struct kept *kept = user;

    if (address->scope != RT_SCOPE_UNIVERSE || !(address->flags & IFA_F_PERMANENT))
        return 0;
    if (kept->count == GIVE_ADDRESSES_MAX)
        return -E2BIG;
    kept->items[kept->count++] = *address;
    return 0;
}

/* Gives what moved its addresses back, which the kernel took on the way, and sets it up. */
static int settle(int netns, const char *name, const struct kept *kept, struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    int r = netlink_open(&nl, netns, e), index;

    if (r < 0)
        return r;
    index = netlink_index(nl, name, e); /* the number may have been taken there */
    if (index < 0)
        return index;
    netlink_begin(nl);
    for (size_t i = 0; r == 0 && i < kept->count; i++)
        r = netlink_add_address(nl, index, &kept->items[i], e);
    if (r == 0)
        r = netlink_set_up(nl, index, true, e);
    return r < 0 ? r : netlink_end(nl, e);
}

int netlink_give_device(const char *host, int netns, const char *inside, struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    autofree struct kept *kept = calloc(1, sizeof(*kept));
    int r, index;

    if (!kept)
        return err_nomem(e);
    if (!inside)
        inside = host;
    r = check_name(inside, e);
    if (r == 0)
        r = netlink_open(&nl, -1, e);
    if (r < 0)
        return r;
    index = netlink_index(nl, host, e);
    if (index < 0)
        return err_wrap(e, index, "linux.netDevices '%s'", host);
    r = netlink_addresses(nl, index, keep_address, kept, e);
    if (r == -E2BIG)
        return err_set(e, r, WHARF_ERROR_LIMIT, "linux.netDevices '%s': more than %d addresses",
                       host, GIVE_ADDRESSES_MAX);
    if (r == 0)
        r = netlink_move(nl, index, netns, inside, e);
    if (r == 0)
        r = settle(netns, inside, kept, e);
    return r < 0 ? err_wrap(e, r, "linux.netDevices '%s'", host) : 0;
}
