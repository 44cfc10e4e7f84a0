/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of sync.h: listening to a process of a container until it is ready, or until
 * its program runs, and acting on what it says. For create, start and exec. */
#ifndef LIBCONTAINER_TALK_H
#define LIBCONTAINER_TALK_H

#include "libcontainer/handle.h"

struct talk {
    int sync;
    struct container *c;
    struct container_process *process; /* gets the terminal */
    const struct container_spec *spec;
    const struct spec_process *what; /* may be NULL where `spec` has none */
    const struct container_start_options *start;
    /* SYNC_HOOKS: runs prestart and createRuntime and answers; NULL where they do not belong */
    int (*hooks)(void *user, struct wharf_error *e);
    void *user;
};

/* Listens until READY or, with `ready`, until end of file: the program runs. 0, or the error that
 * the process told. */
int talk_listen(struct talk *t, bool ready, struct wharf_error *e);

/* The error of a process that went without a word. */
int talk_ended_early(struct wharf_error *e);

#endif
