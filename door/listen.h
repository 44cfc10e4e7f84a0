/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a daemon listens: the values of dockerd's -H, and the sockets that they mean.
 *
 *     struct listen_set set = { 0 };
 *     struct listen_options options = { .group = "docker", .warn = warn };
 *
 *     for each -H VALUE                      (none: "", which is dockerd's default)
 *         listen_add(&set, VALUE, &options, &e);
 *     for each of set.sockets
 *         docker_server_listen(server, take_fd(&socket->fd), tls or NULL, &e);
 *     ...
 *     docker_server_free(server);
 *     listen_done(&set);                     takes the names of unix sockets away
 *
 * The forms (dockerd's opts.ParseHost and its texts for what is wrong with one):
 *
 *     unix://PATH           unix:// is /var/run/docker.sock
 *     tcp://HOST:PORT       or HOST:PORT; without a host localhost, without a port 2375
 *     fd://                 all sockets that systemd passed (sd_listen_fds(3))
 *     fd://NUMBER           the one of that descriptor, from 3
 *     fd://NAME             those of that FileDescriptorName=
 *
 * Whether a TCP socket may be served without TLS is the caller's to decide: see `kind`.
 */
#ifndef DOOR_LISTEN_H
#define DOOR_LISTEN_H

#include "base/err.h"
#include "base/macros.h"

#define LISTEN_MAX          64 /* sockets of one daemon */
#define LISTEN_DEFAULT_PATH "/var/run/docker.sock"
#define LISTEN_PORT         "2375"
#define LISTEN_TLS_PORT     "2376"

enum listen_kind {
    LISTEN_UNIX, /* the kernel says who connects */
    LISTEN_TCP,  /* anybody may connect */
};

struct listen_socket {
    int fd; /* listens already */
    enum listen_kind kind;
    bool loopback; /* TCP, and reached from this machine alone */
    char *name;    /* "unix:///run/docker.sock", "tcp://127.0.0.1:2375", "fd://3" */
    char *path;    /* of a unix socket that we made; NULL: none */
    dev_t device;  /* what stands there, if it is still ours */
    ino_t inode;
};

struct listen_set {
    struct listen_socket sockets[LISTEN_MAX];
    size_t count;
};

struct listen_options {
    /* The group, by name or number, that may use a unix socket: mode 0660. NULL or "": the
     * daemon's own. A "docker" that does not exist is a warning, any other an error. */
    const char *group;
    bool tls; /* the default for "" is then TCP with LISTEN_TLS_PORT */
    void (*warn)(void *user, const char *text);
    void *user;
};

/* Is that a value for -H? -EINVAL with dockerd's text. */
int listen_check(const char *value, struct wharf_error *e);

/* Opens what the value says and adds it to the set, which stays as it was on failure. -EADDRINUSE:
 * somebody listens there; a unix socket that nobody answers on is replaced. */
int listen_add(struct listen_set *set, const char *value, const struct listen_options *options,
               struct wharf_error *e);

/* Closes the descriptors that were not taken and removes the unix sockets that we made, those where
 * nobody answers any more. */
void listen_done(struct listen_set *set);

#endif
