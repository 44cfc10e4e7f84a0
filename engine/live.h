/* SPDX-License-Identifier: Apache-2.0 */
/* A running container as libcontainer knows it, for who looks at its processes and limits. */
#ifndef ENGINE_LIVE_H
#define ENGINE_LIVE_H

#include "engine/internal.h"

struct live {
    struct container_engine *engine;
    struct container *container;
};

/* -ESRCH "Container ID is not running" */
int live_open(struct engine *en, const struct record *r, struct live *ret, struct wharf_error *e);
void live_done(struct live *l);
#define autolive __attribute__((cleanup(live_done)))

#endif
