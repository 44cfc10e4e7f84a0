/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libchan door: serves a service to callers on a libchan listener (libswarm/wire.h). The
 * principal of a session is the process at the other end of a unix socket, or the subject of a TLS
 * certificate; others are refused.
 *
 *     chan_server_start("unix:/run/wharf/wharf.sock", NULL, service, &server, &e);
 *     ...
 *     chan_server_stop(server);
 *
 * It runs in threads of its own: one that accepts, one a session, one a message in progress.
 */
#ifndef DOOR_CHAN_SERVER_H
#define DOOR_CHAN_SERVER_H

#include "chan.h"
#include "swarm.h"

#define CHAN_SERVER_SESSIONS_MAX 1024
#define CHAN_SERVER_CALLS_MAX    4096 /* messages in progress, of all sessions */

struct chan_server;

/* Takes a reference to the service. */
int chan_server_start(const char *address, const struct chan_options *options,
                      struct service *service, struct chan_server **ret, struct wharf_error *e);
/* Accepts no more, cuts sessions off, and waits for the calls in progress. */
void chan_server_stop(struct chan_server *server);

#endif
