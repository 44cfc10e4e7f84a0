/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. The tables are the truth about which members exist; anything else in a body is an
 * error, except a null, false, 0, "" or empty value, which asks for nothing. */
#include "engine/settings.h"

#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include "base/str.h"
#include "engine/channels.h"

#define MEMORY_MIN (6 << 20) /* docker's */

#define S(name_, kind, member, ...) FIELD(struct settings, name_, kind, member, ##__VA_ARGS__)
#define H(name_, kind, member, ...) FIELD(struct settings_host, name_, kind, member, ##__VA_ARGS__)

static const struct field ulimit_fields[] = {
    FIELD(struct settings_ulimit, "Name", FIELD_STR, name, .flags = FIELD_REQUIRED),
    FIELD(struct settings_ulimit, "Soft", FIELD_I64, soft),
    FIELD(struct settings_ulimit, "Hard", FIELD_I64, hard),
    FIELD_END,
};

static const struct field device_fields[] = {
    FIELD(struct settings_device, "PathOnHost", FIELD_STR, source, .flags = FIELD_REQUIRED),
    FIELD(struct settings_device, "PathInContainer", FIELD_STR, target),
    FIELD(struct settings_device, "CgroupPermissions", FIELD_STR, access),
    FIELD_END,
};

static const struct field log_fields[] = {
    FIELD(struct settings_log, "Type", FIELD_STR, type),
    FIELD(struct settings_log, "Config", FIELD_STRING_MAP, options),
    FIELD_END,
};

static const struct field host_fields[] = {
    H("Memory", FIELD_I64, memory),
    H("MemorySwap", FIELD_I64, memory_swap),
    H("MemoryReservation", FIELD_I64, memory_reservation),
    H("NanoCpus", FIELD_I64, nano_cpus),
    H("CpuShares", FIELD_I64, cpu_shares),
    H("CpuQuota", FIELD_I64, cpu_quota),
    H("CpuPeriod", FIELD_I64, cpu_period),
    H("PidsLimit", FIELD_OPT_I64, pids_limit),
    H("CpusetCpus", FIELD_STR, cpuset_cpus),
    H("CpusetMems", FIELD_STR, cpuset_mems),
    H("CgroupParent", FIELD_STR, cgroup_parent),
    H("Ulimits", FIELD_LIST, ulimits, .fields = ulimit_fields,
      .size = sizeof(struct settings_ulimit)),
    H("Devices", FIELD_LIST, devices, .fields = device_fields,
      .size = sizeof(struct settings_device)),
    H("OomScoreAdj", FIELD_I64, oom_score_adj, .min = -1000, .max = 1000),
    H("ShmSize", FIELD_I64, shm_size),
    H("Privileged", FIELD_BOOL, privileged),
    H("ReadonlyRootfs", FIELD_BOOL, readonly_rootfs),
    H("AutoRemove", FIELD_BOOL, auto_remove),
    H("CapAdd", FIELD_STRINGS, cap_add),
    H("CapDrop", FIELD_STRINGS, cap_drop),
    H("SecurityOpt", FIELD_STRINGS, security_opt),
    H("GroupAdd", FIELD_STRINGS, group_add),
    H("Dns", FIELD_STRINGS, dns),
    H("DnsSearch", FIELD_STRINGS, dns_search),
    H("DnsOptions", FIELD_STRINGS, dns_options),
    H("ExtraHosts", FIELD_STRINGS, extra_hosts),
    H("Sysctls", FIELD_STRING_MAP, sysctls),
    H("Tmpfs", FIELD_STRING_MAP, tmpfs),
    H("Binds", FIELD_STRINGS, binds),
    H("Channels", FIELD_STRINGS, channels),
    H("NetworkMode", FIELD_STR, network_mode),
    H("UsernsMode", FIELD_STR, userns_mode),
    H("PidMode", FIELD_STR, pid_mode),
    H("IpcMode", FIELD_STR, ipc_mode),
    H("UTSMode", FIELD_STR, uts_mode),
    H("LogConfig", FIELD_STRUCT, log, .fields = log_fields, .size = sizeof(struct settings_log)),
    FIELD_END,
};

static const struct field settings_fields[] = {
    S("Hostname", FIELD_STR, hostname),
    S("Domainname", FIELD_STR, domainname),
    S("User", FIELD_STR, user),
    S("AttachStdin", FIELD_BOOL, attach_stdin),
    S("AttachStdout", FIELD_BOOL, attach_stdout),
    S("AttachStderr", FIELD_BOOL, attach_stderr),
    S("Tty", FIELD_BOOL, tty),
    S("OpenStdin", FIELD_BOOL, open_stdin),
    S("StdinOnce", FIELD_BOOL, stdin_once),
    S("Env", FIELD_STRINGS, env),
    S("Cmd", FIELD_STRINGS, cmd),
    S("Entrypoint", FIELD_STRINGS, entrypoint),
    S("Image", FIELD_STR, image, .flags = FIELD_REQUIRED),
    S("WorkingDir", FIELD_STR, working_dir),
    S("StopSignal", FIELD_STR, stop_signal),
    S("StopTimeout", FIELD_OPT_I64, stop_timeout, .min = -1, .max = INT32_MAX),
    S("Labels", FIELD_STRING_MAP, labels),
    S("HostConfig", FIELD_STRUCT, host, .fields = host_fields,
      .size = sizeof(struct settings_host)),
    FIELD_END,
};

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
        if (streq(fields->name, name))
            return fields;
    }
    return NULL;
}

/* Refuses members without a row; drops the empty ones, which clients send by habit. */
static int check_members(json_t *object, const struct field *fields, const char *where,
                         struct wharf_error *e)
{
    const char *key;
    json_t *value;
    void *next;

    if (!json_is_object(object))
        return err_invalid(e, "%s: must be an object", where);
    json_object_foreach_safe(object, next, key, value)
    {
        const struct field *field = find_field(fields, key);

        if (!field && !asks_for_nothing(value))
            return err_unsupported(e, "%s%s is not supported yet", where, key);
        if (!field || json_is_null(value)) {
            json_object_del(object, key);
        } else if (field->type == FIELD_STRUCT) {
            int r = check_members(value, field->fields, "HostConfig.", e);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int settings_read(const char *json, size_t len, struct arena *arena, struct settings *ret,
                  struct wharf_error *e)
{
    struct json_limits limits = { .size = SETTINGS_TEXT_MAX, .depth = 16, .fold_case = true };
    struct settings settings = { 0 };
    autojson json_t *tree = NULL;
    int r = json_read(json, len, limits, "container settings", &tree, e);

    if (r == 0)
        r = check_members(tree, settings_fields, "", e);
    if (r == 0)
        r = fields_read(settings_fields, tree, "", arena, &settings, e);
    if (r < 0)
        return r;
    if (!settings.host)
        settings.host = arena_alloc(arena, sizeof(*settings.host));
    if (!settings.host)
        return err_nomem(e);
    *ret = settings;
    return 0;
}

json_t *settings_to_json(const struct settings *settings)
{
    return fields_write(settings_fields, settings);
}

int settings_write(const struct settings *settings, char **ret, struct wharf_error *e)
{
    autojson json_t *tree = settings_to_json(settings);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;

    if (!text)
        return err_nomem(e);
    *ret = text;
    return 0;
}

/* ---- checks ---------------------------------------------------------------------------------- */

int settings_bind_parse(const char *text, struct arena *arena, struct settings_bind *ret,
                        struct wharf_error *e)
{
    char *source = arena_str(arena, text), *target, *options;

    if (!source)
        return err_nomem(e);
    target = strchr(source, ':');
    if (!target)
        return err_unsupported(e,
                               "volume '%s': anonymous volumes are not supported yet, name a host "
                               "path: SOURCE:TARGET",
                               text);
    *target++ = '\0';
    options = strchr(target, ':');
    if (options)
        *options++ = '\0';
    if (!source[0] || !target[0] || (options && strchr(options, ':')))
        return err_invalid(e, "invalid volume specification: '%s'", text);
    if (source[0] != '/')
        return err_unsupported(e,
                               "volume '%s': named volumes are not supported yet, use an absolute "
                               "host path",
                               source);
    if (target[0] != '/' || streq(target, "/"))
        return err_invalid(
            e,
            "invalid volume specification: '%s': the target must be an absolute path "
            "other than '/'",
            text);
    *ret = (struct settings_bind){ source, target, options ? options : "" };
    return 0;
}

static int check_limits(const struct settings_host *host, struct wharf_error *e)
{
    if (host->memory != 0 && host->memory < MEMORY_MIN)
        return err_invalid(e, "Minimum memory limit allowed is 6MB");
    if (host->memory_swap > 0 && host->memory_swap < host->memory)
        return err_invalid(
            e, "Minimum memoryswap limit should be larger than memory limit, see usage");
    if (host->memory_swap > 0 && host->memory == 0)
        return err_invalid(
            e, "You should always set the Memory limit when using Memoryswap limit, see "
               "usage");
    if (host->nano_cpus < 0)
        return err_invalid(e, "the number of CPUs must not be negative");
    if (host->nano_cpus && (host->cpu_quota || host->cpu_period))
        return err_invalid(e,
                           "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be "
                           "set");
    if (host->shm_size < 0)
        return err_invalid(e, "SHM size can not be less than 0");
    return 0;
}

static int check_device(const struct settings_device *d, struct wharf_error *e)
{
    const char *access = d->access ? d->access : "", *target = d->target ? d->target : "";

    if (d->source[0] != '/' || (*target && *target != '/'))
        return err_invalid(e, "device '%s': its path must be absolute", d->source);
    if (access[strspn(access, "rwm")] || strlen(access) > 3)
        return err_invalid(e, "device '%s': permissions '%s' are not made of r, w and m", d->source,
                           access);
    return 0;
}

/* A mode that this engine can give: one of `words` (NULL-ended), or absent. */
static int check_mode(const char *flag, const char *mode, const char *const *words,
                      struct wharf_error *e)
{
    for (size_t i = 0; mode && mode[0] && words[i]; i++) {
        if (streq(mode, words[i]))
            return 0;
    }
    if (!mode || !mode[0])
        return 0;
    return err_unsupported(e, "%s '%s' is not supported yet: use '%s' or '%s'", flag, mode,
                           words[0], words[1]);
}

int settings_check(const struct settings *settings, struct wharf_error *e)
{
    static const char *const network[] = { "none", "host", "default", NULL };
    static const char *const spaces[] = { "private", "host", NULL };
    const struct settings_host *host = settings->host;
    const char *log = host->log && host->log->type ? host->log->type : "json-file";
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings_bind bind;
    struct channel channel;
    int r = check_limits(host, e);

    if (!arena)
        return err_nomem(e);
    for (size_t i = 0; r == 0 && i < host->binds.count; i++)
        r = settings_bind_parse(host->binds.items[i], arena, &bind, e);
    for (size_t i = 0; r == 0 && i < host->channels.count; i++)
        r = channel_parse(host->channels.items[i], arena, &channel, e);
    for (size_t i = 0; r == 0 && i < host->devices.count; i++)
        r = check_device(&host->devices.items[i], e);
    if (r == 0)
        r = check_mode("network", host->network_mode, network, e);
    if (r == 0)
        r = check_mode("user namespace", host->userns_mode, spaces + 1, e);
    if (r == 0)
        r = check_mode("pid namespace", host->pid_mode, spaces, e);
    if (r == 0)
        r = check_mode("ipc namespace", host->ipc_mode, spaces, e);
    if (r == 0)
        r = check_mode("uts namespace", host->uts_mode, spaces, e);
    if (r == 0 && !streq(log, "json-file") && !streq(log, "none"))
        r = err_unsupported(e, "log driver '%s' is not supported yet: use 'json-file' or 'none'",
                            log);
    if (r == 0 && settings->stop_signal && settings->stop_signal[0])
        r = signal_parse(settings->stop_signal, e);
    return r < 0 ? r : 0;
}

int signal_parse(const char *text, struct wharf_error *e)
{
    uint64_t number;

    if (parse_u64(text, 1, 64, &number) == 0)
        return (int)number;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int s = 1; s < 32; s++) {
        const char *known = sigabbrev_np(s);

        if (known && strcasecmp(name, known) == 0)
            return s;
    }
    const char *plus = strncasecmp(name, "RTMIN+", 6) == 0 ? name + 6 : NULL;
    if (plus && parse_u64(plus, 0, 30, &number) == 0)
        return 34 + (int)number;
    return err_invalid(e, "Invalid signal: %s", text);
}
