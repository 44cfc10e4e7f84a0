/* SPDX-License-Identifier: Apache-2.0 */
/* The object "linux" of config.json: namespaces, devices, limits, paths, the system call filter. */
#include "engine/oci-internal.h"

#include <inttypes.h>
#include "base/str.h"
#include "engine/seccomp-default.h"
#include "engine/seccomp-profile.h"

#define CPU_PERIOD 100000 /* microseconds; sched-bwc */

static const char *const masked_paths[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
};

static const char *const readonly_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                              "/proc/sysrq-trigger" };

const char *const *oci_masked_paths(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(masked_paths);
    return masked_paths;
}

const char *const *oci_readonly_paths(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(readonly_paths);
    return readonly_paths;
}

/* The device filter: deny all, then these (devices.rst of the kernel's cgroup-v1 documents). */
static const char device_rules[] =
    "{\"allow\":false,\"access\":\"rwm\"}"
    ",{\"allow\":true,\"type\":\"c\",\"access\":\"m\"}" /* making nodes is CAP_MKNOD's matter */
    ",{\"allow\":true,\"type\":\"b\",\"access\":\"m\"}"
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rwm\"}" /* null */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":5,\"access\":\"rwm\"}" /* zero */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":7,\"access\":\"rwm\"}" /* full */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":8,\"access\":\"rwm\"}" /* random */
    ",{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":9,\"access\":\"rwm\"}" /* urandom */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":0,\"access\":\"rwm\"}" /* tty */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":1,\"access\":\"rwm\"}" /* console */
    ",{\"allow\":true,\"type\":\"c\",\"major\":5,\"minor\":2,\"access\":\"rwm\"}" /* ptmx */
    ",{\"allow\":true,\"type\":\"c\",\"major\":136,\"access\":\"rwm\"}";          /* pts/N */

static const char any_device[] = "{\"allow\":true,\"access\":\"rwm\"}";

/* ---- namespaces ------------------------------------------------------------------------------ */

/* The host's, another container's (`path`), or one of its own. */
static void put_namespace(struct buf *b, const char *type, bool shared, const char *path)
{
    if (shared)
        return;
    buf_str(b, b->data[b->len - 1] == '[' ? "" : ",");
    buf_printf(b, "{\"type\":\"%s\"", type);
    if (path)
        put_member(b, "path", path);
    buf_char(b, '}');
}

static void put_namespaces(const struct oci_input *in, struct buf *b)
{
    const struct settings_host *host = in->settings->host;
    const char *cgroupns = settings_text(host->cgroupns_mode) ? host->cgroupns_mode
                           : host->privileged                 ? "host"
                                                              : "private";

    buf_str(b, "\"namespaces\":[");
    put_namespace(b, "mount", false, NULL);
    put_namespace(b, "network", mode_is(host->network_mode, "host"), in->joined.network);
    put_namespace(b, "uts", mode_is(host->uts_mode, "host"), NULL);
    put_namespace(b, "pid", mode_is(host->pid_mode, "host"), in->joined.pid);
    put_namespace(b, "ipc", mode_is(host->ipc_mode, "host"), in->joined.ipc);
    put_namespace(b, "cgroup", mode_is(cgroupns, "host"), NULL);
    buf_char(b, ']');
}

/* ---- devices --------------------------------------------------------------------------------- */

static void put_devices(const struct oci_devices *devices, struct buf *b)
{
    buf_str(b, ",\"devices\":[");
    for (size_t i = 0; i < devices->count; i++) {
        const struct oci_device *d = &devices->items[i];

        buf_str(b, i > 0 ? ",{\"path\":" : "{\"path\":");
        put_string(b, d->path);
        buf_printf(b,
                   ",\"type\":\"%c\",\"major\":%u,\"minor\":%u,\"fileMode\":%u,\"uid\":%u,"
                   "\"gid\":%u}",
                   d->type, d->major, d->minor, d->mode, d->uid, d->gid);
    }
    buf_char(b, ']');
}

/* A rule as the user writes it: "c 1:3 rwm", "a *:* rwm". */
static int put_rule(struct buf *b, const char *rule, struct wharf_error *e)
{
    autofree char *copy = strdup(rule);
    char *save = NULL, *type = copy ? strtok_r(copy, " ", &save) : NULL;
    char *major = type ? strtok_r(NULL, ":", &save) : NULL;
    char *minor = major ? strtok_r(NULL, " ", &save) : NULL;
    char *access = minor ? strtok_r(NULL, " ", &save) : NULL;
    uint64_t numbers[2] = { 0, 0 };
    bool any[2] = { major && streq(major, "*"), minor && streq(minor, "*") };

    if (!copy)
        return err_nomem(e);
    if (!access || strlen(type) != 1 || !strchr("acb", type[0]) || strlen(access) > 3 ||
        access[strspn(access, "rwm")] || (*save && save[strspn(save, " ")]) ||
        (!any[0] && parse_u64(major, 0, UINT32_MAX, &numbers[0]) < 0) ||
        (!any[1] && parse_u64(minor, 0, UINT32_MAX, &numbers[1]) < 0))
        return err_invalid(e, "invalid device cgroup rule format: '%s'", rule);
    buf_printf(b, ",{\"allow\":true,\"access\":\"%s\",\"type\":\"%s\"", access, type);
    if (!any[0])
        buf_printf(b, ",\"major\":%" PRIu64, numbers[0]);
    if (!any[1])
        buf_printf(b, ",\"minor\":%" PRIu64, numbers[1]);
    buf_char(b, '}');
    return 0;
}

static int put_device_rules(const struct oci_input *in, struct buf *b, struct wharf_error *e)
{
    const field_strings *rules = &in->settings->host->device_cgroup_rules;
    int r = 0;

    buf_str(b, in->settings->host->privileged ? any_device : device_rules);
    for (size_t i = 0; i < in->devices.count; i++) {
        const struct oci_device *d = &in->devices.items[i];

        if (d->access)
            buf_printf(b,
                       ",{\"allow\":true,\"type\":\"%c\",\"major\":%u,\"minor\":%u,"
                       "\"access\":\"%s\"}",
                       d->type, d->major, d->minor, d->access);
    }
    for (size_t i = 0; r == 0 && i < rules->count; i++)
        r = put_rule(b, rules->items[i], e);
    return r;
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* A member of the object that is open, after a comma if it is not the first. */
static void put_number(struct buf *b, const char *key, int64_t value)
{
    buf_printf(b, "%s\"%s\":%" PRId64, b->data[b->len - 1] == '{' ? "" : ",", key, value);
}

static void put_asked_number(struct buf *b, const char *key, int64_t value)
{
    if (value != 0)
        put_number(b, key, value);
}

static void put_asked_text(struct buf *b, const char *key, const char *value)
{
    if (!settings_text(value))
        return;
    buf_printf(b, "%s\"%s\":", b->data[b->len - 1] == '{' ? "" : ",", key);
    put_string(b, value);
}

static void put_memory(const struct settings_host *host, struct buf *b)
{
    buf_str(b, ",\"memory\":{");
    put_asked_number(b, "limit", host->memory);
    put_asked_number(b, "swap", host->memory_swap);
    put_asked_number(b, "reservation", host->memory_reservation);
    put_asked_number(b, "kernelTCP", host->kernel_memory_tcp);
    if (host->memory_swappiness.set && host->memory_swappiness.value != -1)
        put_number(b, "swappiness", host->memory_swappiness.value);
    if (host->oom_kill_disable.set && host->oom_kill_disable.value)
        buf_printf(b, "%s\"disableOOMKiller\":true", b->data[b->len - 1] == '{' ? "" : ",");
    buf_char(b, '}');
}

static void put_cpu(const struct settings_host *host, struct buf *b)
{
    int64_t quota = host->nano_cpus ? host->nano_cpus / (1000000000 / CPU_PERIOD) : host->cpu_quota;

    buf_str(b, ",\"cpu\":{");
    put_asked_number(b, "shares", host->cpu_shares);
    put_asked_number(b, "quota", quota);
    put_asked_number(b, "period", host->nano_cpus ? CPU_PERIOD : host->cpu_period);
    put_asked_number(b, "realtimeRuntime", host->cpu_realtime_runtime);
    put_asked_number(b, "realtimePeriod", host->cpu_realtime_period);
    put_asked_text(b, "cpus", host->cpuset_cpus);
    put_asked_text(b, "mems", host->cpuset_mems);
    buf_char(b, '}');
}

static void put_block_io(const struct oci_input *in, struct buf *b)
{
    static const char *const lists[] = {
        [OCI_WEIGHT] = "weightDevice",
        [OCI_READ_BPS] = "throttleReadBpsDevice",
        [OCI_WRITE_BPS] = "throttleWriteBpsDevice",
        [OCI_READ_IOPS] = "throttleReadIOPSDevice",
        [OCI_WRITE_IOPS] = "throttleWriteIOPSDevice",
    };

    buf_str(b, ",\"blockIO\":{");
    put_asked_number(b, "weight", in->settings->host->blkio_weight);
    for (size_t kind = 0; kind < ARRAY_SIZE(lists); kind++) {
        bool open = false;

        for (size_t i = 0; i < in->throttles.count; i++) {
            const struct oci_throttle *t = &in->throttles.items[i];

            if (t->kind != kind)
                continue;
            if (!open)
                buf_printf(b, "%s\"%s\":[", b->data[b->len - 1] == '{' ? "" : ",", lists[kind]);
            buf_printf(b, "%s{\"major\":%u,\"minor\":%u,\"%s\":%" PRIu64 "}", open ? "," : "",
                       t->major, t->minor, kind == OCI_WEIGHT ? "weight" : "rate", t->value);
            open = true;
        }
        buf_str(b, open ? "]" : "");
    }
    buf_char(b, '}');
}

static int put_resources(const struct oci_input *in, struct buf *b, struct wharf_error *e)
{
    const struct settings_host *host = in->settings->host;

    buf_str(b, ",\"resources\":{\"devices\":[");
    int r = put_device_rules(in, b, e);
    buf_char(b, ']');
    put_memory(host, b);
    put_cpu(host, b);
    if (host->pids_limit.set && host->pids_limit.value != 0)
        buf_printf(b, ",\"pids\":{\"limit\":%" PRId64 "}", host->pids_limit.value);
    if (host->blkio_weight || in->throttles.count > 0)
        put_block_io(in, b);
    buf_char(b, '}');
    return r;
}

/* What update hands to the runtime: the same limits alone. */
void oci_resources(const struct oci_input *in, struct buf *b)
{
    const struct settings_host *host = in->settings->host;

    buf_str(b, "{\"unified\":{}"); /* something in front of the commas */
    put_memory(host, b);
    put_cpu(host, b);
    if (host->pids_limit.set && host->pids_limit.value != 0)
        buf_printf(b, ",\"pids\":{\"limit\":%" PRId64 "}", host->pids_limit.value);
    if (host->blkio_weight || in->throttles.count > 0)
        put_block_io(in, b);
    buf_char(b, '}');
}

/* ---- all ------------------------------------------------------------------------------------- */

static void put_paths(const struct settings_host *host, const struct security *security,
                      struct buf *b)
{
    const field_strings *mask = &host->masked_paths, *fix = &host->readonly_paths;

    if (!security->system_paths)
        return;
    if (host->masked_given)
        put_list(b, "maskedPaths", (const char *const *)mask->items, mask->count);
    else
        put_list(b, "maskedPaths", masked_paths, ARRAY_SIZE(masked_paths));
    if (host->readonly_given)
        put_list(b, "readonlyPaths", (const char *const *)fix->items, fix->count);
    else
        put_list(b, "readonlyPaths", readonly_paths, ARRAY_SIZE(readonly_paths));
}

static int put_cgroup(const struct oci_input *in, struct buf *b, struct wharf_error *e)
{
    const char *parent = in->settings->host->cgroup_parent;

    buf_str(b, ",\"cgroupsPath\":\"");
    for (const char *p = settings_text(parent) ? parent : ""; *p; p++) {
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            return err_invalid(e, "invalid cgroup parent: '%s'", parent);
        buf_char(b, *p);
    }
    buf_printf(b, settings_text(parent) ? "/%s\"" : "/wharf-%s\"", in->id);
    return 0;
}

int put_linux(const struct oci_input *in, const struct security *security, struct buf *b,
              struct wharf_error *e)
{
    const struct settings_host *host = in->settings->host;

    buf_str(b, ",\"linux\":{");
    put_namespaces(in, b);
    put_devices(&in->devices, b);
    int r = put_resources(in, b, e);
    if (r == 0)
        r = put_cgroup(in, b, e);
    put_pairs(b, "sysctl", &host->sysctls);
    put_paths(host, security, b);
    if (in->propagation)
        put_member(b, "rootfsPropagation", in->propagation);
    if (!security->seccomp) {
        buf_str(b, ",\"seccomp\":");
        seccomp_default(b, security->capabilities);
    } else if (r == 0 && *security->seccomp) {
        buf_str(b, ",\"seccomp\":");
        r = seccomp_profile(security->seccomp, security->capabilities, b, e);
    }
    buf_char(b, '}');
    return r;
}
