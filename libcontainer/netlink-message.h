/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside netlink: building requests and talking. A request is begun, gets attributes (nested ones
 * between nest and nest_end), and is ended, which queues it in a batch or sends it and waits.
 * Errors while building (no memory, too long) stick to the buffer and come out at the end.
 */
#ifndef LIBCONTAINER_NETLINK_MESSAGE_H
#define LIBCONTAINER_NETLINK_MESSAGE_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include "base/buf.h"
#include "libcontainer/netlink.h"

enum {
    NETLINK_BATCH_MAX = 512 * 1024,      /* bytes queued */
    NETLINK_BATCH_MESSAGES = 2048,       /* requests queued */
    NETLINK_DUMP_MAX = 64 * 1024 * 1024, /* bytes of one listing */
    NETLINK_DUMP_TRIES = 8,              /* while it changes under our hands */
    NETLINK_ANSWER_MAX = 64 * 1024,      /* one datagram; the kernel's own limit is 32 KiB */
    NETLINK_WHAT_MAX = 64,
    NETLINK_COMMIT_PLAIN = 128 * 1024, /* what a socket's usual buffer takes in one message */
    NETLINK_COMMIT_SLACK = 64 * 1024,
};

/* What a request was for, to be told when it fails. */
struct netlink_what {
    char text[NETLINK_WHAT_MAX];
};

struct netlink {
    int fd;
    uint32_t seq;   /* of the last request */
    struct buf out; /* requests not yet sent */
    size_t begun;   /* where the last one starts in `out` */
    struct netlink_what *whats;
    size_t count; /* requests in `out` */
    bool batch;
    char *answer; /* NETLINK_ANSWER_MAX bytes */
};

/* Starts a request; `body` is the family's header. The format tells what it is for: "set 'eth0'
 * up". */
void netlink_request(struct netlink *nl, uint16_t type, uint16_t flags, const void *body,
                     size_t len, const char *what, ...) __attribute__((format(printf, 6, 7)));
void netlink_attr(struct netlink *nl, uint16_t type, const void *data, size_t len);
void netlink_attr_u32(struct netlink *nl, uint16_t type, uint32_t value);
void netlink_attr_str(struct netlink *nl, uint16_t type, const char *value);
size_t netlink_nest(struct netlink *nl, uint16_t type);
void netlink_nest_end(struct netlink *nl, size_t nest);
/* As netlink_open, for another family than rtnetlink. */
int netlink_open_protocol(struct netlink **ret, int protocol, int netns, struct wharf_error *e);

/* Sends a transaction of nfnetlink that was queued: all or nothing is carried out. Only the last
 * request but the closing one asks for an acknowledgement: a thousand of them would not fit. */
int netlink_commit(struct netlink *nl, struct wharf_error *e);

/* Queues or sends. */
int netlink_submit(struct netlink *nl, struct wharf_error *e);

/* Sends the request that was begun and calls `each` for every message of the answer (one, or with
 * NLM_F_DUMP many), stopping at its first non-zero, which is returned. */
typedef int netlink_each(void *user, const struct nlmsghdr *message);
int netlink_ask(struct netlink *nl, netlink_each *each, void *user, struct wharf_error *e);

/* The attribute of a message behind `body_len` bytes, or NULL; and one inside a nest. */
const struct rtattr *netlink_find(const struct nlmsghdr *message, size_t body_len, uint16_t type);
const struct rtattr *netlink_find_in(const struct rtattr *nest, uint16_t type);

#endif
