/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP door: a service (swarm.h) behind the Docker Engine API, for any Docker client.
 *
 *     docker_server_new(&server, service, &e);
 *     docker_server_listen(server, fd, NULL, &e);       a listening socket: listen.h, tls.h
 *     docker_server_start(server, &e);                  its threads run from here on
 *     ...
 *     docker_server_free(server);                       ends what is in progress
 *
 * One thread accepts and runs the HTTP library; each request in progress has a thread of its own,
 * since it may block for hours. A connection costs a few hundred bytes until its first byte comes.
 * TLS has a thread of its own: tls-relay.h.
 */
#ifndef DOOR_DOCKER_SERVER_H
#define DOOR_DOCKER_SERVER_H

#include "base/err.h"
#include "base/macros.h"
#include "swarm.h"

#define DOCKER_SERVER_CONNECTIONS_MAX 16384 /* at once */
#define DOCKER_SERVER_WAITING_MAX     1024 /* of these, that sent something and then made us wait */
#define DOCKER_SERVER_IDLE_S          300  /* a connection that says nothing is closed */
#define DOCKER_SERVER_HEAD_S          30   /* for the head of its first request */
#define DOCKER_SERVER_BODY_S                                                                       \
    60                          /* for a document; an upload has DOCKER_SERVER_IDLE_S              \
                                 * for each piece */
#define DOCKER_SERVER_STOP_S 10 /* for services to notice that their callers are gone */

struct docker_server;
struct tls_context;

/* Takes a reference to the service. */
int docker_server_new(struct docker_server **ret, struct service *service, struct wharf_error *e);

/* Accepts from a listening socket, which becomes the server's, also on failure; `tls` (tls.h; NULL:
 * plain) stays the caller's. Before the start. */
int docker_server_listen(struct docker_server *s, int fd, struct tls_context *tls,
                         struct wharf_error *e);

int docker_server_start(struct docker_server *s, struct wharf_error *e);

/* Accepts no more, hangs up on what is in progress, waits for its threads, but no longer than
 * DOCKER_SERVER_STOP_S: a service that has not returned by then keeps its thread, and the server
 * its memory and its reference to the service. Connections that a service took live on, unless they
 * came through TLS. */
void docker_server_free(struct docker_server *s);
DEFINE_AUTO(struct docker_server, docker_server_free)

#endif
