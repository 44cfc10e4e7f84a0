/* SPDX-License-Identifier: Apache-2.0 */
/* Merging layers into a plain directory, base first (base/copy.h). It is made under another name
 * and renamed when whole, so a kill leaves nothing that looks finished. */
#include "libimage/copy.h"

#include <fcntl.h>
#include "base/copy.h"
#include "base/fd.h"

int copy_root(int dir, const int *lower, size_t count, struct wharf_error *e)
{
    int fd = openat(dir, "copy", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
    autoclose int top = -1;

    if (fd >= 0)
        return fd;
    r = path_remove_tree(dir, "copy.tmp");
    if (r == 0 && mkdirat(dir, "copy.tmp", 0755) < 0)
        r = -errno;
    if (r == 0 && (top = openat(dir, "copy.tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        r = -errno;
    if (r < 0)
        return err_code(e, r, "cannot make the container's directory");
    for (size_t i = count; i-- > 0 && r == 0;) /* base first */
        r = tree_copy(lower[i], top, e);
    if (r == 0 && renameat(dir, "copy.tmp", dir, "copy") < 0)
        r = err_sys(e, "cannot make the container's directory");
    if (r < 0) {
        path_remove_tree(dir, "copy.tmp");
        return r;
    }
    fd = openat(dir, "copy", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_sys(e, "cannot open the container's directory") : fd;
}
