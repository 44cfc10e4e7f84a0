/* SPDX-License-Identifier: Apache-2.0 */
/* The services that swarmd knows by name: adapters, the engine, and the doors. */
#ifndef SWARMD_TYPES_H
#define SWARMD_TYPES_H

#include "swarm.h"

extern const struct service_type swarmd_types[]; /* ended by a NULL name */

/* authorize, guard.c */
int guard_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e);

#endif
