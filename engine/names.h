/* SPDX-License-Identifier: Apache-2.0 */
/* Ids and names of containers: made, checked. */
#ifndef ENGINE_NAMES_H
#define ENGINE_NAMES_H

#include "base/err.h"
#include "engine/lock.h"

#define NAME_MAX_LENGTH 255
#define NAME_RANDOM_MAX 64 /* room for a random name */

/* A fresh random id: 64 hexadecimal digits, never all decimal in the first twelve, so that a short
 * id is not mistaken for a number. `id` holds ID_LENGTH + 1 bytes. */
int id_random(char *id);

/* A name made of an adjective and a thing of the sea. `attempt` above 0 appends a number: names may
 * collide. */
int name_random(char *name, size_t size, unsigned attempt);

/* [a-zA-Z0-9][a-zA-Z0-9_.-]+, with docker's message. */
int name_check(const char *name, struct wharf_error *e);

#endif
