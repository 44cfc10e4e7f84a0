/* SPDX-License-Identifier: Apache-2.0 */
/* Overlay mounts. See overlay.h. */
#include "libimage/overlay.h"
#include "base/buf.h"
#include "image.h"

#include <linux/mount.h>
#include <sys/syscall.h>

static int set_text(int fs, const char *key, const char *value)
{
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* By descriptor (6.13 and later), else by a path that leads to it. */
static int set_directory(int fs, const char *key, int fd)
{
    char path[64];

    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, key, NULL, fd) == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return set_text(fs, key, path);
}

static int set_lower(int fs, const struct overlay *o)
{
    autobuf struct buf all = BUF(IMAGE_LAYERS_MAX * 32);
    size_t i = 0;
    int r = 0;

    for (; i < o->lower_count && r == 0; i++)
        r = set_directory(fs, "lowerdir+", o->lower[i]);
    if (r == 0 || i > 1)
        return r;
    for (i = 0; i < o->lower_count; i++)
        buf_printf(&all, "%s/proc/self/fd/%d", i ? ":" : "", o->lower[i]);
    return all.error ? all.error : set_text(fs, "lowerdir", all.data);
}

static int set_flag(int fs, const char *key)
{
    return syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0) < 0 ? -errno : 0;
}

static int configure(int fs, const struct overlay *o)
{
    static const char *const plain[] = { "redirect_dir", "metacopy", "index" };
    int r;

    set_text(fs, "source", "wharf"); /* what the mount table shows; no matter if it fails */
    r = set_lower(fs, o);
    if (r == 0 && o->upper >= 0)
        r = set_directory(fs, "upperdir", o->upper);
    if (r == 0 && o->upper >= 0)
        r = set_directory(fs, "workdir", o->work);
    if (r == 0 && o->user_xattr)
        r = set_flag(fs, "userxattr");
    if (r == 0 && o->transient)
        r = set_flag(fs, "volatile");
    for (size_t i = 0; o->plain && i < ARRAY_SIZE(plain) && r == 0; i++)
        r = set_text(fs, plain[i], "off");
    if (r == 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    return r;
}

int overlay_mount(const struct overlay *o, struct wharf_error *e)
{
    autoclose int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    char log[256] = "";
    ssize_t n;
    int mount, r;

    if (fs < 0 && errno == ENODEV)
        return err_unsupported(e, "this kernel has no overlay file system");
    if (fs < 0)
        return err_sys(e, "cannot make an overlay mount");
    r = configure(fs, o);
    if (r < 0) {
        n = read(fs, log, sizeof(log) - 1); /* the kernel's own words, "e overlay: ..." */
        log[n > 0 ? n : 0] = 0;
        log[strcspn(log, "\n")] = 0;
        return err_code(e, r, "cannot make an overlay mount%s%s", *log ? ": " : "",
                        *log ? log + 2 : "");
    }
    mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    return mount < 0 ? err_sys(e, "cannot make an overlay mount") : mount;
}
