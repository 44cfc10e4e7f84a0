/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a step of a build runs: a directory RUN/builds/ID, locked as long as the step lives, and
 * its place in a network. Whoever is killed leaves the directory without a lock; the next build, or
 * the start of a daemon, finds it and removes what is left by that id, in the kernel too.
 */
#ifndef ENGINE_BUILD_PLACE_H
#define ENGINE_BUILD_PLACE_H

#include "base/arena.h"
#include "engine/internal.h"
#include "network/keeper.h"
#include "network/network.h"

struct build_place {
    struct engine *engine;
    const char *id;
    char *path; /* of the directory */
    int dir;    /* ... opened, and locked */
    bool joined;
    struct network_sandbox sandbox;
    struct keeper *keeper; /* its name server; NULL: it needs none */
};

int build_place_open(struct engine *en, const char *id, struct arena *arena,
                     struct build_place *ret, struct wharf_error *e);
/* A place in the network that settings->host->network_mode names, if it names one of ours; then
 * *ret_netns is the path of the namespace, else it is left as it is. */
int build_place_connect(struct build_place *p, const struct settings *s, int64_t owner,
                        struct arena *arena, const char **ret_netns, struct wharf_error *e);
void build_place_close(struct build_place *p);

/* Removes what killed builds left. */
void build_places_sweep(struct engine *en);

#endif
