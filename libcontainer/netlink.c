/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink(7): requests out, answers in.
 *
 * Every changing request asks for an acknowledgement; a batch is one sendmsg of many requests,
 * which the kernel carries out in order and acknowledges one by one, going on after a failure. The
 * first error wins, with the kernel's own words (extended ACK) where it gives any.
 *
 * Traps: a datagram that does not fit is cut (MSG_TRUNC), answers that find the socket full are
 * lost (ENOBUFS): both are errors, never half an answer. A listing during which something changed
 * carries NLM_F_DUMP_INTR and is asked for again. Only the kernel (port 0) is listened to.
 */
#include "libcontainer/netlink.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/netlink-message.h"

/* ---- building ---- */

void netlink_request(struct netlink *nl, uint16_t type, uint16_t flags, const void *body,
                     size_t len, const char *what, ...)
{
    struct nlmsghdr header = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };
    va_list list;

    if (nl->count == NETLINK_BATCH_MESSAGES)
        nl->out.error = -EFBIG;
    if (nl->out.error)
        return;
    header.nlmsg_seq = ++nl->seq;
    va_start(list, what);
    vsnprintf(nl->whats[nl->count++].text, NETLINK_WHAT_MAX, what, list);
    va_end(list);
    nl->begun = nl->out.len;
    buf_add(&nl->out, &header, sizeof(header));
    buf_add(&nl->out, body, len);
    buf_add(&nl->out, "\0\0\0", NLMSG_ALIGN(len) - len);
}

void netlink_attr(struct netlink *nl, uint16_t type, const void *data, size_t len)
{
    struct rtattr attr = { .rta_type = type, .rta_len = (unsigned short)RTA_LENGTH(len) };

    buf_add(&nl->out, &attr, sizeof(attr));
    buf_add(&nl->out, data, len);
    buf_add(&nl->out, "\0\0\0", RTA_ALIGN(len) - len);
}

void netlink_attr_u32(struct netlink *nl, uint16_t type, uint32_t value)
{
    netlink_attr(nl, type, &value, sizeof(value));
}

void netlink_attr_str(struct netlink *nl, uint16_t type, const char *value)
{
    netlink_attr(nl, type, value, strlen(value) + 1);
}

size_t netlink_nest(struct netlink *nl, uint16_t type)
{
    size_t start = nl->out.len;

    netlink_attr(nl, type | NLA_F_NESTED, "", 0);
    return start;
}

void netlink_nest_end(struct netlink *nl, size_t nest)
{
    if (!nl->out.error)
        ((struct rtattr *)(void *)(nl->out.data + nest))->rta_len =
            (unsigned short)(nl->out.len - nest);
}

/* Writes the length that is known only now. */
static void finish_request(struct netlink *nl)
{
    if (!nl->out.error)
        ((struct nlmsghdr *)(void *)(nl->out.data + nl->begun))->nlmsg_len =
            (uint32_t)(nl->out.len - nl->begun);
}

static void forget_requests(struct netlink *nl)
{
    buf_reset(&nl->out);
    nl->out.error = 0;
    nl->count = 0;
}

/* ---- talking ---- */

static int send_requests(struct netlink *nl, struct wharf_error *e)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    ssize_t n;

    if (nl->out.error)
        return err_code(e, nl->out.error, "cannot build a netlink request");
    do
        n = sendto(nl->fd, nl->out.data, nl->out.len, MSG_NOSIGNAL, (struct sockaddr *)&kernel,
                   sizeof(kernel));
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_sys(e, "cannot send a netlink request") : 0;
}

/* One datagram from the kernel: its length, or -errno. */
static ssize_t receive(struct netlink *nl, struct wharf_error *e)
{
    for (;;) {
        struct sockaddr_nl from = { 0 };
        struct iovec piece = { nl->answer, NETLINK_ANSWER_MAX };
        struct msghdr m = {
            .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &piece, .msg_iovlen = 1
        };
        ssize_t n = recvmsg(nl->fd, &m, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "cannot receive a netlink answer");
        if (m.msg_flags & MSG_TRUNC)
            return err_set(e, -EMSGSIZE, WHARF_ERROR_LIMIT,
                           "a netlink answer is longer than %d bytes", NETLINK_ANSWER_MAX);
        if (from.nl_pid == 0)
            return n;
    }
}

/* The kernel's own words behind an NLMSG_ERROR, or NULL. */
static const char *kernel_text(const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = NLMSG_DATA(message);
    size_t skip = sizeof(*error);
    const struct rtattr *text;

    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
        return NULL;
    if (!(message->nlmsg_flags & NLM_F_CAPPED))
        skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
    text = netlink_find(message, skip, NLMSGERR_ATTR_MSG);
    if (!text || RTA_PAYLOAD(text) == 0 || ((const char *)RTA_DATA(text))[RTA_PAYLOAD(text) - 1])
        return NULL;
    return RTA_DATA(text);
}

/* The error of an acknowledgement: 0 or -errno with err set. `first` is the sequence number of the
 * first request in `whats`. */
static int acknowledged(struct netlink *nl, const struct nlmsghdr *message, uint32_t first,
                        struct wharf_error *e)
{
    const struct nlmsgerr *error = NLMSG_DATA(message);
    const char *what = nl->whats[message->nlmsg_seq - first].text, *text;

    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
        return err_set(e, -EBADMSG, WHARF_ERROR_INTERNAL, "a netlink answer is cut short");
    if (error->error == 0)
        return 0;
    text = kernel_text(message);
    return err_code(e, error->error, text ? "cannot %s: %s" : "cannot %s", what, text);
}

/* Is it an answer to one of the requests that are out? */
static bool is_answer(const struct netlink *nl, const struct nlmsghdr *message, uint32_t first)
{
    return message->nlmsg_seq - first < nl->count;
}

/* Waits for the acknowledgements of all requests; the first error wins. */
static int collect(struct netlink *nl, struct wharf_error *e)
{
    uint32_t first = nl->seq - (uint32_t)nl->count + 1;
    size_t left = nl->count;
    int result = 0;

    while (left > 0) {
        ssize_t n = receive(nl, e);

        if (n < 0)
            return (int)n;
        for (struct nlmsghdr *m = (void *)nl->answer; NLMSG_OK(m, (size_t)n);
             m = NLMSG_NEXT(m, n)) {
            int r;

            if (m->nlmsg_type != NLMSG_ERROR || !is_answer(nl, m, first))
                continue;
            left--;
            r = acknowledged(nl, m, first, result == 0 ? e : NULL);
            if (result == 0)
                result = r;
        }
    }
    return result;
}

static int transact(struct netlink *nl, struct wharf_error *e)
{
    int r = send_requests(nl, e);

    if (r == 0)
        r = collect(nl, e);
    forget_requests(nl);
    return r;
}

/* What a commit was answered: errors of any request, an acknowledgement of the last one. */
static int collect_commit(struct netlink *nl, struct wharf_error *e)
{
    uint32_t first = nl->seq - (uint32_t)nl->count + 1;
    bool answered = false;
    int result = 0;

    do {
        ssize_t n = receive(nl, e);

        if (n < 0)
            return (int)n;
        for (struct nlmsghdr *m = (void *)nl->answer; NLMSG_OK(m, (size_t)n);
             m = NLMSG_NEXT(m, n)) {
            if (m->nlmsg_type != NLMSG_ERROR || !is_answer(nl, m, first))
                continue;
            answered = true;
            int r = acknowledged(nl, m, first, result == 0 ? e : NULL);
            if (result == 0)
                result = r;
        }
        /* the kernel answers within the send: there is more, or that was all */
    } while (!answered || recv(nl->fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT) >= 0);
    return result;
}

int netlink_commit(struct netlink *nl, struct wharf_error *e)
{
    int size = (int)nl->out.len + NETLINK_COMMIT_SLACK;

    nl->batch = false;
    if (nl->out.len > NETLINK_COMMIT_PLAIN)
        setsockopt(nl->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    int r = send_requests(nl, e);
    if (r == 0)
        r = collect_commit(nl, e);
    forget_requests(nl);
    return r;
}

int netlink_submit(struct netlink *nl, struct wharf_error *e)
{
    finish_request(nl);
    return nl->batch ? 0 : transact(nl, e);
}

void netlink_begin(struct netlink *nl)
{
    nl->batch = true;
}

int netlink_end(struct netlink *nl, struct wharf_error *e)
{
    nl->batch = false;
    if (nl->count == 0 && !nl->out.error)
        return 0;
    return transact(nl, e);
}

/* ---- asking ---- */

/* Gathers the messages of one answer. 1: it changed meanwhile. */
static int gather(struct netlink *nl, bool dump, struct buf *in, struct wharf_error *e)
{
    bool changed = false;

    for (;;) {
        ssize_t n = receive(nl, e);

        if (n < 0)
            return (int)n;
        for (struct nlmsghdr *m = (void *)nl->answer; NLMSG_OK(m, (size_t)n);
             m = NLMSG_NEXT(m, n)) {
            if (!is_answer(nl, m, nl->seq))
                continue;
            changed = changed || (m->nlmsg_flags & NLM_F_DUMP_INTR);
            if (m->nlmsg_type == NLMSG_ERROR)
                return acknowledged(nl, m, nl->seq, e);
            if (m->nlmsg_type == NLMSG_DONE)
                return changed;
            buf_add(in, m, NLMSG_ALIGN(m->nlmsg_len));
            if (in->error)
                return err_code(e, in->error, "cannot %s: the list is too long", nl->whats[0].text);
            if (!dump)
                return 0;
        }
    }
}

int netlink_ask(struct netlink *nl, netlink_each *each, void *user, struct wharf_error *e)
{
    autobuf struct buf in = BUF(NETLINK_DUMP_MAX);
    struct nlmsghdr *header;
    int r = 1, left;

    finish_request(nl);
    for (int i = 0; r == 1 && i < NETLINK_DUMP_TRIES; i++) {
        buf_reset(&in);
        r = send_requests(nl, e);
        header = (void *)nl->out.data;
        if (r == 0)
            r = gather(nl, header->nlmsg_flags & NLM_F_DUMP, &in, e);
        if (r == 1)
            header->nlmsg_seq = ++nl->seq;
    }
    if (r == 1)
        r = err_set(e, -EAGAIN, WHARF_ERROR_UNAVAILABLE, "cannot %s: it keeps changing",
                    nl->whats[0].text);
    forget_requests(nl);
    left = (int)in.len;
    for (struct nlmsghdr *m = (void *)in.data; r == 0 && m && NLMSG_OK(m, (size_t)left);
         m = NLMSG_NEXT(m, left))
        r = each(user, m);
    return r;
}

static const struct rtattr *find(const struct rtattr *attr, size_t len, uint16_t type)
{
    for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
        if ((attr->rta_type & NLA_TYPE_MASK) == type)
            return attr;
    return NULL;
}

const struct rtattr *netlink_find(const struct nlmsghdr *message, size_t body_len, uint16_t type)
{
    size_t skip = NLMSG_SPACE(body_len);

    if (message->nlmsg_len < skip)
        return NULL;
    return find((const void *)((const char *)message + skip), message->nlmsg_len - skip, type);
}

const struct rtattr *netlink_find_in(const struct rtattr *nest, uint16_t type)
{
    return find(RTA_DATA(nest), RTA_PAYLOAD(nest), type);
}

/* ---- opening ---- */

static int open_socket(int protocol, struct wharf_error *e)
{
    autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    int one = 1;

    if (fd < 0)
        return err_sys(e, "cannot open a netlink socket");
    /* older kernels lack these: then answers are longer and have no words */
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
    return take_fd(&fd);
}

/* A socket belongs to the namespace that its maker was in at birth. */
static int open_in(int protocol, int netns, struct wharf_error *e)
{
    autoclose int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (home < 0)
        return err_sys(e, "cannot open '/proc/thread-self/ns/net'");
    if (setns(netns, CLONE_NEWNET) < 0)
        return err_sys(e, "cannot enter a network namespace");
    fd = open_socket(protocol, e);
    if (setns(home, CLONE_NEWNET) < 0) {
        fd_close(fd);
        return err_sys(e, "cannot return to the own network namespace");
    }
    return fd;
}

int netlink_open(struct netlink **ret, int netns, struct wharf_error *e)
{
    return netlink_open_protocol(ret, NETLINK_ROUTE, netns, e);
}

int netlink_open_protocol(struct netlink **ret, int protocol, int netns, struct wharf_error *e)
{
    auto_of(netlink_close) struct netlink *nl = calloc(1, sizeof(*nl));

    if (!nl)
        return err_nomem(e);
    nl->fd = -1;
    nl->out = BUF(NETLINK_BATCH_MAX);
    nl->whats = calloc(NETLINK_BATCH_MESSAGES, sizeof(*nl->whats));
    nl->answer = malloc(NETLINK_ANSWER_MAX);
    if (!nl->whats || !nl->answer)
        return err_nomem(e);
    nl->fd = netns < 0 ? open_socket(protocol, e) : open_in(protocol, netns, e);
    if (nl->fd < 0)
        return nl->fd;
    *ret = take_ptr(&nl);
    return 0;
}

void netlink_close(struct netlink *nl)
{
    if (!nl)
        return;
    fd_close(nl->fd);
    buf_done(&nl->out);
    free(nl->whats);
    free(nl->answer);
    free(nl);
}
