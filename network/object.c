/* SPDX-License-Identifier: Apache-2.0 */
/* See object.h. Names of options: docker-api section "Networks". */
#include "network/object.h"

#include <net/if.h>
#include <stdio.h>
#include <sys/random.h>
#include "base/str.h"

#define BRIDGE_OPTION "com.docker.network.bridge."

static const struct field pool_fields[] = {
    FIELD(struct network_pool, "Subnet", FIELD_STR, subnet),
    FIELD(struct network_pool, "IPRange", FIELD_STR, range),
    FIELD(struct network_pool, "Gateway", FIELD_STR, gateway),
    FIELD(struct network_pool, "AuxiliaryAddresses", FIELD_STRING_MAP, auxiliary),
    FIELD_END,
};

static const struct field ipam_fields[] = {
    FIELD(struct network_ipam, "Driver", FIELD_STR, driver),
    FIELD(struct network_ipam, "Config", FIELD_LIST, pools, .fields = pool_fields,
          .size = sizeof(struct network_pool)),
    FIELD(struct network_ipam, "Options", FIELD_STRING_MAP, options),
    FIELD_END,
};

const struct field network_document_fields[] = {
    FIELD(struct network_document, "Name", FIELD_STR, name),
    FIELD(struct network_document, "Driver", FIELD_STR, driver),
    FIELD(struct network_document, "Scope", FIELD_STR, scope),
    FIELD(struct network_document, "Internal", FIELD_BOOL, internal),
    FIELD(struct network_document, "Attachable", FIELD_BOOL, attachable),
    FIELD(struct network_document, "Ingress", FIELD_BOOL, ingress),
    FIELD(struct network_document, "ConfigOnly", FIELD_BOOL, config_only),
    FIELD(struct network_document, "EnableIPv6", FIELD_BOOL, ipv6),
    FIELD(struct network_document, "EnableIPv4", FIELD_OPT_BOOL, ipv4),
    FIELD(struct network_document, "IPAM", FIELD_STRUCT, ipam, .fields = ipam_fields,
          .size = sizeof(struct network_ipam)),
    FIELD(struct network_document, "Options", FIELD_STRING_MAP, options),
    FIELD(struct network_document, "Labels", FIELD_STRING_MAP, labels),
    FIELD_END,
};

static const struct field endpoint_ipam_fields[] = {
    FIELD(struct endpoint_ipam, "IPv4Address", FIELD_STR, ipv4),
    FIELD(struct endpoint_ipam, "IPv6Address", FIELD_STR, ipv6),
    FIELD(struct endpoint_ipam, "LinkLocalIPs", FIELD_STRINGS, link_local),
    FIELD_END,
};

const struct field endpoint_settings_fields[] = {
    FIELD(struct endpoint_settings, "IPAMConfig", FIELD_STRUCT, ipam,
          .fields = endpoint_ipam_fields, .size = sizeof(struct endpoint_ipam)),
    FIELD(struct endpoint_settings, "Links", FIELD_STRINGS, links),
    FIELD(struct endpoint_settings, "Aliases", FIELD_STRINGS, aliases),
    FIELD(struct endpoint_settings, "MacAddress", FIELD_STR, mac),
    FIELD(struct endpoint_settings, "DriverOpts", FIELD_STRING_MAP, driver_options),
    FIELD(struct endpoint_settings, "GwPriority", FIELD_I64, gateway_priority),
    FIELD_END,
};

const char *pair_find(const field_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (streq(pairs->items[i].key, key))
            return pairs->items[i].value;
    }
    return NULL;
}

static int read_bool(const char *name, const char *value, bool *ret, struct wharf_error *e)
{
    static const char *const words[] = { "false", "0", "f", "F", "FALSE", "False",
                                         "true",  "1", "t", "T", "TRUE",  "True" };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (streq(value, words[i])) {
            *ret = i >= ARRAY_SIZE(words) / 2;
            return 0;
        }
    }
    return err_invalid(e, "invalid value for %s: '%s' is neither true nor false", name, value);
}

static int read_option(struct network *n, const char *key, const char *value, struct wharf_error *e)
{
    const char *name = str_after(key, BRIDGE_OPTION);
    bool ignored;
    uint64_t mtu;

    if (streq(key, "com.docker.network.driver.mtu")) {
        if (parse_u64(value, 68, 65535, &mtu) < 0)
            return err_invalid(e, "invalid value for %s: '%s' is no MTU (68 to 65535)", key, value);
        n->mtu = (unsigned)mtu;
        return 0;
    }
    if (!name) /* of another driver, or a user's own: kept, as docker does */
        return 0;
    if (streq(name, "name")) {
        if (!*value || strlen(value) >= IFNAMSIZ || strpbrk(value, "/: \t\n"))
            return err_invalid(e, "invalid name of a bridge: '%s'", value);
        return 0;
    }
    if (streq(name, "enable_icc"))
        return read_bool(key, value, &n->icc, e);
    if (streq(name, "enable_ip_masquerade"))
        return read_bool(key, value, &n->masquerade, e);
    if (streq(name, "default_bridge"))
        return read_bool(key, value, &ignored, e);
    if (streq(name, "host_binding_ipv4")) {
        if (ipaddr_parse(value, &n->host_binding) < 0)
            return err_invalid(e, "invalid value for %s: '%s' is no address", key, value);
        return 0;
    }
    if (streq(name, "gateway_mode_ipv4") || streq(name, "gateway_mode_ipv6")) {
        if (streq(value, "nat"))
            return 0;
        return err_unsupported(e, "gateway mode '%s' is not supported: use 'nat'", value);
    }
    return err_unsupported(e, "option '%s' of the bridge driver is not supported", key);
}

/* The first block of each family is what containers get addresses from. */
static int read_pools(struct network *n, struct wharf_error *e)
{
    const struct network_ipam *ipam = n->document.ipam;

    for (size_t i = 0; ipam && i < ipam->pools.count; i++) {
        const struct network_pool *pool = &ipam->pools.items[i];
        struct subnet block;

        if (!pool->subnet || subnet_parse(pool->subnet, &block) < 0)
            return err_invalid(e, "invalid CIDR address: %s", pool->subnet ? pool->subnet : "");
        struct subnet *first = &n->subnet[block.address.family == AF_INET6];
        if (first->address.family)
            continue;
        *first = (struct subnet){ subnet_first(&block), block.prefix };
        if (pool->gateway && *pool->gateway && ipaddr_parse(pool->gateway, &first->address) < 0)
            return err_invalid(e, "invalid gateway address: %s", pool->gateway);
    }
    return 0;
}

int network_derive(struct network *n, struct wharf_error *e)
{
    static const char *const drivers[] = { "bridge", "host", "null" };
    const struct network_document *d = &n->document;
    const char *driver = d->driver && *d->driver ? d->driver : drivers[0];
    size_t kind = 0;

    while (kind < ARRAY_SIZE(drivers) && !streq(driver, drivers[kind]))
        kind++;
    if (kind == ARRAY_SIZE(drivers))
        return err_not_found(e, "plugin \"%s\" not found", driver);
    n->kind = (enum network_kind)kind;
    n->predefined = n->owner == NETWORK_EVERYBODY;
    n->icc = true;
    n->masquerade = !d->internal;
    for (size_t i = 0; i < d->options.count; i++) {
        int r = read_option(n, d->options.items[i].key, d->options.items[i].value, e);
        if (r < 0)
            return r;
    }
    return read_pools(n, e);
}

void endpoint_link(const struct endpoint *p, char name[ENDPOINT_LINK_MAX])
{
    snprintf(name, ENDPOINT_LINK_MAX, "veth%.11s", p->id);
}

int id_make(char id[NETWORK_ID_LENGTH + 1])
{
    unsigned char bytes[NETWORK_ID_LENGTH / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -EIO;
    hex_encode(bytes, sizeof(bytes), id);
    return 0;
}
