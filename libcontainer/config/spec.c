/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field tables of runtime-spec 1.3, and the public functions on a spec that they make
 * one-liners.
 *
 * Each table is headed by the section of the specification it follows. A spec that came from a
 * document keeps it, so that members nobody here knows are still there when it is written.
 */
#include "libcontainer/config/spec.h"

#include "base/str.h"
#include "libcontainer/config/words.h"
#include "libcontainer/credentials.h"

#define ROW(type, name, kind, member, ...)                                                         \
    FIELD(struct spec_##type, name, FIELD_##kind, member, __VA_ARGS__)
#define OF(type)   .fields = type##_fields, .size = sizeof(struct spec_##type)
#define REQUIRED   .flags = FIELD_REQUIRED
#define FILLED     .flags = FIELD_REQUIRED | FIELD_NONEMPTY
#define WORDS(set) .words = spec_##set##_words

/* ---- config.md "Root", "Mounts", "POSIX-platform Mounts" ---- */

static const struct field root_fields[] = {
    ROW(root, "path", STR, path, FILLED),
    ROW(root, "readonly", BOOL, readonly),
    FIELD_END,
};

static const struct field id_map_fields[] = {
    ROW(id_map, "containerID", U32, container_id, REQUIRED),
    ROW(id_map, "hostID", U32, host_id, REQUIRED),
    ROW(id_map, "size", U32, size, REQUIRED),
    FIELD_END,
};

static const struct field mount_fields[] = {
    ROW(mount, "destination", STR, destination, FILLED),
    ROW(mount, "type", STR, type),
    ROW(mount, "source", STR, source),
    ROW(mount, "options", STRINGS, options),
    ROW(mount, "uidMappings", LIST, uid_mappings, OF(id_map)),
    ROW(mount, "gidMappings", LIST, gid_mappings, OF(id_map)),
    FIELD_END,
};

/* ---- config.md "Process", "POSIX process", "Linux Process", "User" ---- */

static const struct field user_fields[] = {
    ROW(user, "uid", U32, uid, REQUIRED),
    ROW(user, "gid", U32, gid, REQUIRED),
    ROW(user, "umask", OPT_U64, umask, .max = 0777),
    ROW(user, "additionalGids", ARRAY, additional_gids, .item = FIELD_U32),
    FIELD_END,
};

static const struct field capabilities_fields[] = {
    ROW(capabilities, "bounding", FLAGS, bounding, .words = capability_words),
    ROW(capabilities, "effective", FLAGS, effective, .words = capability_words),
    ROW(capabilities, "inheritable", FLAGS, inheritable, .words = capability_words),
    ROW(capabilities, "permitted", FLAGS, permitted, .words = capability_words),
    ROW(capabilities, "ambient", FLAGS, ambient, .words = capability_words),
    FIELD_END,
};

static const struct field rlimit_fields[] = {
    ROW(rlimit, "type", ENUM, type, REQUIRED, WORDS(rlimit)),
    ROW(rlimit, "soft", U64, soft, REQUIRED),
    ROW(rlimit, "hard", U64, hard, REQUIRED),
    FIELD_END,
};

static const struct field io_priority_fields[] = {
    ROW(io_priority, "class", ENUM, class, REQUIRED, WORDS(io_class)),
    ROW(io_priority, "priority", I64, priority, REQUIRED, .max = 7),
    FIELD_END,
};

static const struct field scheduler_fields[] = {
    ROW(scheduler, "policy", ENUM, policy, REQUIRED, WORDS(scheduler)),
    ROW(scheduler, "nice", I64, nice, .min = -20, .max = 19),
    ROW(scheduler, "priority", I64, priority, .max = 99),
    ROW(scheduler, "flags", FLAGS, flags, WORDS(scheduler_flag)),
    ROW(scheduler, "runtime", U64, runtime),
    ROW(scheduler, "deadline", U64, deadline),
    ROW(scheduler, "period", U64, period),
    FIELD_END,
};

static const struct field cpu_affinity_fields[] = {
    ROW(cpu_affinity, "initial", STR, initial),
    ROW(cpu_affinity, "final", STR, final),
    FIELD_END,
};

static const struct field console_size_fields[] = {
    ROW(console_size, "height", U64, height, REQUIRED, .max = UINT16_MAX),
    ROW(console_size, "width", U64, width, REQUIRED, .max = UINT16_MAX),
    FIELD_END,
};

static const struct field process_fields[] = {
    ROW(process, "terminal", BOOL, terminal),
    ROW(process, "consoleSize", STRUCT, console_size, OF(console_size)),
    ROW(process, "user", EMBED, user, OF(user)),
    ROW(process, "args", STRINGS, args),
    ROW(process, "env", STRINGS, env),
    ROW(process, "cwd", STR, cwd, FILLED),
    ROW(process, "capabilities", STRUCT, capabilities, OF(capabilities)),
    ROW(process, "rlimits", LIST, rlimits, OF(rlimit)),
    ROW(process, "noNewPrivileges", BOOL, no_new_privileges),
    ROW(process, "apparmorProfile", STR, apparmor_profile),
    ROW(process, "selinuxLabel", STR, selinux_label),
    ROW(process, "oomScoreAdj", OPT_I64, oom_score_adj, .min = -1000, .max = 1000),
    ROW(process, "ioPriority", STRUCT, io_priority, OF(io_priority)),
    ROW(process, "scheduler", STRUCT, scheduler, OF(scheduler)),
    ROW(process, "execCPUAffinity", STRUCT, exec_cpu_affinity, OF(cpu_affinity)),
    FIELD_END,
};

/* ---- config.md "POSIX-platform Hooks" ---- */

static const struct field hook_fields[] = {
    ROW(hook, "path", STR, path, FILLED),
    ROW(hook, "args", STRINGS, args),
    ROW(hook, "env", STRINGS, env),
    ROW(hook, "timeout", OPT_I64, timeout, .min = 1, .max = INT32_MAX),
    FIELD_END,
};

static const struct field hooks_fields[] = {
    ROW(hooks, "prestart", LIST, prestart, OF(hook)),
    ROW(hooks, "createRuntime", LIST, create_runtime, OF(hook)),
    ROW(hooks, "createContainer", LIST, create_container, OF(hook)),
    ROW(hooks, "startContainer", LIST, start_container, OF(hook)),
    ROW(hooks, "poststart", LIST, poststart, OF(hook)),
    ROW(hooks, "poststop", LIST, poststop, OF(hook)),
    FIELD_END,
};

/* ---- config-linux.md "Namespaces", "Time offsets", "Devices", "Network Devices" ---- */

static const struct field namespace_fields[] = {
    ROW(namespace, "type", ENUM, type, REQUIRED, WORDS(namespace)),
    ROW(namespace, "path", STR, path),
    FIELD_END,
};

static const struct field time_offset_fields[] = {
    ROW(time_offset, "", KEY, clock),
    ROW(time_offset, "secs", I64, secs),
    ROW(time_offset, "nanosecs", U32, nanosecs, .max = 999999999),
    FIELD_END,
};

static const struct field device_fields[] = {
    ROW(device, "path", STR, path, FILLED),
    ROW(device, "type", ENUM, type, REQUIRED, WORDS(device)),
    ROW(device, "major", I64, major),
    ROW(device, "minor", I64, minor),
    ROW(device, "fileMode", OPT_U64, file_mode, .max = UINT32_MAX),
    ROW(device, "uid", OPT_U64, uid, .max = UINT32_MAX),
    ROW(device, "gid", OPT_U64, gid, .max = UINT32_MAX),
    FIELD_END,
};

static const struct field net_device_fields[] = {
    ROW(net_device, "", KEY, host),
    ROW(net_device, "name", STR, name),
    FIELD_END,
};

/* ---- config-linux.md "Control groups" ---- */

static const struct field device_rule_fields[] = {
    ROW(device_rule, "allow", BOOL, allow, REQUIRED),
    ROW(device_rule, "type", STR, type, WORDS(device_rule)),
    ROW(device_rule, "major", OPT_I64, major),
    ROW(device_rule, "minor", OPT_I64, minor),
    ROW(device_rule, "access", STR, access),
    FIELD_END,
};

static const struct field memory_fields[] = {
    ROW(memory, "limit", OPT_I64, limit),
    ROW(memory, "reservation", OPT_I64, reservation),
    ROW(memory, "swap", OPT_I64, swap),
    ROW(memory, "kernel", OPT_I64, kernel),
    ROW(memory, "kernelTCP", OPT_I64, kernel_tcp),
    ROW(memory, "swappiness", OPT_U64, swappiness),
    ROW(memory, "disableOOMKiller", OPT_BOOL, disable_oom_killer),
    ROW(memory, "useHierarchy", OPT_BOOL, use_hierarchy),
    ROW(memory, "checkBeforeUpdate", OPT_BOOL, check_before_update),
    FIELD_END,
};

static const struct field cpu_fields[] = {
    ROW(cpu, "shares", OPT_U64, shares),
    ROW(cpu, "quota", OPT_I64, quota),
    ROW(cpu, "burst", OPT_U64, burst),
    ROW(cpu, "period", OPT_U64, period),
    ROW(cpu, "realtimeRuntime", OPT_I64, realtime_runtime),
    ROW(cpu, "realtimePeriod", OPT_U64, realtime_period),
    ROW(cpu, "cpus", STR, cpus),
    ROW(cpu, "mems", STR, mems),
    ROW(cpu, "idle", OPT_I64, idle),
    FIELD_END,
};

static const struct field pids_fields[] = {
    ROW(pids, "limit", OPT_I64, limit),
    FIELD_END,
};

static const struct field hugepage_limit_fields[] = {
    ROW(hugepage_limit, "pageSize", STR, page_size, FILLED),
    ROW(hugepage_limit, "limit", U64, limit, REQUIRED),
    FIELD_END,
};

static const struct field weight_device_fields[] = {
    ROW(weight_device, "major", I64, major, REQUIRED),
    ROW(weight_device, "minor", I64, minor, REQUIRED),
    ROW(weight_device, "weight", OPT_U64, weight, .max = UINT16_MAX),
    ROW(weight_device, "leafWeight", OPT_U64, leaf_weight, .max = UINT16_MAX),
    FIELD_END,
};

static const struct field throttle_device_fields[] = {
    ROW(throttle_device, "major", I64, major, REQUIRED),
    ROW(throttle_device, "minor", I64, minor, REQUIRED),
    ROW(throttle_device, "rate", U64, rate, REQUIRED),
    FIELD_END,
};

static const struct field block_io_fields[] = {
    ROW(block_io, "weight", OPT_U64, weight, .max = UINT16_MAX),
    ROW(block_io, "leafWeight", OPT_U64, leaf_weight, .max = UINT16_MAX),
    ROW(block_io, "weightDevice", LIST, weight_device, OF(weight_device)),
    ROW(block_io, "throttleReadBpsDevice", LIST, read_bps, OF(throttle_device)),
    ROW(block_io, "throttleWriteBpsDevice", LIST, write_bps, OF(throttle_device)),
    ROW(block_io, "throttleReadIOPSDevice", LIST, read_iops, OF(throttle_device)),
    ROW(block_io, "throttleWriteIOPSDevice", LIST, write_iops, OF(throttle_device)),
    FIELD_END,
};

static const struct field network_priority_fields[] = {
    ROW(network_priority, "name", STR, name, FILLED),
    ROW(network_priority, "priority", U32, priority, REQUIRED),
    FIELD_END,
};

static const struct field network_fields[] = {
    ROW(network, "classID", OPT_U64, class_id, .max = UINT32_MAX),
    ROW(network, "priorities", LIST, priorities, OF(network_priority)),
    FIELD_END,
};

static const struct field rdma_fields[] = {
    ROW(rdma, "", KEY, device),
    ROW(rdma, "hcaHandles", OPT_U64, hca_handles, .max = UINT32_MAX),
    ROW(rdma, "hcaObjects", OPT_U64, hca_objects, .max = UINT32_MAX),
    FIELD_END,
};

static const struct field resources_fields[] = {
    ROW(resources, "devices", LIST, devices, OF(device_rule)),
    ROW(resources, "memory", STRUCT, memory, OF(memory)),
    ROW(resources, "cpu", STRUCT, cpu, OF(cpu)),
    ROW(resources, "pids", STRUCT, pids, OF(pids)),
    ROW(resources, "hugepageLimits", LIST, hugepage_limits, OF(hugepage_limit)),
    ROW(resources, "blockIO", STRUCT, block_io, OF(block_io)),
    ROW(resources, "network", STRUCT, network, OF(network)),
    ROW(resources, "rdma", MAP, rdma, OF(rdma)),
    ROW(resources, "unified", STRING_MAP, unified),
    FIELD_END,
};

/* ---- config-linux.md "Seccomp" ---- */

static const struct field seccomp_arg_fields[] = {
    ROW(seccomp_arg, "index", U64, index, REQUIRED, .max = 5),
    ROW(seccomp_arg, "value", U64, value, REQUIRED),
    ROW(seccomp_arg, "valueTwo", U64, value_two),
    ROW(seccomp_arg, "op", ENUM, op, REQUIRED, WORDS(seccomp_operator)),
    FIELD_END,
};

static const struct field seccomp_rule_fields[] = {
    ROW(seccomp_rule, "names", STRINGS, names, FILLED),
    ROW(seccomp_rule, "action", ENUM, action, REQUIRED, WORDS(seccomp_action)),
    ROW(seccomp_rule, "errnoRet", OPT_U64, errno_ret, .max = UINT32_MAX),
    ROW(seccomp_rule, "args", LIST, args, OF(seccomp_arg)),
    FIELD_END,
};

static const struct field seccomp_fields[] = {
    ROW(seccomp, "defaultAction", ENUM, default_action, REQUIRED, WORDS(seccomp_action)),
    ROW(seccomp, "defaultErrnoRet", OPT_U64, default_errno, .max = UINT32_MAX),
    ROW(seccomp, "architectures", ARRAY, architectures, .item = FIELD_ENUM, WORDS(seccomp_arch)),
    ROW(seccomp, "flags", PRESENT, flags_set),
    ROW(seccomp, "flags", FLAGS, flags, WORDS(seccomp_flag)),
    ROW(seccomp, "listenerPath", STR, listener_path),
    ROW(seccomp, "listenerMetadata", STR, listener_metadata),
    ROW(seccomp, "syscalls", LIST, syscalls, OF(seccomp_rule)),
    FIELD_END,
};

/* ---- linux.landlock: ours. Strict: an older reader must not skip what protects. ---- */

static const struct field landlock_path_fields[] = {
    ROW(landlock_path, "paths", STRINGS, paths, FILLED),
    ROW(landlock_path, "allowedAccess", FLAGS, access, REQUIRED, WORDS(landlock_fs)),
    FIELD_END,
};

static const struct field landlock_port_fields[] = {
    ROW(landlock_port, "ports", ARRAY, ports, FILLED, .item = FIELD_U64, .max = UINT16_MAX),
    ROW(landlock_port, "allowedAccess", FLAGS, access, REQUIRED, WORDS(landlock_net)),
    FIELD_END,
};

#define STRICT .flags = FIELD_STRICT
static const struct field landlock_fields[] = {
    ROW(landlock, "bestEffort", BOOL, best_effort),
    ROW(landlock, "handledAccessFS", FLAGS, handled_fs, WORDS(landlock_fs)),
    ROW(landlock, "handledAccessNet", FLAGS, handled_net, WORDS(landlock_net)),
    ROW(landlock, "scoped", FLAGS, scoped, WORDS(landlock_scope)),
    ROW(landlock, "pathBeneath", LIST, path_beneath, STRICT, OF(landlock_path)),
    ROW(landlock, "netPort", LIST, net_port, STRICT, OF(landlock_port)),
    FIELD_END,
};

/* ---- config-linux.md "Personality", "IntelRdt", "Memory policy" ---- */

static const struct field personality_fields[] = {
    ROW(personality, "domain", ENUM, domain, REQUIRED, WORDS(personality)),
    ROW(personality, "flags", STRINGS, flags),
    FIELD_END,
};

static const struct field intel_rdt_fields[] = {
    ROW(intel_rdt, "closID", STR, clos_id),
    ROW(intel_rdt, "schemata", STRINGS, schemata),
    ROW(intel_rdt, "l3CacheSchema", STR, l3_cache_schema),
    ROW(intel_rdt, "memBwSchema", STR, mem_bw_schema),
    ROW(intel_rdt, "enableMonitoring", BOOL, enable_monitoring),
    FIELD_END,
};

static const struct field memory_policy_fields[] = {
    ROW(memory_policy, "mode", ENUM, mode, REQUIRED, WORDS(memory_mode)),
    ROW(memory_policy, "nodes", STR, nodes),
    ROW(memory_policy, "flags", FLAGS, flags, WORDS(memory_flag)),
    FIELD_END,
};

/* ---- config-linux.md, in its order ---- */

static const struct field linux_fields[] = {
    ROW(linux, "namespaces", LIST, namespaces, OF(namespace)),
    ROW(linux, "uidMappings", LIST, uid_mappings, OF(id_map)),
    ROW(linux, "gidMappings", LIST, gid_mappings, OF(id_map)),
    ROW(linux, "timeOffsets", MAP, time_offsets, OF(time_offset)),
    ROW(linux, "devices", LIST, devices, OF(device)),
    ROW(linux, "netDevices", MAP, net_devices, OF(net_device)),
    ROW(linux, "cgroupsPath", STR, cgroups_path),
    ROW(linux, "resources", STRUCT, resources, OF(resources)),
    ROW(linux, "rootfsPropagation", STR, rootfs_propagation, WORDS(propagation)),
    ROW(linux, "seccomp", STRUCT, seccomp, OF(seccomp)),
    ROW(linux, "landlock", STRUCT, landlock, STRICT, OF(landlock)),
    ROW(linux, "sysctl", STRING_MAP, sysctl),
    ROW(linux, "maskedPaths", STRINGS, masked_paths),
    ROW(linux, "readonlyPaths", STRINGS, readonly_paths),
    ROW(linux, "mountLabel", STR, mount_label),
    ROW(linux, "personality", STRUCT, personality, OF(personality)),
    ROW(linux, "intelRdt", STRUCT, intel_rdt, OF(intel_rdt)),
    ROW(linux, "memoryPolicy", STRUCT, memory_policy, OF(memory_policy)),
    FIELD_END,
};

/* ---- config.md: the whole document ---- */

#define TOP(name, kind, member, ...)                                                               \
    FIELD(struct container_spec, name, FIELD_##kind, member, __VA_ARGS__)
static const struct field spec_fields[] = {
    TOP("ociVersion", STR, oci_version, FILLED),
    TOP("process", STRUCT, process, OF(process)),
    TOP("root", STRUCT, root, OF(root)),
    TOP("hostname", STR, hostname),
    TOP("domainname", STR, domainname),
    TOP("mounts", LIST, mounts, OF(mount)),
    TOP("hooks", STRUCT, hooks, OF(hooks)),
    TOP("annotations", STRING_MAP, annotations),
    TOP("linux", STRUCT, linux_, OF(linux)),
    { .name = "windows", .type = FIELD_REFUSED },
    { .name = "solaris", .type = FIELD_REFUSED },
    { .name = "vm", .type = FIELD_REFUSED },
    { .name = "zos", .type = FIELD_REFUSED },
    { .name = "freebsd", .type = FIELD_REFUSED },
    FIELD_END,
};

/* ---- parse, write ---- */

static const struct json_limits limits = { .size = SPEC_TEXT_MAX,
                                           .depth = SPEC_DEPTH_MAX,
                                           .wide = true };

static int parse_into(struct container_spec *spec, const char *json, size_t length,
                      struct wharf_error *e)
{
    int r = json_read(json, length, limits, "config.json", &spec->document, e);

    if (r < 0)
        return r;
    r = fields_read(spec_fields, spec->document, "", spec->arena, spec, e);
    if (r < 0)
        return r;
    if (!spec->linux_ && !(spec->linux_ = arena_alloc(spec->arena, sizeof(*spec->linux_))))
        return err_nomem(e);
    return spec_check(spec, e);
}

struct container_spec *spec_alloc(void)
{
    struct arena *arena = arena_new(SPEC_ARENA_MAX);
    struct container_spec *spec = arena ? arena_alloc(arena, sizeof(*spec)) : NULL;

    if (spec)
        spec->arena = arena;
    else
        arena_free(arena);
    return spec;
}

int container_spec_parse(struct container_spec **ret_spec, const char *json, size_t length,
                         struct wharf_error *error)
{
    struct container_spec *spec = spec_alloc();
    int r = spec ? parse_into(spec, json, length, error) : err_nomem(error);

    if (r < 0)
        container_spec_free(spec);
    else
        *ret_spec = spec;
    return r;
}

int container_spec_write(const struct container_spec *spec, char **ret_json,
                         struct wharf_error *error)
{
    autojson json_t *tree = fields_write(spec_fields, spec);
    char *text;

    if (!tree || fields_keep_unknown(spec_fields, tree, spec->document) < 0)
        return err_nomem(error);
    text = json_write(tree, JSON_COMPACT);
    if (!text)
        return err_nomem(error);
    *ret_json = text;
    return 0;
}

void container_spec_free(struct container_spec *spec)
{
    if (!spec)
        return;
    json_decref(spec->document);
    arena_free(spec->arena);
}

static int parse_part(const char *json, size_t len, const char *name, const struct field *fields,
                      struct arena *arena, void *ret, struct wharf_error *e)
{
    autojson json_t *tree = NULL;
    int r = json_read(json, len, limits, name, &tree, e);

    return r < 0 ? r : fields_read(fields, tree, name, arena, ret, e);
}

int spec_process_parse(const char *json, size_t len, struct arena *arena, struct spec_process **ret,
                       struct wharf_error *e)
{
    struct spec_process *process = arena_alloc(arena, sizeof(*process));
    int r;

    if (!process)
        return err_nomem(e);
    r = parse_part(json, len, "process", process_fields, arena, process, e);
    if (r == 0)
        r = spec_process_check(process, e);
    if (r == 0)
        *ret = process;
    return r;
}

int spec_resources_parse(const char *json, size_t len, struct arena *arena,
                         struct spec_resources **ret, struct wharf_error *e)
{
    struct spec_resources *resources = arena_alloc(arena, sizeof(*resources));
    int r;

    if (!resources)
        return err_nomem(e);
    r = parse_part(json, len, "linux.resources", resources_fields, arena, resources, e);
    if (r == 0)
        r = spec_resources_check(resources, e);
    if (r == 0)
        *ret = resources;
    return r;
}

int spec_required_check(const struct container_spec *spec, struct wharf_error *e)
{
    return fields_check(spec_fields, spec, e);
}

/* ---- change ---- */

int container_spec_set(struct container_spec *spec, const char *path, const char *value,
                       struct wharf_error *error)
{
    return fields_set(spec_fields, spec, path, value, spec->arena, error);
}

int spec_copy_strings(struct arena *arena, const char *const list[], field_strings *ret,
                      struct wharf_error *e)
{
    size_t count = strv_count(list);
    char **items = count > 0 ? arena_array(arena, count, sizeof(*items)) : NULL;

    if (count > FIELDS_LIST_MAX)
        return err_invalid(e, "%zu strings in a list, the limit is %d", count, FIELDS_LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!items || !(items[i] = arena_str(arena, list[i])))
            return err_nomem(e);
        if (!utf8_valid(items[i], strlen(items[i])))
            return err_invalid(e, "'%.64s' is not UTF-8", items[i]);
    }
    ret->items = items;
    ret->count = count;
    return 0;
}

int container_spec_set_args(struct container_spec *spec, const char *const argv[],
                            const char *const env[], struct wharf_error *error)
{
    field_strings args, variables;
    int r = spec_copy_strings(spec->arena, argv, &args, error);

    if (r == 0 && env)
        r = spec_copy_strings(spec->arena, env, &variables, error);
    if (r < 0)
        return r;
    if (!spec->process) {
        spec->process = arena_alloc(spec->arena, sizeof(*spec->process));
        if (!spec->process || !(spec->process->cwd = arena_str(spec->arena, "/")))
            return err_nomem(error);
    }
    spec->process->args = args;
    if (env)
        spec->process->env = variables;
    return 0;
}

/* "a,b,c" as a list in the arena; NULL is the empty one. */
static int split_options(struct arena *arena, const char *options, field_strings *ret)
{
    size_t commas = 0;

    *ret = (field_strings){ NULL, 0 };
    for (const char *p = options; p && *p; p++)
        commas += *p == ',';
    if (!options || !*options)
        return 0;
    ret->items = arena_array(arena, commas + 1, sizeof(*ret->items));
    if (!ret->items)
        return -ENOMEM;
    for (;;) {
        size_t n = strcspn(options, ",");

        if (n > 0 && !(ret->items[ret->count++] = arena_strn(arena, options, n)))
            return -ENOMEM;
        if (!options[n])
            return 0;
        options += n + 1;
    }
}

int container_spec_add_mount(struct container_spec *spec, const char *source, const char *target,
                             const char *type, const char *options, struct wharf_error *error)
{
    struct arena *arena = spec->arena;
    size_t count = spec->mounts.count;
    struct spec_mount *grown, *mount;

    if (count >= FIELDS_LIST_MAX)
        return err_invalid(error, "too many mounts, the limit is %d", FIELDS_LIST_MAX);
    grown = arena_array(arena, count + 1, sizeof(*grown));
    if (!grown)
        return err_nomem(error);
    if (count > 0)
        memcpy(grown, spec->mounts.items, count * sizeof(*grown));
    mount = grown + count;
    if (!(mount->destination = arena_str(arena, target)) ||
        (source && !(mount->source = arena_str(arena, source))) ||
        (type && !(mount->type = arena_str(arena, type))) ||
        split_options(arena, options, &mount->options) < 0)
        return err_nomem(error);
    spec->mounts.items = grown;
    spec->mounts.count = count + 1;
    return 0;
}

/* Drops the entry from the document too: elements correspond by index (fields_keep_unknown). */
static void drop_namespace(struct container_spec *spec, size_t index)
{
    struct spec_linux *l = spec->linux_;
    json_t *list = json_object_get(json_object_get(spec->document, "linux"), "namespaces");

    memmove(l->namespaces.items + index, l->namespaces.items + index + 1,
            (l->namespaces.count - index - 1) * sizeof(*l->namespaces.items));
    l->namespaces.count--;
    json_array_remove(list, index);
}

int container_spec_set_namespace(struct container_spec *spec, const char *type, const char *path,
                                 int remove, struct wharf_error *error)
{
    struct spec_linux *l = spec->linux_;
    size_t count = l->namespaces.count, i = 0;
    struct spec_namespace *items = l->namespaces.items;
    char *copy = path ? arena_str(spec->arena, path) : NULL;
    int64_t flag;

    if (field_word_find(spec_namespace_words, type, &flag) < 0)
        return err_invalid(error, "unknown namespace type '%.32s'", type);
    if (path && !copy)
        return err_nomem(error);
    while (i < count && items[i].type != flag)
        i++;
    if (remove && i < count)
        drop_namespace(spec, i);
    if (remove)
        return 0;
    if (i == count) {
        items = arena_array(spec->arena, count + 1, sizeof(*items));
        if (!items)
            return err_nomem(error);
        if (count > 0)
            memcpy(items, l->namespaces.items, count * sizeof(*items));
        l->namespaces.items = items;
        l->namespaces.count = count + 1;
    }
    items[i] = (struct spec_namespace){ (int)flag, copy };
    return 0;
}

/* ---- look-up ---- */

const struct spec_namespace *spec_namespace_find(const struct container_spec *spec, int type)
{
    const struct spec_linux *l = spec->linux_;

    for (size_t i = 0; i < l->namespaces.count; i++) {
        if (l->namespaces.items[i].type == type)
            return &l->namespaces.items[i];
    }
    return NULL;
}

const char *spec_annotation(const struct container_spec *spec, const char *key)
{
    for (size_t i = 0; i < spec->annotations.count; i++) {
        if (streq(spec->annotations.items[i].key, key))
            return spec->annotations.items[i].value;
    }
    return NULL;
}
