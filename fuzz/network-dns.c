/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a question of the domain name system: read or refused; what is read can be answered,
 * and the answer is one to that question. */
#include <stdint.h>
#include "network/dns-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ipaddr found = { AF_INET, { 10, 0, 0, 1 } };
    autobuf struct buf addresses = BUF(DNS_MESSAGE_MAX), name = BUF(DNS_MESSAGE_MAX),
                       failure = BUF(DNS_MESSAGE_MAX);
    struct dns_question q;
    struct ipaddr address;

    int r = dns_read_question(data, size, &q);
    if (r == -EBADMSG)
        return 0;
    dns_write_failure(data, size, DNS_SERVER_FAILURE, &failure);
    check(!failure.error && failure.len >= DNS_HEADER && failure.len <= size);
    if (r < 0)
        return 0;
    check(q.end <= size);
    dns_reverse_name(q.name, &address);
    dns_write_addresses(data, &q, &found, 1, 512, &addresses);
    dns_write_name(data, &q, q.name, &name);
    check(dns_is_answer((const unsigned char *)addresses.data, addresses.len, data, size));
    check(dns_is_answer((const unsigned char *)name.data, name.len, data, size));
    return 0;
}
