/* SPDX-License-Identifier: Apache-2.0 */
/* What a container may do: CapAdd, CapDrop, Privileged and SecurityOpt, understood. Pure. */
#ifndef ENGINE_SECURITY_H
#define ENGINE_SECURITY_H

#include "engine/settings.h"

struct security {
    uint64_t capabilities; /* 1 << CAP_X */
    bool no_new_privileges, system_paths, writable_cgroups;
    const char *seccomp;  /* NULL: the default; "": none; else a profile in JSON */
    const char *apparmor; /* NULL: none */
};

/* -EINVAL, -EOPNOTSUPP with docker's texts. Strings are the settings'. */
int security_parse(const struct settings_host *host, struct security *ret, struct wharf_error *e);

#endif
