/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine as the runner of a build's RUN steps (libimage/build/build.h).
 *
 * A step is a container without a record: nobody attaches to it, restarts it or finds it by name,
 * so it needs no shim. It has the capabilities, seccomp profile, masked paths and devices of any
 * other; --security=insecure makes it a privileged one, --network=none and host say what they say
 * for any other, and else it is in the network that NetworkMode of build_options.host names, by
 * default the engine's bridge. It dies with the builder.
 */
#ifndef ENGINE_BUILD_RUNNER_H
#define ENGINE_BUILD_RUNNER_H

#include "engine/engine.h"
#include "libimage/build/build.h"

struct build_user {
    struct engine *engine;
    struct principal who; /* whose networks and containers NetworkMode may name */
};

/* The user must outlive the runner. Removes what builds that were killed left. */
void engine_build_runner(struct build_user *user, struct build_runner *ret);

#endif
