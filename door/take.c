/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection leaves the door (docker-api 3.3): the service gets the client's very socket and the
 * bytes that came behind the request.
 *
 * Those bytes are in MHD's buffer, and MHD gives them only to an upgrade that it answered itself,
 * with a head that is not docker's. So the connection's descriptor is given another socket
 * (dup3(2)) before MHD is let go on: its head ends there, and the client's socket, kept under
 * another number, gets docker's. The connection is suspended meanwhile, and not in MHD's epoll set
 * (internal_suspend_connection_), so nothing else sees the change.
 */
#include "door/internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "base/str.h"
#include "libswarm/relay.h"

#define EARLY_MAX (64u << 10)

void exchange_upgraded(struct exchange *x, int result, const void *early, size_t early_len)
{
    pthread_mutex_lock(&x->lock);
    if (x->upgrading && !x->upgraded) {
        x->upgraded = result;
        if (early_len && early_len <= EARLY_MAX && (x->early->early = malloc(early_len))) {
            memcpy(x->early->early, early, early_len);
            x->early->early_len = early_len;
        } else if (early_len) {
            x->upgraded = -ENOMEM;
        }
        pthread_cond_signal(&x->taken);
    }
    pthread_mutex_unlock(&x->lock);
}

static void on_upgrade(void *cls, struct MHD_Connection *connection, void *context,
                       const char *early, size_t early_len, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    exchange_upgraded(cls, 1, early, early_len);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/* Puts another socket in the place of x->fd; the client's own, under a new number. */
static int replace_socket(struct exchange *x)
{
    int pair[2], fd;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup3(pair[0], x->fd, O_CLOEXEC) < 0) {
        int r = -errno;

        fd_close(fd);
        fd_close(pair[0]);
        fd_close(pair[1]);
        return r;
    }
    fd_close(pair[0]);
    x->upgrade_keep = pair[1];
    return fd;
}

static int let_go(struct exchange *x, struct connection *c)
{
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, x);
    int r;

    if (!response)
        return -ENOMEM;
    MHD_add_response_header(response, "Upgrade", "tcp");
    pthread_mutex_lock(&x->lock);
    x->response = response;
    x->early = c;
    x->upgrading = true;
    loop_resume(x->server, x->connection);
    while (!x->upgraded)
        pthread_cond_wait(&x->taken, &x->lock);
    r = x->upgraded;
    pthread_mutex_unlock(&x->lock);
    return MIN(r, 0);
}

static int write_head(struct exchange *x, int fd, enum form form, bool upgrade)
{
    char head[256];
    int n;

    if (upgrade)
        n = snprintf(head, sizeof head,
                     "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\nConnection: Upgrade\r\n"
                     "Upgrade: tcp\r\n\r\n",
                     head_content_type(form, x->reply.api));
    else
        n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n",
                     head_content_type(FORM_CONNECTION, 0));
    return socket_write_all(fd, head, (size_t)n);
}

int exchange_take(struct reply *r, enum form form, struct connection *ret)
{
    struct exchange *x = (struct exchange *)r;
    struct connection c = { .fd = -1 };
    char key[WEBSOCKET_KEY_MAX] = "";
    const char *upgrade;
    int n;

    if (x->old_http || x->uploading)
        return -EOPNOTSUPP;
    upgrade = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Upgrade");
    n = form == FORM_WEBSOCKET ? websocket_key(x, key) : 0;
    if (n < 0)
        return n;
    bool upgraded = upgrade && *upgrade; /* before MHD frees it */
    n = replace_socket(x);
    if (n < 0)
        return n;
    c.fd = n;
    x->reply.gone_fd = -1;
    pthread_mutex_lock(&x->server->lock);
    x->fd = -1;
    pthread_mutex_unlock(&x->server->lock);
    n = let_go(x, &c);
    if (n == 0)
        n = form == FORM_WEBSOCKET ? websocket_start(x->server, key, x->reply.api, &c)
                                   : write_head(x, c.fd, form, upgraded);
    if (n < 0) {
        fd_close(c.fd);
        free(c.early);
        return n;
    }
    *ret = c;
    return 0;
}
