/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masked and read-only paths. What stands over a path is never taken from the container: the null
 * device is the host's, looked at before the root changed (CVE-2025-31133 took the container's own
 * /dev/null, by then a link), and the one empty directory that serves all masks is a tmpfs of ours.
 *
 * A detached mount cannot be cloned before Linux 6.15. So the first use attaches the original, and
 * later ones clone it from where it hangs.
 */
#include "libcontainer/mask.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "libcontainer/mount.h"

struct cover {
    int tree;
    bool attached;
};

static int cover_put(struct cover *c, int target)
{
    autoclose int clone = -1;
    int r;

    if (c->attached) {
        clone = mount_clone(c->tree, "", 0);
        return clone < 0 ? clone : mount_attach(clone, target);
    }
    r = mount_attach(c->tree, target);
    c->attached = r == 0;
    return r;
}

static int empty_directory(void)
{
    const uint64_t attributes =
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    static char mode[] = "mode=755";
    static char *items[] = { mode };
    const field_strings words = { items, ARRAY_SIZE(items) };

    return mount_detached("tmpfs", NULL, &words, MS_RDONLY, attributes);
}

static int hide(int root, const char *path, struct cover *directory, struct cover *null)
{
    autoclose int target = path_open_in(root, path, O_PATH, 0);
    struct stat st;

    if (target < 0)
        return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    if (fstat(target, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return cover_put(null, target);
    if (directory->tree < 0)
        directory->tree = empty_directory();
    return directory->tree < 0 ? directory->tree : cover_put(directory, target);
}

int mask_hide(int root, const field_strings *paths, int null_tree, struct wharf_error *e)
{
    struct cover directory = { .tree = -1 }, null = { .tree = null_tree };
    int r = 0;

    for (size_t i = 0; i < paths->count && r == 0; i++) {
        r = hide(root, paths->items[i], &directory, &null);
        if (r < 0)
            err_code(e, r, "cannot mask '%s'", paths->items[i]);
    }
    fd_close(directory.tree);
    return r;
}

static int make_readonly(int root, const char *path)
{
    autoclose int target = path_open_in(root, path, O_PATH, 0), tree = -1;

    if (target < 0)
        return target == -ENOENT || target == -ENOTDIR ? 0 : target;
    tree = mount_clone_readonly(target);
    return tree < 0 ? tree : mount_attach(tree, target);
}

int mask_readonly(int root, const field_strings *paths, struct wharf_error *e)
{
    for (size_t i = 0; i < paths->count; i++) {
        int r = make_readonly(root, paths->items[i]);

        if (r < 0)
            return err_code(e, r, "cannot make '%s' read-only", paths->items[i]);
    }
    return 0;
}
