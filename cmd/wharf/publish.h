/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WHARF_PUBLISH_H
#define WHARF_PUBLISH_H

#include "base/arena.h"
#include "cmd/wharf/cli.h"

/* Writes what the flags say of networks and ports into the settings, whose host is there. */
int network_flags(const struct run_options *o, struct arena *arena, struct settings *s,
                  struct wharf_error *e);

#endif
