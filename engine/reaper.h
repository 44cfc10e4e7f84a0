/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that nobody waits for. A shim outlives the call that started it, and what a process that
 * lives long started and never waits for stays a zombie: a thread waits for each of them, by its
 * pidfd, and so takes nobody else's children. Of a process that ends soon init does that.
 */
#ifndef ENGINE_REAPER_H
#define ENGINE_REAPER_H

#include <sys/types.h>
#include "base/err.h"
#include "base/macros.h"

struct reaper;

int reaper_open(struct reaper **ret, struct wharf_error *e);
/* Those that still live are then left to init. */
void reaper_close(struct reaper *r);

/* From any thread; a child that cannot be watched stays a zombie. NULL: nothing happens. */
void reaper_add(struct reaper *r, pid_t pid);

#endif
