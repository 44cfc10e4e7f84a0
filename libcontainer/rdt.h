/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache and memory bandwidth by Intel RDT (runtime-spec config-linux.md "IntelRdt"; kernel
 * Documentation/filesystems/resctrl.rst): a directory per class of service below the resctrl mount.
 *
 * A class that was there before belongs to its maker: its schemata are compared, not written, and
 * it is never removed. Every function works below a descriptor of the mount.
 */
#ifndef LIBCONTAINER_RDT_H
#define LIBCONTAINER_RDT_H

#include "libcontainer/config/spec.h"

/* The mount as a descriptor; -EOPNOTSUPP naming the field where there is none. */
int rdt_open(const struct spec_intel_rdt *spec, struct wharf_error *e);

/* 1: the class would be made, 0: it is there. `name` is closID, or the container's id. */
int rdt_plan(int mount, const char *name, const struct spec_intel_rdt *spec, struct wharf_error *e);

/* Makes (1) or checks (0) it; on failure nothing that was made is left. */
int rdt_make(int mount, const char *name, const struct spec_intel_rdt *spec, struct wharf_error *e);

/* Other schemata for a class that is ours. */
int rdt_update(int mount, const char *name, const struct spec_intel_rdt *spec,
               struct wharf_error *e);

int rdt_attach(int mount, const char *name, pid_t pid, struct wharf_error *e);

/* That it is gone already is no error. */
int rdt_remove(int mount, const char *name, struct wharf_error *e);

#endif
