/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a container's network must live as long as the container, and so lives in its shim: its
 * name server, and, at the end, the withdrawal of its published ports, so that no traffic leads to
 * an address whose container is gone, also where no daemon looks after it.
 *
 * (The other half, the hold on the host's ports, is a descriptor: see port.h.)
 *
 * The text comes from network_start, a line each:
 *     table NAME, container ID, names DIRECTORY, published PROTOCOL ADDRESS PORT ADDRESS PORT
 */
#ifndef NETWORK_KEEPER_H
#define NETWORK_KEEPER_H

#include "base/err.h"
#include "base/macros.h"

struct keeper;

/* `netns`: the container's; its loopback is up. */
int keeper_open(struct keeper **ret, const char *text, int netns, struct wharf_error *e);
/* Readable when keeper_run has something to do, which never blocks. */
int keeper_fd(const struct keeper *keeper);
void keeper_run(struct keeper *keeper);
/* The container has ended: withdraws its ports. */
void keeper_close(struct keeper *keeper);

#endif
