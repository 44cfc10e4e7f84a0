/* SPDX-License-Identifier: Apache-2.0 */
/* --mount: type=volume|bind|tmpfs|image and what belongs to each, as docker's flag. */
#ifndef WHARF_MOUNT_H
#define WHARF_MOUNT_H

#include "engine/settings.h"

/* Fills host->mounts from the flags' texts. -EINVAL with docker's words. */
int mount_flags(char **list, struct arena *arena, struct settings_host *host,
                struct wharf_error *e);

#endif
