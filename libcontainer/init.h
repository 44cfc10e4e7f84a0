/* SPDX-License-Identifier: Apache-2.0 */
/* The container's first process, from clone3 to its program. Everything it needs was resolved by
 * create.c; nothing here allocates. */
#ifndef LIBCONTAINER_INIT_H
#define LIBCONTAINER_INIT_H

#include "libcontainer/cgroup/cgroup.h"
#include "libcontainer/hooks.h"
#include "libcontainer/launch.h"
#include "libcontainer/namespaces.h"
#include "libcontainer/rootfs.h"

struct init_plan {
    const struct container_spec *spec;
    struct namespaces namespaces;
    struct rootfs *rootfs; /* NULL: no mount namespace of its own, the root stays */
    struct launch *launch; /* NULL: the spec has no process; a start is then refused */
    struct hooks create_container, start_container;
    struct hook_state state;
    int sync;                      /* this side of the socket pair */
    int listener;                  /* where `start` connects, or -1: go on at once */
    struct cgroup_entries entries; /* the cgroup's: we move ourselves; or empty */
    bool wait_attached; /* the parent moves us into the cgroup, or sets its limits first */
    bool hooks_outside; /* prestart or createRuntime are to run before pivot_root */
    bool keyring;       /* a session keyring of its own */
    const char *keyring_name;
    bool rootless;
};

/* CHILD SIDE. Never returns. */
void init_main(struct init_plan *plan) __attribute__((noreturn));

/* CHILD SIDE, for exec too: the adjustment of oom_score_adj, while /proc is the host's and we may
 * still write there. */
int init_set_oom_score(const struct spec_process *process, bool rootless, struct wharf_error *e);

/* Tells the error and exits. */
void init_die(int sync, const struct wharf_error *e) __attribute__((noreturn));

#endif
