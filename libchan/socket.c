/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of plain sockets: unix (descriptors pass) and TCP.
 *
 * The descriptor is in blocking mode with a receive time-out: so that a reader can sleep in recvmsg
 * itself, one system call a message; everything that must not wait says MSG_DONTWAIT.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "libchan/transport.h"

/* Takes the descriptors out of a message; more than fit means that some are lost: -EBADMSG. */
static int collect(struct msghdr *h, struct fd_queue *q)
{
    int r = h->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        size_t n = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd, added;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            added = fd_queue_add(q, fd);
            r = r ? r : added;
        }
    }
    return r;
}

static ssize_t unix_read(struct wire *w, void *buf, size_t size, struct fd_queue *fds, bool wait)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CHAN_FDS_MAX)];
    } control;
    struct iovec iov = { buf, size };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(w->fd, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));

    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if (h.msg_controllen) {
        int r = collect(&h, fds);

        if (r < 0)
            return r;
    }
    return n;
}

static ssize_t tcp_read(struct wire *w, void *buf, size_t size, struct fd_queue *fds, bool wait)
{
    ssize_t n = recv(w->fd, buf, size, wait ? 0 : MSG_DONTWAIT);

    return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
}

static ssize_t socket_write(struct wire *w, const struct iovec *iov, int n, const int *fds,
                            unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CHAN_FDS_MAX)];
    } control;
    struct msghdr h = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
    ssize_t sent;

    if (n_fds) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
                                          .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * n_fds);
    }
    sent = sendmsg(w->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    /* too many descriptors in flight (unix(7)): the peer takes some, then it goes on */
    return errno == EINTR || errno == ETOOMANYREFS || errno == ENOBUFS ? -EAGAIN : -errno;
}

static int unix_peer(struct wire *w, struct chan_peer *ret, struct wharf_error *e)
{
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int pidfd = -1;

    if (getsockopt(w->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return err_sys(e, "cannot read the peer's credentials");
    ret->has_credentials = true;
    ret->uid = cred.uid;
    ret->gid = cred.gid;
    ret->pid = cred.pid;
    len = sizeof(pidfd);
    ret->pidfd = getsockopt(w->fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0 ? -1 : pidfd;
    return 0;
}

static void socket_shutdown(struct wire *w)
{
    shutdown(w->fd, SHUT_RDWR);
}

static void socket_free(struct wire *w)
{
    close(w->fd);
    free(w);
}

static const struct wire_ops unix_ops = {
    .name = "unix",
    .passes_fds = true,
    .read = unix_read,
    .write = socket_write,
    .peer = unix_peer,
    .shutdown = socket_shutdown,
    .free = socket_free,
};

static const struct wire_ops tcp_ops = {
    .name = "tcp",
    .read = tcp_read,
    .write = socket_write,
    .shutdown = socket_shutdown,
    .free = socket_free,
};

static int set_up(int fd, int domain)
{
    const struct timeval patience = { 0, WIRE_PATIENCE_MS * 1000 };
    int one = 1, flags = fcntl(fd, F_GETFL);

    if (flags < 0 || ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;
    if (domain != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        return -errno;
    return 0;
}

int wire_socket(int fd, struct wire **ret, struct wharf_error *e)
{
    int type = 0, domain = 0, r;
    socklen_t len = sizeof(int);
    struct wire *w;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
        return err_sys(e, "descriptor %d is not a socket", fd);
    if (type != SOCK_STREAM)
        return err_invalid(e, "descriptor %d is not a stream socket", fd);
    r = set_up(fd, domain);
    if (r < 0)
        return err_code(e, r, "cannot set up the socket");
    w = calloc(1, sizeof(*w));
    if (!w)
        return err_nomem(e);
    w->fd = fd;
    w->ops = domain == AF_UNIX ? &unix_ops : &tcp_ops;
    *ret = w;
    return 0;
}
