/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between runtime and container process. See sync.h; child-safe. */
#include "libcontainer/sync.h"

#include <string.h>
#include <sys/socket.h>
#include "base/macros.h"

_Static_assert(offsetof(struct sync_message, step) == offsetof(struct stub_report, step),
               "what the stub sends is the beginning of a message");

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static int send_bytes(int socket, struct sync_message *m, size_t len, int fd)
{
    struct iovec data = { m, len };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
    union control control = { 0 };
    ssize_t n;

    if (fd >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        message.msg_control = control.room;
        message.msg_controllen = sizeof(control.room);
    }
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int sync_send(int socket, enum sync_type type, int code, int fd)
{
    struct sync_message m = { .type = type, .code = code };

    return send_bytes(socket, &m, sizeof(struct stub_report), fd);
}

int sync_send_error(int socket, const struct wharf_error *error)
{
    struct sync_message m = { .type = SYNC_ERROR, .code = -error->code, .error = *error };

    return send_bytes(socket, &m, sizeof(m), -1);
}

static int passed_fd(struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

int sync_receive(int socket, struct sync_message *ret, int *ret_fd)
{
    struct iovec data = { ret, sizeof(*ret) };
    union control control;
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    ssize_t n;

    memset(ret, 0, sizeof(struct stub_report));
    ret->error.message[0] = 0;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *ret_fd = n > 0 ? passed_fd(&message) : -1;
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (n == 0)
        return 0;
    if ((size_t)n < sizeof(struct stub_report) ||
        (ret->type == SYNC_ERROR && (size_t)n != sizeof(*ret))) {
        *ret_fd = fd_close(*ret_fd);
        return -EPROTO;
    }
    ret->error.message[WHARF_ERROR_MESSAGE_MAX - 1] = 0;
    return 1;
}

int sync_expect(int socket, enum sync_type type)
{
    struct sync_message m;
    int fd, r = sync_receive(socket, &m, &fd);

    fd_close(fd);
    if (r <= 0)
        return r < 0 ? r : -EPIPE;
    return m.type == type ? 0 : -EPROTO;
}
