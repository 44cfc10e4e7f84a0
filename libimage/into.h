/* SPDX-License-Identifier: Apache-2.0 */
/* An archive unpacked into a directory that is there, such as the root of a container: what it says
 * goes over what is there, and nothing leaves the directory, whoever changes it meanwhile. */
#ifndef LIBIMAGE_INTO_H
#define LIBIMAGE_INTO_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"

struct into {
    int dir;        /* where to */
    int fd;         /* a tar, plain or compressed, read to its end */
    bool keep_kind; /* a directory does not become something else, nor the reverse: -EISDIR, .. */
    bool owned;     /* everything belongs to: */
    uid_t uid;
    gid_t gid;
};
int archive_into(const struct into *ask, struct wharf_error *e);

#endif
