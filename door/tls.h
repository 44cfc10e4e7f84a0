/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates of a TLS listener: dockerd's --tlscacert, --tlscert, --tlskey, --tlsverify.
 *
 *     struct tls_options options = { .ca = "ca.pem", .cert = "cert.pem", .key = "key.pem",
 *                                    .verify = true };
 *     r = tls_context_new(&tls, &options, &e);
 *     r = docker_server_listen(server, fd, tls, &e);
 *     tls_context_free(tls);                      the server holds on to what it needs
 *
 * TLS 1.2 or newer. With `verify`, only a client whose certificate the CA signed gets through the
 * handshake, and its subject is the principal; without, everybody does, and is "anonymous:tls".
 */
#ifndef DOOR_TLS_H
#define DOOR_TLS_H

#include "base/err.h"
#include "base/macros.h"

struct tls_context;

struct tls_options {
    const char *ca, *cert, *key; /* files in PEM; `ca` may be NULL without `verify` */
    bool verify;
};

/* -EINVAL, -ENOENT: a file is absent, or not what it should be. */
int tls_context_new(struct tls_context **ret, const struct tls_options *options,
                    struct wharf_error *e);
void tls_context_free(struct tls_context *t);
DEFINE_AUTO(struct tls_context, tls_context_free)

/* One more owner. */
struct tls_context *tls_context_ref(struct tls_context *t);

/* The state of one connection's server side; NULL: out of memory. */
struct ssl_st *tls_context_accept(const struct tls_context *t, int fd);

#endif
