/* SPDX-License-Identifier: Apache-2.0 */
/* Update: other limits and another restart policy, for what runs and for what is stored. What the
 * body does not name, or names as 0, stays. */
#include <fcntl.h>
#include <stdio.h>
#include "base/str.h"
#include "engine/devices.h"
#include "engine/live.h"

#define I(member)                                                                                  \
    {                                                                                              \
        offsetof(struct settings_host, member), INT                                                \
    }
#define T(member)                                                                                  \
    {                                                                                              \
        offsetof(struct settings_host, member), TEXT                                               \
    }
static const struct {
    size_t offset;
    enum { INT, TEXT } type;
} limits[] = {
    I(memory),       I(memory_swap), I(memory_reservation),  I(kernel_memory_tcp),
    I(nano_cpus),    I(cpu_shares),  I(cpu_quota),           I(cpu_period),
    I(blkio_weight), T(cpuset_cpus), I(cpu_realtime_period), I(cpu_realtime_runtime),
    T(cpuset_mems),
};

static void merge(struct settings_host *h, const struct settings_host *u)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const char *from = (const char *)u + limits[i].offset;
        char *to = (char *)h + limits[i].offset;

        if (limits[i].type == INT && *(const int64_t *)from != 0)
            *(int64_t *)to = *(const int64_t *)from;
        if (limits[i].type == TEXT && settings_text(*(char *const *)from))
            *(char **)to = *(char *const *)from;
    }
    if (u->pids_limit.set)
        h->pids_limit = u->pids_limit;
    if (settings_text(u->restart.name))
        h->restart = u->restart;
    /* one of the two ways to say it */
    if (u->nano_cpus)
        h->cpu_quota = h->cpu_period = 0;
    else if (u->cpu_quota || u->cpu_period)
        h->nano_cpus = 0;
}

/* Members of Resources that docker takes and leaves: here they are refused. */
static int check_update(const struct settings_host *u, struct wharf_error *e)
{
    const struct {
        const char *name;
        bool asked;
    } fixed[] = {
        { "Devices", u->devices.count > 0 },
        { "DeviceCgroupRules", u->device_cgroup_rules.count > 0 },
        { "CgroupParent", settings_text(u->cgroup_parent) },
        { "Ulimits", u->ulimits.count > 0 },
        { "BlkioWeightDevice", u->blkio_weight_device.count > 0 },
        { "BlkioDeviceReadBps", u->blkio_read_bps.count > 0 },
        { "BlkioDeviceWriteBps", u->blkio_write_bps.count > 0 },
        { "BlkioDeviceReadIOps", u->blkio_read_iops.count > 0 },
        { "BlkioDeviceWriteIOps", u->blkio_write_iops.count > 0 },
        { "OomKillDisable", u->oom_kill_disable.set && u->oom_kill_disable.value },
        { "MemorySwappiness", u->memory_swappiness.set },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        if (fixed[i].asked)
            return err_unsupported(e, "%s of a container cannot be updated: make a new one",
                                   fixed[i].name);
    }
    return 0;
}

/* The kernel's side, and the shim's. */
static int update_running(struct engine *en, const struct record *r, const struct settings *s,
                          struct arena *arena, bool policy, struct wharf_error *e)
{
    struct oci_input in = { .settings = s };
    autobuf struct buf resources = BUF(OCI_TEXT_MAX);
    autolive struct live live = { 0 };
    int code = live_open(en, r, &live, e);

    if (code == 0)
        code = throttles_collect(s->host, arena, &in.throttles, e);
    if (code < 0)
        return code;
    oci_resources(&in, &resources);
    code = resources.error ? err_nomem(e) : container_update(live.container, resources.data, e);
    if (code < 0)
        return err_wrap(e, code, "Cannot update container %s", r->id);
    if (!policy)
        return 0;
    struct shim_message m = {
        .op = SHIM_POLICY, .value = { restart_policy(s->host), s->host->restart.maximum_retries }
    };
    return shim_ask(en, r->id, &m, e);
}

int engine_container_update(struct engine *en, struct principal who, const char *reference,
                            json_t *body, json_t **ret, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    struct settings_host update;
    struct settings s;
    int code = arena ? settings_read_update(body, arena, &update, e) : err_nomem(e);

    if (code == 0)
        code = check_update(&update, e);
    if (code == 0)
        code = container_find(en, who, reference, &r, &lock, e);
    if (code == 0)
        code = settings_read(r.settings, strlen(r.settings), arena, &s, e);
    if (code < 0)
        return code;
    merge(s.host, &update);
    code = settings_check_limits(s.host, e);
    if (code == 0)
        code = settings_check_restart(s.host, e);
    if (code == 0 && record_is_running(&r))
        code = update_running(en, &r, &s, arena, settings_text(update.restart.name), e);
    if (code < 0)
        return code;
    free(r.settings);
    r.settings = NULL;
    code = settings_write(&s, &r.settings, e);
    if (code == 0)
        code = store_update(en->store, &r, e);
    if (code < 0)
        return code;
    engine_emit(en, &r, "update", NULL);
    *ret = json_pack("{s:[]}", "Warnings");
    return *ret ? 0 : err_nomem(e);
}
