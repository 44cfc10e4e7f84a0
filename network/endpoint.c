/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's places in networks: which ones it is to be in, from its creation to its removal.
 * What happens while it runs is sandbox.c's.
 */
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "network/internal.h"

enum network_mode_kind network_mode(const char *mode)
{
    if (mode && streq(mode, "host"))
        return NETWORK_MODE_HOST;
    if (mode && streq(mode, "none"))
        return NETWORK_MODE_NONE;
    return mode && str_after(mode, "container:") ? NETWORK_MODE_SHARED : NETWORK_MODE_OWN;
}

int endpoint_network(struct networks *nw, const struct endpoint *p, struct arena *arena,
                     struct network *ret, struct wharf_error *e)
{
    return netstore_network_find(&nw->store, p->network, 0, arena, ret, e);
}

int endpoint_of(struct networks *nw, const char *container, const char *network,
                struct arena *arena, struct endpoint *ret, struct wharf_error *e)
{
    endpoint_list list = { 0 };
    int r = netstore_endpoints(&nw->store, container, NULL, arena, &list, e);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        if (streq(list.items[i].network, network)) {
            *ret = list.items[i];
            return 0;
        }
    }
    return r < 0 ? r : -ENOENT;
}

const struct endpoint *endpoint_gateway(const endpoint_list *list, const struct network *networks)
{
    const struct endpoint *best = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct endpoint *p = &list->items[i];

        if (!p->active || networks[i].kind != NETWORK_BRIDGE || networks[i].document.internal)
            continue;
        if (!best || p->settings.gateway_priority > best->settings.gateway_priority)
            best = p;
    }
    return best;
}

/* ---- checking what is asked for -------------------------------------------------------------- */

static bool is_configured(const struct network *n)
{
    return n->document.ipam && n->document.ipam->pools.count > 0;
}

static int check_address(const struct network *n, const char *text, int family,
                         struct wharf_error *e)
{
    struct ipaddr a;

    if (!text || !*text)
        return 0;
    if (ipaddr_parse(text, &a) < 0 || a.family != family)
        return err_invalid(e, "invalid %s address: %s", family == AF_INET6 ? "IPv6" : "IPv4", text);
    if (n->predefined)
        return err_invalid(e,
                           "user specified IP address is supported on user defined networks only");
    if (!is_configured(n) || !n->subnet[family == AF_INET6].address.family)
        return err_invalid(e, "user specified IP address is supported only when connecting to "
                              "networks with user configured subnets");
    if (!subnet_contains(&n->subnet[family == AF_INET6], &a))
        return err_invalid(e, "no configured subnet contains IP address %s", text);
    return 0;
}

static int check_settings(const struct network *n, const struct endpoint_settings *s,
                          struct wharf_error *e)
{
    unsigned char mac[6];
    int r = 0;

    if (s->ipam && s->ipam->link_local.count > 0)
        return err_unsupported(e, "link-local addresses of endpoints are not supported");
    if (n->kind != NETWORK_BRIDGE && s->ipam)
        return err_invalid(e,
                           "user specified IP address is supported on user defined networks only");
    if (n->predefined && s->aliases.count > 0)
        return err_invalid(e, "network-scoped alias is supported only for containers in user "
                              "defined networks");
    if (s->mac && *s->mac && mac_parse(s->mac, mac) < 0)
        return err_invalid(e, "invalid MAC address: %s", s->mac);
    if (s->ipam)
        r = check_address(n, s->ipam->ipv4, AF_INET, e);
    if (r == 0 && s->ipam)
        r = check_address(n, s->ipam->ipv6, AF_INET6, e);
    return r;
}

int endpoint_add(struct networks *nw, const struct network_member *member, const struct network *n,
                 const struct endpoint_settings *settings, struct wharf_error *e)
{
    char id[NETWORK_ID_LENGTH + 1];
    struct endpoint p = { .id = id,
                          .network = n->id,
                          .container = (char *)member->id,
                          .name = (char *)member->name,
                          .hostname = (char *)(member->hostname ? member->hostname : ""),
                          .owner = member->owner,
                          .settings = *settings };
    int r = check_settings(n, settings, e);

    if (r < 0)
        return r;
    if (id_make(id) < 0)
        return err_code(e, -EIO, "cannot make an id");
    r = netstore_endpoint_add(&nw->store, &p, e);
    if (r == -EEXIST)
        return err_set(e, r, WHARF_ERROR_FORBIDDEN,
                       "endpoint with name %s already exists in network %s", member->name,
                       n->document.name);
    return r;
}

/* ---- joining at creation --------------------------------------------------------------------- */

static int read_settings(json_t *object, const char *path, struct arena *arena,
                         struct endpoint_settings *ret, struct wharf_error *e)
{
    return json_is_object(object)
               ? fields_read(endpoint_settings_fields, object, path, arena, ret, e)
               : 0;
}

/* HostConfig.Links and Config.MacAddress are about the network of the mode. */
static int add_of_host(json_t *links, const char *mac, struct arena *arena,
                       struct endpoint_settings *s, struct wharf_error *e)
{
    size_t count = json_array_size(links), i;
    json_t *link;

    if (mac && *mac && (!s->mac || !*s->mac))
        s->mac = arena_str(arena, mac);
    if (count == 0)
        return 0;
    char **items = arena_array(arena, s->links.count + count, sizeof(*items));
    if (!items)
        return err_nomem(e);
    for (i = 0; i < s->links.count; i++)
        items[i] = s->links.items[i];
    json_array_foreach (links, i, link) {
        items[s->links.count] =
            arena_str(arena, json_string_value(link) ? json_string_value(link) : "");
        if (!items[s->links.count++])
            return err_nomem(e);
    }
    s->links.items = items;
    return 0;
}

struct joining {
    struct networks *nw;
    const struct network_member *member;
    struct arena *arena;
    struct wharf_error *e;
};

static int join_one(struct joining *j, const char *reference, json_t *settings, json_t *links,
                    const char *mac, char **ret_network)
{
    struct endpoint_settings s = { 0 };
    struct network n;
    int r = netstore_network_find(&j->nw->store, reference, j->member->owner, j->arena, &n, j->e);

    if (r == 0)
        r = read_settings(settings, "EndpointsConfig", j->arena, &s, j->e);
    if (r == 0)
        r = add_of_host(links, mac, j->arena, &s, j->e);
    if (r == 0)
        r = endpoint_add(j->nw, j->member, &n, &s, j->e);
    if (r == 0)
        *ret_network = n.id;
    return r;
}

static const char *network_of_mode(const char *mode)
{
    return !mode || !*mode || streq(mode, "default") ? DEFAULT_NETWORK : mode;
}

/* The entry of EndpointsConfig that means the network of the mode: by name, or by id. */
static json_t *settings_of_mode(struct joining *j, json_t *endpoints, const char *mode)
{
    json_t *by_name = json_object_get(endpoints, mode), *value;
    struct network n, other;
    const char *key;

    if (by_name ||
        netstore_network_find(&j->nw->store, mode, j->member->owner, j->arena, &n, NULL) < 0)
        return by_name ? by_name : json_object_get(endpoints, "default");
    json_object_foreach (endpoints, key, value) {
        if (netstore_network_find(&j->nw->store, key, j->member->owner, j->arena, &other, NULL) ==
                0 &&
            streq(n.id, other.id))
            return value;
    }
    return streq(mode, DEFAULT_NETWORK) ? json_object_get(endpoints, "default") : NULL;
}

static int join_all(struct joining *j, const char *mode, json_t *endpoints, json_t *links,
                    const char *mac)
{
    char *network = NULL;
    const char *key;
    json_t *value, *own = settings_of_mode(j, endpoints, mode);
    int r = join_one(j, mode, own, links, mac, &network);

    json_object_foreach (endpoints, key, value) {
        if (r == 0 && value != own)
            r = join_one(j, key, value, NULL, NULL, &network);
    }
    return r;
}

int network_join(struct networks *nw, const struct network_member *member, const char *mode,
                 json_t *endpoints, json_t *links, const char *mac, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct joining j = { nw, member, arena, e };
    LOCKED(nw);

    if (network_mode(mode) == NETWORK_MODE_SHARED)
        return 0;
    if (network_mode(mode) != NETWORK_MODE_OWN && json_array_size(links) > 0)
        return err_set(e, -EINVAL, WHARF_ERROR_INVALID,
                       "conflicting options: host type networking can't be used with links. This "
                       "would result in undefined behavior");
    int r = arena ? netstore_begin(&nw->store, e) : err_nomem(e);
    if (r < 0)
        return r;
    return netstore_end(&nw->store, join_all(&j, network_of_mode(mode), endpoints, links, mac), e);
}

int network_rename(struct networks *nw, const char *container, const char *name,
                   struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    endpoint_list list = { 0 };
    struct network n;
    LOCKED(nw);

    int r = arena ? netstore_begin(&nw->store, e) : err_nomem(e);
    if (r < 0)
        return r;
    r = netstore_run(&nw->store, e, "UPDATE endpoint SET name=?2 WHERE container=?1", "ss",
                     container, name);
    if (r >= 0)
        r = netstore_endpoints(&nw->store, container, NULL, arena, &list, e);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        r = endpoint_network(nw, &list.items[i], arena, &n, e);
        if (r == 0)
            r = name_files_network(nw, &n, arena, e);
    }
    return netstore_end(&nw->store, r, e);
}

int network_leave(struct networks *nw, const char *container, struct wharf_error *e)
{
    LOCKED(nw);
    int r = sandbox_stop(nw, container, e);

    if (r >= 0)
        r = netstore_run(&nw->store, e, "DELETE FROM endpoint WHERE container=?", "s", container);
    name_files_forget(nw, container, NULL);
    return MIN(r, 0);
}
