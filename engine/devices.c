/* SPDX-License-Identifier: Apache-2.0 */
/* See devices.h. Docker's rule (its "host devices"): a directory stands for all devices in it;
 * what a container has of its own, such as /dev/pts, is passed over. */
#include "engine/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/fd.h"
#include "base/str.h"

/* Below /dev, and every container's own: made by libcontainer, or another file system. */
static const char *const own_names[] = { "pts",         "shm",     "fd",   "mqueue", ".lxc",
                                         ".lxd-mounts", ".udev",   "null", "zero",   "full",
                                         "random",      "urandom", "tty",  "ptmx",   "console" };

struct search {
    struct arena *arena;
    const char *access;
    struct oci_devices *found;
    size_t room;
    struct wharf_error *e;
};

static bool is_own(const char *path)
{
    const char *name = str_after(path, "/dev/");

    for (size_t i = 0; name && i < ARRAY_SIZE(own_names); i++) {
        if (streq(name, own_names[i]))
            return true;
    }
    return false;
}

/* The later one of a path wins: --device over what privileged brings. */
static int add(struct search *s, const char *path, const struct stat *st)
{
    struct oci_devices *all = s->found;
    struct oci_device device = { .path = path,
                                 .type = S_ISBLK(st->st_mode) ? 'b' : 'c',
                                 .major = major(st->st_rdev),
                                 .minor = minor(st->st_rdev),
                                 .mode = st->st_mode & 0777,
                                 .uid = st->st_uid,
                                 .gid = st->st_gid,
                                 .access = s->access };

    for (size_t i = 0; i < all->count; i++) {
        if (streq(all->items[i].path, path)) {
            all->items[i] = device;
            return 0;
        }
    }
    if (all->count == DEVICES_MAX)
        return err_set(s->e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d devices", DEVICES_MAX);
    if (all->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct oci_device *items = arena_array(s->arena, room, sizeof(*items));

        if (!items)
            return err_nomem(s->e);
        memcpy(items, all->items, all->count * sizeof(*items));
        all->items = items;
        s->room = room;
    }
    all->items[all->count++] = device;
    return 0;
}

/* What lies at `name` in `dir` comes to the container as `path`. Links are followed at the top
 * only: a directory's links lead to devices that are found by their own names. */
static int walk(struct search *s, int dir, const char *name, const char *path, int depth);

static int walk_directory(struct search *s, int dir, const char *name, const char *path, int depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (!list) {
        fd_close(fd);
        return err_sys(s->e, "cannot read the devices in '%s'", path);
    }
    for (struct dirent *d; r == 0 && (d = readdir(list));) {
        const char *below = arena_format(s->arena, "%s/%s", path, d->d_name);

        if (streq(d->d_name, ".") || streq(d->d_name, ".."))
            continue;
        if (d->d_type != DT_DIR && d->d_type != DT_CHR && d->d_type != DT_BLK &&
            d->d_type != DT_UNKNOWN)
            continue;
        r = !below ? err_nomem(s->e) : is_own(below) ? 0 : walk(s, fd, d->d_name, below, depth + 1);
    }
    closedir(list);
    return r;
}

static int walk(struct search *s, int dir, const char *name, const char *path, int depth)
{
    struct stat st;

    if (fstatat(dir, name, &st, depth > 0 ? AT_SYMLINK_NOFOLLOW : 0) < 0)
        return depth > 0 && errno == ENOENT
                   ? 0 /* unplugged meanwhile */
                   : err_sys(s->e, "error gathering device information: '%s'", name);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return add(s, path, &st);
    if (S_ISDIR(st.st_mode) && depth < DEVICES_DEPTH_MAX)
        return walk_directory(s, dir, name, path, depth);
    return depth > 0 ? 0 : err_invalid(s->e, "'%s' is not a device", name);
}

int devices_collect(const struct settings_host *host, struct arena *arena, struct oci_devices *ret,
                    struct wharf_error *e)
{
    struct oci_devices found = { 0 };
    struct search s = { .arena = arena, .found = &found, .e = e };
    int r = host->privileged ? walk(&s, AT_FDCWD, "/dev", "/dev", 0) : 0;

    for (size_t i = 0; r == 0 && i < host->devices.count; i++) {
        const struct settings_device *d = &host->devices.items[i];

        s.access = d->access && *d->access ? d->access : "rwm";
        r = walk(&s, AT_FDCWD, d->source, d->target && *d->target ? d->target : d->source, 0);
    }
    if (r == 0)
        *ret = found;
    return r;
}

/* ---- limits on block devices ----------------------------------------------------------------- */

static int add_throttle(struct oci_throttles *all, enum oci_throttle_kind kind, const char *path,
                        uint64_t value, struct wharf_error *e)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_sys(e, "cannot limit the device '%s'", path);
    if (!S_ISBLK(st.st_mode))
        return err_invalid(e, "cannot limit '%s': it is no block device", path);
    all->items[all->count++] =
        (struct oci_throttle){ kind, major(st.st_rdev), minor(st.st_rdev), value };
    return 0;
}

int throttles_collect(const struct settings_host *host, struct arena *arena,
                      struct oci_throttles *ret, struct wharf_error *e)
{
    const struct {
        enum oci_throttle_kind kind;
        const struct settings_rate *items;
        size_t count;
    } rates[] = {
        { OCI_READ_BPS, host->blkio_read_bps.items, host->blkio_read_bps.count },
        { OCI_WRITE_BPS, host->blkio_write_bps.items, host->blkio_write_bps.count },
        { OCI_READ_IOPS, host->blkio_read_iops.items, host->blkio_read_iops.count },
        { OCI_WRITE_IOPS, host->blkio_write_iops.items, host->blkio_write_iops.count },
    };
    struct oci_throttles all = { 0 };
    size_t total = host->blkio_weight_device.count;
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
        total += rates[i].count;
    if (total == 0)
        return 0;
    all.items = arena_array(arena, total, sizeof(*all.items));
    if (!all.items)
        return err_nomem(e);
    for (size_t i = 0; r == 0 && i < host->blkio_weight_device.count; i++) {
        const struct settings_weight *w = &host->blkio_weight_device.items[i];

        r = add_throttle(&all, OCI_WEIGHT, w->path, (uint64_t)w->weight, e);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        for (size_t n = 0; r == 0 && n < rates[i].count; n++)
            r = add_throttle(&all, rates[i].kind, rates[i].items[n].path, rates[i].items[n].rate,
                             e);
    }
    *ret = all;
    return r;
}
