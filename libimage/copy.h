/* SPDX-License-Identifier: Apache-2.0 */
/* A root without overlayfs: the layers merged into a directory of its own. */
#ifndef LIBIMAGE_COPY_H
#define LIBIMAGE_COPY_H

#include "base/err.h"

/* Makes `dir`/copy out of layer trees, top first; one that is there is taken as it is. O_PATH
 * descriptor or -errno. */
int copy_root(int dir, const int *lower, size_t count, struct wharf_error *e);

#endif
