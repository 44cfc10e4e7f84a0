/* SPDX-License-Identifier: Apache-2.0 */
/* --chown and --chmod: who and how, as an image's own files say. */
#ifndef LIBIMAGE_BUILD_OWNER_H
#define LIBIMAGE_BUILD_OWNER_H

#include <sys/types.h>
#include "base/err.h"
#include "base/macros.h"

struct owner {
    uid_t uid;
    gid_t gid;
};
/* "user[:group]", names by /etc/passwd and /etc/group below `root`; without a group: of the same
 * number as the user [dockerfile reference, COPY --chown]. */
int owner_parse(int root, const char *text, struct owner *ret, struct wharf_error *e);

/* Applies "0755" or "u+rwX,go=rx" to a mode. -EINVAL. */
int mode_apply(const char *text, mode_t mode, bool directory, mode_t *ret, struct wharf_error *e);

#endif
