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
    };
    if (code == 0)
        code = channels_collect(s->host, en->run, p->arena, &p->input.channels, e);
    if (code == 0 && (!p->input.hostname || !p->input.etc))
        code = err_nomem(e);
    return code;
}

int container_mount_root(struct engine *en, const char *id, struct wharf_error *e)
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
    r = image_root_mount(root, e);
    image_root_free(root);
    return r;
}

/* The log's bounds: --log-opt max-size, max-file; or none of it. */
static int log_bounds(const struct settings_host *host, struct shim_config *config,
                      struct wharf_error *e)
{
    config->log_max_size = LOG_MAX_SIZE_DEFAULT;
    config->log_max_files = LOG_MAX_FILES_DEFAULT;
    for (size_t i = 0; host->log && i < host->log->options.count; i++) {
        const struct field_pair *o = &host->log->options.items[i];
        int64_t size;

        if (streq(o->key, "max-size") && streq(o->value, "-1"))
            config->log_max_size = INT64_MAX;
        else if (streq(o->key, "max-size") && parse_size(o->value, &size) == 0 && size > 0)
            config->log_max_size = (uint64_t)size;
        else if (!streq(o->key, "max-file") ||
                 parse_u64(o->value, 1, LOG_FILES_LIMIT, &config->log_max_files) < 0)
            return err_invalid(e, "log option '%s=%s' is not known to the json-file driver", o->key,
                               o->value);
    }
    if (host->log && host->log->type && streq(host->log->type, "none"))
        config->log_max_size = 0;
    return 0;
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

/* A shim that is ready for SHIM_START: its socket. */
static int prepare_shim(struct engine *en, struct record *r, const struct engine_streams *streams,
                        int mount_fds[MOUNT_FDS_MAX + 1], pid_t *ret_pid, struct wharf_error *e)
{
    autoplan struct plan plan = { 0 };
    autobuf struct buf spec = BUF(OCI_TEXT_MAX);
    autobuf struct buf endpoint = BUF(8192);
    autoclose int dir = container_directory(en, r->id);

    if (dir < 0)
        return err_code(e, dir, "cannot open the directory of container %s", r->id);
    autoclose int root = container_mount_root(en, r->id, e);
    if (root < 0)
        return root;
    int code = plan_make(en, r, root, NULL, &plan, e);
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
        code = oci_config(&plan.input, plan.arena, &spec, e);
    shim_endpoint(en, r->id, &endpoint);
    char *state = arena_format(plan.arena, "%s/%s", en->run, STATE_DIR);
    if (code == 0 && (!state || endpoint.error))
        code = err_nomem(e);
    struct shim_config config = {
        .id = r->id,
        .state_root = state,
        .endpoint = endpoint.data,
        .spec = spec.data,
        .spec_len = spec.len,
        .generation = (uint64_t)r->generation,
        .rows = plan.input.rows,
        .columns = plan.input.columns,
        .tty = plan.settings.tty,
        .open_stdin = plan.settings.open_stdin,
        .stdin_once = plan.settings.stdin_once,
        .auto_remove = r->auto_remove != 0,
    };
    if (code == 0)
        code = log_bounds(plan.settings.host, &config, e);
    if (code < 0)
        return code;
    autoclose int alive = lock_take(en->root_fd, r->id, LOCK_ALIVE, true);
    if (alive < 0)
        return err_code(e, alive, "cannot lock container %s", r->id);
    return shim_spawn(en, r->id, &config, root, dir, alive, ret_pid, e);
}

static void close_all(int (*fds)[MOUNT_FDS_MAX + 1])
{
    for (size_t i = 0; (*fds)[i] >= 0; i++)
        close((*fds)[i]);
}

static int run_shim(struct engine *en, struct record *r, const struct engine_streams *streams,
                    int *ret_socket, struct wharf_error *e)
{
    struct shim_message start = { .op = SHIM_START }, attach = { .op = SHIM_ATTACH }, answer;
    __attribute__((cleanup(close_all))) int mount_fds[MOUNT_FDS_MAX + 1] = { -1 };
    pid_t pid;
    autoclose int fd = prepare_shim(en, r, streams, mount_fds, &pid, e);
    int code = fd;

    if (code >= 0 && streams) {
        streams_fill(streams, &attach);
        code = shim_call(fd, &attach, NULL, e);
    }
    if (code >= 0)
        code = shim_call(fd, &start, &answer, e);
    if (code == -ETIMEDOUT) { /* it must not start the container when it wakes up */
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

int engine_container_attach(struct engine *en, struct principal who, const char *reference,
                            const struct engine_streams *streams, struct session **ret_session,
                            struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message attach = { .op = SHIM_ATTACH };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!record_is_running(&r))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "You cannot attach to a stopped container, start it first");
    autoclose int fd = shim_connect(en, r.id, e);
    streams_fill(streams, &attach);
    code = fd < 0 ? fd : shim_call(fd, &attach, NULL, e);
    return code < 0 ? code : session_begin(take_fd(&fd), ret_session, e);
}

/* ---- exec ------------------------------------------------------------------------------------ */

static field_strings strings_of(const char *const *list)
{
    return (field_strings){ (char **)list, list ? strv_count(list) : 0 };
}

/* The process document in a memfd; users are looked up in the container's own root. */
static int exec_document(struct engine *en, const struct record *r, const struct engine_exec *exec,
                         const struct engine_streams *streams, struct wharf_error *e)
{
    char path[64];
    autoplan struct plan plan = { 0 };
    autobuf struct buf json = BUF(OCI_TEXT_MAX);
    struct oci_exec process = {
        .args = strings_of(exec->argv),
        .env = strings_of(exec->env),
        .working_dir = exec->working_dir,
        .tty = exec->tty,
        .privileged = exec->privileged,
        .rows = streams ? streams->rows : 0,
        .columns = streams ? streams->columns : 0,
    };

    snprintf(path, sizeof(path), "/proc/%lld/root", (long long)r->pid);
    autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(e, "cannot look into container %s", r->id);
    int code = plan_make(en, r, root, exec->user, &plan, e);
    if (code == 0)
        code = oci_process(&plan.input, &process, plan.arena, &json, e);
    if (code < 0)
        return code;
    autoclose int memory = memfd_create("wharf-exec", MFD_CLOEXEC);
    code = memory < 0 ? -errno : fd_write_all(memory, json.data, json.len);
    if (code < 0 || lseek(memory, 0, SEEK_SET) < 0)
        return err_code(e, code < 0 ? code : -errno, "cannot hand over the process document");
    return take_fd(&memory);
}

int engine_container_exec(struct engine *en, struct principal who, const char *reference,
                          const struct engine_exec *exec, const struct engine_streams *streams,
                          struct session **ret_session, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message m = { .op = SHIM_EXEC };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!exec->argv[0])
        return err_invalid(e, "No exec command specified");
    if (r.state == STATE_PAUSED)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "Container %s is paused, unpause the container before exec", reference);
    if (!record_is_running(&r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r.id);
    autoclose int document = exec_document(en, &r, exec, streams, e);
    if (document < 0)
        return document;
    autoclose int fd = shim_connect(en, r.id, e);
    if (fd < 0)
        return fd;
    m.fds[m.fd_count++] = document;
    m.flags = exec->tty ? SHIM_TTY : 0;
    m.value[0] = streams ? (int64_t)streams->rows : 0;
    m.value[1] = streams ? (int64_t)streams->columns : 0;
    streams_fill(exec->detach ? NULL : streams, &m);
    code = shim_call(fd, &m, NULL, e);
    if (code < 0 || !ret_session)
        return MIN(code, 0);
    return session_begin(take_fd(&fd), ret_session, e);
}
