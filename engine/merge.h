/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's settings become when it is created: the image's configuration where the user
 * said nothing, docker's defaults where neither did. From then on the image is not asked again. */
#ifndef ENGINE_MERGE_H
#define ENGINE_MERGE_H

#include "engine/settings.h"
#include "image.h"

/* Changes `s` and what it points to; strings come from arena and image. -ENOMEM */
int settings_merge(struct settings *s, const struct image_info *image, struct arena *arena,
                   struct wharf_error *e);

/* Members that docker fills in. `id`: the container's. */
int settings_defaults(struct settings *s, const char *id, struct arena *arena,
                      struct wharf_error *e);

#endif
