/* SPDX-License-Identifier: Apache-2.0 */
/* See keeper.h. */
#include "network/keeper.h"

#include <fcntl.h>
#include <string.h>
#include "base/str.h"
#include "network/dns.h"
#include "network/firewall.h"
#include "network/published.h"

#define WITHDRAW_BATCH 256

struct keeper {
    char *text, *table, *container, *names; /* copies */
    int directory;
    struct dns *dns;
};

/* The line that begins with `word`, without it; a copy. */
static char *line_of(const char *text, const char *word)
{
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const char *rest = str_after(at, word);

        if (rest)
            return str_format("%.*s", (int)strcspn(rest, "\n"), rest);
    }
    return NULL;
}

static int read_text(struct keeper *k, const char *text, struct wharf_error *e)
{
    k->text = strdup(text);
    k->table = line_of(text, "table ");
    k->container = line_of(text, "container ");
    k->names = line_of(text, "names ");
    if (!k->text || !k->table || !k->container || !k->names)
        return err_invalid(e, "the description of the container's network is not whole");
    k->directory = open(k->names, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return k->directory < 0 ? err_sys(e, "cannot open '%s'", k->names) : 0;
}

static void keeper_free(struct keeper *k)
{
    dns_close(k->dns);
    fd_close(k->directory);
    free(k->text);
    free(k->table);
    free(k->container);
    free(k->names);
    free(k);
}

int keeper_open(struct keeper **ret, const char *text, int netns, struct wharf_error *e)
{
    struct keeper *k = calloc(1, sizeof(*k));

    if (!k)
        return err_nomem(e);
    k->directory = -1;
    int r = read_text(k, text, e);
    if (r == 0)
        r = dns_open(&k->dns, netns, k->directory, k->container, e);
    if (r < 0) {
        keeper_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

int keeper_fd(const struct keeper *keeper)
{
    return dns_fd(keeper->dns);
}

void keeper_run(struct keeper *keeper)
{
    dns_run(keeper->dns);
}

/* Whatever fails here is done again by whoever repairs the container's record. */
static void withdraw(const struct keeper *k)
{
    auto_of(nft_close) struct nft *nft = NULL;
    struct published batch[WITHDRAW_BATCH];
    size_t count = 0;

    if (!strstr(k->text, "\npublished ") || nft_open(&nft, NULL) < 0)
        return;
    for (const char *at = k->text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const char *rest = str_after(at, "published ");

        if (rest && published_read(rest, &batch[count]) == 0)
            count++;
        if (count == WITHDRAW_BATCH) {
            firewall_unpublish(nft, k->table, batch, count, NULL);
            count = 0;
        }
    }
    firewall_unpublish(nft, k->table, batch, count, NULL);
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    withdraw(keeper);
    keeper_free(keeper);
}
