/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes. Made by mknodat(2) on a descriptor of /dev with umask 0 and the right mode at once;
 * where a user namespace forbids that, the host's node is bound and checked to be the device that
 * was asked for. A node that is there already must be the same device; anything else there is an
 * error, never replaced, never followed.
 */
#include "libcontainer/device.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/mount.h"

/* config-linux.md "Default Devices"; console comes with a terminal, ptmx is a link. */
static const struct {
    const char *path;
    unsigned major, minor;
} defaults[] = {
    { "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
    { "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

/* runtime-linux.md "Dev symbolic links", and ptmx of the container's own devpts. */
static const struct {
    const char *name, *target;
} links[] = {
    { "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
    { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
    { "ptmx", "pts/ptmx" },
};

static mode_t type_bits(int type)
{
    return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

static struct device *find(const device_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (streq(list->items[i].path, path))
            return &list->items[i];
    }
    return NULL;
}

static int plan_one(const struct spec_device *wish, struct arena *arena, device_list *list,
                    struct wharf_error *e)
{
    autofree char *clean = path_clean(wish->path);
    struct device *device;

    if (!clean)
        return err_nomem(e);
    if (*clean != '/' || streq(clean, "/") || streq(clean, "/dev") || str_after(clean, "/proc/"))
        return err_invalid(e, "device '%s': not the absolute path of a node", wish->path);
    device = find(list, clean);
    if (!device)
        device = &list->items[list->count++];
    *device = (struct device){
        .path = arena_str(arena, clean),
        .mode = type_bits(wish->type) |
                (wish->file_mode.set ? (mode_t)wish->file_mode.value & 07777 : 0666),
        .number = makedev((unsigned)wish->major, (unsigned)wish->minor),
        .uid = (uid_t)wish->uid.value,
        .gid = (gid_t)wish->gid.value,
    };
    return device->path ? 0 : err_nomem(e);
}

int device_plan(const struct container_spec *spec, struct arena *arena, device_list *ret,
                struct wharf_error *e)
{
    const struct spec_linux *l = spec->linux_;
    device_list list = { 0 };

    if (l->devices.count > DEVICES_MAX)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "linux.devices holds %zu entries; %d may be",
                       l->devices.count, DEVICES_MAX);
    list.items = arena_array(arena, ARRAY_SIZE(defaults) + l->devices.count, sizeof(*list.items));
    if (!list.items)
        return err_nomem(e);
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        list.items[list.count++] = (struct device){
            .path = defaults[i].path,
            .mode = S_IFCHR | 0666,
            .number = makedev(defaults[i].major, defaults[i].minor),
        };
    for (size_t i = 0; i < l->devices.count; i++) {
        int r = plan_one(&l->devices.items[i], arena, &list, e);

        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}

static bool is_device(const struct stat *st, const struct device *device)
{
    return (st->st_mode & S_IFMT) == (device->mode & S_IFMT) &&
           (S_ISFIFO(st->st_mode) || st->st_rdev == device->number);
}

int device_host_tree(const struct device *device)
{
    autoclose int tree = mount_clone(AT_FDCWD, device->path, AT_SYMLINK_NOFOLLOW);
    struct stat st;

    if (tree < 0)
        return tree;
    if (fstat(tree, &st) < 0)
        return -errno;
    return is_device(&st, device) ? take_fd(&tree) : -ENXIO;
}

int device_null_tree(void)
{
    const struct device null = { .path = "/dev/null", .mode = S_IFCHR, .number = makedev(1, 3) };

    return device_host_tree(&null);
}

static int bind_node(int dir, const char *name, const struct device *device, struct wharf_error *e)
{
    autoclose int tree = device_host_tree(device), target = -1;
    struct statfs fs;
    int r;

    if (fstatfs(dir, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC)
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN, "device '%s' leads into /proc",
                       device->path);
    if (tree < 0)
        return err_code(e, tree, "cannot bind the host's device '%s'", device->path);
    if (mknodat(dir, name, S_IFREG, 0) < 0 && errno != EEXIST)
        return err_sys(e, "cannot make a file for device '%s'", device->path);
    target = path_open_plain(dir, name, O_PATH, 0);
    r = target < 0 ? target : mount_attach(tree, target);
    return r < 0 ? err_code(e, r, "cannot bind device '%s'", device->path) : 0;
}

static int check_existing(int dir, const char *name, const struct device *device,
                          struct wharf_error *e)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(e, "cannot examine device '%s'", device->path);
    return is_device(&st, device)
               ? 0
               : err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                         "cannot make device '%s': the root holds something else there",
                         device->path);
}

static int make_node(int dir, const char *name, const struct device *device, bool bind,
                     struct wharf_error *e)
{
    if (bind && !S_ISFIFO(device->mode))
        return bind_node(dir, name, device, e);
    if (mknodat(dir, name, device->mode, device->number) < 0) {
        if (errno == EPERM)
            return bind_node(dir, name, device, e);
        if (errno != EEXIST)
            return err_sys(e, "cannot make device '%s'", device->path);
        return check_existing(dir, name, device, e);
    }
    if ((device->uid || device->gid) &&
        fchownat(dir, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(e, "cannot change the owner of device '%s'", device->path);
    return 0;
}

int device_make(int root, int dev, const struct device *device, bool bind, struct wharf_error *e)
{
    const char *below = str_after(device->path, "/dev/"), *slash = strrchr(device->path, '/');
    char parent[PATH_MAX];
    autoclose int dir = -1;
    size_t n = (size_t)(slash - device->path);

    if (below && !strchr(below, '/'))
        return make_node(dev, below, device, bind, e);
    if (n >= sizeof(parent))
        return err_code(e, -ENAMETOOLONG, "device '%s'", device->path);
    memcpy(parent, device->path, n);
    parent[n] = 0;
    dir = path_make_dirs_in(root, n ? parent : "/", 0755);
    if (dir < 0)
        return err_code(e, dir, "cannot make the directory of device '%s'", device->path);
    return make_node(dir, slash + 1, device, bind, e);
}

/* An image's own link stays; its own ptmx does not: it would be the host's terminals. */
static int make_link(int dev, const char *name, const char *target, struct wharf_error *e)
{
    if (symlinkat(target, dev, name) == 0)
        return 0;
    if (errno == EEXIST && streq(name, "ptmx") && unlinkat(dev, name, 0) == 0 &&
        symlinkat(target, dev, name) == 0)
        return 0;
    return errno == EEXIST ? 0 : err_sys(e, "cannot make link '/dev/%s'", name);
}

int device_make_all(int root, const device_list *devices, bool bind, struct wharf_error *e)
{
    autoclose int dev = path_open_plain(root, "dev", O_PATH | O_DIRECTORY, 0);
    mode_t mask;
    int r = 0;

    if (dev == -ENOENT) {
        if (mkdirat(root, "dev", 0755) < 0)
            return err_sys(e, "cannot make '/dev' in the root");
        dev = path_open_plain(root, "dev", O_PATH | O_DIRECTORY, 0);
    }
    if (dev < 0)
        return err_set(e, dev, WHARF_ERROR_INVALID,
                       "'/dev' in the root must be an ordinary directory, no symbolic link: %s",
                       strerrordesc_np(-dev));
    mask = umask(0);
    for (size_t i = 0; i < devices->count && r == 0; i++)
        r = device_make(root, dev, &devices->items[i], bind, e);
    umask(mask);
    for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++)
        r = make_link(dev, links[i].name, links[i].target, e);
    return r;
}
