/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the engine's containers meet their networks (network/network.h): a record joins when it is
 * made, gets its sandbox at each start, gives it back when it has ended, leaves when it is removed.
 * Containers without networks (mode none, host, container:) cost nothing here.
 */
#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H

#include "engine/internal.h"
#include "network/network.h"

/* The networks of this root; the engine's. Opened when first needed. */
int engine_networks(struct engine *en, struct networks **ret, struct wharf_error *e);

/* Whether the container has networks of its own. */
bool settings_have_networks(const struct settings *s);

int record_network_join(struct engine *en, const struct record *r, const struct settings *s,
                        struct wharf_error *e);
/* `dir`: the container's directory, whose hosts, hostname and resolv.conf are written. *ret is all
 * -1 and NULL when there is nothing to do. */
int record_network_start(struct engine *en, const struct record *r, const struct settings *s,
                         int dir, struct network_sandbox *ret, struct wharf_error *e);
/* The container does not run (any more); cheap when it has no networks. */
int record_network_stop(struct engine *en, const struct record *r, struct wharf_error *e);
int record_network_leave(struct engine *en, const struct record *r, struct wharf_error *e);
int record_network_rename(struct engine *en, const struct record *r, struct wharf_error *e);

/* NetworkSettings of inspect; never NULL but when out of memory. */
json_t *record_network_json(struct engine *en, const struct record *r, const struct settings *s);
#endif
