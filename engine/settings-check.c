/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of settings without looking at images, volumes or networks, in docker's words,
 * which scripts match (docker-api section "Texts"). Ranges stand in tables; a rule that combines
 * members is a line of code. */
#include "engine/settings.h"

#include <fcntl.h>
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/channels.h"

#define MEMORY_MIN   (6 << 20) /* docker's */
#define HOSTNAME_MAX 64        /* the kernel's __NEW_UTS_LEN */
#define DURATION_MIN 1000000   /* of a health check, ns */

/* ---- limits ---------------------------------------------------------------------------------- */

static int check_memory(const struct settings_host *h, struct wharf_error *e)
{
    bool swap = h->memory_swap > 0;

    if (h->memory != 0 && h->memory < MEMORY_MIN)
        return err_invalid(e, "Minimum memory limit allowed is 6MB");
    if (swap && h->memory == 0)
        return err_invalid(
            e, "You should always set the Memory limit when using Memoryswap limit, see usage");
    if (swap && h->memory_swap < h->memory)
        return err_invalid(
            e, "Minimum memoryswap limit should be larger than memory limit, see usage");
    if (h->memory_reservation != 0 && h->memory_reservation < MEMORY_MIN)
        return err_invalid(e, "Minimum memory reservation allowed is 6MB");
    if (h->memory > 0 && h->memory_reservation > h->memory)
        return err_invalid(e, "Minimum memory limit can not be less than memory reservation limit, "
                              "see usage");
    if (h->memory_swappiness.set && h->memory_swappiness.value != -1 &&
        (h->memory_swappiness.value < 0 || h->memory_swappiness.value > 100))
        return err_invalid(e, "Invalid value: %" PRId64 ", valid memory swappiness range is 0-100",
                           h->memory_swappiness.value);
    if (h->kernel_memory)
        return err_unsupported(e, "KernelMemory is not supported: kernels since 5.4 have no limit "
                                  "of their own for it; use Memory");
    return 0;
}

static int check_cpu(const struct settings_host *h, struct wharf_error *e)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (h->nano_cpus && h->cpu_period)
        return err_invalid(e, "Conflicting options: Nano CPUs and CPU Period cannot both be set.");
    if (h->nano_cpus && h->cpu_quota)
        return err_invalid(e, "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
    if (h->nano_cpus < 0 || h->nano_cpus > cpus * INT64_C(1000000000))
        return err_invalid(e,
                           "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs "
                           "available",
                           cpus, cpus);
    if (h->cpu_period && (h->cpu_period < 1000 || h->cpu_period > 1000000))
        return err_invalid(e, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than "
                              "1s (i.e. 1000000)");
    if (h->cpu_quota > 0 && h->cpu_quota < 1000)
        return err_invalid(e, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    if (h->cpu_shares < 0)
        return err_invalid(e, "invalid CPU shares (%" PRId64 "): value must be a positive integer",
                           h->cpu_shares);
    if (h->cpu_realtime_runtime && h->cpu_realtime_period &&
        h->cpu_realtime_runtime > h->cpu_realtime_period)
        return err_invalid(e, "cpu real-time runtime cannot be higher than cpu real-time period");
    return 0;
}

int settings_check_limits(const struct settings_host *h, struct wharf_error *e)
{
    int r = check_memory(h, e);

    if (r == 0)
        r = check_cpu(h, e);
    if (r < 0)
        return r;
    if (h->blkio_weight && (h->blkio_weight < 10 || h->blkio_weight > 1000))
        return err_invalid(e, "Range of blkio weight is from 10 to 1000");
    if (h->shm_size < 0)
        return err_invalid(e, "SHM size can not be less than 0");
    if (h->oom_score_adj < -1000 || h->oom_score_adj > 1000)
        return err_invalid(e, "Invalid value %" PRId64 ", range for oom score adj is [-1000, 1000]",
                           h->oom_score_adj);
    if (h->isolation && *h->isolation && !streq(h->isolation, "default"))
        return err_invalid(e, "invalid isolation '%s' on linux", h->isolation);
    return 0;
}

static const char *const ulimit_names[] = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

static bool in_list(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (streq(word, list[i]))
            return true;
    }
    return false;
}

static int check_ulimits(const struct settings_host *h, struct wharf_error *e)
{
    for (size_t i = 0; i < h->ulimits.count; i++) {
        const struct settings_ulimit *u = &h->ulimits.items[i];

        if (!in_list(u->name, ulimit_names, ARRAY_SIZE(ulimit_names)))
            return err_invalid(e, "invalid ulimit type: %s", u->name);
        /* as unsigned numbers: -1 is the largest */
        if ((uint64_t)u->soft > (uint64_t)u->hard)
            return err_invalid(e,
                               "ulimit soft limit must be less than or equal to hard limit: "
                               "%" PRId64 " > %" PRId64,
                               u->soft, u->hard);
    }
    return 0;
}

static int check_devices(const struct settings_host *h, struct wharf_error *e)
{
    for (size_t i = 0; i < h->devices.count; i++) {
        const struct settings_device *d = &h->devices.items[i];
        const char *access = d->access ? d->access : "", *target = d->target ? d->target : "";

        if (d->source[0] != '/' || (*target && *target != '/'))
            return err_invalid(e, "device '%s': its path must be absolute", d->source);
        if (access[strspn(access, "rwm")] || strlen(access) > 3)
            return err_invalid(e, "device '%s': permissions '%s' are not made of r, w and m",
                               d->source, access);
    }
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int settings_check_restart(const struct settings_host *h, struct wharf_error *e)
{
    static const char *const names[] = { "no", "always", "unless-stopped", "on-failure" };
    const char *name = settings_text(h->restart.name) ? h->restart.name : "no";
    bool counts = streq(name, "on-failure");

    if (!in_list(name, names, ARRAY_SIZE(names)))
        return err_invalid(e,
                           "invalid restart policy: unknown policy '%s'; use one of 'no', "
                           "'always', 'on-failure', or 'unless-stopped'",
                           name);
    if (h->restart.maximum_retries && !counts)
        return err_invalid(e, "invalid restart policy: maximum retry count can only be used with "
                              "'on-failure'");
    if (h->restart.maximum_retries < 0)
        return err_invalid(e, "invalid restart policy: maximum retry count cannot be negative");
    if (h->auto_remove && !streq(name, "no"))
        return err_invalid(e, "can't create 'AutoRemove' container with restart policy");
    return 0;
}

static int check_health(const struct settings_health *health, struct wharf_error *e)
{
    const struct {
        const char *name;
        int64_t value;
    } times[] = { { "Interval", health->interval },
                  { "Timeout", health->timeout },
                  { "StartPeriod", health->start_period },
                  { "StartInterval", health->start_interval } };
    static const char *const kinds[] = { "NONE", "CMD", "CMD-SHELL", "" };

    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        if (times[i].value && times[i].value < DURATION_MIN)
            return err_invalid(e, "%s in Healthcheck cannot be less than 1ms", times[i].name);
    }
    if (health->retries < 0)
        return err_invalid(e, "Retries in Healthcheck cannot be negative");
    if (health->test.count > 0 && !in_list(health->test.items[0], kinds, ARRAY_SIZE(kinds)))
        return err_invalid(e,
                           "Test in Healthcheck must begin with NONE, CMD or CMD-SHELL, not '%s'",
                           health->test.items[0]);
    return 0;
}

static int check_log(const struct settings_log *log, struct wharf_error *e)
{
    static const char *const drivers[] = { "json-file", "local", "none", "" };

    if (log && log->type && !in_list(log->type, drivers, ARRAY_SIZE(drivers)))
        return err_invalid(e,
                           "logger: no log driver named '%s' is registered: use json-file, local "
                           "or none",
                           log->type);
    return 0;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

/* Which words a mode may be; `joins`: also "container:NAME". */
static const struct mode_rule {
    const char *what;
    size_t offset;
    bool joins;
    const char *words[6];
} mode_rules[] = {
    { "PID", offsetof(struct settings_host, pid_mode), true, { "host", "private" } },
    { "IPC",
      offsetof(struct settings_host, ipc_mode),
      true,
      { "none", "private", "shareable", "host" } },
    { "UTS", offsetof(struct settings_host, uts_mode), false, { "host", "private" } },
    { "USER", offsetof(struct settings_host, userns_mode), false, { "host", "private" } },
    { "cgroup namespace",
      offsetof(struct settings_host, cgroupns_mode),
      false,
      { "host", "private" } },
};

static bool mode_fits(const struct mode_rule *rule, const char *mode)
{
    const char *joined = str_after(mode, "container:");

    for (size_t i = 0; i < ARRAY_SIZE(rule->words) && rule->words[i]; i++) {
        if (streq(mode, rule->words[i]))
            return true;
    }
    return rule->joins && joined && *joined;
}

static int check_modes(const struct settings_host *h, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(mode_rules); i++) {
        const char *mode = *(char *const *)((const char *)h + mode_rules[i].offset);

        if (settings_text(mode) && !mode_fits(&mode_rules[i], mode))
            return err_invalid(e, "invalid %s mode: %s", mode_rules[i].what, mode);
    }
    if (settings_text(h->cgroup))
        return err_unsupported(e, "HostConfig.Cgroup '%s' is not supported: use CgroupnsMode",
                               h->cgroup);
    return 0;
}

/* What does not go together with somebody else's network. */
static int check_network(const struct settings *s, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    const char *mode = settings_text(h->network_mode) ? h->network_mode : "default";
    const char *joined = str_after(mode, "container:");
    const struct {
        bool wrong;
        const char *text;
    } rules[] = {
        { settings_text(s->hostname), "hostname and the network mode" },
        { h->links.count > 0, "container type network can't be used with links. This would result "
                              "in undefined behavior" },
        { h->dns.count > 0, "dns and the network mode" },
        { h->extra_hosts.count > 0, "custom host-to-IP mapping and the network mode" },
        { settings_text(s->mac), "mac-address and the network mode" },
        { h->port_bindings.count > 0 || h->publish_all,
          "port publishing and the container type network mode" },
        { s->exposed_ports.count > 0, "port exposing and the container type network mode" },
    };

    if (joined && !*joined)
        return err_invalid(e, "invalid container format container:<name|id>");
    for (size_t i = 0; joined && i < ARRAY_SIZE(rules); i++) {
        if (rules[i].wrong)
            return err_invalid(e, "conflicting options: %s", rules[i].text);
    }
    if (streq(mode, "host") && h->links.count > 0)
        return err_invalid(e, "conflicting options: host type networking can't be used with links. "
                              "This would result in undefined behavior");
    if (settings_text(h->uts_mode) && streq(h->uts_mode, "host") && settings_text(s->hostname))
        return err_invalid(e, "conflicting options: hostname and the UTS mode");
    return 0;
}

/* "80", "80/tcp", "8000-8010/udp" */
static int check_port(const char *text, struct wharf_error *e)
{
    static const char *const protocols[] = { "tcp", "udp", "sctp" };
    char digits[16];
    size_t len = strcspn(text, "/"), dash = strcspn(text, "-");
    uint64_t first = 0, last = 0;
    bool good = len < sizeof(digits);

    if (good) {
        snprintf(digits, sizeof(digits), "%.*s", (int)MIN(dash, len), text);
        good = parse_u64(digits, 0, 65535, &first) == 0;
    }
    if (good && dash < len) {
        snprintf(digits, sizeof(digits), "%.*s", (int)(len - dash - 1), text + dash + 1);
        good = parse_u64(digits, first, 65535, &last) == 0;
    }
    if (good && text[len] && !in_list(text + len + 1, protocols, ARRAY_SIZE(protocols)))
        return err_invalid(e, "invalid proto: %s", text + len + 1);
    return good ? 0 : err_invalid(e, "invalid port specification: \"%s\"", text);
}

static int check_bindings(const struct settings_ports *ports, struct wharf_error *e)
{
    struct in6_addr any;

    for (size_t i = 0; i < ports->bindings.count; i++) {
        const struct settings_port *p = &ports->bindings.items[i];
        const char *ip = p->host_ip ? p->host_ip : "";

        if (*ip && inet_pton(AF_INET, ip, &any) != 1 && inet_pton(AF_INET6, ip, &any) != 1)
            return err_invalid(e, "invalid IP address: %s", ip);
        if (settings_text(p->host_port) &&
            (strchr(p->host_port, '/') || check_port(p->host_port, NULL) < 0))
            return err_invalid(e, "invalid port specification: \"%s\"", p->host_port);
    }
    return 0;
}

static int check_ports(const struct settings *s, struct wharf_error *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->exposed_ports.count; i++)
        r = check_port(s->exposed_ports.items[i], e);
    for (size_t i = 0; r == 0 && i < s->host->port_bindings.count; i++) {
        r = check_port(s->host->port_bindings.items[i].port, e);
        if (r == 0)
            r = check_bindings(&s->host->port_bindings.items[i], e);
    }
    return r;
}

/* "name:address" or "name=address"; the address may be host-gateway. */
static int check_extra_host(const char *entry, struct wharf_error *e)
{
    size_t name = strcspn(entry, ":=");
    const char *address = entry[name] ? entry + name + 1 : "";
    size_t len = strlen(address);
    struct in6_addr any;
    char bare[64];

    if (name == 0 || !*address)
        return err_invalid(e, "bad format for add-host: \"%s\"", entry);
    bool bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
    snprintf(bare, sizeof(bare), "%.*s", (int)(bracketed ? len - 2 : len), address + bracketed);
    if (!streq(bare, "host-gateway") && inet_pton(AF_INET, bare, &any) != 1 &&
        inet_pton(AF_INET6, bare, &any) != 1)
        return err_invalid(e, "invalid IP address in add-host: \"%s\"", address);
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* The highest number of a list such as "0-3,7"; -EINVAL. */
static int list_highest(const char *list, int64_t *ret)
{
    int64_t highest = -1, low, high;

    while (*list) {
        size_t len = strcspn(list, ","), dash = strcspn(list, "-,");
        autofree char *first = strndup(list, dash);
        autofree char *last = dash < len ? strndup(list + dash + 1, len - dash - 1) : NULL;

        if (!first || parse_i64(first, 0, INT32_MAX, &low) < 0 ||
            parse_i64(last ? last : first, low, INT32_MAX, &high) < 0)
            return -EINVAL;
        highest = MAX(highest, high);
        list += len + (list[len] == ',');
    }
    *ret = highest;
    return 0;
}

/* Whether this machine has the processors and memory nodes; sysfs-devices-system-cpu. */
static int check_cpuset(const struct settings_host *h, struct wharf_error *e)
{
    const struct {
        const char *asked, *online, *what, *plural;
    } sets[] = { { h->cpuset_cpus, "/sys/devices/system/cpu/online", "cpus", "CPUs" },
                 { h->cpuset_mems, "/sys/devices/system/node/online", "mems", "memory nodes" } };

    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        autofree char *there = NULL;
        int64_t wanted, last;

        if (!settings_text(sets[i].asked))
            continue;
        if (list_highest(sets[i].asked, &wanted) < 0)
            return err_invalid(e, "Invalid value %s for cpuset %s", sets[i].asked, sets[i].what);
        if (file_read(AT_FDCWD, sets[i].online, 4096, &there) <= 0)
            continue; /* the kernel says it at the start */
        there[strcspn(there, "\n")] = '\0';
        if (list_highest(there, &last) == 0 && wanted > last)
            return err_invalid(e, "Requested %s are not available - requested %s, available: %s",
                               sets[i].plural, sets[i].asked, there);
    }
    return 0;
}

/* The shim's library answers to these names; other programs cannot be named yet. */
static int check_runtime(const struct settings_host *h, struct wharf_error *e)
{
    static const char *const names[] = { "runc", "wharf", "wharf-oci", "io.containerd.runc.v2" };

    if (settings_text(h->runtime) && !in_list(h->runtime, names, ARRAY_SIZE(names)))
        return err_invalid(e, "unknown or invalid runtime name: %s", h->runtime);
    return 0;
}

static int check_process(const struct settings *s, struct wharf_error *e)
{
    if (!settings_text(s->image))
        return err_invalid(e, "Image: is missing");
    if (settings_text(s->working_dir) && s->working_dir[0] != '/')
        return err_invalid(e,
                           "the working directory '%s' is invalid, it needs to be an absolute path",
                           s->working_dir);
    for (size_t i = 0; i < s->env.count; i++) {
        if (s->env.items[i][0] == '=' || !s->env.items[i][0])
            return err_invalid(e, "invalid environment variable: %s", s->env.items[i]);
    }
    if (s->hostname && strlen(s->hostname) > HOSTNAME_MAX)
        return err_invalid(e, "invalid hostname '%s': longer than %d bytes", s->hostname,
                           HOSTNAME_MAX);
    return 0;
}

/* What nothing behind this table honours yet: whoever builds it removes its row. */
static int check_awaited(const struct settings *s, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    const struct {
        const char *name;
        bool asked;
    } awaited[] = {
        { "HostConfig.LogConfig.Type local", h->log && streq_null(h->log->type, "local") },
    };

    for (size_t i = 0; i < ARRAY_SIZE(awaited); i++) {
        if (awaited[i].asked)
            return err_unsupported(e, "%s is not supported yet", awaited[i].name);
    }
    return 0;
}

int settings_check(const struct settings *s, struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    int r = check_process(s, e);

    if (r == 0)
        r = settings_check_limits(h, e);
    if (r == 0)
        r = check_ulimits(h, e);
    if (r == 0)
        r = check_devices(h, e);
    if (r == 0)
        r = settings_check_restart(h, e);
    if (r == 0 && s->health)
        r = check_health(s->health, e);
    if (r == 0)
        r = check_log(h->log, e);
    if (r == 0)
        r = check_runtime(h, e);
    if (r == 0)
        r = check_cpuset(h, e);
    if (r == 0)
        r = check_modes(h, e);
    if (r == 0)
        r = check_network(s, e);
    if (r == 0)
        r = check_ports(s, e);
    for (size_t i = 0; r == 0 && i < h->extra_hosts.count; i++)
        r = check_extra_host(h->extra_hosts.items[i], e);
    if (r == 0 && h->storage_opt.count > 0)
        r = err_unsupported(e,
                            "StorageOpt '%s' is not supported: an overlay has no quota of its own",
                            h->storage_opt.items[0].key);
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct channel channel;
    for (size_t i = 0; r == 0 && i < h->channels.count; i++)
        r = channel_parse(h->channels.items[i], arena, &channel, e);
    if (r == 0 && settings_text(s->stop_signal))
        r = signal_parse(s->stop_signal, e);
    return r < 0 ? r : check_awaited(s, e);
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
