/* SPDX-License-Identifier: Apache-2.0 */
/* See published.h. */
#include "network/published.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/str.h"

static const struct {
    const char *name;
    int protocol;
} protocols[] = {
    { "tcp", IPPROTO_TCP },
    { "udp", IPPROTO_UDP },
    { "sctp", IPPROTO_SCTP },
};

const char *protocol_name(int protocol)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (protocols[i].protocol == protocol)
            return protocols[i].name;
    }
    return NULL;
}

int protocol_parse(const char *name, int *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (strcasecmp(protocols[i].name, name) == 0) {
            *ret = protocols[i].protocol;
            return 0;
        }
    }
    return -EINVAL;
}

void published_write(const struct published *p, struct buf *b)
{
    char host[ADDRESS_TEXT_MAX], to[ADDRESS_TEXT_MAX];

    buf_printf(b, "%s %s %u %s %u", protocol_name(p->protocol), ipaddr_text(&p->host, host),
               p->host_port, ipaddr_text(&p->to, to), p->to_port);
}

/* The next word of a line into `word`; false: none, or too long. */
static bool next_word(const char **at, char *word, size_t size)
{
    *at += strspn(*at, " ");
    size_t n = strcspn(*at, " \n");

    if (n == 0 || n >= size)
        return false;
    memcpy(word, *at, n);
    word[n] = '\0';
    *at += n;
    return true;
}

static bool next_end(const char **at, struct ipaddr *address, uint16_t *port)
{
    char word[ADDRESS_TEXT_MAX];
    uint64_t number;

    if (!next_word(at, word, sizeof(word)) || ipaddr_parse(word, address) < 0 ||
        !next_word(at, word, sizeof(word)) || parse_u64(word, 1, 65535, &number) < 0)
        return false;
    *port = (uint16_t)number;
    return true;
}

int published_read(const char *text, struct published *ret)
{
    struct published p;
    char protocol[8];

    if (!next_word(&text, protocol, sizeof(protocol)) ||
        protocol_parse(protocol, &p.protocol) < 0 || !next_end(&text, &p.host, &p.host_port) ||
        !next_end(&text, &p.to, &p.to_port) || p.to.family != p.host.family)
        return -EINVAL;
    *ret = p;
    return 0;
}
