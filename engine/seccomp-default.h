/* SPDX-License-Identifier: Apache-2.0 */
/* The seccomp profile a container gets unless it asks for another. */
#ifndef ENGINE_SECCOMP_DEFAULT_H
#define ENGINE_SECCOMP_DEFAULT_H

#include "base/buf.h"

/* Appends a "linux.seccomp" object; `capabilities` bit n: capability n is held, which opens the
 * system calls that only its holder can use anyway. */
void seccomp_default(struct buf *b, uint64_t capabilities);

#endif
