/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS in a thread of its own: whoever passes the handshake becomes a socket without TLS, whose
 * other end this thread keeps. So the rest of the door, and a shim that gets the socket, need not
 * know of TLS; and a slow or hostile handshake holds up no other client.
 *
 * The relay must live as long as a connection does: with the daemon its TLS sessions end.
 */
#ifndef DOOR_TLS_RELAY_H
#define DOOR_TLS_RELAY_H

#include "base/err.h"
#include "base/macros.h"
#include "door/peer.h"

#define TLS_CONNECTIONS_MAX 4096
#define TLS_HANDSHAKES_MAX  256 /* in progress; one more ends the oldest */
#define TLS_HANDSHAKE_S     10

struct tls_context;
struct tls_relay;

/* Takes a connection without TLS, and is told who is at its end. */
typedef void tls_relay_open(void *user, int fd, const struct peer *peer);

/* `open` is called in the relay's thread. */
int tls_relay_new(struct tls_relay **ret, tls_relay_open *open, void *user, struct wharf_error *e);
/* Accepts from a listening socket, which becomes the relay's, also on failure. Before the start. */
int tls_relay_listen(struct tls_relay *r, int fd, struct tls_context *tls, struct wharf_error *e);
int tls_relay_start(struct tls_relay *r, struct wharf_error *e);
/* Accepts no more; what is open goes on. */
void tls_relay_close(struct tls_relay *r);
/* Ends all. */
void tls_relay_free(struct tls_relay *r);

#endif
