/* SPDX-License-Identifier: Apache-2.0 */
/* The bind of a terminal's slave to /dev/console; making one is console_new() in rootfs.h. */
#ifndef LIBCONTAINER_CONSOLE_H
#define LIBCONTAINER_CONSOLE_H

#include "base/err.h"

/* Child. `slave` must be of a devpts mounted in this mount namespace. */
int console_bind(int root, int slave, struct wharf_error *e);

#endif
