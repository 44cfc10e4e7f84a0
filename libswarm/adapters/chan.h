/* SPDX-License-Identifier: Apache-2.0 */
/* A service over libchan, by its address ("unix:/run/wharf/wharf.sock"; chan.h). */
#ifndef LIBSWARM_ADAPTERS_CHAN_H
#define LIBSWARM_ADAPTERS_CHAN_H

#include "swarm.h"

int chan_service_new(const char *address, struct service **ret, struct wharf_error *e);

#endif
