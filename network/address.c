/* SPDX-License-Identifier: Apache-2.0 */
/* See address.h. Arithmetic is on the bytes in network order, so both families share it. */
#include "network/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"

int ipaddr_parse(const char *text, struct ipaddr *ret)
{
    struct ipaddr a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

    if (inet_pton(a.family, text, a.bytes) != 1)
        return -EINVAL;
    *ret = a;
    return 0;
}

int subnet_parse(const char *text, struct subnet *ret)
{
    const char *slash = strchr(text, '/');
    char host[ADDRESS_TEXT_MAX];
    struct subnet s;
    uint64_t prefix;

    if (!slash || (size_t)(slash - text) >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
    if (ipaddr_parse(host, &s.address) < 0 ||
        parse_u64(slash + 1, 0, ipaddr_bits(&s.address), &prefix) < 0)
        return -EINVAL;
    s.prefix = (unsigned)prefix;
    *ret = s;
    return 0;
}

struct ipaddr ipaddr_from(const void *bytes, size_t length)
{
    struct ipaddr a = { .family = length == 4 ? AF_INET : length == 16 ? AF_INET6 : 0 };

    if (a.family)
        memcpy(a.bytes, bytes, length);
    return a;
}

const char *ipaddr_text(const struct ipaddr *a, char text[ADDRESS_TEXT_MAX])
{
    text[0] = '\0';
    if (a->family)
        inet_ntop(a->family, a->bytes, text, ADDRESS_TEXT_MAX);
    return text;
}

const char *subnet_text(const struct subnet *s, char text[SUBNET_TEXT_MAX])
{
    char address[ADDRESS_TEXT_MAX];

    text[0] = '\0';
    if (s->address.family)
        snprintf(text, SUBNET_TEXT_MAX, "%s/%u", ipaddr_text(&s->address, address), s->prefix);
    return text;
}

int ipaddr_compare(const struct ipaddr *a, const struct ipaddr *b)
{
    size_t la = ipaddr_length(a), lb = ipaddr_length(b);

    return la != lb ? (la < lb ? -1 : 1) : memcmp(a->bytes, b->bytes, la);
}

bool ipaddr_is_loopback(const struct ipaddr *a)
{
    static const unsigned char one[16] = { [15] = 1 };

    return (a->family == AF_INET && a->bytes[0] == 127) ||
           (a->family == AF_INET6 && memcmp(a->bytes, one, 16) == 0);
}

bool ipaddr_is_any(const struct ipaddr *a)
{
    static const unsigned char zero[16];

    return memcmp(a->bytes, zero, ipaddr_length(a)) == 0;
}

bool ipaddr_next(struct ipaddr *a)
{
    for (size_t i = ipaddr_length(a); i-- > 0;) {
        if (++a->bytes[i] != 0)
            return true;
    }
    return false;
}

/* Host bits all 0 or all 1. */
static struct ipaddr with_host_bits(const struct subnet *s, bool ones)
{
    struct ipaddr a = s->address;

    for (unsigned bit = s->prefix; bit < ipaddr_bits(&a); bit++) {
        unsigned char mask = (unsigned char)(0x80 >> bit % 8);

        a.bytes[bit / 8] =
            (unsigned char)(ones ? a.bytes[bit / 8] | mask : a.bytes[bit / 8] & ~mask);
    }
    return a;
}

struct ipaddr subnet_first(const struct subnet *s)
{
    return with_host_bits(s, false);
}

struct ipaddr subnet_last(const struct subnet *s)
{
    return with_host_bits(s, true);
}

bool subnet_contains(const struct subnet *s, const struct ipaddr *a)
{
    struct subnet other = { *a, s->prefix };
    struct ipaddr ours = subnet_first(s), theirs = subnet_first(&other);

    return s->address.family == a->family && ipaddr_compare(&ours, &theirs) == 0;
}

bool subnet_overlaps(const struct subnet *a, const struct subnet *b)
{
    return a->prefix <= b->prefix ? subnet_contains(a, &b->address)
                                  : subnet_contains(b, &a->address);
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

int mac_parse(const char *text, unsigned char ret[6])
{
    unsigned char mac[6];

    for (int i = 0; i < 6; i++, text += 3) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        char end = low < 0 ? '\0' : text[2];

        if (low < 0 || (i < 5 ? end != ':' && end != '-' : end != '\0'))
            return -EINVAL;
        mac[i] = (unsigned char)(high << 4 | low);
    }
    memcpy(ret, mac, 6);
    return 0;
}

const char *mac_text(const unsigned char mac[6], char text[MAC_TEXT_MAX])
{
    snprintf(text, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return text;
}
