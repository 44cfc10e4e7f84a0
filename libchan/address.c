/* SPDX-License-Identifier: Apache-2.0 */
/* From "unix:/run/x", "tcp:host:port", "ws://host:port/path" to sockets. */
#include "libchan/address.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "libchan/wait.h"

#define BACKLOG 512

static const struct {
    const char *name, *prefix;
} schemes[] = {
    [SCHEME_UNIX] = { "unix", "unix:" }, [SCHEME_TCP] = { "tcp", "tcp:" },
    [SCHEME_TLS] = { "tls", "tls:" },    [SCHEME_WS] = { "ws", "ws://" },
    [SCHEME_WSS] = { "wss", "wss://" },  [SCHEME_FD] = { "fd", "fd:" },
};

const char *scheme_name(enum scheme s)
{
    return schemes[s].name;
}

int scheme_parse(const char *name, enum scheme *ret)
{
    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (streq(schemes[i].name, name)) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int copy(char *to, size_t size, const char *from, size_t len)
{
    if (!len || len >= size)
        return -EINVAL;
    memcpy(to, from, len);
    to[len] = '\0';
    return 0;
}

/* "host:port" or "[v6]:port". */
static int parse_host_port(const char *text, size_t len, struct address *a)
{
    const char *end = text + len, *colon = memrchr(text, ':', len);
    uint64_t port;
    int r;

    if (!colon || copy(a->port, sizeof(a->port), colon + 1, (size_t)(end - colon - 1)) < 0 ||
        parse_u64(a->port, 0, 65535, &port) < 0)
        return -EINVAL;
    if (text[0] == '[' && colon > text && colon[-1] == ']')
        r = copy(a->host, sizeof(a->host), text + 1, (size_t)(colon - text - 2));
    else
        r = copy(a->host, sizeof(a->host), text, (size_t)(colon - text));
    return r;
}

static int parse_rest(const char *rest, struct address *a)
{
    size_t authority = strlen(rest);
    uint64_t fd;
    int r;

    switch (a->scheme) {
    case SCHEME_UNIX:
        return copy(a->host, sizeof(((struct sockaddr_un *)0)->sun_path), rest, strlen(rest));
    case SCHEME_FD:
        r = parse_u64(rest, 0, INT32_MAX, &fd);
        a->fd = r < 0 ? -1 : (int)fd;
        return r;
    case SCHEME_WS:
    case SCHEME_WSS:
        authority = strcspn(rest, "/");
        r = rest[authority]
                ? copy(a->path, sizeof(a->path), rest + authority, strlen(rest + authority))
                : copy(a->path, sizeof(a->path), "/", 1);
        if (r < 0)
            return r;
        return parse_host_port(rest, authority, a);
    default:
        return parse_host_port(rest, authority, a);
    }
}

int address_parse(const char *text, struct address *ret, struct wharf_error *e)
{
    struct address a = { .fd = -1 };

    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++) {
        const char *rest = str_after(text, schemes[i].prefix);

        if (!rest)
            continue;
        a.scheme = i;
        if (parse_rest(rest, &a) < 0)
            break;
        *ret = a;
        return 0;
    }
    return err_invalid(e,
                       "no such address: '%s' (use unix:PATH, unix:@NAME, tcp:HOST:PORT, "
                       "tls:HOST:PORT, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or fd:N)",
                       text);
}

static socklen_t unix_name(const struct address *a, struct sockaddr_un *sun)
{
    size_t len = strlen(a->host);

    *sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(sun->sun_path, a->host, len + 1);
    if (a->host[0] == '@') {
        sun->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* Waits for a connect that is under way. */
static int await_connected(int fd, chan_time deadline)
{
    int error = 0;
    socklen_t len = sizeof(error);

    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        chan_time left = deadline == CHAN_FOREVER ? 0 : MAX(deadline - time_now(), 0);
        struct timespec ts = { left / 1000000000, left % 1000000000 };
        int n = ppoll(&p, 1, deadline == CHAN_FOREVER ? NULL : &ts, NULL);

        if (n == 0)
            return -ETIMEDOUT;
        if (n > 0)
            break;
        if (errno != EINTR)
            return -errno;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

/* A unix socket whose backlog is full says EAGAIN and offers nothing to poll for: try again a
 * little later. */
static int connect_until(int fd, const struct sockaddr *sa, socklen_t len, chan_time deadline)
{
    for (;;) {
        const struct timespec pause = { 0, 1000000 };

        if (connect(fd, sa, len) == 0)
            return 0;
        if (errno == EINPROGRESS || errno == EINTR)
            return await_connected(fd, deadline);
        if (errno != EAGAIN)
            return -errno;
        if (deadline != CHAN_FOREVER && time_now() >= deadline)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
}

static int connect_one(int domain, const struct sockaddr *sa, socklen_t len, chan_time deadline)
{
    autoclose int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = connect_until(fd, sa, len, deadline);
    return r < 0 ? r : take_fd(&fd);
}

static int resolve(const struct address *a, int flags, struct addrinfo **ret, struct wharf_error *e)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
    int r = getaddrinfo(a->host, a->port, &hints, ret);

    if (r != 0)
        return err_set(e, -EHOSTUNREACH, WHARF_ERROR_NOT_FOUND, "cannot resolve '%s': %s", a->host,
                       gai_strerror(r));
    return 0;
}

int address_connect(const struct address *a, chan_time deadline, struct wharf_error *e)
{
    struct addrinfo *list = NULL;
    int r;

    if (a->scheme == SCHEME_UNIX) {
        struct sockaddr_un sun;
        socklen_t len = unix_name(a, &sun);

        r = connect_one(AF_UNIX, (struct sockaddr *)&sun, len, deadline);
        return r < 0 ? err_code(e, r, "cannot connect to 'unix:%s'", a->host) : r;
    }
    r = resolve(a, 0, &list, e);
    if (r < 0)
        return r;
    r = -EHOSTUNREACH;
    for (struct addrinfo *ai = list; ai && r < 0 && r != -ETIMEDOUT; ai = ai->ai_next)
        r = connect_one(ai->ai_family, ai->ai_addr, ai->ai_addrlen, deadline);
    freeaddrinfo(list);
    return r < 0 ? err_code(e, r, "cannot connect to '%s' port %s", a->host, a->port) : r;
}

/* A socket file on which nobody listens is left over from a process that was killed. */
static void remove_stale(const struct address *a)
{
    struct sockaddr_un sun;
    socklen_t len = unix_name(a, &sun);
    struct stat st;
    int fd;

    if (a->host[0] == '@' || lstat(a->host, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = connect_one(AF_UNIX, (struct sockaddr *)&sun, len, 1);
    if (fd == -ECONNREFUSED)
        unlink(a->host);
    fd_close(fd);
}

static int listen_one(int domain, const struct sockaddr *sa, socklen_t len)
{
    autoclose int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    if (fd < 0)
        return -errno;
    if (domain != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return -errno;
    if (bind(fd, sa, len) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return take_fd(&fd);
}

static int port_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char port[8];
    uint64_t n = 0;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        getnameinfo((struct sockaddr *)&ss, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV) != 0)
        return 0;
    return parse_u64(port, 0, 65535, &n) < 0 ? 0 : (int)n;
}

int address_listen(const struct address *a, char **ret_text, struct wharf_error *e)
{
    struct addrinfo *list = NULL;
    bool v6 = strchr(a->host, ':');
    char *text;
    int r;

    if (a->scheme == SCHEME_UNIX) {
        struct sockaddr_un sun;
        socklen_t len = unix_name(a, &sun);

        remove_stale(a);
        r = listen_one(AF_UNIX, (struct sockaddr *)&sun, len);
        if (r < 0)
            return err_code(e, r, "cannot listen on 'unix:%s'", a->host);
        text = str_format("unix:%s", a->host);
    } else {
        r = resolve(a, AI_PASSIVE, &list, e);
        if (r < 0)
            return r;
        r = listen_one(list->ai_family, list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
        if (r < 0)
            return err_code(e, r, "cannot listen on '%s' port %s", a->host, a->port);
        text = str_format(v6 ? "%s[%s]:%d%s" : "%s%s:%d%s", schemes[a->scheme].prefix, a->host,
                          port_of(r), a->path);
    }
    if (!text) {
        close(r);
        return err_nomem(e);
    }
    *ret_text = text;
    return r;
}
