/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that list and prune images share. */
#ifndef WHARF_IMAGES_H
#define WHARF_IMAGES_H

#include "base/json.h"

/* {"dangling":["true"],"label":["a=b"]} from --filter dangling=true --filter label=a=b. */
json_t *filters_tree(char **filters);

#endif
