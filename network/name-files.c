/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the files of names.h. Each is replaced by rename inside the transaction that changed what
 * it says, so that the last writer is the one who knows most.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/internal.h"
#include "network/names.h"

#define RESOLV_CONF     "/etc/resolv.conf"
#define RESOLV_FILE_MAX (64u << 10)

/* Names of containers, aliases and networks are checked elsewhere or come from users: one with a
 * blank would be two. */
static void add_word(struct buf *b, const char *word)
{
    if (*word && !strpbrk(word, " \n"))
        buf_printf(b, " %s", word);
}

static void network_line(const struct endpoint *p, struct buf *b)
{
    char text[ADDRESS_TEXT_MAX];

    for (int six = 0; six < 2; six++)
        buf_printf(b, "%s%s", six ? " " : "",
                   p->address[six].family ? ipaddr_text(&p->address[six], text) : "-");
    buf_printf(b, " %s", p->container);
    add_word(b, p->name);
    for (size_t i = 0; i < p->settings.aliases.count; i++)
        add_word(b, p->settings.aliases.items[i]);
    if (!streq(p->hostname, p->name))
        add_word(b, p->hostname);
    buf_char(b, '\n');
}

static int replace(struct networks *nw, const char *name, const struct buf *b,
                   struct wharf_error *e)
{
    int r = b->error ? b->error
                     : file_replace(nw->names, name, b->data ? b->data : "", b->len, 0600, false);

    return r < 0 ? err_code(e, r, "cannot write '%s/%s'", nw->names_path, name) : 0;
}

int name_files_network(struct networks *nw, const struct network *n, struct arena *arena,
                       struct wharf_error *e)
{
    char file[NAMES_FILE_NAME_MAX];
    autobuf struct buf b = BUF(NAMES_FILE_MAX);
    endpoint_list list = { 0 };

    if (n->predefined)
        return 0;
    int r = netstore_endpoints(&nw->store, NULL, n->id, arena, &list, e);
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].active)
            network_line(&list.items[i], &b);
    }
    names_network_file(n->id, file);
    return r < 0 ? r : replace(nw, file, &b, e);
}

int host_servers(bool loopback, struct arena *arena, field_strings *ret)
{
    autofree char *text = NULL;
    field_strings list = { .items = arena_array(arena, NAMES_SERVERS, sizeof(char *)) };

    if (!list.items)
        return -ENOMEM;
    if (file_read(AT_FDCWD, RESOLV_CONF, RESOLV_FILE_MAX, &text) < 0)
        text = NULL;
    for (char *at = text, *line; at && (line = strsep(&at, "\n")) && list.count < NAMES_SERVERS;) {
        const char *server = str_after(line, "nameserver");
        struct ipaddr a;

        if (!server || (*server != ' ' && *server != '\t'))
            continue;
        server += strspn(server, " \t");
        char *word = arena_strn(arena, server, strcspn(server, " \t\r#;%"));
        if (!word)
            return -ENOMEM;
        if (ipaddr_parse(word, &a) == 0 && (loopback || !ipaddr_is_loopback(&a)))
            list.items[list.count++] = word;
    }
    *ret = list;
    return 0;
}

/* Given ones, else those of the file that is being replaced, else the host's. */
static int write_servers(struct networks *nw, const char *container, const field_strings *dns,
                         struct arena *arena, struct buf *b)
{
    struct names names = { nw->names, container };
    struct ipaddr before[NAMES_SERVERS];
    char text[ADDRESS_TEXT_MAX];
    field_strings list = { 0 };
    int known = dns && dns->count ? 0 : names_servers(&names, before), r = 0;

    if (dns && dns->count)
        list = *dns;
    else if (known == 0)
        r = host_servers(true, arena, &list);
    for (int i = 0; i < known; i++)
        buf_printf(b, "server %s\n", ipaddr_text(&before[i], text));
    for (size_t i = 0; r == 0 && i < list.count; i++)
        buf_printf(b, "server %s\n", list.items[i]);
    return r;
}

static void write_links(const struct endpoint *p, struct buf *b)
{
    for (size_t i = 0; i < p->settings.links.count; i++) {
        const char *link = p->settings.links.items[i], *colon = strchr(link, ':');
        const char *alias = colon ? colon + 1 : link;
        int length = colon ? (int)(colon - link) : (int)strlen(link);

        link += *link == '/';
        length -= p->settings.links.items[i][0] == '/';
        if (*alias && !strpbrk(link, " \n"))
            buf_printf(b, "link %s %s %.*s\n", p->network, alias, length, link);
    }
}

int name_files_container(struct networks *nw, const char *container, const field_strings *dns,
                         struct arena *arena, struct wharf_error *e)
{
    char file[NAMES_FILE_NAME_MAX];
    autobuf struct buf b = BUF(NAMES_FILE_MAX);
    endpoint_list list = { 0 };
    bool outside = false, any = false;
    int r = netstore_endpoints(&nw->store, container, NULL, arena, &list, e);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        struct network n;

        r = endpoint_network(nw, &list.items[i], arena, &n, e);
        if (r < 0 || n.kind != NETWORK_BRIDGE)
            continue;
        any = true;
        outside = outside || !n.document.internal;
        write_links(&list.items[i], &b);
        if (!n.predefined)
            buf_printf(&b, "network %s %s\n", n.id, n.document.name);
    }
    if (r == 0 && outside)
        r = write_servers(nw, container, dns, arena, &b);
    names_container_file(container, file);
    return r < 0 || !any ? r : replace(nw, file, &b, e);
}

void name_files_forget(struct networks *nw, const char *container, const char *network)
{
    char file[NAMES_FILE_NAME_MAX];

    if (container)
        names_container_file(container, file);
    else
        names_network_file(network, file);
    unlinkat(nw->names, file, 0);
}
