/* SPDX-License-Identifier: Apache-2.0 */
/* linux.maskedPaths and linux.readonlyPaths. Child; async-signal-safe. */
#ifndef LIBCONTAINER_MASK_H
#define LIBCONTAINER_MASK_H

#include "base/fields.h"

/* Binds each path on itself, read-only with all below it. A path that does not exist is skipped. */
int mask_readonly(int root, const field_strings *paths, struct wharf_error *e);

/* Hides each path: a directory behind an empty read-only one, a file behind the null device.
 * `null_tree`: from device_null_tree(), called before the host was left. A path that does not exist
 * is skipped; any other failure is an error, for a mask that is not there is a hole. */
int mask_hide(int root, const field_strings *paths, int null_tree, struct wharf_error *e);

#endif
