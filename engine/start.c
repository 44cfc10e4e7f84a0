/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting: record and image become a specification, a shim and a running container. The record
 * says STARTING before a shim exists and RUNNING after it has answered; what a kill in between
 * leaves, the two locks and the exit file tell (repair.c). No program but the shim is run, and
 * nothing is synced.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/channels.h"
#include "engine/devices.h"
#include "engine/join.h"
#include "engine/mounts.h"
#include "engine/network.h"

void plan_done(struct plan *plan)
{
    arena_free(plan->arena);
    plan->arena = NULL;
}

int plan_make(struct engine *en, const struct record *r, int root_mount, const char *user,
              struct plan *ret, struct wharf_error *e)
{
    struct plan *p = ret;
    const struct settings *s = &p->settings;

    *p = (struct plan){ .arena = arena_new(SETTINGS_ARENA_MAX) };
    if (!p->arena)
        return err_nomem(e);
    int code = settings_read(r->settings, strlen(r->settings), p->arena, &p->settings, e);
    if (code < 0)
        return code;
    code = user_resolve(root_mount, user ? user : s->user, s->host->group_add.items,
                        s->host->group_add.count, &p->user, e);
    p->input = (struct oci_input){
        .id = r->id,
        .hostname = s->hostname && *s->hostname ? s->hostname : arena_strn(p->arena, r->id, 12),
        .etc = arena_format(p->arena, "%s/%s/%s", en->root, CONTAINERS_DIR, r->id),
        .settings = s,
        .user = &p->user,
        .init = s->host->init.set && s->host->init.value ? en->init : NULL,
    };
    if (code == 0)
        code = channels_collect(s->host, en->run, p->arena, &p->input.channels, e);
    if (code == 0 && (!p->input.hostname || !p->input.etc))
        code = err_nomem(e);
    return code;
}

int container_mount_root(struct engine *en, const char *id, struct buf *lower,
                         struct wharf_error *e)
{
    autoclose int dir = container_directory(en, id);
    struct image_store *images;
    struct image_root *root;
    int r = dir < 0 ? err_code(e, dir, "cannot open the directory of container %s", id)
                    : engine_images(en, (struct principal){ 0 }, &images, e);

    if (r == 0)
        r = image_root_open(images, id, dir, &root, e);
    if (r < 0)
        return r;
    const struct image_root_info *info = image_root_info(root);
    for (size_t i = 0; lower && info->kind == IMAGE_ROOT_OVERLAY && i < info->lower_count; i++)
        buf_printf(lower, "%s%s", i ? ":" : "", info->lower_paths[i]);
    r = image_root_mount(root, e);
    image_root_free(root);
    return r;
}

/* What lies outside the record: devices, mounts, other containers. Descriptors in `fds` must live
 * until the container runs. */
static int plan_open(struct engine *en, const struct record *r, struct plan *plan,
                     int fds[MOUNT_FDS_MAX + 1], struct wharf_error *e)
{
    const struct settings_host *host = plan->settings.host;
    bool restarts = settings_text(host->restart.name) && !streq(host->restart.name, "no");
    struct mounts mounts;
    int code = devices_collect(host, plan->arena, &plan->input.devices, e);

    if (code == 0)
        code = throttles_collect(host, plan->arena, &plan->input.throttles, e);
    if (code == 0)
        code = mounts_read(r->mounts, plan->arena, &mounts, e);
    if (code == 0)
        code = mounts_open(en, &mounts, restarts, plan->arena, &plan->input, fds, e);
    return code < 0 ? code : join_open(en, &plan->settings, r->id, plan->arena, &plan->input, e);
}

/* Configuration and root of the start, as the descriptors of a SHIM_START; flags: SHIM_TTY. */
static int fill_start(struct engine *en, struct record *r, const struct engine_streams *streams,
                      int dir, int mount_fds[MOUNT_FDS_MAX + 1], struct shim_message *start,
                      struct wharf_error *e)
{
    __attribute__((cleanup(network_sandbox_done))) struct network_sandbox sandbox = { -1, -1,
                                                                                      NULL };
    autoplan struct plan plan = { 0 };
    autobuf struct buf spec = BUF(OCI_TEXT_MAX), lower = BUF(OCI_TEXT_MAX);
    struct shim_config config;
    autoclose int root = container_mount_root(en, r->id, &lower, e);
    int code = root < 0 ? root : plan_make(en, r, root, NULL, &plan, e);

    if (code < 0)
        return code;
    if (plan.settings.host->console_size.count == 2) {
        plan.input.rows = (uint64_t)plan.settings.host->console_size.items[0];
        plan.input.columns = (uint64_t)plan.settings.host->console_size.items[1];
    }
    if (streams && streams->rows && streams->columns) {
        plan.input.rows = streams->rows;
        plan.input.columns = streams->columns;
    }
    code = plan_open(en, r, &plan, mount_fds, e);
    if (code == 0)
        code = record_network_start(en, r, &plan.settings, dir, &sandbox, e);
    if (sandbox.netns >= 0)
        plan.input.joined.network = SHIM_NETNS_PATH;
    if (code == 0)
        code = oci_config(&plan.input, plan.arena, &spec, e);
    if (code == 0)
        code = shim_configure(en, r, &plan, &config, e);
    if (code < 0)
        return code;
    config.spec = spec.data;
    config.spec_len = spec.len;
    config.lower = lower.data;
    config.network = sandbox.keeper;
    autoclose int memory = shim_config_seal(&config);
    if (memory < 0 || lower.error)
        return err_code(e, MIN(memory, -ENOMEM), "cannot hand over the container's configuration");
    start->fds[0] = take_fd(&memory);
    start->fds[1] = take_fd(&root);
    start->fd_count = 2;
    if (sandbox.netns >= 0)
        start->fds[start->fd_count++] = take_fd(&sandbox.netns);
    if (sandbox.ports >= 0)
        start->fds[start->fd_count++] = take_fd(&sandbox.ports);
    start->flags = plan.settings.tty ? SHIM_TTY : 0;
    return 0;
}

static void close_all(int (*fds)[MOUNT_FDS_MAX + 1])
{
    for (size_t i = 0; (*fds)[i] >= 0; i++)
        close((*fds)[i]);
}

/* The shim comes to life while the specification is made. */
static int run_shim(struct engine *en, struct record *r, const struct engine_streams *streams,
                    int *ret_socket, struct wharf_error *e)
{
    __attribute__((cleanup(shim_message_done))) struct shim_message start = { .op = SHIM_START };
    struct shim_message attach = { .op = SHIM_ATTACH }, answer;
    autoclose int dir = container_directory(en, r->id);
    __attribute__((cleanup(close_all))) int mount_fds[MOUNT_FDS_MAX + 1] = { -1 };
    pid_t pid;

    if (dir < 0)
        return err_code(e, dir, "cannot open the directory of container %s", r->id);
    autoclose int fd = shim_ready(en, r->id, dir, &pid, e);
    int code = fd < 0 ? fd : fill_start(en, r, streams, dir, mount_fds, &start, e);
    if (code >= 0 && streams) {
        streams_fill(streams, &attach);
        attach.flags |= start.flags;
        code = shim_call(fd, &attach, NULL, e);
    }
    if (code >= 0)
        code = shim_call(fd, &start, &answer, e);
    if (code == -ETIMEDOUT && pid > 0) { /* it must not start the container when it wakes up */
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        container_sweep(en, r->id);
    }
    if (code < 0)
        return code;
    r->pid = answer.value[0];
    *ret_socket = take_fd(&fd);
    return 0;
}

static int start_failed(struct engine *en, struct record *r, int64_t before, struct wharf_error *e)
{
    int code = -e->code;

    if (r->auto_remove) {
        record_forget(en, r, NULL);
        return code;
    }
    record_network_stop(en, r, NULL);
    r->state = before;
    r->exit_code = wharf_error_exit(e);
    free(r->error);
    r->error = strdup(e->message);
    store_update(en->store, r, NULL);
    return code;
}

int engine_container_start(struct engine *en, struct principal who, const char *reference,
                           const struct engine_streams *streams, struct session **ret_session,
                           struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1, fd = -1;
    struct wharf_error own = { 0 };
    int code = container_find(en, who, reference, &r, &lock, e);

    if (!e)
        e = &own;
    if (code < 0)
        return code;
    if (record_is_running(&r))
        return err_set(e, -EALREADY, WHARF_ERROR_CONFLICT, "container %s is already running",
                       reference);
    int64_t before = r.state;
    r.state = STATE_STARTING;
    r.generation++;
    free(r.error);
    r.error = NULL;
    code = store_update(en->store, &r, e);
    if (code < 0)
        return code;
    code = run_shim(en, &r, streams, &fd, e);
    if (code < 0)
        return start_failed(en, &r, before, e);
    r.state = STATE_RUNNING;
    r.started_ns = time_now_ns();
    r.finished_ns = r.exit_code = 0;
    code = store_update(en->store, &r, e);
    if (code == 0 && ret_session)
        code = session_begin(take_fd(&fd), ret_session, e);
    return code;
}
