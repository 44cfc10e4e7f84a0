/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes below the container's /dev, and the links that belong there. */
#ifndef LIBCONTAINER_DEVICE_H
#define LIBCONTAINER_DEVICE_H

#include "libcontainer/config/spec.h"

enum { DEVICES_MAX = 4096 }; /* in one configuration */

struct device {
    const char *path; /* cleaned, begins with "/" */
    mode_t mode;      /* with its type */
    dev_t number;
    uid_t uid;
    gid_t gid;
};
typedef LIST_OF(struct device) device_list;

/* Parent: the specification's default devices (config-linux.md "Default Devices") and those of
 * linux.devices, which override them. */
int device_plan(const struct container_spec *spec, struct arena *arena, device_list *ret,
                struct wharf_error *e);

/* Child: makes them all, and the default links. `bind`: nodes may not be made in this user
 * namespace, the host's are bound. /dev must be a directory, no link (CVE-2026-41579). */
int device_make_all(int root, const device_list *devices, bool bind, struct wharf_error *e);

/* Child: makes one below the directory `dev` or, for a path elsewhere, below `root`. */
int device_make(int root, int dev, const struct device *device, bool bind, struct wharf_error *e);

/* A clone of the host's node at the same path as a detached mount, -ENXIO unless it is that device.
 */
int device_host_tree(const struct device *device);

/* A clone of the host's null device as a detached mount, checked to be char 1:3 (CVE-2025-31133).
 * It can be attached once, then cloned. A descriptor or -errno. Child. */
int device_null_tree(void);

#endif
