/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unix socket's name is looked at, removed and bound under a lock on its directory (flock(2)), so
 * that of two daemons that start at once on a stale socket one finds the other listening. Nobody
 * connects before its owner and mode are right, because only then it listens.
 */
#include "door/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/str.h"

#define ACTIVATED_FIRST 3 /* SD_LISTEN_FDS_START */
#define LOCK_TRIES      100
#define LOCK_PAUSE_US   10000

enum scheme { SCHEME_UNIX, SCHEME_TCP, SCHEME_FD };

struct address {
    enum scheme scheme;
    char *rest;          /* the path; what stands behind fd:// */
    char *host, port[8]; /* tcp */
};

static void address_done(struct address *a)
{
    free(a->rest);
    free(a->host);
}
DEFINE_AUTO(struct address, address_done)

/* ---- the value of -H -------------------------------------------------------------------------- */

/* "[::1]:80", "[::1]", "host:80", "host", ":80", "::1" (as dockerd: an address without a port). */
static int split_host(const char *text, struct address *a)
{
    const char *end, *colon;

    if (*text == '[') {
        end = strchr(++text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        colon = end[1] ? end + 1 : "";
    } else {
        colon = strchr(text, ':');
        if (!colon || strchr(colon + 1, ':'))
            colon = "";
        end = *colon ? colon : text + strlen(text);
    }
    colon += *colon == ':';
    if (strlen(colon) >= sizeof a->port)
        return -EINVAL;
    a->host = end == text ? strdup("localhost") : strndup(text, (size_t)(end - text));
    snprintf(a->port, sizeof a->port, "%s", *colon ? colon : LISTEN_PORT);
    return a->host ? 0 : -ENOMEM;
}

static int read_tcp(const char *value, const char *text, struct address *a, struct wharf_error *e)
{
    uint64_t port;
    int r;

    if (strstr(text, "://"))
        return err_invalid(e, "Invalid proto, expected tcp: %s", text);
    r = strpbrk(text, "/?#@% \t") ? -EINVAL : split_host(text, a);
    if (r == -ENOMEM)
        return err_nomem(e);
    if (r < 0 || parse_u64(a->port, 0, 65535, &port) < 0)
        return err_invalid(e, "Invalid bind address format: %s", value);
    return 0;
}

static int read_unix(const char *text, struct address *a, struct wharf_error *e)
{
    if (strstr(text, "://"))
        return err_invalid(e, "Invalid proto, expected unix: %s", text);
    a->rest = strdup(*text ? text : LISTEN_DEFAULT_PATH);
    return a->rest ? 0 : err_nomem(e);
}

/* `text` has no blanks around it. */
static int read_address(const char *text, struct address *a, struct wharf_error *e)
{
    const char *rest;

    if ((rest = str_after(text, "unix://"))) {
        a->scheme = SCHEME_UNIX;
        return read_unix(rest, a, e);
    }
    if ((rest = str_after(text, "fd://"))) {
        a->scheme = SCHEME_FD;
        a->rest = strdup(rest);
        return a->rest ? 0 : err_nomem(e);
    }
    a->scheme = SCHEME_TCP;
    rest = str_after(text, "tcp://");
    if (!rest && strstr(text, "://"))
        return err_invalid(e, "Invalid bind address format: %s", text);
    return read_tcp(text, rest ? rest : text, a, e);
}

static char *trim(const char *text)
{
    size_t len;

    while (isspace((unsigned char)*text))
        text++;
    len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return strndup(text, len);
}

static int read_value(const char *value, bool tls, struct address *a, struct wharf_error *e)
{
    autofree char *text = trim(value);

    if (!text)
        return err_nomem(e);
    if (*text)
        return read_address(text, a, e);
    return read_address(tls ? "tcp://localhost:" LISTEN_TLS_PORT : "unix://", a, e);
}

int listen_check(const char *value, struct wharf_error *e)
{
    struct address a = { 0 };
    int r = read_value(value, false, &a, e);

    address_done(&a);
    return r;
}

/* ---- the set ---------------------------------------------------------------------------------- */

/* What stands at the path goes away if it is a socket and nobody answers. */
static int remove_stale(const struct sockaddr_un *address, struct wharf_error *e)
{
    const char *path = address->sun_path;
    autoclose int fd = -1;
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_sys(e, "can't create unix socket %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                       "can't create unix socket %s: something else has that name", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return err_set(e, -EADDRINUSE, WHARF_ERROR_CONFLICT,
                       "can't create unix socket %s: somebody listens there: stop that first, or "
                       "choose another path with -H",
                       path);
    if (errno != ECONNREFUSED || unlink(path) < 0)
        return err_sys(e, "can't create unix socket %s", path);
    return 0;
}

/* The name of a unix socket goes if it is still the one that we bound and nobody answers: of
 * another daemon's, which took its place, the inode's number may be the same. */
static void remove_name(const struct listen_socket *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", s->path);
    if (lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        remove_stale(&address, NULL);
}

static void socket_done(struct listen_socket *s)
{
    fd_close(s->fd);
    if (s->path)
        remove_name(s);
    free(s->path);
    free(s->name);
}

static void shrink(struct listen_set *set, size_t count)
{
    while (set->count > count)
        socket_done(&set->sockets[--set->count]);
}

/* Takes the descriptor and the name, also on failure. */
static int add(struct listen_set *set, int fd, enum listen_kind kind, char *name,
               struct wharf_error *e)
{
    struct listen_socket s = { .fd = fd, .kind = kind, .name = name };

    if (!name || set->count == LISTEN_MAX) {
        socket_done(&s);
        return name ? err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "too many sockets: at most %d",
                              LISTEN_MAX)
                    : err_nomem(e);
    }
    set->sockets[set->count++] = s;
    return 0;
}

/* ---- unix:// ---------------------------------------------------------------------------------- */

static int find_group(const char *group, gid_t *ret)
{
    struct group entry, *found = NULL;
    uint64_t number;
    char text[16384];

    if (getgrnam_r(group, &entry, text, sizeof text, &found) == 0 && found) {
        *ret = found->gr_gid;
        return 0;
    }
    if (parse_u64(group, 0, UINT32_MAX - 1, &number) < 0)
        return -ENOENT;
    *ret = (gid_t)number;
    return 0;
}

static int set_group(const char *path, const struct listen_options *o, struct wharf_error *e)
{
    struct wharf_error why = { 0 };
    gid_t gid;

    if (!o->group || !*o->group)
        return 0;
    if (find_group(o->group, &gid) < 0)
        err_not_found(&why, "could not change group of unix socket %s: invalid group: '%s'", path,
                      o->group);
    else if (lchown(path, (uid_t)-1, gid) < 0)
        err_sys(&why, "could not change group of unix socket %s", path);
    if (!why.code)
        return 0;
    if (!streq(o->group, "docker")) {
        if (e)
            *e = why;
        return -why.code;
    }
    if (o->warn)
        o->warn(o->user, why.message);
    return 0;
}

static int bind_unix(int fd, const struct sockaddr_un *address, const struct listen_options *o,
                     struct wharf_error *e)
{
    const char *path = address->sun_path;
    int r = remove_stale(address, e);

    if (r < 0)
        return r;
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return err_sys(e, "can't create unix socket %s: listen unix %s: bind", path, path);
    r = set_group(path, o, e);
    if (r == 0 && (chmod(path, 0660) < 0 || listen(fd, SOMAXCONN) < 0))
        r = err_sys(e, "can't create unix socket %s", path);
    if (r < 0)
        unlink(path);
    return r;
}

/* Its directory, locked; somebody else's lock on it is waited for, but not for ever. */
static int lock_directory(const char *path, struct wharf_error *e)
{
    const char *slash = strrchr(path, '/');
    autofree char *name = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = name ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (!name)
        return err_nomem(e);
    if (fd < 0)
        return err_sys(e, "can't create unix socket %s: listen unix %s: bind", path, path);
    for (int i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        usleep(LOCK_PAUSE_US);
    return fd;
}

static int listen_unix(struct listen_set *set, const char *path, const struct listen_options *o,
                       struct wharf_error *e)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    autofree char *copy = strdup(path);
    autoclose int lock = -1;
    struct listen_socket *s;
    struct stat st;
    int r;

    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    r = add(set, fd, LISTEN_UNIX, copy ? str_format("unix://%s", path) : NULL, e);
    if (r < 0)
        return r;
    if (strlen(path) >= sizeof address.sun_path)
        return err_invalid(e, "can't create unix socket %s: its path may have %zu bytes", path,
                           sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    lock = lock_directory(path, e);
    r = lock < 0 ? lock : bind_unix(fd, &address, o, e);
    if (r < 0)
        return r;
    if (lstat(path, &st) < 0)
        return err_sys(e, "can't create unix socket %s", path);
    s = &set->sockets[set->count - 1];
    s->path = take_ptr(&copy);
    s->device = st.st_dev;
    s->inode = st.st_ino;
    return 0;
}

/* ---- tcp:// ----------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

    if (address->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* The name with the port that the kernel chose for port 0. */
static char *name_of(int fd, const char *host)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char port[NI_MAXSERV];

    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof port, NI_NUMERICSERV))
        return NULL;
    return str_format(strchr(host, ':') ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
}

/* [::] takes IPv4 as well, as Go's net.Listen has it. */
static int bind_tcp(const struct addrinfo *where)
{
    autoclose int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1, zero = 0;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        return -errno;
    if (where->ai_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) < 0)
        return -errno;
    if (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    return take_fd(&fd);
}

/* A name may have several addresses: the first of IPv4, else the first. */
static const struct addrinfo *choose(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        if (a->ai_family == AF_INET)
            return a;
    return list;
}

static int listen_tcp(struct listen_set *set, const struct address *a, struct wharf_error *e)
{
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    bool loopback;
    int fd, r = getaddrinfo(a->host, a->port, &hints, &list);

    if (r)
        return err_not_found(e, "listen tcp: lookup %s: %s", a->host,
                             r == EAI_NONAME ? "no such host" : gai_strerror(r));
    fd = bind_tcp(choose(list));
    loopback = is_loopback(choose(list)->ai_addr);
    freeaddrinfo(list);
    if (fd < 0)
        return err_code(e, fd, "listen tcp %s:%s: bind", a->host, a->port);
    r = add(set, fd, LISTEN_TCP, name_of(fd, a->host), e);
    if (r == 0)
        set->sockets[set->count - 1].loopback = loopback;
    return r;
}

/* ---- fd:// ------------------------------------------------------------------------------------ */

/* How many sockets systemd passed to this very process. */
static int count_activated(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t n;

    if (!pid || parse_u64(pid, 1, INT32_MAX, &n) < 0 || (pid_t)n != getpid())
        return 0;
    return count && parse_u64(count, 0, LISTEN_MAX, &n) == 0 ? (int)n : 0;
}

/* LISTEN_FDNAMES: "docker.socket:api" */
static bool has_name(int number, const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (int i = ACTIVATED_FIRST; names && i < number; i++)
        names = strchr(names, ':') ? strchr(names, ':') + 1 : NULL;
    return names && strcspn(names, ":") == strlen(name) && str_after(names, name);
}

static bool is_wanted(const char *what, int number)
{
    uint64_t n;

    if (!*what || streq(what, "*"))
        return true;
    return parse_u64(what, 0, INT32_MAX, &n) == 0 ? (int)n == number : has_name(number, what);
}

static bool is_taken(const struct listen_set *set, int fd)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->sockets[i].fd == fd)
            return true;
    return false;
}

static int add_activated(struct listen_set *set, int fd, struct wharf_error *e)
{
    struct sockaddr_storage address;
    socklen_t address_len = sizeof address, len = sizeof(int);
    int listens = 0, flags = fcntl(fd, F_GETFL), r;

    if (is_taken(set, fd))
        return err_invalid(e, "the systemd activated file is named twice: fd %d", fd);
    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens ||
        getsockname(fd, (struct sockaddr *)&address, &address_len) < 0)
        return err_invalid(e, "failed to listen on systemd activated file: fd %d", fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    r = add(set, fd, address.ss_family == AF_UNIX ? LISTEN_UNIX : LISTEN_TCP,
            str_format("fd://%d", fd), e);
    if (r == 0)
        set->sockets[set->count - 1].loopback = is_loopback((struct sockaddr *)&address);
    return r;
}

static int listen_fd(struct listen_set *set, const char *what, struct wharf_error *e)
{
    int activated = count_activated(), r = 0;
    size_t before = set->count;

    if (!activated)
        return err_not_found(e, "no sockets found via socket activation: make sure the service was "
                                "started by systemd");
    for (int fd = ACTIVATED_FIRST; fd < ACTIVATED_FIRST + activated && r == 0; fd++)
        if (is_wanted(what, fd))
            r = add_activated(set, fd, e);
    if (r == 0 && set->count == before)
        return err_not_found(e, "too few socket activated files passed in by systemd: none is '%s'",
                             what);
    return r;
}

/* ----------------------------------------------------------------------------------------------- */

int listen_add(struct listen_set *set, const char *value, const struct listen_options *options,
               struct wharf_error *e)
{
    auto_of(address_done) struct address *a = &(struct address){ 0 };
    size_t before = set->count;
    int r = read_value(value, options->tls, a, e);

    if (r < 0)
        return r;
    switch (a->scheme) {
    case SCHEME_UNIX:
        r = listen_unix(set, a->rest, options, e);
        break;
    case SCHEME_TCP:
        r = listen_tcp(set, a, e);
        break;
    case SCHEME_FD:
        r = listen_fd(set, a->rest, e);
        break;
    }
    if (r < 0) {
        shrink(set, before);
        return err_wrap(e, r, "failed to load listeners");
    }
    return 0;
}

void listen_done(struct listen_set *set)
{
    shrink(set, 0);
}
