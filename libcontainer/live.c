/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to a running container: mounts, devices, interfaces.
 *
 * A short-lived child joins the container's mount namespace (its user namespace first, where it has
 * one) by the pidfd of the first process, and there does what rootfs_build does for one step: the
 * target is resolved once, inside the root, and the mount made on the descriptor. The container
 * runs and may be hostile: nothing of it is executed, and of its files nothing but the target is
 * opened.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/device.h"
#include "libcontainer/handle.h"
#include "libcontainer/mount.h"
#include "libcontainer/netlink.h"
#include "libcontainer/system.h"

/* A device that was added, as lines "TYPE MAJOR MINOR" in the state directory: the filter of a v2
 * group is replaced as a whole. */
#define ADDED_DEVICES "devices"
enum { ADDED_DEVICES_MAX = 64 * 1024 };

struct report {
    int code;
    struct wharf_error error;
};

/* What the child does in the container; `root` is its root directory. */
struct change {
    int (*run)(int root, const struct change *change, struct wharf_error *e);
    struct mount_step step;
    struct device device;
    bool user_namespace;
};

static int join(int pidfd, const struct change *change, struct wharf_error *e)
{
    const char *what = "cannot join the container's namespaces";

    /* CVE-2016-9962: what is in the container may not look into us */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (change->user_namespace && setns(pidfd, CLONE_NEWUSER) < 0)
        return err_sys(e, "%s", what);
    if (change->user_namespace && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return err_sys(e, "%s", what);
    return setns(pidfd, CLONE_NEWNS) < 0 ? err_sys(e, "%s", what) : 0;
}

static void child(int pidfd, const struct change *change, int out)
{
    struct report report = { 0 };
    autoclose int root = -1;

    report.code = join(pidfd, change, &report.error);
    if (report.code == 0) {
        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        report.code = root < 0 ? err_sys(&report.error, "cannot open the container's root")
                               : change->run(root, change, &report.error);
    }
    if (write(out, &report, sizeof(report)) < 0)
        _exit(1);
    _exit(0);
}

static int run_inside(struct container *c, struct change *change, struct wharf_error *e)
{
    autoclose int in = -1, out = -1, pidfd = -1;
    const struct container_spec *spec;
    struct report report;
    enum container_status status;
    int pipes[2], r = container_status(c, &status, NULL, e);
    siginfo_t info;
    pid_t pid;

    if (r < 0)
        return r;
    if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container not running");
    r = container_saved_spec(c, &spec, e);
    if (r < 0)
        return r;
    change->user_namespace = spec_namespace_find(spec, CLONE_NEWUSER) != NULL;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(e, "cannot make a pipe");
    in = pipes[0];
    out = pipes[1];
    pid = system_clone(CLONE_PIDFD, -1, &pidfd);
    if (pid < 0)
        return err_code(e, pid, "cannot make a process");
    if (pid == 0)
        child(c->init.pidfd, change, out);
    out = fd_close(out);
    if (fd_read_exact(in, &report, sizeof(report)) < 0)
        report.code = err_set(&report.error, -EPIPE, WHARF_ERROR_INTERNAL,
                              "the process in the container's namespaces was killed");
    system_wait_child(pidfd, &info);
    if (report.code < 0 && e)
        *e = report.error;
    return report.code;
}

/* The cleaned target; /proc is not for mounts (CVE-2015-3631). */
static int clean_target(const char *target, char **ret, struct wharf_error *e)
{
    autofree char *clean = path_clean(target);
    const char *below;

    if (!clean)
        return err_nomem(e);
    if (*clean != '/' || streq(clean, "/"))
        return err_invalid(e, "'%s' is no absolute path below the container's root", target);
    below = str_after(clean, "/proc");
    if (below && (*below == 0 || *below == '/'))
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "'%s': nothing is mounted or unmounted at or below /proc", target);
    *ret = take_ptr(&clean);
    return 0;
}

/* ---- mounts ---- */

static int attach(int root, const struct change *change, struct wharf_error *e)
{
    return mount_step_run(root, &change->step, e);
}

EXPORT int container_add_mount(struct container *container, int tree_fd, const char *target,
                               struct wharf_error *error)
{
    const struct mount_change slave = { .attr.propagation = MS_SLAVE, .flags = AT_RECURSIVE };
    autofree char *clean = NULL;
    struct change change = { .run = attach };
    struct stat st;
    int r = clean_target(target, &clean, error);

    if (r < 0)
        return r;
    if (fstat(tree_fd, &st) < 0)
        return err_sys(error, "cannot examine the mount for '%s'", target);
    /* what the container mounts in it does not reach the host */
    r = mount_change(tree_fd, &slave);
    if (r < 0)
        return err_code(error, r, "the descriptor for '%s' is no detached mount", target);
    change.step = (struct mount_step){ .kind = MOUNT_KIND_BIND,
                                       .destination = clean,
                                       .source = "the given mount",
                                       .tree = tree_fd,
                                       .directory = S_ISDIR(st.st_mode) };
    return run_inside(container, &change, error);
}

/* By name in its directory's descriptor: umount2(2) knows no other way for a file. */
static int detach(int root, const struct change *change, struct wharf_error *e)
{
    const char *path = change->step.destination, *name = strrchr(path, '/') + 1;
    char parent[4096];
    autoclose int dir = -1;

    if (snprintf(parent, sizeof(parent), "%.*s", (int)(name - path), path) >= (int)sizeof(parent))
        return err_code(e, -ENAMETOOLONG, "'%s'", path);
    dir = path_open_in(root, parent, O_PATH | O_DIRECTORY, 0);
    if (dir < 0)
        return err_code(e, dir, "cannot open the directory of '%s'", path);
    if (fchdir(dir) < 0)
        return err_sys(e, "cannot open the directory of '%s'", path);
    if (umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return 0;
    return errno == EINVAL ? err_not_found(e, "nothing is mounted at '%s'", path)
                           : err_sys(e, "cannot unmount '%s'", path);
}

EXPORT int container_remove_mount(struct container *container, const char *target,
                                  struct wharf_error *error)
{
    autofree char *clean = NULL;
    struct change change = { .run = detach };
    int r = clean_target(target, &clean, error);

    if (r < 0)
        return r;
    change.step.destination = clean;
    return run_inside(container, &change, error);
}

/* ---- devices ---- */

static int make_device(int root, const struct change *change, struct wharf_error *e)
{
    autoclose int dev = path_open_plain(root, "dev", O_PATH | O_DIRECTORY, 0);

    if (dev < 0)
        return err_code(e, dev, "cannot open '/dev' of the container");
    umask(0);
    return device_make(root, dev, &change->device, false, e);
}

/* The spec's rules, those of devices added before, and the new one. */
static int collect_rules(const struct container_spec *spec, char *added, const char *line,
                         struct arena *arena, struct spec_resources *ret, struct wharf_error *e)
{
    const struct spec_resources *old = spec->linux_->resources;
    size_t given = old ? old->devices.count : 0, lines = 1;
    char *save = NULL, *text = arena_format(arena, "%s%s", added ? added : "", line);
    struct spec_device_rule *rules;

    for (const char *c = added; c && *c; c++)
        lines += *c == '\n';
    rules = arena_array(arena, given + lines, sizeof(*rules));
    if (!rules || !text)
        return err_nomem(e);
    if (given > 0)
        memcpy(rules, old->devices.items, given * sizeof(*rules));
    ret->devices.items = rules;
    ret->devices.count = given;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char type[2] = "";
        unsigned major_number, minor_number;

        if (sscanf(l, "%1s %u %u", type, &major_number, &minor_number) != 3)
            return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "the list of added devices: '%s'", l);
        rules[ret->devices.count++] = (struct spec_device_rule){
            .allow = true,
            .type = arena_str(arena, type),
            .major = { true, major_number },
            .minor = { true, minor_number },
            .access = arena_str(arena, "rwm"),
        };
    }
    return 0;
}

/* Lets the container's group use the device, and notes it for the next time. */
static int allow_device(struct container *c, const struct device *device, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(4u << 20);
    autofree char *added = NULL, *whole = NULL;
    const struct container_spec *spec;
    struct spec_resources resources = { 0 };
    struct cgroup *cg;
    char line[64];
    int r = container_cgroup(c, &cg, e);

    if (r == 0)
        r = container_saved_spec(c, &spec, e);
    if (r < 0)
        return r;
    if (!cg)
        return 0;
    snprintf(line, sizeof(line), "%c %u %u\n", S_ISBLK(device->mode) ? 'b' : 'c',
             major(device->number), minor(device->number));
    if (file_read(c->dir, ADDED_DEVICES, ADDED_DEVICES_MAX, &added) < 0)
        added = NULL;
    r = arena ? collect_rules(spec, added, line, arena, &resources, e) : err_nomem(e);
    if (r < 0)
        return r;
    if (!cgroup_host_is_v2()) { /* v1 adds to what it has: no moment without the other rules */
        resources.devices.items += resources.devices.count - 1;
        resources.devices.count = 1;
    }
    r = cgroup_apply(cg, &resources, false, e);
    if (r < 0)
        return r;
    whole = str_format("%s%s", added ? added : "", line);
    r = whole ? file_replace(c->dir, ADDED_DEVICES, whole, strlen(whole), 0600, false) : -ENOMEM;
    return r < 0 ? err_code(e, r, "cannot note the added device") : 0;
}

EXPORT int container_add_device(struct container *container, const char *path, mode_t mode,
                                dev_t device, struct wharf_error *error)
{
    const struct container_spec *spec;
    autofree char *clean = NULL;
    autoclose int tree = -1;
    struct change change = { .run = make_device };
    int r = clean_target(path, &clean, error);

    if (r < 0)
        return r;
    if (!S_ISCHR(mode) && !S_ISBLK(mode))
        return err_invalid(error, "device '%s': the mode must hold S_IFCHR or S_IFBLK", path);
    r = container_saved_spec(container, &spec, error);
    if (r < 0)
        return r;
    change.device = (struct device){ .path = clean, .mode = mode, .number = device };
    if (spec_namespace_find(spec, CLONE_NEWUSER)) {
        /* no node can be made there: the host's is bound */
        tree = device_host_tree(&change.device);
        if (tree < 0)
            return err_code(error, tree, "'%s' on the host is not this device", path);
        change.run = attach;
        change.step = (struct mount_step){
            .kind = MOUNT_KIND_BIND, .destination = clean, .source = clean, .tree = tree
        };
    }
    r = run_inside(container, &change, error);
    return r < 0 ? r : allow_device(container, &change.device, error);
}

/* ---- interfaces ---- */

EXPORT int container_add_interface(struct container *container, const char *host,
                                   const char *inside, struct wharf_error *error)
{
    enum container_status status;
    autoclose int netns = -1;
    char path[64];
    pid_t pid;
    int r = container_status(container, &status, &pid, error);

    if (r < 0)
        return r;
    if (!pid)
        return err_set(error, -ESRCH, WHARF_ERROR_CONFLICT, "container not running");
    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    netns = open(path, O_RDONLY | O_CLOEXEC);
    /* alive after the open: the pid was still its own, not another process's */
    r = netns < 0 ? err_sys(error, "cannot open '%s'", path)
                  : container_status(container, &status, NULL, error);
    if (r < 0)
        return r;
    if (status == CONTAINER_STOPPED)
        return err_set(error, -ESRCH, WHARF_ERROR_CONFLICT, "container not running");
    return netlink_give_device(host, netns, inside, error);
}
