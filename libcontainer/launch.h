/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "inside the namespaces and the root" to "the program runs": the part that a container's
 * first process and every exec have in common.
 *
 *     parent   launch_prepare(process, ..., arena, &l, e);   clone3(...);
 *     child    launch_enter(l, e);        session, stdio, attributes, cwd, path of the program
 *              launch_isolate(l, &sync, &listener);     only the descriptors that were given stay
 *              launch_exec(l, sync, e);   through the stub (stub/stub.c); returns only on failure
 *
 * The parent resolves all it can: lists are built, the filter is compiled, capabilities are
 * intersected with what can be given. The child only reads, but for the slot of HOME.
 */
#ifndef LIBCONTAINER_LAUNCH_H
#define LIBCONTAINER_LAUNCH_H

#include "libcontainer/credentials.h"
#include "libcontainer/landlock.h"
#include "libcontainer/seccomp-filter.h"
#include "libcontainer/stub/stub.h"
#include "libcontainer/sync.h"

enum { LAUNCH_KEEP_MAX = 1024, LAUNCH_HOME_MAX = 4096 };

struct launch {
    const struct spec_process *process;
    char **argv, **env; /* NULL-ended; env has one more place for HOME */
    char **home_slot;   /* that place; NULL when the environment names HOME */
    char home[LAUNCH_HOME_MAX + sizeof("HOME=")];
    char path[4096]; /* of the program, found by launch_enter */
    struct spec_capabilities capabilities;
    struct process_attributes *attributes;
    const struct spec_landlock *landlock; /* NULL: none */
    struct seccomp_program filter;
    const char *label_attribute, *label; /* NULL: none */
    bool set_groups, die_with_caller;
    int stdio[3];        /* -1: as inherited */
    const int *keep_fds; /* become 3, 4, ... */
    size_t keep_count;
    int proc; /* child: a procfs for the label; -1 until it is needed */
    int stub; /* the file that launch_exec fills, seals and executes */
};

struct launch_options {
    const struct container_start_options *start;
    bool set_groups;                               /* the user namespace allows setgroups(2) */
    bool first;                                    /* the container's first process, no exec */
    void (*skipped)(void *user, const char *name); /* of seccomp_compile */
    void *user;
    int state_root; /* where compiled seccomp filters are kept */
};

/* Parent. -EINVAL, -E2BIG: the process object. The filter and the file are released by launch_done.
 */
int launch_prepare(const struct spec_process *process, const struct container_spec *spec,
                   const struct launch_options *options, struct arena *arena, struct launch **ret,
                   struct wharf_error *e);
void launch_done(struct launch *l);
DEFINE_AUTO(struct launch, launch_done)

/* What the stub's report means, for a person. Returns its code. */
int launch_explain(const struct sync_message *failed, const struct spec_process *process,
                   struct wharf_error *e);

/* ---- child ---- */

int launch_enter(struct launch *l, int terminal, struct wharf_error *e);
int launch_isolate(struct launch *l, int *sync, int *listener, struct wharf_error *e);
int launch_exec(struct launch *l, int sync, struct wharf_error *e);

#endif
