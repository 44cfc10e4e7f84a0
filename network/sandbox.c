/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's network while it runs: starting, stopping, one network more or less.
 *
 * The order is what makes a kill at any line harmless. Starting: addresses and ports are written
 * down (one transaction, in which the ports are also taken from the host), then made in the kernel.
 * Stopping: the packet filter first, so that no port leads to an address that is given to another;
 * then the interfaces; then what is written down. A start that was killed is a container with
 * active endpoints that does not run: its next start, or whoever repairs it, stops it first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "network/internal.h"
#include "network/pool.h"
#include "network/port.h"

#define KEEPER_TEXT_MAX (8u << 20)

struct firewall_network network_filter_of(const struct network *n)
{
    return (struct firewall_network){ .bridge = n->bridge,
                                      .internal = n->document.internal,
                                      .icc = n->icc,
                                      .masquerade = n->masquerade };
}

int filter_repair(struct networks *nw, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    network_list_of all = { 0 };
    published_list ports = { 0 };
    size_t count = 0;
    int r = arena ? netstore_begin(&nw->store, e) : err_nomem(e);

    if (r < 0)
        return r;
    r = netstore_networks(&nw->store, 0, arena, &all, e);
    if (r == 0)
        r = netstore_ports(&nw->store, NULL, arena, &ports, e);
    struct firewall_network *filtered = arena_array(arena, all.count + 1, sizeof(*filtered));
    if (r == 0 && !filtered)
        r = err_nomem(e);
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        if (all.items[i].kind == NETWORK_BRIDGE)
            filtered[count++] = network_filter_of(&all.items[i]);
    }
    if (r == 0)
        r = firewall_make(nw->nft, nw->table, filtered, count, ports.items, ports.count, e);
    return netstore_end(&nw->store, r, e);
}

static int filter_add(struct networks *nw, const struct network *n, const struct published *ports,
                      size_t count, struct wharf_error *e)
{
    struct firewall_network filtered = network_filter_of(n);
    struct wharf_error first = { 0 };
    int r = networks_filter(nw, e);

    if (r < 0)
        return r;
    r = firewall_add(nw->nft, nw->table, &filtered, ports, count, &first);
    if (r == -ENOENT) /* never made, or somebody flushed all rules of the host */
        return filter_repair(nw, e);
    if (r < 0 && e)
        *e = first;
    return r;
}

/* ---- one endpoint ---------------------------------------------------------------------------- */

static void make_mac(struct endpoint *p)
{
    const struct ipaddr *a = &p->address[p->address[0].family ? 0 : 1];
    const unsigned char *last = a->bytes + ipaddr_length(a) - 4;

    if (p->settings.mac && mac_parse(p->settings.mac, p->mac) == 0)
        return;
    p->mac[0] = 0x02;
    p->mac[1] = 0x42;
    memcpy(p->mac + 2, last, 4);
}

/* Inside a transaction: gives it addresses and writes them down. */
static int endpoint_plan(struct networks *nw, const struct network *n, struct endpoint *p,
                         const char *interface, struct wharf_error *e)
{
    const struct endpoint_ipam *ipam = p->settings.ipam;
    int r = 0;

    p->active = true;
    for (int six = 0; r == 0 && six < 2 && n->kind == NETWORK_BRIDGE; six++) {
        const char *wanted = !ipam ? NULL : six ? ipam->ipv6 : ipam->ipv4;

        if (n->subnet[six].address.family)
            r = ipam_take(&nw->store, n, six, wanted, p->id, &p->address[six], e);
    }
    if (r == 0 && n->kind == NETWORK_BRIDGE) {
        make_mac(p);
        p->interface = (char *)interface;
    }
    return r < 0 ? r : netstore_endpoint_update(&nw->store, p, e);
}

static int endpoint_attach(struct networks *nw, const struct network *n, const struct endpoint *p,
                           int netns, bool gateway, struct wharf_error *e)
{
    struct link_routes routes = { gateway, gateway };
    int bridge = networks_netlink(nw, e);

    if (bridge == 0)
        bridge = bridge_ensure(nw->nl, n, nw->mark, e);
    return bridge < 0 ? bridge : link_attach(nw->nl, bridge, n, p, netns, &routes, e);
}

static int endpoint_forget(struct networks *nw, struct endpoint *p, struct wharf_error *e)
{
    p->active = false;
    p->address[0].family = p->address[1].family = 0;
    memset(p->mac, 0, sizeof(p->mac));
    p->interface = NULL;
    int r = ipam_give_back(&nw->store, p->id, e);
    return r < 0 ? r : netstore_endpoint_update(&nw->store, p, e);
}

/* ---- starting -------------------------------------------------------------------------------- */

struct start {
    struct networks *nw;
    const struct network_request *request;
    struct arena *arena;
    struct wharf_error *e;
    endpoint_list endpoints;
    struct network *networks; /* of each endpoint */
    const struct endpoint *gateway;
    struct published *ports;
    size_t port_count;
    struct port_keep keep;
};

static int load(struct start *s)
{
    int r = netstore_endpoints(&s->nw->store, s->request->member->id, NULL, s->arena, &s->endpoints,
                               s->e);

    s->networks = arena_array(s->arena, s->endpoints.count + 1, sizeof(*s->networks));
    if (r == 0 && !s->networks)
        r = err_nomem(s->e);
    for (size_t i = 0; r == 0 && i < s->endpoints.count; i++)
        r = endpoint_network(s->nw, &s->endpoints.items[i], s->arena, &s->networks[i], s->e);
    return r;
}

static bool is_left(const struct start *s)
{
    for (size_t i = 0; i < s->endpoints.count; i++) {
        if (s->endpoints.items[i].active)
            return true;
    }
    return false;
}

static bool needs_namespace(const struct start *s)
{
    for (size_t i = 0; i < s->endpoints.count; i++) {
        if (s->networks[i].kind == NETWORK_BRIDGE)
            return true;
    }
    return false;
}

/* docker's words around what went wrong with a port */
static int port_failed(const struct start *s, int r)
{
    return err_wrap(s->e, r, "driver failed programming external connectivity on endpoint %s (%s)",
                    s->request->member->name, s->gateway->id);
}

static int take_ports(struct start *s)
{
    const struct network *n = &s->networks[s->gateway - s->endpoints.items];
    port_list wanted = { 0 };
    int r = port_requests(s->request->port_bindings, s->request->exposed, s->request->publish_all,
                          s->arena, &wanted, s->e);

    s->ports = arena_array(s->arena, 2 * wanted.count + 1, sizeof(*s->ports));
    if (r == 0 && !s->ports)
        r = err_nomem(s->e);
    if (r == 0 && wanted.count > 0)
        r = port_keep_open(&s->keep, s->e);
    for (size_t i = 0; r >= 0 && i < wanted.count; i++) {
        struct published *at = &s->ports[s->port_count];

        r = port_take(&s->keep, &wanted.items[i], &n->host_binding, s->gateway->address, at, s->e);
        if (r < 0)
            return port_failed(s, r);
        s->port_count += (size_t)r;
    }
    for (size_t i = 0; r >= 0 && i < s->port_count; i++)
        r = netstore_port_add(&s->nw->store, s->request->member->id, &s->ports[i], s->e);
    return MIN(r, 0);
}

/* Inside the transaction. */
static int plan(struct start *s)
{
    int r = 0, interfaces = 0;

    for (size_t i = 0; r == 0 && i < s->endpoints.count; i++) {
        char *name = NULL;

        if (s->networks[i].kind == NETWORK_BRIDGE)
            name = arena_format(s->arena, "eth%d", interfaces++);
        r = endpoint_plan(s->nw, &s->networks[i], &s->endpoints.items[i], name, s->e);
    }
    s->gateway = r == 0 ? endpoint_gateway(&s->endpoints, s->networks) : NULL;
    if (r == 0 && s->gateway)
        r = take_ports(s);
    for (size_t i = 0; r == 0 && i < s->endpoints.count; i++)
        r = name_files_network(s->nw, &s->networks[i], s->arena, s->e);
    return r < 0 ? r
                 : name_files_container(s->nw, s->request->member->id, s->request->dns, s->arena,
                                        s->e);
}

static int attach(struct start *s, int netns)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->endpoints.count; i++) {
        const struct endpoint *p = &s->endpoints.items[i];
        bool gateway = p == s->gateway;

        if (s->networks[i].kind != NETWORK_BRIDGE)
            continue;
        r = endpoint_attach(s->nw, &s->networks[i], p, netns, gateway, s->e);
        if (r == 0)
            r = filter_add(s->nw, &s->networks[i], s->ports, gateway ? s->port_count : 0, s->e);
    }
    return r;
}

static char *keeper_text(const struct start *s)
{
    struct buf b = BUF(KEEPER_TEXT_MAX);

    buf_printf(&b, "table %s\ncontainer %s\nnames %s\n", s->nw->table, s->request->member->id,
               s->nw->names_path);
    for (size_t i = 0; i < s->port_count; i++) {
        buf_str(&b, "published ");
        published_write(&s->ports[i], &b);
        buf_char(&b, '\n');
    }
    return buf_take(&b);
}

static int start_own(struct start *s, struct network_sandbox *ret)
{
    autoclose int netns = netns_pool_take(s->nw->options.spare, s->e);
    autoclose int ports = -1;

    if (netns < 0)
        return netns;
    int r = attach(s, netns);
    if (r == 0 && s->port_count > 0)
        r = ports = port_keep_seal(&s->keep, s->e);
    if (r < 0)
        return r;
    ret->keeper = keeper_text(s);
    if (!ret->keeper)
        return err_nomem(s->e);
    ret->netns = take_fd(&netns);
    ret->ports = take_fd(&ports);
    return 0;
}

static int start(struct start *s, struct network_sandbox *ret)
{
    int r = load(s);

    if (r == 0 && is_left(s)) {
        r = sandbox_stop(s->nw, s->request->member->id, s->e);
        if (r >= 0)
            r = load(s);
    }
    if (r == 0)
        r = netstore_begin(&s->nw->store, s->e);
    if (r < 0)
        return r;
    r = netstore_end(&s->nw->store, plan(s), s->e);
    if (r == 0 && needs_namespace(s)) {
        r = start_own(s, ret);
        if (r < 0)
            sandbox_stop(s->nw, s->request->member->id, NULL);
    }
    return r;
}

int network_start(struct networks *nw, const struct network_request *request,
                  struct network_sandbox *ret, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct start s = {
        .nw = nw, .request = request, .arena = arena, .e = e, .keep = { .in = -1, .out = -1 }
    };
    struct network_sandbox made = { .netns = -1, .ports = -1 };
    struct wharf_error own = { 0 };
    LOCKED(nw);

    if (!s.e)
        s.e = &own;
    int r = arena ? start(&s, &made) : err_nomem(e);
    port_keep_close(&s.keep);
    if (r == 0)
        *ret = made;
    return r;
}

void network_sandbox_done(struct network_sandbox *sandbox)
{
    sandbox->netns = fd_close(sandbox->netns);
    sandbox->ports = fd_close(sandbox->ports);
    free(sandbox->keeper);
    sandbox->keeper = NULL;
}

/* ---- stopping -------------------------------------------------------------------------------- */

static int stop_kernel(struct networks *nw, const endpoint_list *list, const published_list *ports,
                       struct wharf_error *e)
{
    int r = 0;

    if (ports->count > 0) {
        r = networks_filter(nw, e);
        if (r == 0)
            r = firewall_unpublish(nw->nft, nw->table, ports->items, ports->count, e);
    }
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        const struct endpoint *p = &list->items[i];

        if (!p->active || !*p->interface)
            continue;
        r = networks_netlink(nw, e);
        if (r == 0)
            r = link_cut(nw->nl, p, e);
    }
    return r;
}

static int stop_written(struct networks *nw, const char *container, const endpoint_list *list,
                        struct arena *arena, struct wharf_error *e)
{
    int r = netstore_run(&nw->store, e, "DELETE FROM port WHERE container=?", "s", container);

    for (size_t i = 0; r >= 0 && i < list->count; i++) {
        struct network n;

        if (!list->items[i].active)
            continue;
        r = endpoint_forget(nw, &list->items[i], e);
        if (r == 0)
            r = endpoint_network(nw, &list->items[i], arena, &n, e);
        if (r == 0)
            r = name_files_network(nw, &n, arena, e);
    }
    return MIN(r, 0);
}

int sandbox_stop(struct networks *nw, const char *container, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    endpoint_list list = { 0 };
    published_list ports = { 0 };

    if (!netstore_number(&nw->store, 0, "SELECT 1 FROM endpoint WHERE container=? AND active=1",
                         "s", container))
        return 0;
    int r = arena ? netstore_endpoints(&nw->store, container, NULL, arena, &list, e) : err_nomem(e);
    if (r == 0)
        r = netstore_ports(&nw->store, container, arena, &ports, e);
    if (r == 0)
        r = stop_kernel(nw, &list, &ports, e);
    if (r == 0)
        r = netstore_begin(&nw->store, e);
    if (r < 0)
        return r;
    r = netstore_end(&nw->store, stop_written(nw, container, &list, arena, e), e);
    name_files_forget(nw, container, NULL);
    return r < 0 ? r : 1;
}

int network_stop(struct networks *nw, const char *container, struct wharf_error *e)
{
    LOCKED(nw);
    return sandbox_stop(nw, container, e);
}

/* ---- one more, one less ---------------------------------------------------------------------- */

/* The lowest ethN that none of the container's endpoints has. */
static char *free_interface(const endpoint_list *list, struct arena *arena)
{
    for (size_t n = 0;; n++) {
        char *name = arena_format(arena, "eth%zu", n);
        size_t i = 0;

        while (name && i < list->count && !streq(list->items[i].interface, name))
            i++;
        if (!name || i == list->count)
            return name;
    }
}

struct change {
    struct networks *nw;
    const struct network_member *member;
    struct arena *arena;
    struct network network;
    endpoint_list before;
    struct wharf_error *e;
};

static int change_begin(struct change *c, int64_t owner, const char *reference)
{
    struct networks *nw = c->nw;
    int r = c->arena
                ? netstore_network_find(&nw->store, reference, owner, c->arena, &c->network, c->e)
                : err_nomem(c->e);

    return r < 0 ? r
                 : netstore_endpoints(&nw->store, c->member->id, NULL, c->arena, &c->before, c->e);
}

static int check_connect(const struct change *c)
{
    if (c->network.kind == NETWORK_HOST)
        return err_set(c->e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "container cannot be disconnected from host network or connected to host "
                       "network");
    for (size_t i = 0; i < c->before.count; i++) {
        struct network n;
        int r = endpoint_network(c->nw, &c->before.items[i], c->arena, &n, c->e);

        if (r < 0)
            return r;
        if (n.kind != NETWORK_BRIDGE || c->network.kind == NETWORK_NONE)
            return err_set(c->e, -EPERM, WHARF_ERROR_FORBIDDEN,
                           "container cannot be connected to multiple networks with one of the "
                           "networks in private (none) mode");
    }
    return 0;
}

static int connect_written(struct change *c, json_t *settings, bool running, struct endpoint *ret)
{
    struct endpoint_settings s = { 0 };
    int r = json_is_object(settings) ? fields_read(endpoint_settings_fields, settings,
                                                   "EndpointConfig", c->arena, &s, c->e)
                                     : 0;

    if (r == 0)
        r = endpoint_add(c->nw, c->member, &c->network, &s, c->e);
    if (r == 0)
        r = endpoint_of(c->nw, c->member->id, c->network.id, c->arena, ret, c->e);
    if (r < 0 || !running)
        return r;
    r = endpoint_plan(c->nw, &c->network, ret, free_interface(&c->before, c->arena), c->e);
    if (r == 0)
        r = name_files_network(c->nw, &c->network, c->arena, c->e);
    return r < 0 ? r : name_files_container(c->nw, c->member->id, NULL, c->arena, c->e);
}

static bool has_gateway(const struct change *c)
{
    for (size_t i = 0; i < c->before.count; i++) {
        struct network n;

        if (c->before.items[i].active &&
            endpoint_network(c->nw, &c->before.items[i], c->arena, &n, NULL) == 0 &&
            n.kind == NETWORK_BRIDGE && !n.document.internal)
            return true;
    }
    return false;
}

/* Takes an endpoint away again, in the kernel and as written. */
static int detach(struct change *c, struct endpoint *p)
{
    int r = p->active ? networks_netlink(c->nw, c->e) : 0;

    if (r == 0 && p->active)
        r = link_detach(c->nw->nl, p, c->e);
    if (r == 0)
        r = netstore_begin(&c->nw->store, c->e);
    if (r < 0)
        return r;
    r = ipam_give_back(&c->nw->store, p->id, c->e);
    if (r == 0)
        r = netstore_run(&c->nw->store, c->e, "DELETE FROM endpoint WHERE id=?", "s", p->id);
    if (r >= 0 && p->active)
        r = name_files_network(c->nw, &c->network, c->arena, c->e);
    if (r >= 0 && p->active)
        r = name_files_container(c->nw, c->member->id, NULL, c->arena, c->e);
    return netstore_end(&c->nw->store, MIN(r, 0), c->e);
}

int network_connect(struct networks *nw, int64_t owner, const char *reference,
                    const struct network_member *member, json_t *settings, int netns,
                    struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct change c = { .nw = nw, .member = member, .arena = arena, .e = e };
    struct endpoint p = { 0 };
    LOCKED(nw);

    int r = change_begin(&c, owner, reference);
    if (r == 0)
        r = check_connect(&c);
    if (r == 0)
        r = netstore_begin(&nw->store, e);
    if (r < 0)
        return r;
    r = netstore_end(&nw->store, connect_written(&c, settings, netns >= 0, &p), e);
    if (r < 0 || netns < 0)
        return r;
    r = endpoint_attach(nw, &c.network, &p, netns, !c.network.document.internal && !has_gateway(&c),
                        e);
    if (r == 0)
        r = filter_add(nw, &c.network, NULL, 0, e);
    if (r < 0)
        detach(&(struct change){ nw, member, arena, c.network, c.before, NULL }, &p);
    return r;
}

/* Ports that led to this endpoint lead nowhere now. */
static int unpublish(struct change *c, const struct endpoint *p)
{
    published_list all = { 0 };
    size_t count = 0;
    int r = netstore_ports(&c->nw->store, c->member->id, c->arena, &all, c->e);

    for (size_t i = 0; r == 0 && i < all.count; i++) {
        const struct published *at = &all.items[i];

        if (ipaddr_compare(&at->to, &p->address[at->to.family == AF_INET6]) == 0)
            all.items[count++] = *at;
    }
    if (r < 0 || count == 0)
        return r;
    r = networks_filter(c->nw, c->e);
    if (r == 0)
        r = firewall_unpublish(c->nw->nft, c->nw->table, all.items, count, c->e);
    for (int six = 0; r >= 0 && six < 2; six++) {
        if (p->address[six].family)
            r = netstore_run(&c->nw->store, c->e, "DELETE FROM port WHERE container=? AND target=?",
                             "sa", c->member->id, &p->address[six]);
    }
    return MIN(r, 0);
}

/* The default route went with its interface: another network's takes its place. */
static int move_gateway(struct change *c, int netns)
{
    endpoint_list left = { 0 };
    int r = netstore_endpoints(&c->nw->store, c->member->id, NULL, c->arena, &left, c->e);
    struct network *networks = arena_array(c->arena, left.count + 1, sizeof(*networks));

    if (r == 0 && !networks)
        r = err_nomem(c->e);
    for (size_t i = 0; r == 0 && i < left.count; i++)
        r = endpoint_network(c->nw, &left.items[i], c->arena, &networks[i], c->e);
    const struct endpoint *p = r == 0 ? endpoint_gateway(&left, networks) : NULL;
    return p ? link_default_route(&networks[p - left.items], p, netns, c->e) : r;
}

int network_disconnect(struct networks *nw, int64_t owner, const char *reference,
                       const struct network_member *member, int netns, bool force,
                       struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct change c = { .nw = nw, .member = member, .arena = arena, .e = e };
    struct endpoint p;
    LOCKED(nw);

    int r = change_begin(&c, owner, reference);
    if (r < 0)
        return r;
    if (c.network.kind == NETWORK_HOST && netns >= 0)
        return check_connect(&c);
    r = endpoint_of(nw, member->id, c.network.id, arena, &p, e);
    if (r == -ENOENT)
        return force ? 0
                     : err_set(e, r, WHARF_ERROR_FORBIDDEN,
                               "container %s is not connected to network %s", member->id,
                               c.network.document.name);
    if (r == 0 && p.active)
        r = unpublish(&c, &p);
    if (r == 0)
        r = detach(&c, &p);
    return r < 0 || netns < 0 ? r : move_gateway(&c, netns);
}
