/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that carries daemon.json to the engine: containers that do not say get what it says
 * (log driver, ulimits, name servers, ...), and system.info tells of it. The engine itself knows of
 * no defaults but docker's.
 */
#ifndef WHARFD_DEFAULTS_H
#define WHARFD_DEFAULTS_H

#include "base/json.h"
#include "swarm.h"

/* Takes a reference to `inner`. */
int defaults_new(struct service *inner, const json_t *config, struct service **ret,
                 struct wharf_error *e);

/* The configuration has changed; any thread. On failure the old one stays. */
int defaults_set(struct service *defaults, const json_t *config, struct wharf_error *e);

#endif
