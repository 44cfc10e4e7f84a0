/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp profile that the user gives (seccomp=JSON), in OCI's form or in docker's, which has
 * conditions: archMap, and includes and excludes by capability, architecture and kernel. */
#ifndef ENGINE_SECCOMP_PROFILE_H
#define ENGINE_SECCOMP_PROFILE_H

#include "base/buf.h"
#include "base/err.h"

/* Appends OCI's form for a container with these capabilities on this machine. -EINVAL */
int seccomp_profile(const char *text, uint64_t capabilities, struct buf *b, struct wharf_error *e);

#endif
