/* SPDX-License-Identifier: Apache-2.0 */
/* What making a container and making another process in it have in common (parent side). */
#ifndef LIBCONTAINER_CREATE_H
#define LIBCONTAINER_CREATE_H

#include "libcontainer/handle.h"

/* A terminal's master has come: sizes it, and gives it to the console socket or keeps a copy. */
int create_take_console(struct container_process *process, const struct spec_process *p,
                        const struct container_start_options *start, int master,
                        struct wharf_error *e);

/* The seccomp listener has come: hands it, with the state, to who waits at listenerPath. */
int create_send_listener(struct container *c, const struct container_spec *spec, int listener,
                         struct wharf_error *e);

/* The error of a child that went without a word. */
int create_ended_early(struct wharf_error *e);

#endif
