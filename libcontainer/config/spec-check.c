/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules across fields, which no single row of the tables can tell. Each function checks one part
 * and cites its section; messages name the field and, where there is one, the remedy.
 *
 * Nothing here looks at the host: a spec that is right is right everywhere.
 */
#include "libcontainer/config/spec.h"

#include <linux/sched.h>
#include <linux/seccomp.h>
#include "base/str.h"
#include "libcontainer/config/words.h"

static bool has_namespace(const struct container_spec *spec, int type)
{
    return spec_namespace_find(spec, type) != NULL;
}

/* ---- process ---- */

/* config.md "POSIX process": one entry per type, soft not above hard. */
static int check_rlimits(const struct spec_process *process, struct wharf_error *e)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < process->rlimits.count; i++) {
        const struct spec_rlimit *limit = &process->rlimits.items[i];
        const char *name = field_word_name(spec_rlimit_words, limit->type);

        if (seen >> limit->type & 1)
            return err_invalid(e, "process.rlimits[%zu]: %s stands twice", i, name);
        if (limit->soft > limit->hard)
            return err_invalid(e, "process.rlimits[%zu]: %s: soft is above hard", i, name);
        seen |= UINT64_C(1) << limit->type;
    }
    return 0;
}

/* config.md "Linux Process", sched_setattr(2): each policy has its own parameters. */
static int check_scheduler(const struct spec_scheduler *s, struct wharf_error *e)
{
    bool fixed = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

    if (s->priority && !fixed)
        return err_invalid(e, "process.scheduler.priority: only for SCHED_FIFO and SCHED_RR");
    if (fixed && s->priority == 0)
        return err_invalid(e, "process.scheduler.priority: SCHED_FIFO and SCHED_RR need 1..99");
    if (s->policy != SCHED_DEADLINE && (s->runtime || s->deadline || s->period))
        return err_invalid(
            e, "process.scheduler: runtime, deadline and period are only for SCHED_DEADLINE");
    return 0;
}

int spec_process_check(const struct spec_process *process, struct wharf_error *e)
{
    int r;

    if (process->args.count == 0)
        return err_invalid(e, "process.args: may not be empty");
    if (!*process->args.items[0])
        return err_invalid(e, "process.args[0]: may not be empty");
    if (!process->cwd || *process->cwd != '/')
        return err_invalid(e, "process.cwd: '%s' is not an absolute path",
                           process->cwd ? process->cwd : "");
    r = check_rlimits(process, e);
    if (r == 0 && process->scheduler)
        r = check_scheduler(process->scheduler, e);
    return r;
}

/* ---- resources ---- */

/* config-linux.md "Allowed Device list" */
static int check_device_rule(const struct spec_device_rule *rule, size_t i, struct wharf_error *e)
{
    const char *access = rule->access ? rule->access : "";

    if (access[strspn(access, "rwm")])
        return err_invalid(e, "linux.resources.devices[%zu].access: '%.16s' is not made of r w m",
                           i, access);
    return 0;
}

/* A file name of a cgroup directory and nothing else. */
static bool is_file_name(const char *name)
{
    return *name && !strchr(name, '/') && !streq(name, ".") && !streq(name, "..");
}

int spec_resources_check(const struct spec_resources *resources, struct wharf_error *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < resources->devices.count; i++)
        r = check_device_rule(&resources->devices.items[i], i, e);
    for (size_t i = 0; r == 0 && i < resources->unified.count; i++) {
        const char *key = resources->unified.items[i].key;

        if (!is_file_name(key) || !strchr(key, '.'))
            r = err_invalid(e, "linux.resources.unified: '%.64s' is not a cgroup file", key);
    }
    for (size_t i = 0; r == 0 && i < resources->hugepage_limits.count; i++) {
        const char *size = resources->hugepage_limits.items[i].page_size;
        size_t digits = strspn(size, "0123456789");

        if (digits == 0 || (!streq(size + digits, "KB") && !streq(size + digits, "MB") &&
                            !streq(size + digits, "GB")))
            r = err_invalid(e,
                            "linux.resources.hugepageLimits[%zu].pageSize: '%.32s' is not like 2MB",
                            i, size);
    }
    return r;
}

/* ---- namespaces and what needs them ---- */

/* config-linux.md "Namespaces": no type twice, absolute paths. */
static int check_namespaces(const struct container_spec *spec, struct wharf_error *e)
{
    int seen = 0;

    for (size_t i = 0; i < spec->linux_->namespaces.count; i++) {
        const struct spec_namespace *ns = &spec->linux_->namespaces.items[i];

        if (seen & ns->type)
            return err_invalid(e, "linux.namespaces[%zu]: type '%s' stands twice", i,
                               field_word_name(spec_namespace_words, ns->type));
        if (ns->path && *ns->path && *ns->path != '/')
            return err_invalid(e, "linux.namespaces[%zu].path: '%s' is not absolute", i, ns->path);
        seen |= ns->type;
    }
    return 0;
}

/* Settings that would change the host itself without a namespace of the container's own. */
static int check_needs(const struct container_spec *spec, struct wharf_error *e)
{
    const struct spec_linux *l = spec->linux_;
    const struct {
        const char *field;
        bool used;
        int type;
    } needs[] = {
        { "hostname", spec->hostname && *spec->hostname, CLONE_NEWUTS },
        { "domainname", spec->domainname && *spec->domainname, CLONE_NEWUTS },
        { "linux.uidMappings", l->uid_mappings.count > 0, CLONE_NEWUSER },
        { "linux.gidMappings", l->gid_mappings.count > 0, CLONE_NEWUSER },
        { "linux.timeOffsets", l->time_offsets.count > 0, CLONE_NEWTIME },
        { "linux.netDevices", l->net_devices.count > 0, CLONE_NEWNET },
        { "linux.maskedPaths", l->masked_paths.count > 0, CLONE_NEWNS },
        { "linux.readonlyPaths", l->readonly_paths.count > 0, CLONE_NEWNS },
    };

    for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
        if (needs[i].used && !has_namespace(spec, needs[i].type))
            return err_invalid(e, "%s: needs a %s namespace in linux.namespaces", needs[i].field,
                               field_word_name(spec_namespace_words, needs[i].type));
    }
    return 0;
}

static bool maps_id(const spec_id_maps *maps, uint32_t id)
{
    for (size_t i = 0; i < maps->count; i++) {
        const struct spec_id_map *m = &maps->items[i];

        if (id >= m->container_id && id - m->container_id < m->size)
            return true;
    }
    return false;
}

static int check_user(const struct spec_user *user, const struct spec_linux *l,
                      struct wharf_error *e)
{
    if (!maps_id(&l->uid_mappings, user->uid))
        return err_invalid(e, "process.user.uid: linux.uidMappings do not map %u", user->uid);
    if (!maps_id(&l->gid_mappings, user->gid))
        return err_invalid(e, "process.user.gid: linux.gidMappings do not map %u", user->gid);
    for (size_t i = 0; i < user->additional_gids.count; i++) {
        if (!maps_id(&l->gid_mappings, user->additional_gids.items[i]))
            return err_invalid(e,
                               "process.user.additionalGids[%zu]: linux.gidMappings do not map %u",
                               i, user->additional_gids.items[i]);
    }
    return 0;
}

/* config-linux.md "User namespace mappings" */
static int check_id_maps(const struct container_spec *spec, struct wharf_error *e)
{
    const struct spec_namespace *user = spec_namespace_find(spec, CLONE_NEWUSER);
    const struct spec_linux *l = spec->linux_;
    bool fresh = user && !(user->path && *user->path);

    if (fresh && (l->uid_mappings.count == 0 || l->gid_mappings.count == 0))
        return err_invalid(e, "linux.%s: a new user namespace needs at least one",
                           l->uid_mappings.count == 0 ? "uidMappings" : "gidMappings");
    return fresh && spec->process ? check_user(&spec->process->user, l, e) : 0;
}

/* config-linux.md "Offset for Time Namespace" */
static int check_time_offsets(const struct container_spec *spec, struct wharf_error *e)
{
    for (size_t i = 0; i < spec->linux_->time_offsets.count; i++) {
        const char *clock = spec->linux_->time_offsets.items[i].clock;

        if (!streq(clock, "monotonic") && !streq(clock, "boottime"))
            return err_invalid(e, "linux.timeOffsets: unknown clock '%.32s'", clock);
    }
    return 0;
}

/* config-linux.md "Network Devices": what dev_valid_name() of the kernel takes. */
static bool is_interface_name(const char *name)
{
    enum { NAME_MAX_ = 15 };
    size_t len = strlen(name);

    return len > 0 && len <= NAME_MAX_ && !streq(name, ".") && !streq(name, "..") &&
           strcspn(name, "/: \t\n\v\f\r") == len;
}

static int check_net_devices(const struct container_spec *spec, struct wharf_error *e)
{
    const struct spec_linux *l = spec->linux_;

    for (size_t i = 0; i < l->net_devices.count; i++) {
        const struct spec_net_device *d = &l->net_devices.items[i];
        const char *inside = d->name && *d->name ? d->name : d->host;

        if (!is_interface_name(d->host) || !is_interface_name(inside))
            return err_invalid(e, "linux.netDevices: '%.32s' is not an interface name",
                               is_interface_name(d->host) ? inside : d->host);
        for (size_t j = 0; j < i; j++) {
            const struct spec_net_device *other = &l->net_devices.items[j];

            if (streq(inside, other->name && *other->name ? other->name : other->host))
                return err_invalid(e, "linux.netDevices: two become '%s'", inside);
        }
    }
    return 0;
}

/* ---- sysctl ---- */

/* Which namespace a sysctl belongs to; names end with '.' where all below belong. sysctl(2) has no
 * such list: these are the ones registered per namespace in the kernel's ipc/, net/ and kernel/. */
static const struct {
    const char *name;
    int type;
} sysctls[] = {
    { "kernel.msgmax", CLONE_NEWIPC },      { "kernel.msgmnb", CLONE_NEWIPC },
    { "kernel.msgmni", CLONE_NEWIPC },      { "kernel.sem", CLONE_NEWIPC },
    { "kernel.shmall", CLONE_NEWIPC },      { "kernel.shmmax", CLONE_NEWIPC },
    { "kernel.shmmni", CLONE_NEWIPC },      { "kernel.shm_rmid_forced", CLONE_NEWIPC },
    { "kernel.msg_next_id", CLONE_NEWIPC }, { "kernel.sem_next_id", CLONE_NEWIPC },
    { "kernel.shm_next_id", CLONE_NEWIPC }, { "kernel.auto_msgmni", CLONE_NEWIPC },
    { "fs.mqueue.", CLONE_NEWIPC },         { "net.", CLONE_NEWNET },
    { "kernel.domainname", CLONE_NEWUTS },  { "user.", CLONE_NEWUSER },
};

/* "a/b.c" is the name "a.b/c": the first separator decides, as in sysctl.d(5). */
void spec_sysctl_dots(const char *name, char *ret, size_t size)
{
    bool swap = name[strcspn(name, "./")] == '/';
    size_t n = 0;

    for (; name[n] && n + 1 < size; n++) {
        char c = name[n];

        ret[n] = !swap ? c : c == '/' ? '.' : c == '.' ? '/' : c;
    }
    ret[n] = 0;
}

static bool sysctl_matches(const char *pattern, const char *name)
{
    return str_ends(pattern, ".") ? str_after(name, pattern) != NULL : streq(pattern, name);
}

int spec_sysctl_namespace(const char *key)
{
    char name[256];

    spec_sysctl_dots(key, name, sizeof(name));
    for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
        if (sysctl_matches(sysctls[i].name, name))
            return sysctls[i].type;
    }
    return 0;
}

static int check_sysctl(const struct container_spec *spec, const char *key, struct wharf_error *e)
{
    char name[256];

    spec_sysctl_dots(key, name, sizeof(name));
    if (strlen(key) >= sizeof(name) || strstr(name, "..") || strstr(name, "//") ||
        str_after(key, ".") || str_after(key, "/"))
        return err_invalid(e, "linux.sysctl: '%.64s' is not a name", key);
    if (streq(name, "kernel.hostname"))
        return err_invalid(e, "linux.sysctl: 'kernel.hostname' conflicts with the member hostname; "
                              "use that");
    for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
        if (!sysctl_matches(sysctls[i].name, name))
            continue;
        if (has_namespace(spec, sysctls[i].type))
            return 0;
        return err_invalid(e, "linux.sysctl: '%s' needs a %s namespace in linux.namespaces", key,
                           field_word_name(spec_namespace_words, sysctls[i].type));
    }
    return err_invalid(e, "linux.sysctl: '%s' belongs to no namespace; it would change the host",
                       key);
}

/* ---- mounts, devices, hooks ---- */

/* config.md "POSIX-platform Mounts": the two mappings go together. */
static int check_mount(const struct spec_mount *mount, size_t i, struct wharf_error *e)
{
    if ((mount->uid_mappings.count > 0) != (mount->gid_mappings.count > 0))
        return err_invalid(e, "mounts[%zu]: uidMappings and gidMappings go together", i);
    return 0;
}

static int check_hook_list(const spec_hook_list *list, const char *name, struct wharf_error *e)
{
    for (size_t i = 0; i < list->count; i++) {
        if (*list->items[i].path != '/')
            return err_invalid(e, "hooks.%s[%zu].path: '%.128s' is not absolute", name, i,
                               list->items[i].path);
    }
    return 0;
}

static int check_hooks(const struct spec_hooks *hooks, struct wharf_error *e)
{
    const struct {
        const char *name;
        const spec_hook_list *list;
    } all[] = {
        { "prestart", &hooks->prestart },
        { "createRuntime", &hooks->create_runtime },
        { "createContainer", &hooks->create_container },
        { "startContainer", &hooks->start_container },
        { "poststart", &hooks->poststart },
        { "poststop", &hooks->poststop },
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
        r = check_hook_list(all[i].list, all[i].name, e);
    return r;
}

/* ---- seccomp, Landlock, the rest of linux ---- */

/* config-linux.md "Seccomp": an errno is an error where the action returns none. */
static bool takes_errno(uint32_t action)
{
    return action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE;
}

/* config-linux.md "Seccomp": a notified write could never tell its listener, nor could a filter
 * that notifies by default. */
static int check_seccomp(const struct spec_seccomp *s, struct wharf_error *e)
{
    bool notify = false;

    if (s->default_action == SECCOMP_RET_USER_NOTIF)
        return err_invalid(e, "linux.seccomp.defaultAction: may not be SCMP_ACT_NOTIFY");
    if (s->default_errno.set && !takes_errno((uint32_t)s->default_action))
        return err_invalid(e, "linux.seccomp.defaultErrnoRet: defaultAction returns no errno");
    for (size_t i = 0; i < s->syscalls.count; i++) {
        const struct spec_seccomp_rule *rule = &s->syscalls.items[i];

        if (rule->errno_ret.set && !takes_errno((uint32_t)rule->action))
            return err_invalid(e, "linux.seccomp.syscalls[%zu].errnoRet: the action returns none",
                               i);
        if (rule->action != SECCOMP_RET_USER_NOTIF)
            continue;
        notify = true;
        for (size_t n = 0; n < rule->names.count; n++) {
            if (streq(rule->names.items[n], "write"))
                return err_invalid(
                    e, "linux.seccomp.syscalls[%zu]: SCMP_ACT_NOTIFY may not be used for write", i);
        }
    }
    if (notify && !(s->listener_path && *s->listener_path))
        return err_invalid(e, "linux.seccomp.listenerPath: is needed for SCMP_ACT_NOTIFY");
    if (s->listener_metadata && *s->listener_metadata && !(s->listener_path && *s->listener_path))
        return err_invalid(e, "linux.seccomp.listenerMetadata: needs listenerPath");
    return 0;
}

/* userspace-api/landlock.rst: a rule may only allow what the ruleset handles. */
static int check_landlock(const struct spec_landlock *l, struct wharf_error *e)
{
    for (size_t i = 0; i < l->path_beneath.count; i++) {
        if (l->path_beneath.items[i].access & ~l->handled_fs)
            return err_invalid(e,
                               "linux.landlock.pathBeneath[%zu].allowedAccess: names a right "
                               "that handledAccessFS does not",
                               i);
    }
    for (size_t i = 0; i < l->net_port.count; i++) {
        if (l->net_port.items[i].access & ~l->handled_net)
            return err_invalid(e,
                               "linux.landlock.netPort[%zu].allowedAccess: names a right that "
                               "handledAccessNet does not",
                               i);
    }
    return 0;
}

/* A path may be listed twice, but as one device. */
static int check_devices(const struct spec_device *list, size_t count, struct wharf_error *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct spec_device *d = &list[i];

        if (*d->path != '/')
            return err_invalid(e, "linux.devices[%zu].path: '%.128s' is not absolute", i, d->path);
        for (size_t n = 0; n < i; n++) {
            const struct spec_device *o = &list[n];

            if (streq(o->path, d->path) &&
                (o->type != d->type || o->major != d->major || o->minor != d->minor))
                return err_invalid(e,
                                   "linux.devices[%zu]: '%.128s' is another device in "
                                   "linux.devices[%zu]",
                                   i, d->path, n);
        }
    }
    return 0;
}

static int check_linux(const struct container_spec *spec, struct wharf_error *e)
{
    const struct spec_linux *l = spec->linux_;
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->sysctl.count; i++)
        r = check_sysctl(spec, l->sysctl.items[i].key, e);
    if (r == 0 && l->resources)
        r = spec_resources_check(l->resources, e);
    if (r == 0 && l->seccomp)
        r = check_seccomp(l->seccomp, e);
    if (r == 0 && l->landlock)
        r = check_landlock(l->landlock, e);
    if (r == 0 && l->personality && l->personality->flags.count > 0)
        r = err_invalid(e, "linux.personality.flags[0]: unknown value '%.32s'",
                        l->personality->flags.items[0]);
    if (r == 0 && l->intel_rdt && l->intel_rdt->clos_id && !is_file_name(l->intel_rdt->clos_id))
        r = err_invalid(e, "linux.intelRdt.closID: '%.64s' is not a file name",
                        l->intel_rdt->clos_id);
    return r < 0 ? r : check_devices(l->devices.items, l->devices.count, e);
}

int spec_check(const struct container_spec *spec, struct wharf_error *e)
{
    static int (*const parts[])(const struct container_spec *, struct wharf_error *) = {
        spec_required_check, check_namespaces,  check_needs, check_id_maps,
        check_time_offsets,  check_net_devices, check_linux,
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
        r = parts[i](spec, e);
    if (r == 0 && !str_after(spec->oci_version, "1."))
        r = err_unsupported(e, "ociVersion: '%.32s' is not a version 1", spec->oci_version);
    if (r == 0 && spec->process)
        r = spec_process_check(spec->process, e);
    if (r == 0 && spec->hooks)
        r = check_hooks(spec->hooks, e);
    for (size_t i = 0; r == 0 && i < spec->mounts.count; i++)
        r = check_mount(&spec->mounts.items[i], i, e);
    return r;
}
