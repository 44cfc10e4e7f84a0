/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on containers, between processes. All of them are single bytes of one file in the root
 * directory, at an offset that follows from the id, as open-file-description locks (fcntl(2), "Open
 * file description locks"): they vanish with the last copy of their descriptor, however its holder
 * ends, need no file per container, and cannot be left behind.
 *
 * LOCK_CHANGE  held by an engine while it changes the container (create, start, remove, repair)
 * LOCK_ALIVE   held by the container's shim from its birth, inherited as SHIM_FD_LOCK: held = it
 * lives
 */
#ifndef ENGINE_LOCK_H
#define ENGINE_LOCK_H

#include "base/macros.h"

#define ID_LENGTH 64 /* hexadecimal digits of a container's id */
#define LOCK_FILE "lock"

enum lock_kind { LOCK_CHANGE, LOCK_ALIVE };

/* Takes the lock on a descriptor of its own: close it to let go. `wait`: until it is free, else
 * -EAGAIN. Descriptor or -errno. */
int lock_take(int root, const char *id, enum lock_kind kind, bool wait);

/* Whether anybody holds it, asked through any descriptor of the lock file that holds none itself.
 */
bool lock_held(int lock_file, const char *id, enum lock_kind kind);

#endif
