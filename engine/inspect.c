/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's inspect document (docker-api: ContainerInspectResponse), from the record. Members that
 * belong to parts which do not exist yet are there and empty, as dockerd has them for a container
 * without networks. */
#include "engine/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/str.h"
#include "engine/mounts.h"
#include "engine/network.h"

static json_t *time_json(int64_t ns)
{
    char stamp[LOG_TIME_MAX] = "0001-01-01T00:00:00Z";

    if (ns > 0)
        log_time(stamp, ns);
    return json_string(stamp);
}

static json_t *state_json(const struct record *r)
{
    const char *status = state_name((enum state)r->state);

    return json_pack("{s:s s:b s:b s:b s:b s:b s:I s:I s:s s:o s:o}", "Status", status, "Running",
                     record_is_running(r), "Paused", r->state == STATE_PAUSED, "Restarting", 0,
                     "OOMKilled", r->oom_killed != 0, "Dead", 0, "Pid", (json_int_t)r->pid,
                     "ExitCode", (json_int_t)r->exit_code, "Error", r->error ? r->error : "",
                     "StartedAt", time_json(r->started_ns), "FinishedAt",
                     time_json(r->finished_ns));
}

static json_t *strings_json(char *const *items, size_t from, size_t count)
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

static json_t *document(struct engine *en, const struct record *r, const struct plan *plan)
{
    const struct settings *s = &plan->settings;
    field_strings args = { 0 };
    json_t *config = settings_to_json(s), *host = NULL;
    const char *dir = plan->input.etc;
    struct mounts mounts;

    mounts_read(r->mounts, plan->arena, &mounts, NULL);
    oci_command(s, plan->arena, &args, NULL);
    if (config) {
        host = json_incref(json_object_get(config, "HostConfig"));
        json_object_del(config, "HostConfig");
        json_object_set_new(config, "Hostname", json_string(plan->input.hostname));
    }
    json_t *all = json_pack("{s:s s:o s:s s:o s:o s:s s:s s:i s:s s:s}", "Id", r->id, "Created",
                            time_json(r->created_ns), "Path", args.count ? args.items[0] : "",
                            "Args", strings_json(args.items, 1, args.count), "State", state_json(r),
                            "Image", r->image_id, "Driver", "overlay", "RestartCount", 0,
                            "Platform", "linux", "AppArmorProfile", "");
    if (!all)
        return NULL;
    json_object_set_new(all, "Name", json_sprintf("/%s", r->name));
    set_string(all, "ResolvConfPath", str_format("%s/resolv.conf", dir));
    set_string(all, "HostnamePath", str_format("%s/hostname", dir));
    set_string(all, "HostsPath", str_format("%s/hosts", dir));
    set_string(all, "LogPath", str_format("%s/%s-json.log", dir, r->id));
    json_object_set_new(all, "HostConfig", host ? host : json_object());
    json_object_set_new(all, "Config", config ? config : json_object());
    json_object_set_new(all, "Mounts", mounts_json(&mounts));
    json_object_set_new(all, "NetworkSettings", record_network_json(en, r, s));
    return all;
}

int engine_container_inspect(struct engine *en, struct principal who, const char *reference,
                             json_t **ret, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoplan struct plan plan = { 0 };
    autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code == 0)
        code = plan_make(en, &r, root, "0", &plan, e);
    if (code < 0)
        return code;
    json_t *all = document(en, &r, &plan);
    if (!all)
        return err_nomem(e);
    *ret = all;
    return 0;
}
