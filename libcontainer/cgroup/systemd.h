/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd cgroup driver: a container is a transient scope, made, changed and stopped over D-Bus
 * (org.freedesktop.systemd1). systemd owns the group's place and its controllers' limits: those
 * that it knows are given to it too, or a daemon-reload would undo them.
 */
#ifndef LIBCONTAINER_CGROUP_SYSTEMD_H
#define LIBCONTAINER_CGROUP_SYSTEMD_H

#include "base/buf.h"
#include "libcontainer/cgroup/cgroup.h"

struct systemd_unit;

/* From "slice:prefix:name" and the annotations org.systemd.property.*; asks systemd nothing. */
int systemd_unit_new(struct systemd_unit **ret, const struct cgroup_options *options,
                     struct wharf_error *e);
/* From the state file. */
int systemd_unit_load(struct systemd_unit **ret, json_t *saved, struct wharf_error *e);
json_t *systemd_unit_save(const struct systemd_unit *unit);
void systemd_unit_free(struct systemd_unit *unit);

/* Starts the scope around a process and waits until the process is in it. */
int systemd_unit_start(struct systemd_unit *unit, pid_t pid, struct wharf_error *e);
/* Tells systemd the limits that are set and that it knows. */
int systemd_unit_set(struct systemd_unit *unit, const struct spec_resources *resources,
                     struct wharf_error *e);
/* Stops the scope; that it is gone already is fine. */
int systemd_unit_stop(struct systemd_unit *unit, struct wharf_error *e);

/* ---- for tests ---- */

const char *systemd_unit_name(const struct systemd_unit *unit);
const char *systemd_unit_slice(const struct systemd_unit *unit);

/* Adds one property (name and variant) to an array of them, its value in GVariant's text form as in
 * the annotations: true, 'text', 7, uint64 7. -EINVAL: another type. */
int systemd_property_parse(struct buf *b, const char *name, const char *value,
                           struct wharf_error *e);

#endif
