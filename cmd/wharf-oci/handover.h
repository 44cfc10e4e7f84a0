/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What create, run, restore and exec share: descriptors for the new process, the pid file, and
 * staying in the foreground until it ends.
 *
 *     struct handover h;
 *     handover_prepare(&h, o, e);
 *     container_create(engine, id, spec, &h.start, ...);
 *     handover_write_pid(o, pid, e);
 *     handover_done(&h);
 */
#ifndef WHARF_OCI_HANDOVER_H
#define WHARF_OCI_HANDOVER_H

#include "options.h"

struct handover {
    struct container_start_options start; /* its descriptors are ours until handover_done */
    int *keep;
};

/* Opens the bundle and the sockets, collects the descriptors to pass on. */
int handover_prepare(struct handover *ret, const struct options *o, struct wharf_error *e);
void handover_done(struct handover *h);

/* A terminal without anybody to hold it, and a holder without a terminal, are refused. */
int handover_check_terminal(const struct options *o, bool terminal, bool detach,
                            struct wharf_error *e);

int handover_write_pid(const struct options *o, pid_t pid, struct wharf_error *e);

/* Stays until the process ends: forwards signals, and the terminal where it has one. Returns its
 * exit status (128 + signal). */
int foreground(struct container_process *process, struct wharf_error *e);

#endif
