/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What create, run, restore and exec share: descriptors for the new process, the pid file, and
 * staying in the foreground until it ends.
 *
 *     struct launch l;
 *     launch_prepare(&l, o, e);
 *     container_create(engine, id, spec, &l.start, ...);
 *     launch_write_pid(o, pid, e);
 *     launch_done(&l);
 */
#ifndef WHARF_OCI_LAUNCH_H
#define WHARF_OCI_LAUNCH_H

#include "options.h"

struct launch {
    struct container_start_options start; /* its descriptors are ours until launch_done */
    int *keep;
};

/* Opens the bundle and the sockets, collects the descriptors to pass on. */
int launch_prepare(struct launch *ret, const struct options *o, struct wharf_error *e);
void launch_done(struct launch *l);

/* A terminal without anybody to hold it, and a holder without a terminal, are refused. */
int launch_check_terminal(const struct options *o, bool terminal, bool detach,
                          struct wharf_error *e);

int launch_write_pid(const struct options *o, pid_t pid, struct wharf_error *e);

/* Stays until the process ends: forwards signals, and the terminal where it has one. Returns its
 * exit status (128 + signal). */
int foreground(struct container_process *process, struct wharf_error *e);

#endif
