/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. The tables are the truth about which members exist; anything else in a body is an
 * error, except a null, false, 0, "" or empty value, which asks for nothing. */
#include "engine/settings.h"

#include "base/str.h"

#define S(name_, kind, member, ...) FIELD(struct settings, name_, kind, member, ##__VA_ARGS__)
#define H(name_, kind, member, ...) FIELD(struct settings_host, name_, kind, member, ##__VA_ARGS__)
#define OF(type_, table_)           .fields = table_, .size = sizeof(struct type_)
#define WINDOWS(name_)                                                                             \
    {                                                                                              \
        .name = name_, .type = FIELD_REFUSED                                                       \
    }

static const struct field ulimit_fields[] = {
    FIELD(struct settings_ulimit, "Name", FIELD_STR, name, .flags = FIELD_REQUIRED),
    FIELD(struct settings_ulimit, "Soft", FIELD_I64, soft, .flags = FIELD_REQUIRED),
    FIELD(struct settings_ulimit, "Hard", FIELD_I64, hard, .flags = FIELD_REQUIRED),
    FIELD_END,
};

static const struct field device_fields[] = {
    FIELD(struct settings_device, "PathOnHost", FIELD_STR, source, .flags = FIELD_REQUIRED),
    FIELD(struct settings_device, "PathInContainer", FIELD_STR, target),
    FIELD(struct settings_device, "CgroupPermissions", FIELD_STR, access),
    FIELD_END,
};

static const struct field weight_fields[] = {
    FIELD(struct settings_weight, "Path", FIELD_STR, path, .flags = FIELD_REQUIRED),
    FIELD(struct settings_weight, "Weight", FIELD_I64, weight, .min = 0, .max = UINT16_MAX),
    FIELD_END,
};

static const struct field rate_fields[] = {
    FIELD(struct settings_rate, "Path", FIELD_STR, path, .flags = FIELD_REQUIRED),
    FIELD(struct settings_rate, "Rate", FIELD_U64, rate),
    FIELD_END,
};

static const struct field log_fields[] = {
    FIELD(struct settings_log, "Type", FIELD_STR, type),
    FIELD(struct settings_log, "Config", FIELD_STRING_MAP, options),
    FIELD_END,
};

static const struct field restart_fields[] = {
    FIELD(struct settings_restart, "Name", FIELD_STR, name),
    FIELD(struct settings_restart, "MaximumRetryCount", FIELD_I64, maximum_retries),
    FIELD_END,
};

static const struct field port_fields[] = {
    FIELD(struct settings_port, "HostIp", FIELD_STR, host_ip),
    FIELD(struct settings_port, "HostPort", FIELD_STR, host_port),
    FIELD_END,
};

static const struct field ports_fields[] = {
    FIELD(struct settings_ports, "", FIELD_KEY, port),
    FIELD(struct settings_ports, "bindings", FIELD_LIST, bindings, OF(settings_port, port_fields)),
    FIELD_END,
};

static const struct field bind_options_fields[] = {
    FIELD(struct settings_bind_options, "Propagation", FIELD_STR, propagation),
    FIELD(struct settings_bind_options, "NonRecursive", FIELD_BOOL, non_recursive),
    FIELD(struct settings_bind_options, "CreateMountpoint", FIELD_BOOL, create_mountpoint),
    FIELD(struct settings_bind_options, "ReadOnlyNonRecursive", FIELD_BOOL,
          read_only_non_recursive),
    FIELD(struct settings_bind_options, "ReadOnlyForceRecursive", FIELD_BOOL,
          read_only_force_recursive),
    FIELD_END,
};

static const struct field driver_fields[] = {
    FIELD(struct settings_driver, "Name", FIELD_STR, name),
    FIELD(struct settings_driver, "Options", FIELD_STRING_MAP, options),
    FIELD_END,
};

static const struct field volume_options_fields[] = {
    FIELD(struct settings_volume_options, "NoCopy", FIELD_BOOL, no_copy),
    FIELD(struct settings_volume_options, "Labels", FIELD_STRING_MAP, labels),
    FIELD(struct settings_volume_options, "Subpath", FIELD_STR, subpath),
    FIELD(struct settings_volume_options, "DriverConfig", FIELD_STRUCT, driver,
          OF(settings_driver, driver_fields)),
    FIELD_END,
};

static const struct field image_options_fields[] = {
    FIELD(struct settings_image_options, "Subpath", FIELD_STR, subpath),
    FIELD_END,
};

static const struct field tmpfs_options_fields[] = {
    FIELD(struct settings_tmpfs_options, "SizeBytes", FIELD_I64, size),
    FIELD(struct settings_tmpfs_options, "Mode", FIELD_I64, mode, .min = 0, .max = UINT32_MAX),
    FIELD(struct settings_tmpfs_options, "Options", FIELD_ARRAY, options, .item = FIELD_STRINGS),
    FIELD_END,
};

static const struct field mount_fields[] = {
    FIELD(struct settings_mount, "Type", FIELD_STR, type),
    FIELD(struct settings_mount, "Source", FIELD_STR, source),
    FIELD(struct settings_mount, "Target", FIELD_STR, target),
    FIELD(struct settings_mount, "ReadOnly", FIELD_BOOL, read_only),
    FIELD(struct settings_mount, "Consistency", FIELD_STR, consistency),
    FIELD(struct settings_mount, "BindOptions", FIELD_STRUCT, bind,
          OF(settings_bind_options, bind_options_fields)),
    FIELD(struct settings_mount, "VolumeOptions", FIELD_STRUCT, volume,
          OF(settings_volume_options, volume_options_fields)),
    FIELD(struct settings_mount, "ImageOptions", FIELD_STRUCT, image,
          OF(settings_image_options, image_options_fields)),
    FIELD(struct settings_mount, "TmpfsOptions", FIELD_STRUCT, tmpfs,
          OF(settings_tmpfs_options, tmpfs_options_fields)),
    FIELD_END,
};

/* What update takes too: docker's "Resources" and the restart policy. */
#define LIMIT_FIELDS                                                                               \
    H("CpuShares", FIELD_I64, cpu_shares), H("Memory", FIELD_I64, memory),                         \
        H("NanoCpus", FIELD_I64, nano_cpus), H("CgroupParent", FIELD_STR, cgroup_parent),          \
        H("BlkioWeight", FIELD_I64, blkio_weight, .min = 0, .max = UINT16_MAX),                    \
        H("BlkioWeightDevice", FIELD_LIST, blkio_weight_device,                                    \
          OF(settings_weight, weight_fields)),                                                     \
        H("BlkioDeviceReadBps", FIELD_LIST, blkio_read_bps, OF(settings_rate, rate_fields)),       \
        H("BlkioDeviceWriteBps", FIELD_LIST, blkio_write_bps, OF(settings_rate, rate_fields)),     \
        H("BlkioDeviceReadIOps", FIELD_LIST, blkio_read_iops, OF(settings_rate, rate_fields)),     \
        H("BlkioDeviceWriteIOps", FIELD_LIST, blkio_write_iops, OF(settings_rate, rate_fields)),   \
        H("CpuPeriod", FIELD_I64, cpu_period), H("CpuQuota", FIELD_I64, cpu_quota),                \
        H("CpuRealtimePeriod", FIELD_I64, cpu_realtime_period),                                    \
        H("CpuRealtimeRuntime", FIELD_I64, cpu_realtime_runtime),                                  \
        H("CpusetCpus", FIELD_STR, cpuset_cpus), H("CpusetMems", FIELD_STR, cpuset_mems),          \
        H("Devices", FIELD_LIST, devices, OF(settings_device, device_fields)),                     \
        H("DeviceCgroupRules", FIELD_STRINGS, device_cgroup_rules),                                \
        H("KernelMemory", FIELD_I64, kernel_memory),                                               \
        H("KernelMemoryTCP", FIELD_I64, kernel_memory_tcp),                                        \
        H("MemoryReservation", FIELD_I64, memory_reservation),                                     \
        H("MemorySwap", FIELD_I64, memory_swap),                                                   \
        H("MemorySwappiness", FIELD_OPT_I64, memory_swappiness),                                   \
        H("OomKillDisable", FIELD_OPT_BOOL, oom_kill_disable),                                     \
        H("PidsLimit", FIELD_OPT_I64, pids_limit),                                                 \
        H("Ulimits", FIELD_LIST, ulimits, OF(settings_ulimit, ulimit_fields)),                     \
        H("RestartPolicy", FIELD_EMBED, restart, OF(settings_restart, restart_fields)),            \
        WINDOWS("CpuCount"), WINDOWS("CpuPercent"), WINDOWS("IOMaximumIOps"),                      \
        WINDOWS("IOMaximumBandwidth")

static const struct field update_fields[] = { LIMIT_FIELDS, FIELD_END };

static const struct field host_fields[] = {
    LIMIT_FIELDS,
    H("Binds", FIELD_STRINGS, binds),
    H("Channels", FIELD_STRINGS, channels),
    H("ContainerIDFile", FIELD_STR, id_file),
    H("LogConfig", FIELD_STRUCT, log, OF(settings_log, log_fields)),
    H("NetworkMode", FIELD_STR, network_mode),
    H("PortBindings", FIELD_MAP, port_bindings, OF(settings_ports, ports_fields),
      .flags = FIELD_BARE),
    H("AutoRemove", FIELD_BOOL, auto_remove),
    H("VolumeDriver", FIELD_STR, volume_driver),
    H("VolumesFrom", FIELD_STRINGS, volumes_from),
    H("ConsoleSize", FIELD_ARRAY, console_size, .item = FIELD_I64, .min = 0, .max = UINT16_MAX),
    H("Annotations", FIELD_STRING_MAP, annotations),
    H("CapAdd", FIELD_STRINGS, cap_add, .flags = FIELD_ONE),
    H("CapDrop", FIELD_STRINGS, cap_drop, .flags = FIELD_ONE),
    H("CgroupnsMode", FIELD_STR, cgroupns_mode),
    H("Dns", FIELD_STRINGS, dns),
    H("DnsOptions", FIELD_STRINGS, dns_options),
    H("DnsSearch", FIELD_STRINGS, dns_search),
    H("ExtraHosts", FIELD_STRINGS, extra_hosts),
    H("GroupAdd", FIELD_STRINGS, group_add),
    H("IpcMode", FIELD_STR, ipc_mode),
    H("Cgroup", FIELD_STR, cgroup),
    H("Links", FIELD_STRINGS, links),
    H("OomScoreAdj", FIELD_I64, oom_score_adj),
    H("PidMode", FIELD_STR, pid_mode),
    H("Privileged", FIELD_BOOL, privileged),
    H("PublishAllPorts", FIELD_BOOL, publish_all),
    H("ReadonlyRootfs", FIELD_BOOL, readonly_rootfs),
    H("SecurityOpt", FIELD_STRINGS, security_opt),
    H("StorageOpt", FIELD_STRING_MAP, storage_opt),
    H("Tmpfs", FIELD_STRING_MAP, tmpfs),
    H("UTSMode", FIELD_STR, uts_mode),
    H("UsernsMode", FIELD_STR, userns_mode),
    H("ShmSize", FIELD_I64, shm_size),
    H("Sysctls", FIELD_STRING_MAP, sysctls),
    H("Runtime", FIELD_STR, runtime),
    H("Isolation", FIELD_STR, isolation),
    H("Mounts", FIELD_LIST, mounts, OF(settings_mount, mount_fields)),
    H("MaskedPaths", FIELD_PRESENT, masked_given),
    H("MaskedPaths", FIELD_STRINGS, masked_paths),
    H("ReadonlyPaths", FIELD_PRESENT, readonly_given),
    H("ReadonlyPaths", FIELD_STRINGS, readonly_paths),
    H("Init", FIELD_OPT_BOOL, init),
    FIELD_END,
};

static const struct field health_fields[] = {
    FIELD(struct settings_health, "Test", FIELD_STRINGS, test),
    FIELD(struct settings_health, "Interval", FIELD_I64, interval),
    FIELD(struct settings_health, "Timeout", FIELD_I64, timeout),
    FIELD(struct settings_health, "StartPeriod", FIELD_I64, start_period),
    FIELD(struct settings_health, "StartInterval", FIELD_I64, start_interval),
    FIELD(struct settings_health, "Retries", FIELD_I64, retries),
    FIELD_END,
};

static const struct field ipam_fields[] = {
    FIELD(struct settings_ipam, "IPv4Address", FIELD_STR, ipv4),
    FIELD(struct settings_ipam, "IPv6Address", FIELD_STR, ipv6),
    FIELD(struct settings_ipam, "LinkLocalIPs", FIELD_STRINGS, link_local),
    FIELD_END,
};

static const struct field endpoint_fields[] = {
    FIELD(struct settings_endpoint, "", FIELD_KEY, network),
    FIELD(struct settings_endpoint, "IPAMConfig", FIELD_STRUCT, ipam,
          OF(settings_ipam, ipam_fields)),
    FIELD(struct settings_endpoint, "Links", FIELD_STRINGS, links),
    FIELD(struct settings_endpoint, "Aliases", FIELD_STRINGS, aliases),
    FIELD(struct settings_endpoint, "MacAddress", FIELD_STR, mac),
    FIELD(struct settings_endpoint, "DriverOpts", FIELD_STRING_MAP, driver_options),
    FIELD(struct settings_endpoint, "GwPriority", FIELD_I64, gateway_priority),
    FIELD_END,
};

static const struct field networking_fields[] = {
    FIELD(struct settings_networking, "EndpointsConfig", FIELD_MAP, endpoints,
          OF(settings_endpoint, endpoint_fields)),
    FIELD_END,
};

static const struct field settings_fields[] = {
    S("Hostname", FIELD_STR, hostname),
    S("Domainname", FIELD_STR, domainname),
    S("User", FIELD_STR, user),
    S("AttachStdin", FIELD_BOOL, attach_stdin),
    S("AttachStdout", FIELD_BOOL, attach_stdout),
    S("AttachStderr", FIELD_BOOL, attach_stderr),
    S("ExposedPorts", FIELD_SET, exposed_ports),
    S("Tty", FIELD_BOOL, tty),
    S("OpenStdin", FIELD_BOOL, open_stdin),
    S("StdinOnce", FIELD_BOOL, stdin_once),
    S("Env", FIELD_STRINGS, env),
    S("Cmd", FIELD_STRINGS, cmd, .flags = FIELD_ONE),
    S("Healthcheck", FIELD_STRUCT, health, OF(settings_health, health_fields)),
    S("ArgsEscaped", FIELD_BOOL, args_escaped),
    S("Image", FIELD_STR, image),
    S("Volumes", FIELD_SET, volumes),
    S("WorkingDir", FIELD_STR, working_dir),
    S("Entrypoint", FIELD_STRINGS, entrypoint, .flags = FIELD_ONE),
    S("NetworkDisabled", FIELD_BOOL, network_disabled),
    S("MacAddress", FIELD_STR, mac),
    S("OnBuild", FIELD_STRINGS, on_build),
    S("Labels", FIELD_STRING_MAP, labels),
    S("StopSignal", FIELD_STR, stop_signal),
    S("StopTimeout", FIELD_OPT_I64, stop_timeout, .min = -1, .max = INT32_MAX),
    S("Shell", FIELD_STRINGS, shell, .flags = FIELD_ONE),
    S("HostConfig", FIELD_STRUCT, host, OF(settings_host, host_fields)),
    S("NetworkingConfig", FIELD_STRUCT, networking, OF(settings_networking, networking_fields)),
    FIELD_END,
};

/* ---- members --------------------------------------------------------------------------------- */

static bool asks_for_nothing(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_TRUE:
    case JSON_REAL:
        return false;
    default:
        return true;
    }
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields->name; fields++) {
        if (fields->type != FIELD_KEY && streq(fields->name, name))
            return fields;
    }
    return NULL;
}

/* Members of the API that have no row because nothing can be done about them. */
static int check_absent(const char *where, const char *key, struct wharf_error *e)
{
    static const char *const absent[] = { "Capabilities", "ImageOptions", "ClusterOptions" };

    if (streq(key, "DeviceRequests"))
        return err_unsupported(e,
                               "could not select device driver: %sDeviceRequests (GPUs, CDI) is "
                               "not supported: use Devices",
                               where);
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        if (streq(key, absent[i]))
            return err_unsupported(e, "%s%s is not supported", where, key);
    return 0;
}

static int check_members(json_t *object, const struct field *fields, const char *where,
                         struct wharf_error *e);

static int check_inside(json_t *value, const struct field *field, const char *where,
                        struct wharf_error *e)
{
    char below[128];
    const char *key;
    json_t *item;
    size_t i;
    int r = 0;

    snprintf(below, sizeof(below), "%s%s.", where, field->name);
    if (field->type == FIELD_STRUCT || field->type == FIELD_EMBED)
        return check_members(value, field->fields, below, e);
    if (field->type == FIELD_LIST) {
        json_array_foreach (value, i, item)
            r = r == 0 ? check_members(item, field->fields, below, e) : r;
    }
    if (field->type == FIELD_MAP && !(field->flags & FIELD_BARE)) {
        json_object_foreach (value, key, item)
            r = r == 0 ? check_members(item, field->fields, below, e) : r;
    }
    return r;
}

/* Drops members that are not of the API, as Go's decoder does: clients send notes of their own
 * (dockerode its `name`). Drops empty ones, too, which are sent by habit. */
static int check_members(json_t *object, const struct field *fields, const char *where,
                         struct wharf_error *e)
{
    const char *key;
    json_t *value;
    void *next;
    int r = 0;

    if (!json_is_object(object))
        return 0; /* the reader will say what it wanted */
    json_object_foreach_safe(object, next, key, value)
    {
        const struct field *field = find_field(fields, key);
        bool nothing = asks_for_nothing(value);

        if (!field && !nothing && (r = check_absent(where, key, e)) < 0)
            return r;
        if (!field || json_is_null(value) || (field->type == FIELD_REFUSED && nothing))
            json_object_del(object, key);
        else if (field->fields)
            r = check_inside(value, field, where, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- reading and writing --------------------------------------------------------------------- */

/* The outputs of an endpoint, which clients send back as they got them. */
static void drop_outputs(json_t *tree)
{
    static const char *const outputs[] = { "NetworkID",   "EndpointID",
                                           "Gateway",     "IPAddress",
                                           "IPv6Gateway", "GlobalIPv6Address",
                                           "IPPrefixLen", "GlobalIPv6PrefixLen",
                                           "DNSNames" };
    json_t *networking = json_object_get(tree, "NetworkingConfig"), *endpoint;
    const char *key;

    json_object_foreach (json_object_get(networking, "EndpointsConfig"), key, endpoint) {
        for (size_t i = 0; i < ARRAY_SIZE(outputs); i++)
            json_object_del(endpoint, outputs[i]);
    }
}

static int read_tree(const struct field *fields, json_t *tree, struct arena *arena, void *ret,
                     struct wharf_error *e)
{
    int r = fields_fold_case(fields, tree, e);

    if (r < 0)
        return r;
    drop_outputs(tree);
    r = check_members(tree, fields, "", e);
    return r == 0 ? fields_read(fields, tree, "", arena, ret, e) : r;
}

int settings_from_json(json_t *tree, struct arena *arena, struct settings *ret,
                       struct wharf_error *e)
{
    struct settings settings = { 0 };

    if (!json_is_object(tree) || json_object_size(tree) == 0)
        return err_invalid(e, "Config cannot be empty in order to create a container");
    int r = read_tree(settings_fields, tree, arena, &settings, e);
    if (r < 0)
        return r;
    if (!settings.host)
        settings.host = arena_alloc(arena, sizeof(*settings.host));
    if (!settings.host)
        return err_nomem(e);
    *ret = settings;
    return 0;
}

int settings_read(const char *json, size_t len, struct arena *arena, struct settings *ret,
                  struct wharf_error *e)
{
    struct json_limits limits = { .size = SETTINGS_TEXT_MAX, .depth = 16 };
    autojson json_t *tree = NULL;
    int r = json_read(json, len, limits, "container settings", &tree, e);

    return r == 0 ? settings_from_json(tree, arena, ret, e) : r;
}

int settings_read_update(json_t *tree, struct arena *arena, struct settings_host *ret,
                         struct wharf_error *e)
{
    struct settings_host host = { 0 };

    if (!json_is_object(tree))
        return err_invalid(e, "the body must be an object");
    int r = read_tree(update_fields, tree, arena, &host, e);
    if (r == 0)
        *ret = host;
    return r;
}

json_t *settings_to_json(const struct settings *settings)
{
    json_t *all = fields_write_all(settings_fields, settings);
    json_t *host = settings->host ? fields_write_all(host_fields, settings->host) : json_null();

    if (!all || !host) {
        json_decref(all);
        json_decref(host);
        return NULL;
    }
    json_object_set_new(all, "HostConfig", host);
    return all;
}

int settings_write(const struct settings *settings, char **ret, struct wharf_error *e)
{
    autojson json_t *tree = fields_write(settings_fields, settings);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;

    if (!text)
        return err_nomem(e);
    *ret = text;
    return 0;
}
