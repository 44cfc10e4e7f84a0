/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a process into a container's namespaces: one clone3 where that suffices, a short-lived
 * middle process where a user namespace is joined. See namespaces.h for why. */
#ifndef LIBCONTAINER_CLONE_H
#define LIBCONTAINER_CLONE_H

#include "libcontainer/namespaces.h"

struct clone_request {
    struct namespaces *namespaces;
    int cgroup;              /* of cgroup v2, to be born into, or -1: see clone_may_enter */
    int sync, child_sync;    /* the pair, for the middle process's word */
    void (*run)(void *user); /* CHILD SIDE; never returns */
    void *user;
};

/* Whether `cgroup` may be given: a middle process has no right to the group from inside the user
 * namespace that it joined; the caller moves the process then. */
bool clone_may_enter(const struct namespaces *n);

/* The new process is the caller's child, whichever way. */
int clone_child(const struct clone_request *request, pid_t *ret_pid, int *ret_pidfd,
                struct wharf_error *e);

#endif
