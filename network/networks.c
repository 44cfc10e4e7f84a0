/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, and the life of networks: making, removing, pruning.
 *
 * A root's place in the kernel is its default bridge: wharf0, or the first of wharf1, wharf2, ...
 * that is nobody's. Interfaces carry their root in their alias, so that several roots live side by
 * side, and what a root that was deleted left behind is taken over. The packet filter's table is
 * called "wharf" for wharf0, else like the bridge.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/internal.h"

#define BRIDGES_MAX 1000 /* roots on one host */

int64_t networks_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int networks_netlink(struct networks *nw, struct wharf_error *e)
{
    return nw->nl ? 0 : netlink_open(&nw->nl, -1, e);
}

int networks_filter(struct networks *nw, struct wharf_error *e)
{
    return nw->nft ? 0 : nft_open(&nw->nft, e);
}

/* ---- the predefined networks ----------------------------------------------------------------- */

/* Whether the root that an interface belongs to is still there. */
static bool is_alive(const char *mark)
{
    const char *root = str_after(mark, "wharf:");
    size_t length = root ? strlen(root) : 0;

    if (root && str_ends(root, BRIDGE_CLAIMED))
        length -= strlen(BRIDGE_CLAIMED);
    autofree char *database = root ? str_format("%.*s/network.db", (int)length, root) : NULL;

    return !database || access(database, F_OK) == 0;
}

/* Makes a bridge of this name ours: 0, or -EEXIST when it is another's. */
static int claim(struct networks *nw, const char *name, struct wharf_error *e)
{
    char mark[BRIDGE_MARK_MAX];
    int r = bridge_owner(nw->nl, name, mark, NULL);

    const char *rest = r == 0 ? str_after(mark, nw->mark) : NULL;
    bool ours = rest && (!*rest || streq(rest, BRIDGE_CLAIMED));
    if (r == 0 && !ours && is_alive(mark))
        return -EEXIST;
    if (r == 0)
        r = bridge_remove(nw->nl, name, mark, e);
    return r < 0 && r != -ENODEV ? r : bridge_claim(nw->nl, name, nw->mark, e);
}

static int claim_any(struct networks *nw, char name[IFNAMSIZ], struct wharf_error *e)
{
    int r = -EEXIST;

    for (int i = 0; r == -EEXIST && i < BRIDGES_MAX; i++) {
        snprintf(name, IFNAMSIZ, "wharf%d", i);
        r = claim(nw, name, NULL);
    }
    if (r == -EPERM) { /* an unprivileged user may look, and run containers without networks */
        snprintf(name, IFNAMSIZ, "%s", DEFAULT_BRIDGE);
        return 0;
    }
    return r < 0 ? err_code(e, r, "cannot make the default bridge") : 0;
}

/* The engine's MTU, where a network does not say its own. */
static int add_mtu(const struct networks *nw, struct network *n, struct arena *arena,
                   struct wharf_error *e)
{
    static char key[] = "com.docker.network.driver.mtu";
    field_pairs *options = &n->document.options;
    struct field_pair *items = arena_array(arena, options->count + 1, sizeof(*items));

    if (!nw->options.mtu || pair_find(options, key))
        return 0;
    if (!items)
        return err_nomem(e);
    if (options->count)
        memcpy(items, options->items, options->count * sizeof(*items));
    items[options->count] = (struct field_pair){ key, arena_format(arena, "%u", nw->options.mtu) };
    options->items = items;
    return items[options->count++].value ? 0 : err_nomem(e);
}

static int add_predefined(struct networks *nw, const char *name, const char *driver,
                          const char *bridge, const subnet_list *host, struct arena *arena,
                          struct wharf_error *e)
{
    char id[NETWORK_ID_LENGTH + 1];
    struct network_pool pool = { .subnet = (char *)nw->options.bridge_ip };
    struct subnet given;
    struct network n = { .owner = NETWORK_EVERYBODY,
                         .created_ns = networks_now_ns(),
                         .bridge = (char *)bridge,
                         .document = { .name = (char *)name,
                                       .driver = (char *)driver,
                                       .scope = (char *)"local",
                                       .ipam = arena_alloc(arena, sizeof(*n.document.ipam)) } };

    if (!n.document.ipam || id_make(id) < 0)
        return err_nomem(e);
    n.id = id;
    if (*bridge && pool.subnet) {
        if (subnet_parse(pool.subnet, &given) < 0)
            return err_invalid(e, "invalid address of the default bridge: %s", pool.subnet);
        pool.gateway = arena_strn(arena, pool.subnet, strcspn(pool.subnet, "/"));
        n.document.ipam->pools.items = &pool;
        n.document.ipam->pools.count = 1;
    }
    int r = *bridge ? add_mtu(nw, &n, arena, e) : 0;
    if (r == 0)
        r = network_derive(&n, e);
    if (r == 0 && *bridge)
        r = ipam_network(&nw->store, &n, nw->options.pools, nw->options.pool_count, host, arena, e);
    if (r == 0)
        r = netstore_network_add(&nw->store, &n, e);
    return r < 0 ? r : ipam_reserve(&nw->store, &n, e);
}

/* The default bridge as docker describes its own. */
static int set_default_options(struct networks *nw, struct arena *arena, const char *bridge,
                               const subnet_list *host, struct wharf_error *e)
{
    int r = add_predefined(nw, DEFAULT_NETWORK, "bridge", bridge, host, arena, e);

    if (r == 0)
        r = add_predefined(nw, "host", "host", "", host, arena, e);
    if (r == 0)
        r = add_predefined(nw, "none", "null", "", host, arena, e);
    if (r == 0)
        r = netstore_run(&nw->store, e, "INSERT INTO meta VALUES('bridge', ?)", "s", bridge);
    return MIN(r, 0);
}

static char *read_bridge(struct networks *nw)
{
    autostatement sqlite3_stmt *q = NULL;

    if (netstore_query(&nw->store, &q, NULL, "SELECT value FROM meta WHERE key='bridge'", "") < 0 ||
        netstore_next(&nw->store, q, NULL) <= 0)
        return NULL;
    return strdup(column_text(q, 0));
}

static int make_predefined(struct networks *nw, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    char bridge[IFNAMSIZ];
    subnet_list host = { 0 };
    int r = arena ? netstore_begin(&nw->store, e) : err_nomem(e);

    if (r < 0)
        return r;
    autofree char *made = read_bridge(nw); /* by another process meanwhile */
    if (!made) {
        r = networks_netlink(nw, e);
        if (r == 0)
            r = claim_any(nw, bridge, e);
        if (r == 0)
            r = ipam_host_subnets(arena, &host, e);
        if (r == 0)
            r = set_default_options(nw, arena, bridge, &host, e);
    }
    return netstore_end(&nw->store, r, e);
}

/* ---- another address of the default bridge ---------------------------------------------------- */

static void forget_network(struct networks *nw, const struct network *n)
{
    netstore_run(&nw->store, NULL, "DELETE FROM address WHERE network=?", "s", n->id);
    netstore_run(&nw->store, NULL, "DELETE FROM network WHERE id=?", "s", n->id);
}

static int rewrite_bridge(struct networks *nw, struct network *n, struct arena *arena,
                          struct wharf_error *e)
{
    struct network_pool *pool = &n->document.ipam->pools.items[0];

    if (netstore_number(&nw->store, 0, "SELECT 1 FROM endpoint WHERE network=? AND active=1", "s",
                        n->id))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "the default bridge cannot become %s while containers are on it",
                       nw->options.bridge_ip);
    *pool = (struct network_pool){ .subnet = (char *)nw->options.bridge_ip,
                                   .gateway = arena_strn(arena, nw->options.bridge_ip,
                                                         strcspn(nw->options.bridge_ip, "/")) };
    int r = pool->gateway ? network_derive(n, e) : err_nomem(e);
    if (r == 0)
        r = networks_netlink(nw, e);
    if (r == 0) /* made anew, with its address, when it is needed */
        r = bridge_remove(nw->nl, n->bridge, nw->mark, e);
    if (r == 0)
        forget_network(nw, n);
    if (r == 0)
        r = netstore_network_add(&nw->store, n, e);
    return r < 0 ? r : ipam_reserve(&nw->store, n, e);
}

/* --bip, when the root was made with another one. */
static int apply_bridge_ip(struct networks *nw, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct subnet wanted;
    struct network n;

    if (!nw->options.bridge_ip)
        return 0;
    if (subnet_parse(nw->options.bridge_ip, &wanted) < 0 || wanted.address.family != AF_INET)
        return err_invalid(e, "invalid address of the default bridge: %s", nw->options.bridge_ip);
    int r =
        arena ? netstore_network_find(&nw->store, DEFAULT_NETWORK, 0, arena, &n, e) : err_nomem(e);
    if (r < 0 || (ipaddr_compare(&n.subnet[0].address, &wanted.address) == 0 &&
                  n.subnet[0].prefix == wanted.prefix))
        return r;
    r = netstore_begin(&nw->store, e);
    return r < 0 ? r : netstore_end(&nw->store, rewrite_bridge(nw, &n, arena, e), e);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_names(struct networks *nw, struct wharf_error *e)
{
    nw->names_path = str_format("%s/names", nw->options.run);
    if (!nw->names_path)
        return err_nomem(e);
    int r = path_make_dirs(nw->names_path, 0711);
    if (r < 0)
        return err_code(e, r, "cannot make '%s'", nw->names_path);
    nw->names = open(nw->names_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return nw->names < 0 ? err_sys(e, "cannot open '%s'", nw->names_path) : 0;
}

static int open_store(struct networks *nw, struct wharf_error *e)
{
    autofree char *path = str_format("%s/network.db", nw->options.root);
    int r = path ? network_store_open(&nw->store, path, e) : err_nomem(e);

    if (r < 0)
        return r;
    autofree char *bridge = read_bridge(nw);
    if (!bridge) {
        r = make_predefined(nw, e);
        bridge = r == 0 ? read_bridge(nw) : NULL;
    }
    if (r < 0)
        return r;
    nw->table = strdup(bridge && !streq(bridge, DEFAULT_BRIDGE) ? bridge : "wharf");
    return nw->table ? apply_bridge_ip(nw, e) : err_nomem(e);
}

int networks_open(struct networks **ret, const struct networks_options *options,
                  struct wharf_error *e)
{
    struct networks *nw = calloc(1, sizeof(*nw));

    if (!nw)
        return err_nomem(e);
    nw->options = *options;
    nw->names = -1;
    pthread_mutex_init(&nw->lock, NULL);
    snprintf(nw->mark, sizeof(nw->mark), "wharf:%s", options->root);
    int r = open_names(nw, e);
    if (r == 0)
        r = open_store(nw, e);
    if (r < 0) {
        networks_close(nw);
        return r;
    }
    *ret = nw;
    return 0;
}

void networks_close(struct networks *nw)
{
    if (!nw)
        return;
    network_store_close(&nw->store);
    netlink_close(nw->nl);
    nft_close(nw->nft);
    fd_close(nw->names);
    pthread_mutex_destroy(&nw->lock);
    free(nw->names_path);
    free(nw->table);
    free(nw);
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool is_predefined(const char *name)
{
    static const char *const names[] = { "bridge", "host", "none", "default" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(name, names[i]))
            return true;
    }
    return false;
}

static int check_document(const struct network_document *d, struct wharf_error *e)
{
    if (!d->name || !*d->name || d->name[strspn(d->name, " \t\n")] == '\0' ||
        strpbrk(d->name, " \t\n/"))
        return err_invalid(e, "invalid name: %s is not a valid network name",
                           d->name && *d->name ? d->name : "\"\"");
    if (is_predefined(d->name))
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "operation is not permitted on predefined %s network ", d->name);
    if (d->ingress || (d->scope && *d->scope && !streq(d->scope, "local")))
        return err_set(e, -EOPNOTSUPP, WHARF_ERROR_UNAVAILABLE,
                       "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                       "swarm join\" to connect this node to swarm and try again.");
    if (d->config_only)
        return err_unsupported(e, "configuration-only networks are not supported");
    if (d->ipv4.set && !d->ipv4.value && !d->ipv6)
        return err_invalid(e, "IPv4 or IPv6 must be enabled");
    if (d->ipam && d->ipam->driver && *d->ipam->driver && !streq(d->ipam->driver, "default"))
        return err_not_found(e, "plugin \"%s\" not found", d->ipam->driver);
    return 0;
}

static int read_body(json_t *body, struct arena *arena, struct network *n, struct wharf_error *e)
{
    int r = fields_fold_case(network_document_fields, body, e);

    if (r == 0)
        r = fields_read(network_document_fields, body, "", arena, &n->document, e);

    if (r == 0)
        r = check_document(&n->document, e);
    if (r == 0 && json_object_size(json_object_get(body, "ConfigFrom")) > 0 &&
        json_string_length(json_object_get(json_object_get(body, "ConfigFrom"), "Network")) > 0)
        r = err_unsupported(e, "networks made from the configuration of another are not supported");
    if (r < 0)
        return r;
    if (!n->document.driver || !*n->document.driver)
        n->document.driver = (char *)"bridge";
    n->document.scope = (char *)"local";
    r = network_derive(n, e);
    if (r == 0 && n->kind != NETWORK_BRIDGE)
        r = err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                    "only one instance of \"%s\" network is allowed", n->document.driver);
    return r;
}

static int name_bridge(struct networks *nw, struct network *n, struct arena *arena,
                       struct wharf_error *e)
{
    const char *asked = pair_find(&n->document.options, "com.docker.network.bridge.name");

    n->bridge = asked ? arena_str(arena, asked) : arena_format(arena, "br-%.12s", n->id);
    if (!n->bridge)
        return err_nomem(e);
    if (netstore_number(&nw->store, 0, "SELECT 1 FROM network WHERE bridge=?", "s", n->bridge))
        return err_set(e, -EEXIST, WHARF_ERROR_FORBIDDEN,
                       "networks have same bridge name: %s is taken", n->bridge);
    return 0;
}

static int create_written(struct networks *nw, struct network *n, struct arena *arena,
                          struct wharf_error *e)
{
    subnet_list host = { 0 };
    int r = ipam_host_subnets(arena, &host, e);

    if (r == 0)
        r = netstore_begin(&nw->store, e);
    if (r < 0)
        return r;
    if (netstore_number(&nw->store, 0, "SELECT 1 FROM network WHERE name=?", "s", n->document.name))
        r = err_set(e, -EEXIST, WHARF_ERROR_CONFLICT, "network with name %s already exists",
                    n->document.name);
    if (r == 0)
        r = name_bridge(nw, n, arena, e);
    if (r == 0)
        r = ipam_network(&nw->store, n, nw->options.pools, nw->options.pool_count, &host, arena, e);
    if (r == 0)
        r = netstore_network_add(&nw->store, n, e);
    if (r == 0)
        r = ipam_reserve(&nw->store, n, e);
    return netstore_end(&nw->store, r, e);
}

/* The bridge is there at once, as docker's is; should we be killed before, the first container
 * makes it. */
static int create_kernel(struct networks *nw, const struct network *n, struct wharf_error *e)
{
    int r = networks_netlink(nw, e);

    if (r == 0)
        r = bridge_ensure(nw->nl, n, nw->mark, e);
    return MIN(r, 0);
}

int network_create(struct networks *nw, int64_t owner, json_t *body, json_t **ret,
                   struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    char id[NETWORK_ID_LENGTH + 1];
    struct network n = { .id = id, .owner = owner, .created_ns = networks_now_ns() };
    LOCKED(nw);

    if (!arena || id_make(id) < 0)
        return err_nomem(e);
    int r = read_body(body, arena, &n, e);
    if (r == 0)
        r = add_mtu(nw, &n, arena, e);
    if (r == 0)
        r = create_written(nw, &n, arena, e);
    if (r < 0)
        return r;
    r = create_kernel(nw, &n, e);
    if (r < 0) {
        forget_network(nw, &n);
        return r;
    }
    *ret = json_pack("{s:s,s:s}", "Id", id, "Warning", "");
    return *ret ? 0 : err_nomem(e);
}

/* ---- removing -------------------------------------------------------------------------------- */

static int remove_kernel(struct networks *nw, const struct network *n, struct wharf_error *e)
{
    struct firewall_network filtered = network_filter_of(n);
    int r = networks_netlink(nw, e);

    if (r == 0)
        r = networks_filter(nw, e);
    if (r == 0)
        r = bridge_remove(nw->nl, n->bridge, nw->mark, e);
    if (r == 0)
        r = firewall_remove_network(nw->nft, nw->table, &filtered, e);
    name_files_forget(nw, NULL, n->id);
    return r;
}

static int remove_one(struct networks *nw, const struct network *n, struct wharf_error *e)
{
    int r = netstore_begin(&nw->store, e);

    if (r < 0)
        return r;
    if (netstore_number(&nw->store, 0, "SELECT count(*) FROM endpoint WHERE network=? AND active=1",
                        "s", n->id))
        r = err_set(e, -EBUSY, WHARF_ERROR_FORBIDDEN,
                    "error while removing network: network %s id %s has active endpoints",
                    n->document.name, n->id);
    /* under the lock of the database: nobody connects meanwhile */
    if (r == 0)
        r = remove_kernel(nw, n, e);
    if (r == 0)
        forget_network(nw, n);
    return netstore_end(&nw->store, r, e);
}

int network_remove(struct networks *nw, int64_t owner, const char *reference, char *ret_id,
                   struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct network n;
    LOCKED(nw);

    int r =
        arena ? netstore_network_find(&nw->store, reference, owner, arena, &n, e) : err_nomem(e);
    if (r < 0)
        return r;
    if (n.predefined)
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "%s is a pre-defined network and cannot be removed", n.document.name);
    r = remove_one(nw, &n, e);
    if (r == 0 && ret_id)
        snprintf(ret_id, NETWORK_ID_LENGTH + 1, "%s", n.id);
    return r;
}

int network_prune(struct networks *nw, int64_t owner, json_t *filters, json_t **ret,
                  struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    autojson json_t *deleted = json_array();
    network_list_of all = { 0 };
    LOCKED(nw);

    int r = arena && deleted ? netstore_networks(&nw->store, owner, arena, &all, e) : err_nomem(e);
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        const struct network *n = &all.items[i];
        int matches = n->predefined ? 0 : network_matches(nw, n, filters, true, e);

        if (matches < 0)
            return matches;
        /* also those of stopped containers stay: they would not start again */
        if (!matches ||
            netstore_number(&nw->store, 0, "SELECT 1 FROM endpoint WHERE network=?", "s", n->id))
            continue;
        if (remove_one(nw, n, NULL) == 0)
            json_array_append_new(deleted, json_string(n->document.name));
    }
    if (r < 0)
        return r;
    *ret = json_pack("{s:O}", "NetworksDeleted", deleted);
    return *ret ? 0 : err_nomem(e);
}
