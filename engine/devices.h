/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which devices a container gets beside the default ones: those of --device, and for a privileged
 * one all that the host's /dev holds now. What comes later to the host's /dev does not come to the
 * container.
 */
#ifndef ENGINE_DEVICES_H
#define ENGINE_DEVICES_H

#include "engine/oci.h"

#define DEVICES_MAX       16384
#define DEVICES_DEPTH_MAX 8

/* -ENOENT, -EINVAL: what --device names is not there or no device. Strings are the arena's. */
int devices_collect(const struct settings_host *host, struct arena *arena, struct oci_devices *ret,
                    struct wharf_error *e);

/* The block devices of BlkioWeightDevice, BlkioDeviceReadBps and so on, by number. */
int throttles_collect(const struct settings_host *host, struct arena *arena,
                      struct oci_throttles *ret, struct wharf_error *e);

#endif
