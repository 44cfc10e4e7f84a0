/* SPDX-License-Identifier: Apache-2.0 */
#include "door/peer.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

/* "tcp 10.0.0.1:5000" */
static void describe(int fd, const char *kind, struct peer *p)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    snprintf(p->connection, sizeof p->connection, "%s", kind);
    if (getpeername(fd, (struct sockaddr *)&address, &len) == 0 &&
        getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(p->connection, sizeof p->connection,
                 address.ss_family == AF_INET6 ? "%s [%.46s]:%.5s" : "%s %.46s:%.5s", kind, host,
                 port);
}

int peer_of_socket(int fd, struct peer *ret)
{
    struct peer p = { 0 };
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    int domain = 0, r = 0;
    socklen_t domain_len = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0)
        r = -errno;
    if (r == 0 && domain != AF_UNIX) {
        describe(fd, "tcp", &p);
        r = principal_of_subject("anonymous", "tcp", &p.principal);
    } else if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0) {
        r = -errno;
    } else if (r == 0) {
        snprintf(p.connection, sizeof p.connection, "unix");
        p.principal = principal_of_user(credentials.uid, credentials.pid);
    }
    if (r == 0)
        *ret = p;
    return r;
}

int peer_of_subject(int fd, const char *subject, struct peer *ret)
{
    struct peer p = { 0 };
    int r;

    describe(fd, "tls", &p);
    r = principal_of_subject(subject ? "certificate" : "anonymous", subject ? subject : "tls",
                             &p.principal);
    if (r == 0)
        *ret = p;
    return r;
}
