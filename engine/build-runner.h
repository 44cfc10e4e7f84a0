/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine as the runner of a build's RUN steps (libimage/build/build.h).
 *
 * A step is a container without a record: nobody attaches to it, restarts it or finds it by name,
 * so it needs no shim. It has the capabilities, seccomp profile, masked paths and devices of any
 * other; --security=insecure makes it a privileged one. Its network is the host's until networks
 * are the engine's: RUN without --network can reach what the builder can reach.
 */
#ifndef ENGINE_BUILD_RUNNER_H
#define ENGINE_BUILD_RUNNER_H

#include "engine/engine.h"
#include "libimage/build/build.h"

void engine_build_runner(struct engine *engine, struct build_runner *ret);

#endif
