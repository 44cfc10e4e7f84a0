/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging one directory tree into another, as a layer of an overlay over those below it: a whiteout
 * (character device 0:0) removes, an opaque directory empties, a directory keeps what it has,
 * anything else replaces [kernel: overlayfs.rst, "whiteouts and opaque directories"]. Into an empty
 * directory it is a copy: owners, modes, times, extended attributes, hard links, devices. Needs
 * base_json_dep.
 */
#ifndef BASE_COPY_H
#define BASE_COPY_H

#include "base/err.h"

/* `from` may be O_PATH; `to` is open for reading. The first error ends it; what was copied stays.
 */
int tree_copy(int from, int to, struct wharf_error *e);

#endif
