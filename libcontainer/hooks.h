/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks (runtime-spec config.md, "POSIX-platform hooks"): programs told the container's state on
 * stdin at six moments of its life. The same code runs them in the runtime (prestart,
 * createRuntime, poststart, poststop) and in the container's process before the program
 * (createContainer, startContainer), so it allocates nothing: what a hook needs is prepared before.
 */
#ifndef LIBCONTAINER_HOOKS_H
#define LIBCONTAINER_HOOKS_H

#include "libcontainer/config/spec.h"

struct hook_run; /* one hook with its lists ended by NULL */

struct hooks {
    struct hook_run *items;
    size_t count;
    const char *moment; /* "createRuntime", for messages */
};

/* The state document but for status and pid, which change: head "status", pid tail. */
struct hook_state {
    const char *head, *tail;
};

int hooks_prepare(const spec_hook_list *list, const char *moment, struct arena *arena,
                  struct hooks *ret, struct wharf_error *e);
int hook_state_prepare(const struct container_spec *spec, const char *id, const char *bundle,
                       struct arena *arena, struct hook_state *ret, struct wharf_error *e);

/* Child-safe. Runs them in order and stops at the first that fails (cannot be run, exit status not
 * 0, time is over: it is killed); the message names it. */
int hooks_run(const struct hooks *hooks, const struct hook_state *state, const char *status,
              pid_t pid, struct wharf_error *e);

/* Runs all of them; one that fails is told to `failed` and stops nothing (poststop). */
void hooks_run_all(const struct hooks *hooks, const struct hook_state *state, const char *status,
                   void (*failed)(void *user, const struct wharf_error *error), void *user);

#endif
