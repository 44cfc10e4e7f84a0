/* SPDX-License-Identifier: Apache-2.0 */
/* See dns-message.h. A question holds no compressed name (nothing precedes it to point at); answers
 * point at the question's. */
#include "network/dns-message.h"

#include <stdio.h>
#include <string.h>
#include "base/str.h"

#define LABEL_MAX 63

enum { FLAG_RESPONSE = 0x80, FLAG_OPCODE = 0x78, FLAG_AUTHORITATIVE = 0x04, FLAG_RECURSION = 0x01 };
enum { FLAG_AVAILABLE = 0x80 }; /* in the second byte */

static uint16_t get16(const unsigned char *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(struct buf *b, unsigned value)
{
    buf_char(b, (char)(value >> 8));
    buf_char(b, (char)value);
}

/* Whether a label's byte can be told from the joined form. */
static bool is_plain(unsigned char c)
{
    return c > ' ' && c != '.' && c != 127;
}

/* The name at *at; moves behind it. */
static int read_name(const unsigned char *message, size_t len, size_t *at, char *ret)
{
    size_t n = 0, i = *at;

    while (i < len && message[i] != 0) {
        size_t label = message[i++];

        if (label > LABEL_MAX || label > len - i || n + label + 1 > NAME_MAX_DNS)
            return -EINVAL;
        if (n > 0)
            ret[n++] = '.';
        for (; label > 0; label--, i++) {
            unsigned char c = message[i];

            if (!is_plain(c))
                return -EINVAL;
            ret[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
        }
    }
    if (i >= len)
        return -EINVAL;
    ret[n] = '\0';
    *at = i + 1;
    return 0;
}

int dns_read_question(const unsigned char *message, size_t len, struct dns_question *ret)
{
    struct dns_question q = { .end = DNS_HEADER };

    if (len < DNS_HEADER || message[2] & FLAG_RESPONSE)
        return -EBADMSG;
    q.id = ret->id = get16(message);
    ret->end = DNS_HEADER;
    if (message[2] & FLAG_OPCODE || get16(message + 4) != 1 ||
        read_name(message, len, &q.end, q.name) < 0 || len - q.end < 4)
        return -EINVAL;
    q.type = get16(message + q.end);
    q.class = get16(message + q.end + 2);
    q.end += 4;
    *ret = q;
    return 0;
}

bool dns_is_answer(const unsigned char *answer, size_t len, const unsigned char *query,
                   size_t query_len)
{
    struct dns_question q;

    if (len < DNS_HEADER || !(answer[2] & FLAG_RESPONSE) || memcmp(answer, query, 2) != 0)
        return false;
    if (dns_read_question(query, query_len, &q) < 0) /* forwarded all the same: by its id alone */
        return true;
    if (get16(answer + 4) == 0) /* some servers refuse without repeating the question */
        return (answer[3] & 0x0f) != DNS_OK;
    return len >= q.end && memcmp(answer + DNS_HEADER, query + DNS_HEADER, q.end - DNS_HEADER) == 0;
}

static int reverse4(const char *name, struct ipaddr *ret)
{
    unsigned part[4];
    char text[ADDRESS_TEXT_MAX];
    int end = 0;

    if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &part[0], &part[1], &part[2], &part[3],
               &end) != 4 ||
        end == 0 || name[end])
        return -EINVAL;
    snprintf(text, sizeof(text), "%u.%u.%u.%u", part[3], part[2], part[1], part[0]);
    return ipaddr_parse(text, ret);
}

/* 32 digits, the last one first, each followed by a dot. */
static int reverse6(const char *name, struct ipaddr *ret)
{
    static const char digits[] = "0123456789abcdef";
    struct ipaddr a = { .family = AF_INET6 };

    if (strlen(name) != 64 + strlen("ip6.arpa") || !streq(name + 64, "ip6.arpa"))
        return -EINVAL;
    for (int i = 0; i < 32; i++) {
        const char *digit = strchr(digits, name[2 * i]);

        if (!digit || name[2 * i + 1] != '.')
            return -EINVAL;
        a.bytes[15 - i / 2] |= (unsigned char)((digit - digits) << (i % 2 ? 4 : 0));
    }
    *ret = a;
    return 0;
}

int dns_reverse_name(const char *name, struct ipaddr *ret)
{
    return str_ends(name, ".ip6.arpa") ? reverse6(name, ret) : reverse4(name, ret);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Header and question of an answer to `query`. */
static void begin(const unsigned char *query, size_t end, int code, unsigned answers, bool own,
                  struct buf *b)
{
    buf_add(b, query, 2);
    buf_char(b, (char)(FLAG_RESPONSE | (query[2] & (FLAG_OPCODE | FLAG_RECURSION)) |
                       (own ? FLAG_AUTHORITATIVE : 0)));
    buf_char(b, (char)(FLAG_AVAILABLE | code));
    put16(b, end > DNS_HEADER ? 1 : 0);
    put16(b, answers);
    put16(b, 0);
    put16(b, 0);
    buf_add(b, query + DNS_HEADER, end - DNS_HEADER);
}

static void record(struct buf *b, unsigned type, const void *data, size_t len)
{
    put16(b, 0xc000 | DNS_HEADER); /* the question's name */
    put16(b, type);
    put16(b, DNS_CLASS_IN);
    put16(b, 0);
    put16(b, DNS_TTL);
    put16(b, (unsigned)len);
    buf_add(b, data, len);
}

void dns_write_addresses(const unsigned char *query, const struct dns_question *q,
                         const struct ipaddr *addresses, size_t count, size_t limit, struct buf *b)
{
    size_t each = 12 + (q->type == DNS_AAAA ? 16 : 4);

    count = MIN(count, limit > q->end ? (limit - q->end) / each : 0);
    begin(query, q->end, DNS_OK, (unsigned)count, true, b);
    for (size_t i = 0; i < count; i++)
        record(b, q->type, addresses[i].bytes, ipaddr_length(&addresses[i]));
}

void dns_write_name(const unsigned char *query, const struct dns_question *q, const char *name,
                    struct buf *b)
{
    autobuf struct buf labels = BUF(NAME_MAX_DNS + 2);

    for (const char *at = name; *at;) {
        size_t n = strcspn(at, ".");

        buf_char(&labels, (char)MIN(n, (size_t)LABEL_MAX));
        buf_add(&labels, at, MIN(n, (size_t)LABEL_MAX));
        at += n + (at[n] != '\0');
    }
    buf_char(&labels, 0);
    if (labels.error) {
        dns_write_failure(query, q->end, DNS_SERVER_FAILURE, b);
        return;
    }
    begin(query, q->end, DNS_OK, 1, true, b);
    record(b, DNS_PTR, labels.data, labels.len);
}

void dns_write_failure(const unsigned char *query, size_t len, int code, struct buf *b)
{
    struct dns_question q;

    begin(query, dns_read_question(query, len, &q) == 0 ? q.end : DNS_HEADER, code, 0, false, b);
}
