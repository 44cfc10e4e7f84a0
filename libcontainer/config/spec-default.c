/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spec that container_spec_new makes: the default file systems, paths and namespaces of
 * runtime-spec, and the few capabilities that `runc spec` gives. All of it is tables; a row is one
 * line of the resulting config.json.
 */
#include "libcontainer/config/spec.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#define OCI_VERSION "1.3.0"

/* config-linux.md "Default Filesystems", with the options that runc and crun give them */
static const struct {
    const char *destination, *type, *source, *options;
} mounts[] = {
    { "/proc", "proc", "proc", NULL },
    { "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
    { "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
    { "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
    { "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
    { "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
    { "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
};

/* config-linux.md "Masked Paths": files of the host that tell or change what is not the container's
 */
static const char *const masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    NULL,
};

/* config-linux.md "Readonly Paths" */
static const char *const readonly[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static const char *const namespaces[] = { "pid", "network", "ipc", "uts", "mount" };

static const char *const args[] = { "sh", NULL };
static const char *const env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=xterm",
    NULL,
};

/* The same three in bounding, effective and permitted; inheritable and ambient stay empty. */
#define CAPABILITIES                                                                               \
    (UINT64_C(1) << CAP_AUDIT_WRITE | UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_NET_BIND_SERVICE)

static bool host_is_v2(void)
{
    struct statfs fs;

    return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int fill_process(struct container_spec *spec, struct wharf_error *e)
{
    struct spec_capabilities *caps = arena_alloc(spec->arena, sizeof(*caps));
    struct spec_rlimit *files = arena_alloc(spec->arena, sizeof(*files));
    int r = container_spec_set_args(spec, args, env, e);

    if (r < 0)
        return r;
    if (!caps || !files)
        return err_nomem(e);
    caps->bounding = caps->effective = caps->permitted = CAPABILITIES;
    *files = (struct spec_rlimit){ RLIMIT_NOFILE, 1024, 1024 };
    spec->process->capabilities = caps;
    spec->process->rlimits.items = files;
    spec->process->rlimits.count = 1;
    spec->process->no_new_privileges = true;
    return 0;
}

static int fill_linux(struct container_spec *spec, struct wharf_error *e)
{
    static const struct spec_device_rule none = { .access = (char *)"rwm" };
    struct spec_linux *l = arena_alloc(spec->arena, sizeof(*l));
    struct spec_resources *resources = arena_alloc(spec->arena, sizeof(*resources));
    struct spec_device_rule *deny = arena_alloc(spec->arena, sizeof(*deny));
    int r = 0;

    if (!l || !resources || !deny)
        return err_nomem(e);
    *deny = none;
    resources->devices.items = deny;
    resources->devices.count = 1;
    l->resources = resources;
    spec->linux_ = l;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(namespaces); i++)
        r = container_spec_set_namespace(spec, namespaces[i], NULL, 0, e);
    if (r == 0 && host_is_v2())
        r = container_spec_set_namespace(spec, "cgroup", NULL, 0, e);
    if (r == 0)
        r = spec_copy_strings(spec->arena, masked, &l->masked_paths, e);
    if (r == 0)
        r = spec_copy_strings(spec->arena, readonly, &l->readonly_paths, e);
    return r;
}

static int fill(struct container_spec *spec, struct wharf_error *e)
{
    struct spec_root *root = arena_alloc(spec->arena, sizeof(*root));
    int r;

    if (!root || !(root->path = arena_str(spec->arena, "rootfs")) ||
        !(spec->oci_version = arena_str(spec->arena, OCI_VERSION)) ||
        !(spec->hostname = arena_str(spec->arena, "container")))
        return err_nomem(e);
    root->readonly = true;
    spec->root = root;
    r = fill_process(spec, e);
    if (r == 0)
        r = fill_linux(spec, e);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(mounts); i++)
        r = container_spec_add_mount(spec, mounts[i].source, mounts[i].destination, mounts[i].type,
                                     mounts[i].options, e);
    return r;
}

int container_spec_new(struct container_spec **ret_spec, struct wharf_error *error)
{
    struct container_spec *spec = spec_alloc();
    int r = spec ? fill(spec, error) : err_nomem(error);

    if (r < 0)
        container_spec_free(spec);
    else
        *ret_spec = spec;
    return r;
}
