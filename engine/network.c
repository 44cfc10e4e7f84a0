/* SPDX-License-Identifier: Apache-2.0 */
/* See network.h; and what users ask of networks, as engine_network_*. */
#include "engine/network.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/str.h"
#include "network/pool.h"

int engine_networks(struct engine *en, struct networks **ret, struct wharf_error *e)
{
    struct networks_options options = { 0 };
    int r = 0;

    if (en->network_options)
        options = *en->network_options;
    options.root = en->root;
    options.run = en->run;
    pthread_mutex_lock(&en->opening);
    if (!en->networks && !en->spare && en->spare_networks)
        r = netns_pool_open(&en->spare, en->spare_networks, e);
    options.spare = en->spare;
    if (!en->networks && r == 0)
        r = networks_open(&en->networks, &options, e);
    if (r == 0)
        *ret = en->networks;
    pthread_mutex_unlock(&en->opening);
    return r;
}

/* ---- of a record ----------------------------------------------------------------------------- */

bool settings_have_networks(const struct settings *s)
{
    return !s->network_disabled && network_mode(s->host->network_mode) == NETWORK_MODE_OWN;
}

static json_t *settings_tree(const struct record *r)
{
    autojson json_t *tree = NULL;

    json_read(r->settings, strlen(r->settings), JSON_LIMITS, "settings", &tree, NULL);
    return take_ptr(&tree);
}

/* The same of a record alone. */
static bool has_networks(json_t *tree)
{
    const char *mode =
        json_string_value(json_object_get(json_object_get(tree, "HostConfig"), "NetworkMode"));

    return !json_is_true(json_object_get(tree, "NetworkDisabled")) &&
           network_mode(mode) == NETWORK_MODE_OWN;
}

static void member_of(const struct record *r, const char *hostname, char cut[13],
                      struct network_member *ret)
{
    snprintf(cut, 13, "%.12s", r->id);
    *ret = (struct network_member){ .id = r->id,
                                    .name = r->name,
                                    .hostname = settings_text(hostname) ? hostname : cut,
                                    .owner = r->owner };
}

int record_network_join(struct engine *en, const struct record *r, const struct settings *s,
                        struct wharf_error *e)
{
    struct network_member member;
    struct networks *nw;
    char cut[13];

    if (!settings_have_networks(s))
        return 0;
    autojson json_t *tree = settings_tree(r);
    json_t *host = json_object_get(tree, "HostConfig");
    json_t *networking = json_object_get(tree, "NetworkingConfig");
    int code = engine_networks(en, &nw, e);
    member_of(r, s->hostname, cut, &member);
    return code < 0 ? code
                    : network_join(nw, &member, s->host->network_mode,
                                   json_object_get(networking, "EndpointsConfig"),
                                   json_object_get(host, "Links"), s->mac, e);
}

/* {"80/tcp":{}}, also from the list that is stored */
static json_t *exposed_ports(json_t *tree)
{
    json_t *stored = json_object_get(tree, "ExposedPorts"), *port, *object;
    size_t i;

    if (!json_is_array(stored))
        return json_incref(stored);
    object = json_object();
    json_array_foreach (stored, i, port)
        json_object_set_new(object, json_string_value(port), json_object());
    return object;
}

/* Docker's events of networks: "connect" and the like with the container, "create" without. */
static void tell(struct engine *en, int64_t owner, const char *action, const char *id,
                 const char *name, const char *container)
{
    autojson json_t *attributes = json_pack("{s:s,s:s}", "name", name, "type", "bridge");

    if (container)
        json_object_set_new(attributes, "container", json_string(container));
    autofree char *text = json_write(attributes, JSON_COMPACT);
    if (text)
        engine_tell(en, owner, "network", action, id, text);
}

static void tell_container(struct engine *en, struct networks *nw, const struct record *r,
                           const char *action)
{
    autojson json_t *settings = NULL;
    json_t *endpoint;
    const char *name;

    if (network_settings(nw, r->id, NULL, &settings, NULL) < 0)
        return;
    json_object_foreach (json_object_get(settings, "Networks"), name, endpoint)
        tell(en, r->owner, action, json_string_value(json_object_get(endpoint, "NetworkID")), name,
             r->id);
}

int record_network_start(struct engine *en, const struct record *r, const struct settings *s,
                         int dir, struct network_sandbox *ret, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    struct network_sandbox sandbox = { .netns = -1, .ports = -1 };
    struct network_member member;
    struct networks *nw;
    char cut[13];

    *ret = sandbox;
    if (!settings_have_networks(s))
        return 0;
    autojson json_t *tree = settings_tree(r), *exposed = exposed_ports(tree);
    struct network_request request = {
        .member = &member,
        .port_bindings = json_object_get(json_object_get(tree, "HostConfig"), "PortBindings"),
        .exposed = exposed,
        .publish_all = h->publish_all,
        .dns = &h->dns,
    };
    struct network_files files = { s->domainname, &h->extra_hosts, &h->dns, &h->dns_search,
                                   &h->dns_options };
    member_of(r, s->hostname, cut, &member);
    int code = engine_networks(en, &nw, e);
    if (code == 0)
        code = network_start(nw, &request, &sandbox, e);
    if (code == 0)
        code = network_files(nw, &member, &files, dir, e);
    if (code < 0) {
        network_sandbox_done(&sandbox);
        network_stop(nw, r->id, NULL);
        return code;
    }
    tell_container(en, nw, r, "connect");
    *ret = sandbox;
    return 0;
}

int record_network_stop(struct engine *en, const struct record *r, struct wharf_error *e)
{
    autojson json_t *tree = settings_tree(r);
    struct networks *nw;
    int code = has_networks(tree) ? engine_networks(en, &nw, e) : 0;

    if (code < 0 || !has_networks(tree))
        return code;
    code = network_stop(nw, r->id, e);
    if (code > 0)
        tell_container(en, nw, r, "disconnect");
    return MIN(code, 0);
}

int record_network_leave(struct engine *en, const struct record *r, struct wharf_error *e)
{
    autojson json_t *tree = settings_tree(r);
    struct networks *nw;
    int code = record_network_stop(en, r, e);

    if (code < 0 || !has_networks(tree))
        return code;
    code = engine_networks(en, &nw, e);
    return code < 0 ? code : network_leave(nw, r->id, e);
}

int record_network_rename(struct engine *en, const struct record *r, struct wharf_error *e)
{
    autojson json_t *tree = settings_tree(r);
    struct networks *nw;
    int code = has_networks(tree) ? engine_networks(en, &nw, e) : 0;

    return code < 0 || !has_networks(tree) ? code : network_rename(nw, r->id, r->name, e);
}

/* A container of mode host or none is in the predefined network of that name, docker says. */
static void add_predefined(json_t *settings, const struct settings *s)
{
    json_t *networks = json_object_get(settings, "Networks");
    const char *mode = s->host->network_mode;

    if (network_mode(mode) == NETWORK_MODE_HOST || network_mode(mode) == NETWORK_MODE_NONE)
        json_object_set_new(
            networks, mode,
            json_pack("{s:n,s:n,s:n,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:i,s:n}", "IPAMConfig",
                      "Links", "Aliases", "NetworkID", "", "EndpointID", "", "Gateway", "",
                      "IPAddress", "", "MacAddress", "", "IPPrefixLen", 0, "IPv6Gateway", "",
                      "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0, "DriverOpts"));
}

json_t *record_network_json(struct engine *en, const struct record *r, const struct settings *s)
{
    json_t *settings = NULL;
    struct networks *nw;

    if (settings_have_networks(s)) {
        autojson json_t *tree = settings_tree(r), *exposed = exposed_ports(tree);

        if (engine_networks(en, &nw, NULL) == 0 &&
            network_settings(nw, r->id, exposed, &settings, NULL) == 0 && record_is_running(r))
            json_object_set_new(settings, "SandboxKey",
                                json_sprintf("/proc/%lld/ns/net", (long long)r->pid));
    }
    if (!settings)
        settings =
            json_pack("{s:s,s:s,s:b,s:{},s:s,s:s,s:s,s:i,s:s,s:s,s:{},s:s,s:i,s:n,s:n,s:s,s:s,"
                      "s:i}",
                      "Bridge", "", "SandboxID", "", "HairpinMode", false, "Ports", "SandboxKey",
                      "", "Gateway", "", "IPAddress", "", "IPPrefixLen", 0, "IPv6Gateway", "",
                      "MacAddress", "", "Networks", "LinkLocalIPv6Address", "",
                      "LinkLocalIPv6PrefixLen", 0, "SecondaryIPAddresses", "SecondaryIPv6Addresses",
                      "EndpointID", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0);
    if (settings)
        add_predefined(settings, s);
    return settings;
}

json_t *engine_container_ports(struct engine *en, const struct record *r)
{
    autojson json_t *tree = settings_tree(r), *exposed = exposed_ports(tree);
    struct networks *nw;
    json_t *ports = NULL;

    if (record_is_running(r) && has_networks(tree) && engine_networks(en, &nw, NULL) == 0)
        network_ports(nw, r->id, exposed, &ports, NULL);
    return ports ? ports : json_array();
}

/* ---- for users ------------------------------------------------------------------------------- */

static int open_for(struct engine *en, struct principal who, struct networks **ret,
                    struct wharf_error *e)
{
    int r = principal_check(en, who, e);

    return r < 0 ? r : engine_networks(en, ret, e);
}

int engine_network_create(struct engine *en, struct principal who, json_t *body, json_t **ret,
                          struct wharf_error *e)
{
    struct networks *nw;
    int r = open_for(en, who, &nw, e);

    if (r == 0)
        r = network_create(nw, who.uid, body, ret, e);
    if (r == 0)
        tell(en, who.uid, "create", json_string_value(json_object_get(*ret, "Id")),
             json_string_value(json_object_get(body, "Name")), NULL);
    return r;
}

int engine_network_inspect(struct engine *en, struct principal who, const char *reference,
                           json_t **ret, struct wharf_error *e)
{
    struct networks *nw;
    int r = open_for(en, who, &nw, e);

    return r < 0 ? r : network_inspect(nw, who.uid, reference, ret, e);
}

int engine_network_list(struct engine *en, struct principal who, json_t *filters, bool containers,
                        json_t **ret, struct wharf_error *e)
{
    struct networks *nw;
    int r = open_for(en, who, &nw, e);

    return r < 0 ? r : network_list(nw, who.uid, filters, containers, ret, e);
}

/* Containers that ended unseen still hold their place: look at each, which repairs them. */
static int settle_one(void *user, struct record *r)
{
    return 0;
}

int engine_network_remove(struct engine *en, struct principal who, const char *reference,
                          struct wharf_error *e)
{
    autojson json_t *network = NULL;
    struct networks *nw;
    int r = open_for(en, who, &nw, e);

    if (r == 0)
        r = network_inspect(nw, who.uid, reference, &network, e);
    if (r == 0)
        r = network_remove(nw, who.uid, reference, NULL, e);
    if (r == -EBUSY && engine_container_list(en, who, settle_one, NULL, NULL) == 0)
        r = network_remove(nw, who.uid, reference, NULL, e);
    if (r == 0)
        tell(en, who.uid, "destroy", json_string_value(json_object_get(network, "Id")),
             json_string_value(json_object_get(network, "Name")), NULL);
    return r;
}

int engine_network_prune(struct engine *en, struct principal who, json_t *filters, json_t **ret,
                         struct wharf_error *e)
{
    struct networks *nw;
    int r = open_for(en, who, &nw, e);

    return r < 0 ? r : network_prune(nw, who.uid, filters, ret, e);
}

/* Opens the namespace of a running container; -1 when it does not run. */
static int namespace_of(const struct record *r, struct wharf_error *e)
{
    char path[64];

    if (!record_is_running(r))
        return -1;
    snprintf(path, sizeof(path), "/proc/%lld/ns/net", (long long)r->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_sys(e, "cannot open the network namespace of container %s", r->id) : fd;
}

struct change {
    struct record record;
    struct settings settings;
    struct network_member member;
    struct networks *nw;
    struct arena *arena;
    char cut[13];
    int lock, netns, dir;
};

static void change_done(struct change *c)
{
    record_done(&c->record);
    arena_free(c->arena);
    fd_close(c->dir);
    fd_close(c->netns);
    fd_close(c->lock);
}

/* Finds and locks the container that a network is changed of. */
static int change_begin(struct engine *en, struct principal who, const char *container,
                        struct change *c, struct wharf_error *e)
{
    *c = (struct change){ .lock = -1, .netns = -1, .dir = -1 };
    int r = open_for(en, who, &c->nw, e);

    if (r == 0)
        r = container_find(en, who, container, &c->record, &c->lock, e);
    if (r < 0)
        return r;
    c->arena = arena_new(SETTINGS_ARENA_MAX);
    r = c->arena ? settings_read(c->record.settings, strlen(c->record.settings), c->arena,
                                 &c->settings, e)
                 : err_nomem(e);
    if (r < 0)
        return r;
    if (!settings_have_networks(&c->settings))
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "container %s shares a network or has none: it cannot be connected to "
                       "networks or disconnected from them",
                       container);
    member_of(&c->record, c->settings.hostname, c->cut, &c->member);
    c->dir = container_directory(en, c->record.id);
    c->netns = namespace_of(&c->record, e);
    return c->netns < -1 ? c->netns : 0;
}

/* The names of a running container follow, and the world hears of it. */
static int change_end(struct engine *en, struct change *c, const char *reference,
                      const char *action, struct wharf_error *e)
{
    autojson json_t *network = NULL;
    const struct settings_host *h = c->settings.host;
    struct network_files files = { c->settings.domainname, &h->extra_hosts, &h->dns, &h->dns_search,
                                   &h->dns_options };

    if (network_inspect(c->nw, 0, reference, &network, NULL) == 0)
        tell(en, c->record.owner, action, json_string_value(json_object_get(network, "Id")),
             json_string_value(json_object_get(network, "Name")), c->record.id);
    return c->netns < 0 ? 0 : network_files(c->nw, &c->member, &files, c->dir, e);
}

int engine_network_connect(struct engine *en, struct principal who, const char *reference,
                           const char *container, json_t *settings, struct wharf_error *e)
{
    __attribute__((cleanup(change_done))) struct change c;
    int r = change_begin(en, who, container, &c, e);

    if (r == 0)
        r = network_connect(c.nw, who.uid, reference, &c.member, settings, c.netns, e);
    if (r == 0)
        r = store_touch(en->store, c.record.id, e);
    return r < 0 ? r : change_end(en, &c, reference, "connect", e);
}

int engine_network_disconnect(struct engine *en, struct principal who, const char *reference,
                              const char *container, bool force, struct wharf_error *e)
{
    __attribute__((cleanup(change_done))) struct change c;
    int r = change_begin(en, who, container, &c, e);

    if (r == 0)
        r = network_disconnect(c.nw, who.uid, reference, &c.member, c.netns, force, e);
    if (r == 0)
        r = store_touch(en->store, c.record.id, e);
    return r < 0 ? r : change_end(en, &c, reference, "disconnect", e);
}
