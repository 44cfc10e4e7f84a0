/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock from the configuration (linux.landlock). Paths are those of the container, so the
 * ruleset is built in the child after the root has changed and applied after mounts and
 * capabilities, before seccomp. Everything here that runs in the child makes raw system calls only.
 */
#ifndef LIBCONTAINER_LANDLOCK_H
#define LIBCONTAINER_LANDLOCK_H

#include "libcontainer/config/spec.h"

/* The kernel's ABI version, 0 where Landlock is absent or not enabled. */
int landlock_abi(void);

/* Parent: refuses what this kernel's ABI cannot do, unless best_effort, and then returns in *ret
 * the spec with that part masked out (in `arena`). */
int landlock_prepare(const struct spec_landlock *spec, struct arena *arena,
                     const struct spec_landlock **ret, struct wharf_error *e);

/* Child: builds the ruleset with paths opened below "/" and enforces it. no_new_privs or
 * CAP_SYS_ADMIN must hold. `e` is filled without allocation. */
int landlock_enforce(const struct spec_landlock *spec, struct wharf_error *e);

#endif
