/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd cgroup driver: a container is a transient scope, made, changed and stopped over D-Bus
 * (org.freedesktop.systemd1). systemd owns the group's place and its controllers' limits: those
 * that it knows are given to it too, or a daemon-reload would undo them.
 */
#ifndef LIBCONTAINER_CGROUP_SYSTEMD_H
#define LIBCONTAINER_CGROUP_SYSTEMD_H

#include "libcontainer/cgroup/cgroup.h"

struct systemd_unit;

/* From "slice:prefix:name" and the annotations org.systemd.property.*; asks systemd nothing. */
int systemd_unit_new(struct systemd_unit **ret, const struct cgroup_options *options,
                     struct wharf_error *e);
/* From the state file. */
int systemd_unit_load(struct systemd_unit **ret, json_t *saved, struct wharf_error *e);
json_t *systemd_unit_save(const struct systemd_unit *unit);
void systemd_unit_free(struct systemd_unit *unit);

/* Starts the scope around a process and waits for it; *ret_group is its path below the mounts. */
int systemd_unit_start(struct systemd_unit *unit, pid_t pid, struct arena *arena, char **ret_group,
                       struct wharf_error *e);
/* Tells systemd the limits that are set. */
int systemd_unit_set(struct systemd_unit *unit, const struct spec_resources *resources,
                     struct wharf_error *e);
/* Stops the scope; that it is gone already is fine. */
int systemd_unit_stop(struct systemd_unit *unit, struct wharf_error *e);

/* "a-b.slice" -> "/a.slice/a-b.slice", "-.slice" -> "/" (systemd.slice(5)). -EINVAL. */
int systemd_slice_path(const char *slice, char *ret, size_t size);

#endif
