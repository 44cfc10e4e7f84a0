/* SPDX-License-Identifier: Apache-2.0 */
/* The root file system of a restart: the same overlay that the engine made for the first start (its
 * mount went with the container's mount namespace), from what the configuration says of it. */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/fd.h"
#include "base/str.h"

static int set(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

static int set_below(int fs, const char *key, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", SHIM_FD_DIR, name);
    return set(fs, key, path);
}

/* One by one (6.8 and later), else in one string, which has a limit of 256 bytes before that. */
static int set_lower(int fs, const char *lower)
{
    char one[4096];
    int r = 0;

    for (const char *p = lower; *p && r == 0;) {
        size_t n = strcspn(p, ":");

        if (n >= sizeof(one))
            return -ENAMETOOLONG;
        memcpy(one, p, n);
        one[n] = '\0';
        r = set(fs, "lowerdir+", one);
        if (r < 0 && p == lower)
            return set(fs, "lowerdir", lower);
        p += n + (p[n] == ':');
    }
    return r;
}

/* There, trusted.* attributes cannot be had (user_namespaces(7)). */
static bool in_user_namespace(void)
{
    autofree char *map = NULL;

    return file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map) > 0 && !strstr(map, "4294967295");
}

static int mount_copy(struct wharf_error *e)
{
    int mount =
        (int)syscall(SYS_open_tree, SHIM_FD_DIR, "copy", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    return mount < 0 ? err_sys(e, "cannot make a mount of the container's directory") : mount;
}

int root_mount(const struct shim_config *config, struct wharf_error *e)
{
    if (!*config->lower)
        return mount_copy(e);
    autoclose int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return err_sys(e, "cannot make an overlay mount");
    set(fs, "source", "wharf"); /* what the mount table shows; no matter if it fails */
    int r = set_lower(fs, config->lower);
    if (r == 0)
        r = set_below(fs, "upperdir", "upper");
    if (r == 0)
        r = set_below(fs, "workdir", "work");
    if (r == 0 && in_user_namespace())
        r = syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0 ? -errno : 0;
    if (r == 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    if (r < 0)
        return err_code(e, r, "cannot make an overlay mount");
    int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    return mount < 0 ? err_sys(e, "cannot make an overlay mount") : mount;
}
