/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What making a container holds until it is made, and the steps of it that a restore takes as well.
 * The steps are functions of create.c; they run in this order, and creation_end undoes what is
 * there when one fails.
 */
#ifndef LIBCONTAINER_CREATION_H
#define LIBCONTAINER_CREATION_H

#include "libcontainer/handle.h"
#include "libcontainer/init.h"

struct creation {
    const struct container_spec *spec;
    const struct container_start_options *start;
    struct arena *arena;
    struct container *c; /* owns state directory, cgroup, process */
    struct init_plan plan;
    struct hooks prestart, create_runtime, poststart, poststop;
    int sync;       /* our side */
    int child_sync; /* the child's, until it exists */
    int listener;
    int rdt;   /* the resctrl mount, or -1 */
    bool made; /* the state directory is ours to remove */
    bool into_cgroup;
    bool enters; /* the child moves itself into the cgroup */
};

int creation_claim(struct creation *m, struct container_engine *engine, const char *id,
                   struct wharf_error *e);
int creation_fill_state(struct creation *m, struct wharf_error *e);
int creation_make_cgroup(struct creation *m, struct wharf_error *e);
int creation_save_config(struct creation *m, struct wharf_error *e);

/* `r` is what making came to: the container goes to *ret, or what was made is removed. Returns r.
 */
int creation_end(struct creation *m, int r, struct container **ret);

#endif
