/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a container's process is: "user[:group]" looked up in the image's own /etc/passwd and
 * /etc/group, read below the root's descriptor (openat2, RESOLVE_IN_ROOT) with a limit on their
 * size. A number needs no entry; a name must have one. Nothing of the host's user database is
 * asked.
 */
#ifndef ENGINE_USERS_H
#define ENGINE_USERS_H

#include "base/err.h"
#include "base/macros.h"

#define USERS_FILE_MAX   (1u << 20)
#define USERS_GROUPS_MAX 1024
#define USERS_HOME_MAX   4096

struct user {
    uint32_t uid, gid;
    uint32_t groups[USERS_GROUPS_MAX]; /* supplementary, gid not among them */
    size_t group_count;
    char home[USERS_HOME_MAX]; /* "/" where passwd says nothing */
};

/* `text` "" or NULL: root. `extra` names further groups (--group-add), `extra_count` of them. */
int user_resolve(int root, const char *text, char *const *extra, size_t extra_count,
                 struct user *ret, struct wharf_error *e);

/* The same on the files' texts (NULL: no such file). */
int user_resolve_in(const char *passwd, const char *group, const char *text, char *const *extra,
                    size_t extra_count, struct user *ret, struct wharf_error *e);

#endif
