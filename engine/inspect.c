/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's inspect document (docker-api: ContainerInspectResponse), from the record. Which members
 * are left out when they are empty, and which are null, is docker's choice, kept in tables. */
#include "engine/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/mounts.h"
#include "engine/network.h"

#define HEALTH_TEXT_MAX (1u << 20)

static json_t *time_json(int64_t ns)
{
    char stamp[LOG_TIME_MAX] = "0001-01-01T00:00:00Z";

    if (ns > 0)
        log_time(stamp, ns);
    return json_string(stamp);
}

const char *record_health(const struct record *r)
{
    static const char *const names[] = { [HEALTH_NONE] = "none",
                                         [HEALTH_STARTING] = "starting",
                                         [HEALTH_HEALTHY] = "healthy",
                                         [HEALTH_UNHEALTHY] = "unhealthy" };

    return (size_t)r->health < ARRAY_SIZE(names) ? names[r->health] : "none";
}

/* What the shim wrote of its checks; a container with a check that has not run is starting. */
static json_t *health_json(struct engine *en, const struct record *r)
{
    char path[ID_LENGTH + sizeof(SHIM_HEALTH_FILE) + 2];
    autofree char *text = NULL;

    snprintf(path, sizeof(path), "%s/" SHIM_HEALTH_FILE, r->id);
    ssize_t n = file_read(en->containers_fd, path, HEALTH_TEXT_MAX, &text);
    json_t *health = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
    return health ? health
                  : json_pack("{s:s s:i s:[]}", "Status",
                              record_is_running(r) ? "starting" : "unhealthy", "FailingStreak", 0,
                              "Log");
}

static json_t *state_json(const struct record *r)
{
    const char *status = state_name((enum state)r->state);

    return json_pack("{s:s s:b s:b s:b s:b s:b s:I s:I s:s s:o s:o}", "Status", status, "Running",
                     record_is_running(r), "Paused", r->state == STATE_PAUSED, "Restarting",
                     r->state == STATE_RESTARTING, "OOMKilled", r->oom_killed != 0, "Dead", 0,
                     "Pid", (json_int_t)r->pid, "ExitCode", (json_int_t)r->exit_code, "Error",
                     r->error ? r->error : "", "StartedAt", time_json(r->started_ns), "FinishedAt",
                     time_json(r->finished_ns));
}

static json_t *strings_json(const char *const *items, size_t from, size_t count)
{
    json_t *list = json_array();

    for (size_t i = from; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

static void set_string(json_t *object, const char *key, char *value /* freed */)
{
    json_object_set_new(object, key, json_string(value ? value : ""));
    free(value);
}

/* ---- Config and HostConfig ------------------------------------------------------------------- */

/* Members that are not there when they say nothing (Go's omitempty). */
static const char *const omitted[] = {
    "ExposedPorts",    "Healthcheck",     "ArgsEscaped",
    "NetworkDisabled", "MacAddress",      "StopSignal",
    "StopTimeout",     "Shell",           "Init",
    "Annotations",     "StorageOpt",      "Sysctls",
    "Tmpfs",           "Mounts",          "KernelMemory",
    "Channels",        "KernelMemoryTCP", NULL,
};
/* Members that are an empty list or object where others are null. */
static const char *const empty_lists[] = { "Dns",     "DnsOptions",        "DnsSearch",
                                           "Devices", "BlkioWeightDevice", NULL };
static const char *const empty_objects[] = { "Labels", "PortBindings", NULL };

static bool says_nothing(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_integer(value) && json_integer_value(value) == 0);
}

static void shape(json_t *object)
{
    for (const char *const *key = omitted; *key; key++) {
        if (says_nothing(json_object_get(object, *key)))
            json_object_del(object, *key);
    }
    for (const char *const *key = empty_lists; *key; key++) {
        if (json_is_null(json_object_get(object, *key)))
            json_object_set_new(object, *key, json_array());
    }
    for (const char *const *key = empty_objects; *key; key++) {
        if (json_is_null(json_object_get(object, *key)))
            json_object_set_new(object, *key, json_object());
    }
}

static void set_paths(json_t *host, const struct settings_host *h)
{
    size_t masked, fixed;
    const char *const *mask = oci_masked_paths(&masked), *const *fix = oci_readonly_paths(&fixed);

    if (!h->masked_given && !h->privileged)
        json_object_set_new(host, "MaskedPaths", strings_json(mask, 0, masked));
    if (!h->readonly_given && !h->privileged)
        json_object_set_new(host, "ReadonlyPaths", strings_json(fix, 0, fixed));
}

/* Takes HostConfig out of the settings' document. */
static json_t *host_json(json_t *config, const struct settings *s)
{
    json_t *host = json_incref(json_object_get(config, "HostConfig"));
    json_t *log = json_object_get(host, "LogConfig");

    json_object_del(config, "HostConfig");
    json_object_del(config, "NetworkingConfig");
    shape(config);
    shape(host);
    set_paths(host, s->host);
    json_object_set_new(host, "DeviceRequests", json_null());
    if (!s->host->memory_swappiness.set || s->host->memory_swappiness.value < 0)
        json_object_set_new(host, "MemorySwappiness", json_null());
    if (says_nothing(json_object_get(host, "PidsLimit")))
        json_object_set_new(host, "PidsLimit", json_null());
    if (json_is_null(json_object_get(host, "ConsoleSize")))
        json_object_set_new(host, "ConsoleSize", json_pack("[i i]", 0, 0));
    if (log && !json_is_object(json_object_get(log, "Config")))
        json_object_set_new(log, "Config", json_object());
    return host;
}

/* ---- the root -------------------------------------------------------------------------------- */

static json_t *graph_json(struct engine *en, const struct record *r, const char *dir)
{
    autoclose int fd = container_directory(en, r->id);
    autobuf struct buf lower = BUF(1u << 20);
    struct image_store *images;
    struct image_root *root;
    json_t *data = json_object();

    if (fd >= 0 && engine_images(en, (struct principal){ 0 }, &images, NULL) == 0 &&
        image_root_open(images, r->id, fd, &root, NULL) == 0) {
        const struct image_root_info *info = image_root_info(root);

        for (size_t i = 0; i < info->lower_count; i++)
            buf_printf(&lower, "%s%s", i ? ":" : "", info->lower_paths[i]);
        json_object_set_new(data, "LowerDir", json_string(lower.data ? lower.data : ""));
        set_string(data, "UpperDir", str_format("%s/upper", dir));
        set_string(data, "WorkDir", str_format("%s/work", dir));
        image_root_free(root);
    }
    /* a root is mounted in its container's namespace alone */
    set_string(data, "MergedDir",
               r->pid > 0 ? str_format("/proc/%lld/root", (long long)r->pid)
                          : str_format("%s/merged", dir));
    return json_pack("{s:o s:s}", "Data", data, "Name", "overlay2");
}

/* ---- all ------------------------------------------------------------------------------------- */

static void set_files(json_t *all, const struct record *r, const struct settings *s,
                      const char *dir)
{
    bool logs = !s->host->log || !streq_null(s->host->log->type, "none");

    set_string(all, "ResolvConfPath", str_format("%s/resolv.conf", dir));
    set_string(all, "HostnamePath", str_format("%s/hostname", dir));
    set_string(all, "HostsPath", str_format("%s/hosts", dir));
    set_string(all, "LogPath", logs ? str_format("%s/%s-json.log", dir, r->id) : NULL);
}

static json_t *document(struct engine *en, const struct record *r, const struct settings *s,
                        struct arena *arena)
{
    autofree char *dir = str_format("%s/%s/%s", en->root, CONTAINERS_DIR, r->id);
    json_t *config = settings_to_json(s), *host;
    field_strings args = { 0 };
    struct mounts mounts;

    if (!config || !dir)
        return NULL;
    host = host_json(config, s);
    mounts_read(r->mounts, arena, &mounts, NULL);
    oci_command(s, arena, &args, NULL);
    json_t *all = json_pack("{s:s s:o s:s s:o s:o s:s}", "Id", r->id, "Created",
                            time_json(r->created_ns), "Path", args.count ? args.items[0] : "",
                            "Args", strings_json((const char *const *)args.items, 1, args.count),
                            "State", state_json(r), "Image", r->image_id);
    if (!all) {
        json_decref(config);
        json_decref(host);
        return NULL;
    }
    if (s->health && s->health->test.count > 0 && !streq(s->health->test.items[0], "NONE"))
        json_object_set_new(json_object_get(all, "State"), "Health", health_json(en, r));
    set_files(all, r, s, dir);
    json_object_set_new(all, "Name", json_sprintf("/%s", r->name));
    json_object_set_new(all, "RestartCount", json_integer(record_restarts(en, r)));
    json_object_set_new(all, "Driver", json_string("overlay2"));
    json_object_set_new(all, "Platform", json_string("linux"));
    json_object_set_new(all, "MountLabel", json_string(""));
    json_object_set_new(all, "ProcessLabel", json_string(""));
    json_object_set_new(all, "AppArmorProfile", json_string(""));
    json_object_set_new(all, "ExecIDs", engine_exec_ids(en, r->id));
    json_object_set_new(all, "HostConfig", host);
    json_object_set_new(all, "GraphDriver", graph_json(en, r, dir));
    json_object_set_new(all, "Mounts", mounts_json(&mounts));
    json_object_set_new(all, "Config", config);
    json_object_set_new(all, "NetworkSettings", record_network_json(en, r, s));
    return all;
}

static void set_sizes(struct engine *en, const struct record *r, json_t *all)
{
    int64_t own, whole;

    if (container_sizes(en, r->id, &own, &whole) < 0)
        return;
    json_object_set_new(all, "SizeRw", json_integer(own));
    json_object_set_new(all, "SizeRootFs", json_integer(whole));
}

int engine_container_inspect(struct engine *en, struct principal who, const char *reference,
                             bool size, json_t **ret, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autorecord struct record r = { 0 };
    struct settings s;
    int code = arena ? container_find(en, who, reference, &r, NULL, e) : err_nomem(e);

    if (code == 0)
        code = settings_read(r.settings, strlen(r.settings), arena, &s, e);
    if (code < 0)
        return code;
    json_t *all = document(en, &r, &s, arena);
    if (!all)
        return err_nomem(e);
    if (size)
        set_sizes(en, &r, all);
    *ret = all;
    return 0;
}
