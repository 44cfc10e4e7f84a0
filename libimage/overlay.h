/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An overlay mount out of directories. [O]
 *
 * It is made with the new mount interface on descriptors, so it depends on no path, appears in no
 * mount table before somebody moves it, and has no limit of 4096 bytes of options. Kernels before
 * 6.13 take paths instead of descriptors (/proc/self/fd/N), those before 6.8 all lower directories
 * in one string.
 */
#ifndef LIBIMAGE_OVERLAY_H
#define LIBIMAGE_OVERLAY_H

#include "base/err.h"
#include "base/macros.h"

struct overlay {
    const int *lower; /* top layer first, O_PATH */
    size_t lower_count;
    int upper, work; /* -1: read-only; the kernel then wants two lower ones */
    bool user_xattr;
    bool transient; /* no sync at unmount: what is in `upper` is worth nothing after a crash */
    bool plain;     /* nothing in `upper` that only makes sense over these very layers (redirects,
                     * metadata without data): it will be a layer */
};

/* A descriptor of the detached mount. -EPERM, -EOPNOTSUPP, -EBUSY (upper is in use), -errno. */
int overlay_mount(const struct overlay *o, struct wharf_error *e);

#endif
