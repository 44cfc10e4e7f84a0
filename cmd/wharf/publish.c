/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of run and create that are about networks: --network, --publish, --expose and theirs.
 */
#include "cmd/wharf/publish.h"

#include <stdio.h>
#include "base/str.h"

#define PORTS_MAX 65536

/* Room for one more in a list that doubles. */
static void *grow(struct arena *arena, void *items, size_t count, size_t size)
{
    if (count & (count - 1))
        return items;
    void *more = arena_array(arena, count ? count * 2 : 1, size);
    if (more && count)
        memcpy(more, items, count * size);
    return more;
}

static int add_string(struct arena *arena, field_strings *list, const char *text)
{
    list->items = grow(arena, list->items, list->count, sizeof(char *));
    if (!list->items || !(list->items[list->count] = arena_str(arena, text)))
        return -ENOMEM;
    list->count++;
    return 0;
}

struct range {
    unsigned first, last; /* 0: none was given */
};

static int parse_range(const char *text, struct range *ret)
{
    const char *dash = strchr(text, '-');
    autofree char *start = str_format("%.*s", dash ? (int)(dash - text) : (int)strlen(text), text);
    uint64_t first, last;

    if (!start || parse_u64(start, 1, 65535, &first) < 0)
        return -EINVAL;
    last = first;
    if (dash && parse_u64(dash + 1, first, 65535, &last) < 0)
        return -EINVAL;
    *ret = (struct range){ (unsigned)first, (unsigned)last };
    return 0;
}

static int add_binding(struct settings *s, struct arena *arena, const char *port, const char *ip,
                       const char *host_port)
{
    struct settings_host *h = s->host;
    size_t i = 0;

    while (i < h->port_bindings.count && !streq(h->port_bindings.items[i].port, port))
        i++;
    if (i == h->port_bindings.count) {
        if (i == PORTS_MAX || add_string(arena, &s->exposed_ports, port) < 0)
            return -ENOMEM;
        h->port_bindings.items =
            grow(arena, h->port_bindings.items, i, sizeof(*h->port_bindings.items));
        if (!h->port_bindings.items)
            return -ENOMEM;
        h->port_bindings.items[i] = (struct settings_ports){ .port = arena_str(arena, port) };
        h->port_bindings.count++;
    }
    struct settings_ports *p = &h->port_bindings.items[i];
    p->bindings.items =
        grow(arena, p->bindings.items, p->bindings.count, sizeof(*p->bindings.items));
    if (!p->bindings.items)
        return -ENOMEM;
    p->bindings.items[p->bindings.count++] =
        (struct settings_port){ arena_str(arena, ip), arena_str(arena, host_port) };
    return 0;
}

/* Port by port, or one port of the container that may choose from a range of the host. */
static int add_ranges(struct settings *s, struct arena *arena, const char *ip, struct range host,
                      struct range inside, const char *protocol)
{
    bool choice = host.first && inside.first == inside.last && host.first != host.last;
    int r = 0;

    for (unsigned i = 0; r == 0 && i <= inside.last - inside.first; i++) {
        char port[32], on[16] = "";

        snprintf(port, sizeof(port), "%u/%s", inside.first + i, protocol);
        if (choice)
            snprintf(on, sizeof(on), "%u-%u", host.first, host.last);
        else if (host.first)
            snprintf(on, sizeof(on), "%u", host.first + i);
        r = add_binding(s, arena, port, ip, on);
    }
    return r;
}

static int bad(const char *text, struct wharf_error *e)
{
    return err_invalid(e,
                       "invalid argument \"%s\" for \"-p, --publish\" flag: expected "
                       "[[ADDRESS:]HOSTPORT:]PORT[/PROTOCOL]",
                       text);
}

/* [[ADDRESS:][HOSTPORT]:]PORT[/PROTOCOL]; an IPv6 address stands in brackets. */
static int publish(const char *flag, struct settings *s, struct arena *arena, struct wharf_error *e)
{
    char *text = arena_str(arena, flag), *protocol = text ? strchr(text, '/') : NULL, *ip;
    struct range host = { 0 }, inside;

    if (!text)
        return err_nomem(e);
    if (protocol)
        *protocol++ = '\0';
    char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    if (colon)
        *colon = '\0';
    char *on = colon ? strrchr(text, ':') : NULL;
    ip = on ? text : (char *)"";
    if (on)
        *on++ = '\0';
    else if (colon)
        on = text;
    if (*ip == '[' && str_ends(ip, "]")) {
        ip[strlen(ip) - 1] = '\0';
        ip++;
    }
    if (parse_range(port, &inside) < 0 || (on && *on && parse_range(on, &host) < 0))
        return bad(flag, e);
    if (host.first && inside.first != inside.last &&
        host.last - host.first != inside.last - inside.first)
        return err_invalid(e, "invalid ranges specified for container and host ports: %s", flag);
    return add_ranges(s, arena, ip, host, inside, protocol ? protocol : "tcp") < 0 ? err_nomem(e)
                                                                                   : 0;
}

static int expose(const char *flag, struct settings *s, struct arena *arena, struct wharf_error *e)
{
    const char *slash = strchr(flag, '/');
    autofree char *ports =
        str_format("%.*s", slash ? (int)(slash - flag) : (int)strlen(flag), flag);
    struct range range;

    if (!ports || parse_range(ports, &range) < 0)
        return err_invalid(e, "invalid range format for --expose: %s", flag);
    for (unsigned p = range.first; p <= range.last; p++) {
        char port[32];

        snprintf(port, sizeof(port), "%u/%s", p, slash ? slash + 1 : "tcp");
        if (add_string(arena, &s->exposed_ports, port) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* "NAME", or "name=NAME,alias=A,ip=..". */
static int endpoint(const char *flag, struct settings_endpoint *ret, struct arena *arena,
                    struct wharf_error *e)
{
    char *text = arena_str(arena, flag), *part;

    *ret = (struct settings_endpoint){ .network = text };
    if (!text || !strchr(text, '='))
        return text ? 0 : err_nomem(e);
    ret->ipam = arena_alloc(arena, sizeof(*ret->ipam));
    if (!ret->ipam)
        return err_nomem(e);
    while ((part = strsep(&text, ","))) {
        char *value = strchr(part, '=');

        if (!value)
            return err_invalid(e, "invalid argument \"%s\" for \"--network\" flag", flag);
        *value++ = '\0';
        if (streq(part, "name"))
            ret->network = value;
        else if (streq(part, "ip"))
            ret->ipam->ipv4 = value;
        else if (streq(part, "ip6"))
            ret->ipam->ipv6 = value;
        else if (streq(part, "mac-address"))
            ret->mac = value;
        else if (!streq(part, "alias") || add_string(arena, &ret->aliases, value) < 0)
            return err_invalid(e, "invalid argument \"%s\" for \"--network\" flag: invalid key %s",
                               flag, part);
    }
    return 0;
}

/* The flags that stand alone are about the first network. */
static int first_endpoint(const struct run_options *o, struct settings_endpoint *p,
                          struct arena *arena, struct wharf_error *e)
{
    for (char **a = o->network_aliases; a && *a; a++) {
        if (add_string(arena, &p->aliases, *a) < 0)
            return err_nomem(e);
    }
    if (!o->ip && !o->ip6)
        return 0;
    if (!p->ipam)
        p->ipam = arena_alloc(arena, sizeof(*p->ipam));
    if (!p->ipam)
        return err_nomem(e);
    p->ipam->ipv4 = (char *)o->ip;
    p->ipam->ipv6 = (char *)o->ip6;
    return 0;
}

static int endpoints(const struct run_options *o, struct arena *arena, struct settings *s,
                     struct wharf_error *e)
{
    size_t count = o->networks ? strv_count((const char *const *)o->networks) : 0;
    struct settings_endpoint *items = arena_array(arena, count + 1, sizeof(*items));

    if (!items)
        return err_nomem(e);
    items[0].network = (char *)"default";
    for (size_t i = 0; i < count; i++) {
        int r = endpoint(o->networks[i], &items[i], arena, e);
        if (r < 0)
            return r;
    }
    s->host->network_mode = items[0].network;
    int r = first_endpoint(o, &items[0], arena, e);
    if (r < 0 || (count < 2 && !items[0].ipam && !items[0].aliases.count && !items[0].mac))
        return r;
    s->networking = arena_alloc(arena, sizeof(*s->networking));
    if (!s->networking)
        return err_nomem(e);
    s->networking->endpoints.items = items;
    s->networking->endpoints.count = MAX(count, (size_t)1);
    return 0;
}

int network_flags(const struct run_options *o, struct arena *arena, struct settings *s,
                  struct wharf_error *e)
{
    int r = endpoints(o, arena, s, e);

    for (char **p = o->publish; r == 0 && p && *p; p++)
        r = publish(*p, s, arena, e);
    for (char **x = o->expose; r == 0 && x && *x; x++)
        r = expose(*x, s, arena, e);
    for (char **l = o->links; r == 0 && l && *l; l++)
        r = add_string(arena, &s->host->links, *l) < 0 ? err_nomem(e) : 0;
    s->host->publish_all = o->publish_all;
    s->mac = (char *)o->mac;
    return r;
}
