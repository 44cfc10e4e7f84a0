/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A struct container_policy turned into what the sandbox's child needs: a root of binds, a Landlock
 * ruleset, a seccomp filter. Parent side.
 */
#ifndef LIBCONTAINER_SANDBOX_POLICY_H
#define LIBCONTAINER_SANDBOX_POLICY_H

#include "libcontainer/landlock.h"
#include "libcontainer/rootfs.h"
#include "libcontainer/seccomp-filter.h"

enum { SANDBOX_PATHS_MAX = 1024, SANDBOX_PORTS_MAX = 1024 };

struct sandbox {
    const struct container_policy *policy;
    struct container_spec *spec;
    struct rootfs *rootfs;
    const struct spec_landlock *landlock;
    struct seccomp_program seccomp;
    bool network; /* the host's, for the ports of net_allow */
};

int sandbox_prepare(const struct container_policy *policy, struct sandbox *ret,
                    struct wharf_error *e);
void sandbox_done(struct sandbox *s);

/* sandbox-seccomp.c: the rules of a preset; with `network` also those that leave nothing but TCP,
 * which is all that Landlock can tell apart by port. */
int sandbox_seccomp(const char *preset, bool network, struct arena *arena,
                    struct spec_seccomp **ret, struct wharf_error *e);

#endif
