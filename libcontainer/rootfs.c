/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of things on the way to a new "/". See rootfs.h; what a single mount, device or mask
 * needs is in mount*.c, device.c and mask.c.
 *
 * Invariants. The root's tree is private before anything is mounted in it, and the whole mount
 * namespace a slave of the host's: no mount made here is seen outside. The root hangs at its own
 * host path until the pivot, so that createContainer hooks find it where the state document says.
 */
#include "libcontainer/rootfs.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/console.h"
#include "libcontainer/device.h"
#include "libcontainer/mask.h"
#include "libcontainer/mount.h"
#include "libcontainer/sysctl.h"

struct rootfs {
    int root;              /* detached, then attached; -1: the child clones root_path */
    bool root_borrowed;    /* the caller's descriptor */
    const char *root_path; /* where it hangs until the pivot; NULL: over "/" */
    bool empty_root;       /* a tmpfs that the child makes */
    bool no_pivot, readonly;
    bool make_devices; /* /dev is the container's own */
    bool bind_devices; /* in a user namespace no node can be made */
    unsigned long propagation;
    struct mount_step *steps;
    device_list devices;
    const field_strings *masked_paths, *readonly_paths;
    field_pairs sysctl;
    int null_tree, proc; /* made in the child */
};

static const struct mount_change make_private = {
    .attr.propagation = MS_PRIVATE,
    .flags = AT_RECURSIVE,
};

/* ---- parent ---- */

/* linux.rootfsPropagation; the forms with "r" are runc's, for everything below as well. */
static const struct {
    const char *word;
    unsigned long flags;
} propagations[] = {
    { "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
    { "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
    { "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
    { "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static int parse_propagation(const char *word, unsigned long *ret, struct wharf_error *e)
{
    *ret = 0;
    if (!word || !*word)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
        if (streq(word, propagations[i].word)) {
            *ret = propagations[i].flags;
            return 0;
        }
    }
    return err_invalid(e,
                       "linux.rootfsPropagation '%s' is none of private, shared, slave, "
                       "unbindable",
                       word);
}

/* root.path as the child can use it, without the working directory. */
static int find_root_path(struct rootfs *r, struct mount_planner *p)
{
    const char *path = p->spec->root ? p->spec->root->path : NULL;

    if (!path || !*path)
        return p->options->root_fd >= 0 ? 0 : err_invalid(p->e, "root.path is missing");
    r->root_path = mount_plan_host_path(p, path);
    if (!r->root_path)
        return p->e && p->e->code ? -p->e->code : -ENOENT;
    /* a detached root needs no directory of its own on the host */
    if (p->options->root_fd >= 0 && access(r->root_path, F_OK) < 0)
        r->root_path = NULL;
    return 0;
}

static int open_root(struct rootfs *r, struct mount_planner *p)
{
    struct stat st;
    int code;

    if (p->options->root_fd >= 0) {
        r->root = p->options->root_fd;
        r->root_borrowed = true;
    } else {
        if (stat(r->root_path, &st) < 0)
            return err_sys(p->e, "cannot open the root '%s'", r->root_path);
        if (!S_ISDIR(st.st_mode))
            return err_code(p->e, -ENOTDIR, "the root '%s'", r->root_path);
        if (p->options->rootless)
            return 0;
        r->root = mount_clone(AT_FDCWD, r->root_path, AT_RECURSIVE);
        if (r->root == -EPERM)
            return 0; /* left to the child */
        if (r->root < 0)
            return err_code(p->e, r->root, "cannot bind the root '%s'", r->root_path);
    }
    code = mount_change(r->root, &make_private);
    return code < 0 ? err_code(p->e, code, "cannot make the root private") : 0;
}

/* A /dev bound from the host holds the host's nodes: it is left as it is. */
static bool owns_dev(const struct rootfs *r)
{
    for (const struct mount_step *step = r->steps; step; step = step->next) {
        if (step->kind == MOUNT_KIND_BIND && streq(step->destination, "/dev"))
            return false;
    }
    return true;
}

static int plan(struct rootfs *r, struct mount_planner *p)
{
    const struct spec_linux *l = p->spec->linux_;
    int code = parse_propagation(l->rootfs_propagation, &r->propagation, p->e);

    p->root_propagation = r->propagation;
    if (code == 0 && !r->empty_root)
        code = find_root_path(r, p);
    if (code == 0 && !r->empty_root)
        code = open_root(r, p);
    for (size_t i = 0; i < p->spec->mounts.count && code == 0; i++)
        code = mount_plan(p, i);
    if (code == 0)
        code = device_plan(p->spec, p->arena, &r->devices, p->e);
    if (code == 0)
        code = sysctl_plan(&l->sysctl, p->arena, &r->sysctl, p->e);
    r->make_devices = owns_dev(r);
    return code;
}

int rootfs_prepare(const struct container_spec *spec, const struct rootfs_options *options,
                   struct arena *arena, struct rootfs **ret, struct wharf_error *e)
{
    struct rootfs *r = arena_alloc(arena, sizeof(*r));
    struct mount_planner planner = { .spec = spec, .options = options, .arena = arena, .e = e };
    int code;

    if (!r)
        return err_nomem(e);
    *r = (struct rootfs){
        .root = -1,
        .empty_root = options->empty_root,
        .no_pivot = options->flags & CONTAINER_NO_PIVOT,
        .readonly = spec->root && spec->root->readonly,
        .bind_devices = spec_namespace_find(spec, CLONE_NEWUSER) != NULL,
        .masked_paths = &spec->linux_->masked_paths,
        .readonly_paths = &spec->linux_->readonly_paths,
        .null_tree = -1,
        .proc = -1,
    };
    planner.tail = &r->steps;
    code = plan(r, &planner);
    if (code < 0) {
        rootfs_done(r);
        return code;
    }
    *ret = r;
    return 0;
}

void rootfs_done(struct rootfs *r)
{
    if (!r)
        return;
    for (struct mount_step *step = r->steps; step; step = step->next) {
        step->tree = fd_close(step->tree);
        if (step->fallback)
            step->fallback->tree = fd_close(step->fallback->tree);
    }
    if (!r->root_borrowed)
        r->root = fd_close(r->root);
    r->null_tree = fd_close(r->null_tree);
    r->proc = fd_close(r->proc);
}

/* ---- child ---- */

/* The root where the parent could not make it: a new tmpfs, or a directory bound without its right.
 */
static int make_root(struct rootfs *r, struct wharf_error *e)
{
    static char mode[] = "mode=755";
    static char *words[] = { mode };
    const field_strings list = { words, ARRAY_SIZE(words) };
    int code;

    if (r->empty_root) {
        r->root = mount_detached("tmpfs", "root", &list, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        return r->root < 0 ? err_code(e, r->root, "cannot make a tmpfs for the root") : 0;
    }
    r->root = mount_clone(AT_FDCWD, r->root_path, AT_RECURSIVE);
    if (r->root < 0)
        return err_code(e, r->root, "cannot bind the root '%s'", r->root_path);
    code = mount_change(r->root, &make_private);
    return code < 0 ? err_code(e, code, "cannot make the root private") : 0;
}

/* Sources that were left to us. All of them before the root is attached: a root over "/" would lie
 * in the way of a link that climbs up to it. */
static int open_sources(struct rootfs *r, struct wharf_error *e)
{
    for (struct mount_step *step = r->steps; step; step = step->next) {
        int code;

        if (step->kind != MOUNT_KIND_BIND || step->tree >= 0)
            continue;
        code = mount_step_open(step, e);
        if (code < 0)
            return code;
    }
    return 0;
}

static int attach_root(struct rootfs *r, struct wharf_error *e)
{
    const char *at = r->root_path ? r->root_path : "/";
    int code = r->root < 0 ? make_root(r, e) : 0;

    if (code < 0)
        return code;
    if (move_mount(r->root, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, "cannot attach the root at '%s'", at);
    return 0;
}

int rootfs_build(struct rootfs *r, struct wharf_error *e)
{
    int code;

    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_sys(e, "cannot part the mount namespace from the host's");
    if (r->masked_paths->count > 0) {
        r->null_tree = device_null_tree();
        if (r->null_tree < 0)
            return err_code(e, r->null_tree, "the host's '/dev/null' is not the null device");
    }
    code = open_sources(r, e);
    if (code == 0)
        code = attach_root(r, e);
    for (const struct mount_step *step = r->steps; step && code == 0; step = step->next)
        code = mount_step_run(r->root, step, e);
    if (code == 0 && r->make_devices)
        code = device_make_all(r->root, &r->devices, r->bind_devices, e);
    return code;
}

int rootfs_console(struct rootfs *r, int *ret_master, int *ret_slave, struct wharf_error *e)
{
    autoclose int master = -1, slave = -1;
    int code = console_new(r->root, &master, &slave, e);

    if (code == 0)
        code = console_bind(r->root, slave, e);
    if (code < 0)
        return code;
    *ret_master = take_fd(&master);
    *ret_slave = take_fd(&slave);
    return 0;
}

/* Where "/" is a ramfs, which cannot be pivoted away: the root is moved over it. What of the host
 * lies below stays mounted, so its procfs and sysfs go first: a new one could otherwise be mounted
 * in a user namespace without the container's masks. */
static int move_over(struct rootfs *r, struct wharf_error *e)
{
    umount2("/proc", MNT_DETACH);
    umount2("/sys", MNT_DETACH);
    if (r->root_path && move_mount(r->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, "cannot move the root over '/'");
    if (chroot(".") < 0)
        return err_sys(e, "cannot change the root");
    return 0;
}

int rootfs_pivot(struct rootfs *r, struct wharf_error *e)
{
    int code;

    if (fchdir(r->root) < 0)
        return err_sys(e, "cannot enter the root");
    if (r->no_pivot) {
        code = move_over(r, e);
        if (code < 0)
            return code;
    } else {
        /* pivot_root(2), "pivot_root(".", ".")": the old root comes to lie over the new one */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
            return err_sys(e, "cannot change the root (where '/' is a ramfs: --no-pivot)");
        if (umount2(".", MNT_DETACH) < 0)
            return err_sys(e, "cannot detach the host's root");
    }
    if (chdir("/") < 0)
        return err_sys(e, "cannot enter the root");
    return 0;
}

int rootfs_make_dir(struct rootfs *r, const char *path, struct wharf_error *e)
{
    int made;

    if (faccessat(r->root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return 0;
    made = path_make_dirs_in(r->root, path, 0755);
    if (made < 0)
        return err_code(e, made, "cannot make the directory '%s'", path);
    fd_close(made);
    return 0;
}

int rootfs_finish(struct rootfs *r, struct wharf_error *e)
{
    const struct mount_change readonly = { .attr.attr_set = MOUNT_ATTR_RDONLY };
    const struct mount_change propagation = {
        .attr.propagation = r->propagation & ~(unsigned long)MS_REC,
        .flags = r->propagation & MS_REC ? AT_RECURSIVE : 0,
    };
    int code = 0;

    if (r->sysctl.count > 0) {
        code = rootfs_proc(r, e);
        code = code < 0 ? code : sysctl_write(code, &r->sysctl, e);
    }
    if (code == 0)
        code = mask_readonly(r->root, r->readonly_paths, e);
    if (code == 0)
        code = mask_hide(r->root, r->masked_paths, r->null_tree, e);
    if (code < 0)
        return code;
    r->null_tree = fd_close(r->null_tree);
    if (r->readonly) {
        code = mount_change(r->root, &readonly);
        if (code < 0)
            return err_code(e, code, "cannot make the root read-only");
    }
    if (r->propagation) {
        code = mount_change(r->root, &propagation);
        if (code < 0)
            return err_code(e, code, "cannot set linux.rootfsPropagation");
    }
    return 0;
}

/* The procfs that the configuration mounted: where a nested user namespace may not make another. */
static int open_own_proc(const struct rootfs *r)
{
    autoclose int fd = path_open_plain(r->root, "proc", O_RDONLY | O_DIRECTORY, 0);
    struct statfs fs;

    if (fd < 0)
        return fd;
    if (fstatfs(fd, &fs) < 0)
        return -errno;
    return fs.f_type == PROC_SUPER_MAGIC ? take_fd(&fd) : -ENODEV;
}

int rootfs_proc(struct rootfs *r, struct wharf_error *e)
{
    if (r->proc >= 0)
        return r->proc;
    r->proc = mount_detached("proc", NULL, NULL, 0,
                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (r->proc == -EPERM)
        r->proc = open_own_proc(r);
    return r->proc < 0 ? err_code(e, r->proc, "cannot make a procfs") : r->proc;
}

int rootfs_root_fd(const struct rootfs *r)
{
    return r->root;
}
