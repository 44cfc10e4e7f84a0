/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container finds in /etc about names: hosts, hostname, resolv.conf, by docker's rules. In a
 * user-defined network the container's own name server is asked; on the default bridge, which has
 * none by name, the host's servers are, without those on its loopback, which cannot be reached.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/dns.h"
#include "network/internal.h"
#include "network/names.h"

#define FILES_TEXT_MAX (1u << 20)
#define RESOLV_CONF    "/etc/resolv.conf"
/* where systemd-resolved tells its upstream servers when resolv.conf names itself */
#define RESOLV_UPSTREAM "/run/systemd/resolve/resolv.conf"

struct writing {
    struct networks *nw;
    const struct network_member *member;
    const struct network_files *files;
    struct arena *arena;
    endpoint_list endpoints;
    struct network *networks;
    bool resolves; /* has a network whose names its own server knows */
    struct wharf_error *e;
};

static size_t count_of(const field_strings *list)
{
    return list ? list->count : 0;
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static void hosts_own(const struct writing *w, struct buf *b)
{
    char text[ADDRESS_TEXT_MAX];
    const char *domain = w->files->domainname;

    for (size_t i = 0; i < w->endpoints.count; i++) {
        for (int six = 0; six < 2; six++) {
            const struct ipaddr *a = &w->endpoints.items[i].address[six];

            if (!a->family)
                continue;
            buf_printf(b, "%s\t", ipaddr_text(a, text));
            if (domain && *domain)
                buf_printf(b, "%s.%s ", w->member->hostname, domain);
            buf_printf(b, "%s\n", w->member->hostname);
        }
    }
}

/* The default bridge knows names by links alone. */
static int hosts_links(const struct writing *w, size_t at, struct buf *b)
{
    const struct endpoint *own = &w->endpoints.items[at];
    endpoint_list list = { 0 };
    char text[ADDRESS_TEXT_MAX];
    int r = own->settings.links.count && w->networks[at].predefined
                ? netstore_endpoints(&w->nw->store, NULL, own->network, w->arena, &list, w->e)
                : 0;

    for (size_t i = 0; i < own->settings.links.count; i++) {
        const char *link = own->settings.links.items[i], *colon = strchr(link, ':');
        size_t n = colon ? (size_t)(colon - link) : strlen(link);
        const char *alias = colon ? colon + 1 : link;

        n -= *link == '/';
        link += *link == '/';
        for (size_t k = 0; k < list.count; k++) {
            const struct endpoint *p = &list.items[k];
            bool named = strlen(p->name) == n && strncmp(p->name, link, n) == 0;

            if (p->active && p->address[0].family &&
                (named || (n >= 12 && strncmp(p->container, link, n) == 0)))
                buf_printf(b, "%s\t%s %s %s\n", ipaddr_text(&p->address[0], text), alias,
                           p->hostname, p->name);
        }
    }
    return r;
}

static int host_gateway(const struct writing *w, char text[ADDRESS_TEXT_MAX])
{
    struct network n;
    int r = netstore_network_find(&w->nw->store, DEFAULT_NETWORK, 0, w->arena, &n, w->e);

    if (r == 0)
        ipaddr_text(&n.subnet[0].address, text);
    return r;
}

/* "name:address", "name=address", "name:host-gateway" */
static int hosts_extra(const struct writing *w, struct buf *b)
{
    char gateway[ADDRESS_TEXT_MAX];
    int r = 0;

    for (size_t i = 0; r == 0 && i < count_of(w->files->extra_hosts); i++) {
        const char *entry = w->files->extra_hosts->items[i];
        size_t n = strcspn(entry, ":=");
        const char *address = entry[n] ? entry + n + 1 : "";

        if (streq(address, "host-gateway")) {
            r = host_gateway(w, gateway);
            address = gateway;
        }
        if (r == 0)
            buf_printf(b, "%s\t%.*s\n", address, (int)n, entry);
    }
    return r;
}

static int hosts(const struct writing *w, struct buf *b)
{
    buf_str(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
               "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
               "ff02::2\tip6-allrouters\n");
    int r = hosts_extra(w, b);
    for (size_t i = 0; r == 0 && i < w->endpoints.count; i++)
        r = hosts_links(w, i, b);
    hosts_own(w, b);
    return r;
}

/* ---- resolv.conf ----------------------------------------------------------------------------- */

static void join(struct buf *b, const char *keyword, const field_strings *list, const char *more)
{
    if (count_of(list) == 0 && !more)
        return;
    buf_str(b, keyword);
    for (size_t i = 0; i < count_of(list); i++)
        buf_printf(b, " %s", list->items[i]);
    buf_printf(b, "%s%s\n", more ? " " : "", more ? more : "");
}

static bool has_option(const field_strings *list, const char *prefix)
{
    for (size_t i = 0; i < count_of(list); i++) {
        if (str_after(list->items[i], prefix))
            return true;
    }
    return false;
}

static void servers(const struct writing *w, const char *host, struct buf *b)
{
    static const char *const last_resort[] = { "8.8.8.8", "8.8.4.4" };
    size_t before = b->len;

    if (w->resolves) {
        buf_str(b, "nameserver " DNS_ADDRESS "\n");
        return;
    }
    for (size_t i = 0; i < count_of(w->files->dns); i++)
        buf_printf(b, "nameserver %s\n", w->files->dns->items[i]);
    if (count_of(w->files->dns))
        return;
    for (const char *at = host; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const char *server = str_after(at, "nameserver");
        struct ipaddr a;
        char text[ADDRESS_TEXT_MAX];

        if (!server)
            continue;
        server += strspn(server, " \t");
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(server, " \t\r\n"), server);
        if (ipaddr_parse(text, &a) == 0 && !ipaddr_is_loopback(&a))
            buf_printf(b, "nameserver %s\n", text);
    }
    for (size_t i = 0; b->len == before && i < ARRAY_SIZE(last_resort); i++)
        buf_printf(b, "nameserver %s\n", last_resort[i]);
}

/* The host's own lines of a keyword, as they are. */
static void host_lines(const char *host, const char *keyword, struct buf *b)
{
    for (const char *at = host; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const char *rest = str_after(at, keyword);

        if (rest && (*rest == ' ' || *rest == '\t'))
            buf_printf(b, "%.*s\n", (int)strcspn(at, "\n"), at);
    }
}

static void resolv(const struct writing *w, struct buf *b)
{
    const struct network_files *f = w->files;
    autofree char *host = NULL;
    bool stub = file_read(AT_FDCWD, RESOLV_CONF, FILES_TEXT_MAX, &host) > 0 &&
                strstr(host, "nameserver 127.0.0.53");

    if (stub && !w->resolves) {
        autofree char *upstream = NULL;

        if (file_read(AT_FDCWD, RESOLV_UPSTREAM, FILES_TEXT_MAX, &upstream) > 0) {
            free(host);
            host = take_ptr(&upstream);
        }
    }
    servers(w, host ? host : "", b);
    if (count_of(f->dns_search) == 1 && streq(f->dns_search->items[0], "."))
        ; /* docker: no search at all */
    else if (count_of(f->dns_search))
        join(b, "search", f->dns_search, NULL);
    else if (host)
        host_lines(host, "search", b);
    bool ndots = w->resolves && !has_option(f->dns_options, "ndots:");
    if (count_of(f->dns_options) || ndots)
        join(b, "options", f->dns_options, ndots ? "ndots:0" : NULL);
    else if (host)
        host_lines(host, "options", b);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* In place: the file may be mounted in a running container. */
static int write_file(const struct writing *w, int directory, const char *name, const struct buf *b)
{
    autoclose int fd =
        openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    int r = b->error ? b->error
            : fd < 0 ? -errno
                     : fd_write_all(fd, b->data ? b->data : "", b->len);

    return r < 0 ? err_code(w->e, r, "cannot write '%s' of container %s", name, w->member->id) : 0;
}

static int load(struct writing *w)
{
    int r = netstore_endpoints(&w->nw->store, w->member->id, NULL, w->arena, &w->endpoints, w->e);

    w->networks = arena_array(w->arena, w->endpoints.count + 1, sizeof(*w->networks));
    if (r == 0 && !w->networks)
        r = err_nomem(w->e);
    for (size_t i = 0; r == 0 && i < w->endpoints.count; i++) {
        struct network *n = &w->networks[i];

        r = endpoint_network(w->nw, &w->endpoints.items[i], w->arena, n, w->e);
        if (r == 0 && n->kind == NETWORK_BRIDGE && !n->predefined)
            w->resolves = true;
    }
    return r;
}

int network_files(struct networks *nw, const struct network_member *member,
                  const struct network_files *files, int directory, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(NETWORK_ARENA_MAX);
    autobuf struct buf hosts_text = BUF(FILES_TEXT_MAX), name = BUF(1024),
                       resolv_text = BUF(FILES_TEXT_MAX);
    struct writing w = { .nw = nw, .member = member, .files = files, .arena = arena, .e = e };
    LOCKED(nw);

    int r = arena ? load(&w) : err_nomem(e);
    if (r == 0)
        r = hosts(&w, &hosts_text);
    if (r < 0)
        return r;
    buf_printf(&name, "%s\n", member->hostname);
    resolv(&w, &resolv_text);
    r = write_file(&w, directory, "hosts", &hosts_text);
    if (r == 0)
        r = write_file(&w, directory, "hostname", &name);
    return r < 0 ? r : write_file(&w, directory, "resolv.conf", &resolv_text);
}
