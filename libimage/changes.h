/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a Dockerfile that only change a configuration, as `docker import --change` takes
 * them. */
#ifndef LIBIMAGE_CHANGES_H
#define LIBIMAGE_CHANGES_H

#include "base/json.h"

/* Applies one line to the `config` member of an image configuration. -EINVAL; -EOPNOTSUPP for a
 * flag that is not understood. */
int change_apply(json_t *config, const char *line, struct wharf_error *e);

#endif
