/* SPDX-License-Identifier: Apache-2.0 */
/* See port.h. */
#include "network/port.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/str.h"

#define ANY_PORT_ATTEMPTS 16 /* a number that is free in one family may be taken in the other */

/* ---- what was asked for ---------------------------------------------------------------------- */

static int parse_range(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
    const char *dash = strchr(text, '-');
    char start[8];
    uint64_t first, last;

    snprintf(start, sizeof(start), "%.*s", dash ? (int)MIN(dash - text, 7) : 7, text);
    if (parse_u64(start, 0, 65535, &first) < 0)
        return -EINVAL;
    last = first;
    if (dash && parse_u64(dash + 1, first, 65535, &last) < 0)
        return -EINVAL;
    *ret_first = (uint16_t)first;
    *ret_last = (uint16_t)last;
    return 0;
}

int port_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, int *ret_protocol)
{
    const char *slash = strchr(text, '/');
    int protocol = IPPROTO_TCP;
    char range[16];

    if (slash && protocol_parse(slash + 1, &protocol) < 0)
        return -EINVAL;
    snprintf(range, sizeof(range), "%.*s", slash ? (int)MIN(slash - text, 15) : 15, text);
    if (parse_range(range, ret_first, ret_last) < 0 || *ret_first == 0)
        return -EINVAL;
    *ret_protocol = protocol;
    return 0;
}

struct reading {
    struct arena *arena;
    port_list list;
    size_t room;
    struct wharf_error *e;
};

static int add_request(struct reading *in, const struct port_request *request)
{
    if (in->list.count == PORTS_MAX)
        return err_set(in->e, -E2BIG, WHARF_ERROR_LIMIT, "more than %d published ports", PORTS_MAX);
    if (in->list.count == in->room) {
        size_t room = in->room ? in->room * 2 : 16;
        struct port_request *more = arena_array(in->arena, room, sizeof(*more));

        if (!more)
            return err_nomem(in->e);
        if (in->list.count)
            memcpy(more, in->list.items, in->list.count * sizeof(*more));
        in->list.items = more;
        in->room = room;
    }
    in->list.items[in->list.count++] = *request;
    return 0;
}

static const char *member(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* A container's range and a host's of the same length go together port by port; one port of the
 * container may choose from a range of the host. */
static int add_binding(struct reading *in, const char *key, uint16_t first, uint16_t last,
                       int protocol, json_t *binding)
{
    const char *ip = binding ? member(binding, "HostIp") : "";
    const char *host = binding ? member(binding, "HostPort") : "";
    struct port_request request = { .protocol = protocol };
    uint16_t from = 0, to = 0;

    if (*ip && ipaddr_parse(ip, &request.host) < 0)
        return err_invalid(in->e, "invalid IP address: %s", ip);
    if (*host && parse_range(host, &from, &to) < 0)
        return err_invalid(in->e, "invalid port specification: \"%s\"", host);
    bool paired = from && first != last;
    if (paired && to - from != last - first)
        return err_invalid(
            in->e, "invalid ranges specified for container and host ports: %s and %s", key, host);
    int r = 0;
    for (unsigned i = 0; r == 0 && i <= (unsigned)(last - first); i++) {
        request.port = (uint16_t)(first + i);
        request.first = paired ? (uint16_t)(from + i) : from;
        request.last = paired ? request.first : to;
        r = add_request(in, &request);
    }
    return r;
}

static int read_key(struct reading *in, const char *key, uint16_t *first, uint16_t *last,
                    int *protocol)
{
    if (port_parse(key, first, last, protocol) < 0)
        return err_invalid(in->e, "invalid port specification: \"%s\"", key);
    return 0;
}

static int read_bindings(struct reading *in, json_t *bindings)
{
    const char *key;
    json_t *list, *binding;
    size_t i;
    int r = 0, protocol;
    uint16_t first, last;

    json_object_foreach (bindings, key, list) {
        if (r == 0)
            r = read_key(in, key, &first, &last, &protocol);
        json_array_foreach (list, i, binding) {
            if (r == 0)
                r = add_binding(in, key, first, last, protocol, binding);
        }
        if (r == 0 && json_array_size(list) == 0 && json_is_array(list))
            r = add_binding(in, key, first, last, protocol, NULL);
    }
    return r;
}

static int read_exposed(struct reading *in, json_t *exposed, json_t *bindings)
{
    const char *key;
    json_t *value;
    int r = 0, protocol;
    uint16_t first, last;

    json_object_foreach (exposed, key, value) {
        if (r < 0 || json_array_size(json_object_get(bindings, key)) > 0)
            continue;
        r = read_key(in, key, &first, &last, &protocol);
        if (r == 0)
            r = add_binding(in, key, first, last, protocol, NULL);
    }
    return r;
}

/* Fixed ports first, so that a port that may be any does not take one of them. */
static int by_freedom(const void *a, const void *b)
{
    const struct port_request *x = a, *y = b;
    int free_x = x->first == 0, free_y = y->first == 0;

    if (free_x != free_y)
        return free_x - free_y;
    return x->port != y->port ? (x->port < y->port ? -1 : 1) : x->protocol - y->protocol;
}

int port_requests(json_t *bindings, json_t *exposed, bool publish_all, struct arena *arena,
                  port_list *ret, struct wharf_error *e)
{
    struct reading in = { .arena = arena, .e = e };
    int r = read_bindings(&in, bindings);

    if (r == 0 && publish_all)
        r = read_exposed(&in, exposed, bindings);
    if (r < 0)
        return r;
    if (in.list.count)
        qsort(in.list.items, in.list.count, sizeof(*in.list.items), by_freedom);
    *ret = in.list;
    return 0;
}

/* ---- taking ---------------------------------------------------------------------------------- */

int port_keep_open(struct port_keep *keep, struct wharf_error *e)
{
    int pair[2];

    *keep = (struct port_keep){ .in = -1, .out = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket");
    keep->in = pair[0];
    keep->out = pair[1];
    return 0;
}

static void drop_pending(struct port_keep *keep)
{
    while (keep->count > 0)
        fd_close(keep->pending[--keep->count]);
}

void port_keep_close(struct port_keep *keep)
{
    drop_pending(keep);
    keep->in = fd_close(keep->in);
    keep->out = fd_close(keep->out);
}

static int flush(struct port_keep *keep, struct wharf_error *e)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(keep->pending))];
    } control = { 0 };
    struct iovec piece = { (char *)"p", 1 };
    struct msghdr m = { .msg_iov = &piece,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = CMSG_SPACE(keep->count * sizeof(int)) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    if (keep->count == 0)
        return 0;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(keep->count * sizeof(int));
    memcpy(CMSG_DATA(c), keep->pending, keep->count * sizeof(int));
    ssize_t n = sendmsg(keep->in, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    int r = n < 0 ? err_sys(e, "cannot keep the published ports") : 0;
    drop_pending(keep);
    return r;
}

int port_keep_seal(struct port_keep *keep, struct wharf_error *e)
{
    int r = flush(keep, e);

    return r < 0 ? r : take_fd(&keep->out);
}

static socklen_t socket_address(const struct ipaddr *host, uint16_t port,
                                struct sockaddr_storage *ret)
{
    struct sockaddr_in *four = (void *)ret;
    struct sockaddr_in6 *six = (void *)ret;

    memset(ret, 0, sizeof(*ret));
    ret->ss_family = (sa_family_t)host->family;
    if (host->family == AF_INET6) {
        six->sin6_port = htons(port);
        memcpy(&six->sin6_addr, host->bytes, 16);
        return sizeof(*six);
    }
    four->sin_port = htons(port);
    memcpy(&four->sin_addr, host->bytes, 4);
    return sizeof(*four);
}

/* Binds as one who would listen: connections that linger in TIME_WAIT do not stand in the way, a
 * listener does, and so does another container's socket, which has SO_REUSEADDR off (socket(7)). */
static int bind_socket(int fd, const struct sockaddr_storage *at, socklen_t len)
{
    int on = 1, off = 0;

    if (bind(fd, (const struct sockaddr *)at, len) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int r = bind(fd, (const struct sockaddr *)at, len) < 0 ? -errno : 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
    return r;
}

/* Port 0: any; the one that it is. */
static int bind_port(int protocol, const struct ipaddr *host, uint16_t *port)
{
    struct sockaddr_storage at;
    socklen_t len = socket_address(host, *port, &at);
    int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
    autoclose int fd = socket(host->family, type | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return -errno;
    if (host->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    int r = protocol == IPPROTO_TCP                     ? bind_socket(fd, &at, len)
            : bind(fd, (struct sockaddr *)&at, len) < 0 ? -errno
                                                        : 0;
    if (r < 0)
        return r;
    len = sizeof(at);
    if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        return -errno;
    *port = ntohs(((struct sockaddr_in *)(void *)&at)->sin_port); /* at one place in both */
    return take_fd(&fd);
}

/* One number, for every family that is wanted. */
static int bind_families(int protocol, const struct ipaddr host[2], uint16_t *port, int fds[2])
{
    uint16_t number = *port;
    int r = 0;

    fds[0] = fds[1] = -1;
    for (int i = 0; i < 2 && r >= 0; i++) {
        if (host[i].family)
            r = fds[i] = bind_port(protocol, &host[i], &number);
    }
    if (r < 0) {
        fds[0] = fd_close(fds[0]);
        fds[1] = fd_close(fds[1]);
        return r;
    }
    *port = number;
    return 0;
}

static int bind_request(const struct port_request *request, const struct ipaddr host[2],
                        uint16_t *ret, int fds[2])
{
    int r = -EADDRINUSE;

    for (int i = 0; request->first == 0 && r == -EADDRINUSE && i < ANY_PORT_ATTEMPTS; i++) {
        *ret = 0;
        r = bind_families(request->protocol, host, ret, fds);
    }
    for (unsigned p = request->first; p && r == -EADDRINUSE && p <= request->last; p++) {
        *ret = (uint16_t)p;
        r = bind_families(request->protocol, host, ret, fds);
    }
    return r;
}

static int take_failed(const struct port_request *request, const struct ipaddr *host, int r,
                       struct wharf_error *e)
{
    char text[ADDRESS_TEXT_MAX];
    bool six = host->family == AF_INET6;

    ipaddr_text(host, text);
    if (r == -EADDRINUSE && request->first != request->last)
        return err_set(e, r, WHARF_ERROR_INTERNAL, "all ports are allocated");
    if (r == -EADDRINUSE)
        return err_set(e, r, WHARF_ERROR_INTERNAL,
                       "Bind for %s%s%s:%u failed: port is already allocated", six ? "[" : "", text,
                       six ? "]" : "", request->first);
    return err_set(e, r, WHARF_ERROR_INTERNAL, "listen %s %s:%u: bind: %s",
                   protocol_name(request->protocol), text, request->first, strerror(-r));
}

int port_take(struct port_keep *keep, const struct port_request *request,
              const struct ipaddr *fallback, const struct ipaddr to[2], struct published ret[2],
              struct wharf_error *e)
{
    const struct ipaddr *wanted = request->host.family ? &request->host : fallback;
    struct ipaddr host[2] = { { .family = AF_INET }, { .family = AF_INET6 } };
    int fds[2], count = 0;
    uint16_t port;

    for (int i = 0; i < 2; i++) {
        if (wanted->family == host[i].family)
            host[i] = *wanted;
        else if (wanted->family && !ipaddr_is_any(wanted))
            host[i].family = 0;
        if (!to[i].family)
            host[i].family = 0;
    }
    if (wanted->family == AF_INET && request->host.family) /* 0.0.0.0 said aloud: IPv4 alone */
        host[1].family = 0;
    if (wanted->family == AF_INET6 && request->host.family)
        host[0].family = 0;
    if (host[1].family && ipaddr_is_loopback(&host[1]))
        return err_unsupported(e, "cannot publish a port on ::1: IPv6 leads no loopback traffic to "
                                  "containers, use 127.0.0.1");
    if (!host[0].family && !host[1].family)
        return err_invalid(e, "cannot publish a port on an address of a family that the container "
                              "has none of");
    int r = bind_request(request, host, &port, fds);
    if (r < 0)
        return take_failed(request, host[0].family ? &host[0] : &host[1], r, e);
    for (int i = 0; i < 2; i++) {
        if (fds[i] < 0)
            continue;
        keep->pending[keep->count++] = fds[i];
        ret[count++] = (struct published){ .protocol = request->protocol,
                                           .host = host[i],
                                           .host_port = port,
                                           .to = to[i],
                                           .to_port = request->port };
    }
    if (keep->count > KEEP_BATCH - 2)
        r = flush(keep, e);
    return r < 0 ? r : count;
}
