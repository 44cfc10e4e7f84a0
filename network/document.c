/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's documents of networks: inspect, list, a container's NetworkSettings; and filters. */
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/str.h"
#include "network/internal.h"
#include "network/port.h"

/* ---- a network ------------------------------------------------------------------------------- */

static json_t *text(const char *value)
{
    return json_string(value ? value : "");
}

static json_t *time_text(int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char date[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    return json_sprintf("%s.%09lldZ", date, (long long)(ns % 1000000000));
}

static json_t *pairs(const field_pairs *list)
{
    json_t *object = json_object();

    for (size_t i = 0; i < list->count; i++)
        json_object_set_new(object, list->items[i].key, text(list->items[i].value));
    return object;
}

static json_t *ipam(const struct network *n)
{
    const struct network_ipam *from = n->document.ipam;
    json_t *config = json_array();

    for (size_t i = 0; from && i < from->pools.count; i++) {
        const struct network_pool *pool = &from->pools.items[i];
        json_t *entry = json_pack("{s:o}", "Subnet", text(pool->subnet));

        if (pool->range && *pool->range)
            json_object_set_new(entry, "IPRange", text(pool->range));
        if (pool->gateway && *pool->gateway)
            json_object_set_new(entry, "Gateway", text(pool->gateway));
        if (pool->auxiliary.count)
            json_object_set_new(entry, "AuxiliaryAddresses", pairs(&pool->auxiliary));
        json_array_append_new(config, entry);
    }
    return json_pack("{s:s,s:o,s:o}", "Driver", "default", "Options",
                     from && from->options.count ? pairs(&from->options)
                     : n->predefined             ? json_null()
                                                 : json_object(),
                     "Config", config);
}

/* The predefined bridge describes itself by its options, as docker's does. */
static json_t *options(const struct network *n)
{
    if (!n->predefined || n->kind != NETWORK_BRIDGE)
        return pairs(&n->document.options);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "com.docker.network.bridge.default_bridge",
                     "true", "com.docker.network.bridge.enable_icc", "true",
                     "com.docker.network.bridge.enable_ip_masquerade", "true",
                     "com.docker.network.bridge.host_binding_ipv4", "0.0.0.0",
                     "com.docker.network.bridge.name", n->bridge, "com.docker.network.driver.mtu",
                     json_sprintf("%u", n->mtu ? n->mtu : 1500));
}

static json_t *address_with_prefix(const struct ipaddr *a, const struct subnet *of)
{
    struct subnet s = { *a, of->prefix };
    char value[SUBNET_TEXT_MAX];

    return json_string(subnet_text(&s, value));
}

static json_t *mac_value(const struct endpoint *p)
{
    static const unsigned char none[6];
    char value[MAC_TEXT_MAX];

    return json_string(memcmp(p->mac, none, 6) == 0 ? "" : mac_text(p->mac, value));
}

static int members(struct networks *nw, const struct network *n, struct arena *arena, json_t *ret,
                   struct wharf_error *e)
{
    endpoint_list list = { 0 };
    int r = netstore_endpoints(&nw->store, NULL, n->id, arena, &list, e);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct endpoint *p = &list.items[i];

        if (!p->active)
            continue;
        json_object_set_new(ret, p->container,
                            json_pack("{s:s,s:s,s:o,s:o,s:o}", "Name", p->name, "EndpointID", p->id,
                                      "MacAddress", mac_value(p), "IPv4Address",
                                      address_with_prefix(&p->address[0], &n->subnet[0]),
                                      "IPv6Address",
                                      address_with_prefix(&p->address[1], &n->subnet[1])));
    }
    return r;
}

static int describe(struct networks *nw, const struct network *n, bool containers,
                    struct arena *arena, json_t **ret, struct wharf_error *e)
{
    autojson json_t *inside = json_object();
    const struct network_document *d = &n->document;
    int r = containers ? members(nw, n, arena, inside, e) : 0;

    if (r < 0)
        return r;
    *ret =
        json_pack("{s:s,s:s,s:o,s:s,s:s,s:b,s:b,s:o,s:b,s:b,s:b,s:{s:s},s:b,s:O,s:o,s:o}", "Name",
                  d->name, "Id", n->id, "Created", time_text(n->created_ns), "Scope", "local",
                  "Driver", d->driver, "EnableIPv4", !d->ipv4.set || d->ipv4.value, "EnableIPv6",
                  d->ipv6, "IPAM", ipam(n), "Internal", d->internal, "Attachable", d->attachable,
                  "Ingress", false, "ConfigFrom", "Network", "", "ConfigOnly", false, "Containers",
                  inside, "Options", options(n), "Labels", pairs(&d->labels));
    return *ret ? 0 : err_nomem(e);
}

int network_inspect(struct networks *nw, int64_t owner, const char *reference, json_t **ret,
                    struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    struct network n;
    LOCKED(nw);

    int r =
        arena ? netstore_network_find(&nw->store, reference, owner, arena, &n, e) : err_nomem(e);
    return r < 0 ? r : describe(nw, &n, true, arena, ret, e);
}

/* ---- filters --------------------------------------------------------------------------------- */

/* One filter's values, of ["v"] or {"v":true}. */
typedef bool matches(struct networks *nw, const struct network *n, const char *value);

static bool by_expression(const char *subject, const char *value)
{
    regex_t expression;

    if (regcomp(&expression, value, REG_EXTENDED | REG_NOSUB) != 0)
        return streq(subject, value);
    bool found = regexec(&expression, subject, 0, NULL, 0) == 0;
    regfree(&expression);
    return found;
}

static bool is_driver(struct networks *nw, const struct network *n, const char *value)
{
    return streq(n->document.driver, value);
}

static bool is_id(struct networks *nw, const struct network *n, const char *value)
{
    return by_expression(n->id, value);
}

static bool is_name(struct networks *nw, const struct network *n, const char *value)
{
    return by_expression(n->document.name, value);
}

static bool is_scope(struct networks *nw, const struct network *n, const char *value)
{
    return streq(value, "local");
}

static bool is_type(struct networks *nw, const struct network *n, const char *value)
{
    return streq(value, n->predefined ? "builtin" : "custom");
}

static bool has_label(struct networks *nw, const struct network *n, const char *value)
{
    const field_pairs *labels = &n->document.labels;
    size_t key = strcspn(value, "=");

    for (size_t i = 0; i < labels->count; i++) {
        const struct field_pair *label = &labels->items[i];

        if (strlen(label->key) == key && strncmp(label->key, value, key) == 0 &&
            (!value[key] || streq(label->value, value + key + 1)))
            return true;
    }
    return false;
}

static bool is_dangling(struct networks *nw, const struct network *n, const char *value)
{
    bool wanted = streq(value, "true") || streq(value, "1");
    bool used = netstore_number(&nw->store, 0,
                                "SELECT 1 FROM endpoint WHERE network=? AND active=1", "s", n->id);

    return (!used && !n->predefined) == wanted;
}

/* Seconds since the epoch, or a Go duration such as "1h30m", which means ago. */
static bool parse_until(const char *value, int64_t *ret_ns)
{
    static const char units[] = "hms";
    static const int64_t seconds[] = { 3600, 60, 1 };
    int64_t ago = 0, number = 0;
    bool digits = false;

    for (const char *at = value; *at; at++) {
        const char *unit = strchr(units, *at);

        if (*at >= '0' && *at <= '9' && number < INT32_MAX) {
            number = number * 10 + (*at - '0');
            digits = true;
        } else if (digits && unit) {
            ago += number * seconds[unit - units];
            number = 0;
            digits = false;
        } else {
            return false;
        }
    }
    *ret_ns = digits ? number * 1000000000 : networks_now_ns() - ago * 1000000000;
    return *value != '\0' && !(digits && ago);
}

static bool is_before(struct networks *nw, const struct network *n, const char *value)
{
    int64_t until;

    return parse_until(value, &until) && n->created_ns < until;
}

static const struct {
    const char *name;
    matches *matches;
    bool list, prune;
    bool all;     /* every value must match, not one of them */
    bool negated; /* ... must not */
} filter_table[] = {
    { "dangling", is_dangling, .list = true },
    { "driver", is_driver, .list = true },
    { "id", is_id, .list = true },
    { "label", has_label, .list = true, .prune = true, .all = true },
    { "label!", has_label, .prune = true, .all = true, .negated = true },
    { "name", is_name, .list = true },
    { "scope", is_scope, .list = true },
    { "type", is_type, .list = true },
    { "until", is_before, .prune = true, .all = true },
};

static bool passes(struct networks *nw, const struct network *n, size_t filter, json_t *values)
{
    bool any = false, all = true, some = false;
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach (values, i, value) {
        bool m = filter_table[filter].matches(
            nw, n, json_string_value(value) ? json_string_value(value) : "");

        any = any || m;
        all = all && m != filter_table[filter].negated;
        some = true;
    }
    json_object_foreach (values, key, value) {
        bool m = filter_table[filter].matches(nw, n, key);

        any = any || m;
        all = all && m != filter_table[filter].negated;
        some = true;
    }
    return !some || (filter_table[filter].all ? all : any);
}

int network_matches(struct networks *nw, const struct network *n, json_t *filters, bool prune,
                    struct wharf_error *e)
{
    const char *key;
    json_t *values;
    int r = 1;

    json_object_foreach (filters, key, values) {
        size_t i = 0;

        while (i < ARRAY_SIZE(filter_table) &&
               (!streq(filter_table[i].name, key) ||
                !(prune ? filter_table[i].prune : filter_table[i].list)))
            i++;
        if (i == ARRAY_SIZE(filter_table))
            return err_invalid(e, "invalid filter '%s'", key);
        if (r == 1 && !passes(nw, n, i, values))
            r = 0;
    }
    return r;
}

int network_list(struct networks *nw, int64_t owner, json_t *filters, bool containers, json_t **ret,
                 struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    autojson json_t *array = json_array();
    network_list_of all = { 0 };
    LOCKED(nw);

    int r = arena && array ? netstore_networks(&nw->store, owner, arena, &all, e) : err_nomem(e);
    for (size_t i = 0; r >= 0 && i < all.count; i++) {
        json_t *one = NULL;

        r = network_matches(nw, &all.items[i], filters, false, e);
        if (r <= 0)
            continue;
        r = describe(nw, &all.items[i], containers, arena, &one, e);
        if (r == 0)
            json_array_append_new(array, one);
    }
    if (r < 0)
        return r;
    *ret = take_ptr(&array);
    return 0;
}

/* ---- a container ----------------------------------------------------------------------------- */

static json_t *strings_or_null(const field_strings *list)
{
    json_t *array = list->count ? json_array() : json_null();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, text(list->items[i]));
    return array;
}

static json_t *dns_names(const struct endpoint *p, const struct network *n)
{
    if (n->predefined)
        return json_null();
    json_t *array = json_pack("[s]", p->name);
    char id[13];

    for (size_t i = 0; i < p->settings.aliases.count; i++)
        json_array_append_new(array, text(p->settings.aliases.items[i]));
    snprintf(id, sizeof(id), "%s", p->container);
    json_array_append_new(array, json_string(id));
    if (*p->hostname && !streq(p->hostname, id))
        json_array_append_new(array, json_string(p->hostname));
    return array;
}

static json_t *ipam_config(const struct endpoint_ipam *from)
{
    json_t *object = from ? json_object() : json_null();

    if (from && from->ipv4 && *from->ipv4)
        json_object_set_new(object, "IPv4Address", text(from->ipv4));
    if (from && from->ipv6 && *from->ipv6)
        json_object_set_new(object, "IPv6Address", text(from->ipv6));
    return object;
}

static json_t *gateway_text(const struct endpoint *p, const struct network *n, int six)
{
    char value[ADDRESS_TEXT_MAX];

    return json_string(p->active && p->address[six].family && !n->document.internal
                           ? ipaddr_text(&n->subnet[six].address, value)
                           : "");
}

static json_t *endpoint_json(const struct endpoint *p, const struct network *n)
{
    const struct endpoint_settings *s = &p->settings;
    char four[ADDRESS_TEXT_MAX], six[ADDRESS_TEXT_MAX];

    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:s,s:s,s:o,s:s,s:i,s:o,s:s,s:i,s:o}", "IPAMConfig",
                     ipam_config(s->ipam), "Links", strings_or_null(&s->links), "Aliases",
                     strings_or_null(&s->aliases), "MacAddress", mac_value(p), "DriverOpts",
                     s->driver_options.count ? pairs(&s->driver_options) : json_null(),
                     "GwPriority", (json_int_t)s->gateway_priority, "NetworkID", n->id,
                     "EndpointID", p->active ? p->id : "", "Gateway", gateway_text(p, n, 0),
                     "IPAddress", ipaddr_text(&p->address[0], four), "IPPrefixLen",
                     p->address[0].family ? (int)n->subnet[0].prefix : 0, "IPv6Gateway",
                     gateway_text(p, n, 1), "GlobalIPv6Address", ipaddr_text(&p->address[1], six),
                     "GlobalIPv6PrefixLen", p->address[1].family ? (int)n->subnet[1].prefix : 0,
                     "DNSNames", dns_names(p, n));
}

static json_t *ports_json(const published_list *ports, json_t *exposed, bool running)
{
    json_t *object = json_object(), *value;
    const char *port;

    if (!running)
        return object;
    json_object_foreach (exposed, port, value) {
        json_object_set_new(object, port, json_null());
    }
    for (size_t i = 0; i < ports->count; i++) {
        const struct published *p = &ports->items[i];
        char key[32], host[ADDRESS_TEXT_MAX];

        snprintf(key, sizeof(key), "%u/%s", p->to_port, protocol_name(p->protocol));
        json_t *list = json_object_get(object, key);
        if (!json_is_array(list)) {
            list = json_array();
            json_object_set_new(object, key, list);
        }
        json_array_append_new(list, json_pack("{s:s,s:o}", "HostIp", ipaddr_text(&p->host, host),
                                              "HostPort", json_sprintf("%u", p->host_port)));
    }
    return object;
}

/* The members that repeat the default bridge's endpoint (below API 1.52). */
static void repeat_default(json_t *settings, json_t *endpoint)
{
    static const char *const names[] = { "EndpointID",          "Gateway",   "GlobalIPv6Address",
                                         "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen",
                                         "IPv6Gateway",         "MacAddress" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_t *value = json_object_get(endpoint, names[i]);
        bool number = str_ends(names[i], "PrefixLen");

        json_object_set_new(settings, names[i],
                            value    ? json_incref(value)
                            : number ? json_integer(0)
                                     : json_string(""));
    }
}

int network_settings(struct networks *nw, const char *container, json_t *exposed, json_t **ret,
                     struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    autojson json_t *networks = json_object();
    endpoint_list list = { 0 };
    published_list ports = { 0 };
    json_t *by_default = NULL;
    bool running = false;
    LOCKED(nw);

    int r = arena ? netstore_endpoints(&nw->store, container, NULL, arena, &list, e) : err_nomem(e);
    if (r == 0)
        r = netstore_ports(&nw->store, container, arena, &ports, e);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        struct network n;

        r = endpoint_network(nw, &list.items[i], arena, &n, e);
        if (r < 0)
            break;
        json_object_set_new(networks, n.document.name, endpoint_json(&list.items[i], &n));
        if (n.predefined && n.kind == NETWORK_BRIDGE)
            by_default = json_object_get(networks, n.document.name);
        running = running || list.items[i].active;
    }
    if (r < 0)
        return r;
    json_t *settings =
        json_pack("{s:s,s:s,s:b,s:s,s:i,s:s,s:n,s:n,s:o,s:O}", "Bridge", "", "SandboxID",
                  running ? container : "", "HairpinMode", false, "LinkLocalIPv6Address", "",
                  "LinkLocalIPv6PrefixLen", 0, "SandboxKey", "", "SecondaryIPAddresses",
                  "SecondaryIPv6Addresses", "Ports", ports_json(&ports, exposed, running),
                  "Networks", networks);
    if (!settings)
        return err_nomem(e);
    repeat_default(settings, by_default);
    *ret = settings;
    return 0;
}

static bool is_listed(const published_list *ports, uint16_t port, int protocol)
{
    for (size_t i = 0; i < ports->count; i++) {
        if (ports->items[i].to_port == port && ports->items[i].protocol == protocol)
            return true;
    }
    return false;
}

int network_ports(struct networks *nw, const char *container, json_t *exposed, json_t **ret,
                  struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    autojson json_t *array = json_array();
    published_list ports = { 0 };
    const char *key;
    json_t *value;
    LOCKED(nw);

    int r = arena ? netstore_ports(&nw->store, container, arena, &ports, e) : err_nomem(e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ports.count; i++) {
        const struct published *p = &ports.items[i];
        char host[ADDRESS_TEXT_MAX];

        json_array_append_new(array,
                              json_pack("{s:s,s:i,s:i,s:s}", "IP", ipaddr_text(&p->host, host),
                                        "PrivatePort", p->to_port, "PublicPort", p->host_port,
                                        "Type", protocol_name(p->protocol)));
    }
    json_object_foreach (exposed, key, value) {
        uint16_t first, last;
        int protocol;

        if (port_parse(key, &first, &last, &protocol) == 0 && !is_listed(&ports, first, protocol))
            json_array_append_new(array, json_pack("{s:i,s:s}", "PrivatePort", first, "Type",
                                                   protocol_name(protocol)));
    }
    *ret = take_ptr(&array);
    return 0;
}
