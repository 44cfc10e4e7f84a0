/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions and answers of the domain name system (RFC 1035), as much as a name server for
 * containers must understand: one question, answers of addresses and names. Pure functions over
 * bytes that anybody may have sent.
 */
#ifndef NETWORK_DNS_MESSAGE_H
#define NETWORK_DNS_MESSAGE_H

#include "network/names.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_HEADER      12
#define DNS_TTL         600 /* seconds, as docker's */

enum { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_CLASS_IN = 1 };
enum { DNS_OK = 0, DNS_FORMAT_ERROR = 1, DNS_SERVER_FAILURE = 2, DNS_NOT_IMPLEMENTED = 4 };

struct dns_question {
    uint16_t id, type, class;
    size_t end;                  /* offset behind the question */
    char name[NAME_MAX_DNS + 1]; /* lower case, labels joined by '.', without the last one */
};

/* A query with one question: 0; -EBADMSG: answer nothing; -EINVAL: a query, but not one that can be
 * understood (id is filled in). Labels with bytes that no name has (a dot, a blank, control
 * characters) are taken as they are asked by nobody: -EINVAL. */
int dns_read_question(const unsigned char *message, size_t len, struct dns_question *ret);

/* An address in in-addr.arpa or ip6.arpa: 0 or -EINVAL. */
int dns_reverse_name(const char *name, struct ipaddr *ret);

/* Whether `answer` answers the question asked in `query` (same question, bytes for bytes). */
bool dns_is_answer(const unsigned char *answer, size_t len, const unsigned char *query,
                   size_t query_len);

/* Answers, appended to `b` (which is empty); `limit`: what fits into the answer, further addresses
 * are left out. */
void dns_write_addresses(const unsigned char *query, const struct dns_question *q,
                         const struct ipaddr *addresses, size_t count, size_t limit, struct buf *b);
void dns_write_name(const unsigned char *query, const struct dns_question *q, const char *name,
                    struct buf *b);
void dns_write_failure(const unsigned char *query, size_t len, int code, struct buf *b);

#endif
