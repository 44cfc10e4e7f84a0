/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers as handles: open, status, signals, pause, limits, delete. What is on disk, and what
 * it means, stands in handle.h. The maker of a container is create.c, starting it start.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/events.h"
#include "libcontainer/handle.h"
#include "libcontainer/hooks.h"
#include "libcontainer/rdt.h"
#include "libcontainer/system.h"

enum { DESTROY_WAIT_MS = 10000 };

static const char *const status_names[] = {
    [CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created",
    [CONTAINER_RUNNING] = "running",   [CONTAINER_PAUSED] = "paused",
    [CONTAINER_STOPPED] = "stopped",
};

/* ---- handles ---- */

struct container *container_handle(const struct engine_settings *settings, const char *id, int root,
                                   int dir)
{
    struct container *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->settings = *settings;
    memcpy(c->id, id, strlen(id) + 1);
    c->root = root;
    c->dir = dir;
    c->init = (struct container_process){ .pidfd = -1, .console = -1 };
    return c;
}

EXPORT void container_close(struct container *c)
{
    if (!c)
        return;
    events_free(c->events);
    cgroup_close(c->cgroup);
    container_spec_free(c->spec);
    state_release(&c->state);
    process_release(&c->init);
    fd_close(c->dir);
    fd_close(c->root);
    free(c);
}

/* The first process, if it is recorded and lives. 1: recorded, 0: not yet. */
static int find_init(struct container *c)
{
    struct state_init init;
    int r = state_read_init(c->dir, &init);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    c->init.pid = init.pid;
    if (c->init.pidfd < 0)
        c->init.pidfd = MAX(state_open_init(&init), -1);
    return 1;
}

static int open_dir(struct container_engine *engine, const char *id, int *ret_root, int *ret_dir,
                    struct wharf_error *e)
{
    autoclose int root = -1;
    int dir;

    if (container_check_id(id, e) < 0)
        return -EINVAL;
    root = open(engine->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = root < 0 ? -1 : path_open_plain(root, id, O_RDONLY | O_DIRECTORY, 0);
    if (root < 0 && errno == ENOENT)
        dir = -ENOENT;
    if (dir == -ENOENT)
        return err_not_found(e, "container does not exist: '%s'", id);
    if (dir < 0)
        return err_code(e, root < 0 ? -errno : dir, "cannot open the state of container '%s'", id);
    *ret_root = take_fd(&root);
    *ret_dir = dir;
    return 0;
}

/* A handle on whatever is there; nothing of it is read. */
static int open_handle(struct container_engine *engine, const char *id, struct container **ret,
                       struct wharf_error *e)
{
    autoclose int root = -1, dir = -1;
    struct container *c;
    int r = open_dir(engine, id, &root, &dir, e);

    if (r < 0)
        return r;
    c = container_handle(&engine->settings, id, root, dir);
    if (!c)
        return err_nomem(e);
    take_fd(&root);
    take_fd(&dir);
    *ret = c;
    return 0;
}

EXPORT int container_open(struct container_engine *engine, const char *id,
                          struct container **ret_container, struct wharf_error *e)
{
    struct container *c;
    int r = open_handle(engine, id, &c, e);

    if (r < 0)
        return r;
    r = state_read(c->dir, &c->state, e);
    if (r < 0) {
        container_close(c);
        return r != -ENOENT ? r
                            : err_not_found(e,
                                            "container '%s' was never finished: remove what is "
                                            "left with force",
                                            id);
    }
    r = find_init(c);
    if (r < 0) {
        container_close(c);
        return err_set(e, r, WHARF_ERROR_CORRUPT, "container '%s': the file 'init' is damaged", id);
    }
    *ret_container = c;
    return 0;
}

EXPORT struct container_process *container_init(struct container *c)
{
    return &c->init;
}

int container_cgroup(struct container *c, struct cgroup **ret, struct wharf_error *e)
{
    int r;

    if (!c->cgroup) {
        if (!c->state.cgroup)
            return err_unsupported(e, "container '%s' has no cgroup", c->id);
        r = cgroup_load(&c->cgroup, c->state.cgroup, e);
        if (r < 0)
            return r;
    }
    *ret = c->cgroup;
    return 0;
}

EXPORT int container_config_json(struct container *c, char **ret_json, struct wharf_error *e)
{
    char *text;
    ssize_t len = file_read(c->dir, "config.json", SPEC_TEXT_MAX, &text);

    if (len < 0)
        return err_code(e, (int)len, "cannot read the saved config.json of '%s'", c->id);
    *ret_json = text;
    return 0;
}

int container_saved_spec(struct container *c, const struct container_spec **ret,
                         struct wharf_error *e)
{
    autofree char *text = NULL;
    int r;

    if (!c->spec) {
        if ((r = container_config_json(c, &text, e)) < 0 ||
            (r = container_spec_parse(&c->spec, text, strlen(text), e)) < 0)
            return r;
    }
    *ret = c->spec;
    return 0;
}

/* ---- status ---- */

/* A process that has ended but is not reaped is ended: the pidfd polls readable. */
static bool init_lives(struct container *c)
{
    if (c->init.pidfd < 0 || c->init.ended)
        return false;
    return system_wait_readable(c->init.pidfd, 0) == 0;
}

static bool is_frozen(struct container *c)
{
    struct cgroup *cg;

    return c->state.cgroup && container_cgroup(c, &cg, NULL) == 0 && cgroup_is_frozen(cg) == 1;
}

static enum container_status status_now(struct container *c)
{
    if (c->init.pid == 0 && find_init(c) <= 0)
        return CONTAINER_CREATING;
    if (!init_lives(c))
        return CONTAINER_STOPPED;
    if (faccessat(c->dir, "start.sock", F_OK, 0) == 0)
        return CONTAINER_CREATED;
    return is_frozen(c) ? CONTAINER_PAUSED : CONTAINER_RUNNING;
}

EXPORT int container_status(struct container *c, enum container_status *ret_status, pid_t *ret_pid,
                            struct wharf_error *e)
{
    enum container_status status = status_now(c);

    *ret_status = status;
    if (ret_pid)
        *ret_pid = status == CONTAINER_STOPPED ? 0 : c->init.pid;
    return 0;
}

EXPORT int container_state_json(struct container *c, char **ret_json, struct wharf_error *e)
{
    enum container_status status = status_now(c);
    autojson json_t *tree =
        json_pack("{s:s s:s s:i s:s s:s s:s s:s s:s}", "ociVersion", c->state.oci_version, "id",
                  c->id, "pid", status == CONTAINER_STOPPED ? 0 : (int)c->init.pid, "status",
                  status_names[status], "bundle", c->state.bundle, "rootfs", c->state.rootfs,
                  "created", c->state.created, "owner", "");
    char owner[16];
    char *text;

    snprintf(owner, sizeof(owner), "%u", c->state.owner);
    if (!tree || json_object_set_new(tree, "owner", json_string(owner)) < 0 ||
        (c->state.annotations && json_object_set(tree, "annotations", c->state.annotations) < 0))
        return err_nomem(e);
    text = json_dumps(tree, JSON_INDENT(2));
    if (!text)
        return err_nomem(e);
    *ret_json = text;
    return 0;
}

/* ---- signals, pause, limits ---- */

static int not_running(const struct container *c, struct wharf_error *e)
{
    return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container not running: '%s'", c->id);
}

EXPORT int container_kill(struct container *c, int signal, int all, struct wharf_error *e)
{
    struct cgroup *cg;
    int r;

    if (all) {
        r = container_cgroup(c, &cg, e);
        return r < 0 ? r : cgroup_kill(cg, signal, e);
    }
    if (status_now(c) == CONTAINER_STOPPED || c->init.pidfd < 0)
        return not_running(c, e);
    r = system_pidfd_signal(c->init.pidfd, signal);
    if (r == -ESRCH)
        return not_running(c, e);
    return r < 0 ? err_code(e, r, "cannot send signal %d to container '%s'", signal, c->id) : 0;
}

static int freeze(struct container *c, bool frozen, struct wharf_error *e)
{
    enum container_status status = status_now(c);
    struct cgroup *cg;
    int r;

    if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "container not running: '%s'", c->id);
    if ((status == CONTAINER_PAUSED) == frozen)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "container '%s' is %s", c->id,
                       frozen ? "paused already" : "not paused");
    r = container_cgroup(c, &cg, e);
    return r < 0 ? r : cgroup_freeze(cg, frozen, e);
}

EXPORT int container_pause(struct container *c, struct wharf_error *e)
{
    return freeze(c, true, e);
}

EXPORT int container_resume(struct container *c, struct wharf_error *e)
{
    return freeze(c, false, e);
}

EXPORT int container_update(struct container *c, const char *resources_json, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SPEC_ARENA_MAX);
    struct spec_resources *resources;
    struct cgroup *cg;
    int r;

    if (!arena)
        return err_nomem(e);
    if (status_now(c) == CONTAINER_STOPPED)
        return not_running(c, e);
    if ((r = spec_resources_parse(resources_json, strlen(resources_json), arena, &resources, e)) <
            0 ||
        (r = container_cgroup(c, &cg, e)) < 0)
        return r;
    return cgroup_apply(cg, resources, false, e);
}

EXPORT int container_update_rdt(struct container *c, const char *l3_cache_schema,
                                const char *mem_bw_schema, struct wharf_error *e)
{
    const struct spec_intel_rdt wanted = { .l3_cache_schema = (char *)(uintptr_t)l3_cache_schema,
                                           .mem_bw_schema = (char *)(uintptr_t)mem_bw_schema };
    autoclose int mount = -1;

    if (status_now(c) == CONTAINER_STOPPED)
        return not_running(c, e);
    if (!c->state.rdt)
        return err_unsupported(e, "container '%s' was made without linux.intelRdt", c->id);
    if (!c->state.rdt_made)
        return err_set(e, -EPERM, WHARF_ERROR_CONFLICT,
                       "linux.intelRdt: the class '%s' is not the container's own", c->state.rdt);
    mount = rdt_open(&wanted, e);
    return mount < 0 ? mount : rdt_update(mount, c->state.rdt, &wanted, e);
}

EXPORT int container_pids(struct container *c, pid_t **ret_pids, size_t *ret_count,
                          struct wharf_error *e)
{
    struct cgroup *cg = NULL;
    int r = container_cgroup(c, &cg, e);

    return r < 0 ? r : cgroup_pids(cg, ret_pids, ret_count, e);
}

EXPORT int container_stats_json(struct container *c, char **ret_json, struct wharf_error *e)
{
    autojson json_t *stats = NULL;
    struct cgroup *cg;
    char *text;
    int r;

    if (status_now(c) == CONTAINER_STOPPED)
        return not_running(c, e);
    if ((r = container_cgroup(c, &cg, e)) < 0 || (r = cgroup_stats(cg, &stats, e)) < 0)
        return r;
    text = json_dumps(stats, JSON_COMPACT);
    if (!text)
        return err_nomem(e);
    *ret_json = text;
    return 0;
}

/* ---- the end ---- */

struct moment_hooks {
    struct hooks hooks;
    struct hook_state state;
};

static int prepare_hooks(struct container *c, const spec_hook_list *list, const char *moment,
                         struct arena *arena, struct moment_hooks *ret, struct wharf_error *e)
{
    const struct container_spec *spec;
    int r;

    if (!arena)
        return err_nomem(e);
    if ((r = container_saved_spec(c, &spec, e)) < 0 ||
        (r = hook_state_prepare(spec, c->id, c->state.bundle, arena, &ret->state, e)) < 0)
        return r;
    return hooks_prepare(list, moment, arena, &ret->hooks, e);
}

int container_run_poststart(struct container *c, const spec_hook_list *list, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SPEC_ARENA_MAX);
    struct moment_hooks m;
    int r = prepare_hooks(c, list, "poststart", arena, &m, e);

    return r < 0 ? r : hooks_run(&m.hooks, &m.state, "running", c->init.pid, e);
}

void container_hook_failed(void *settings, const struct wharf_error *e)
{
    engine_log(settings, CONTAINER_LOG_WARNING, "%s", e->message);
}

/* The container is gone already: nothing of this may fail its end (runtime-spec, lifecycle 13). */
static void run_poststop(struct container *c, const spec_hook_list *list)
{
    auto_of(arena_free) struct arena *arena = arena_new(SPEC_ARENA_MAX);
    struct wharf_error e = { 0 };
    struct moment_hooks m;

    if (prepare_hooks(c, list, "poststop", arena, &m, &e) < 0)
        container_hook_failed(&c->settings, &e);
    else
        hooks_run_all(&m.hooks, &m.state, "stopped", container_hook_failed, &c->settings);
}

/* The first process takes a pid namespace with it; without one the cgroup's other processes are
 * killed by cgroup_remove. A frozen one does not die before it is thawed (cgroup v1). */
static int end_init(struct container *c, struct wharf_error *e)
{
    siginfo_t end;
    int r;

    if (!init_lives(c)) {
        if (c->init.pidfd >= 0 && !c->init.ended)
            system_wait_child(c->init.pidfd, &end); /* ours: reaped; else nothing happens */
        return 0;
    }
    system_pidfd_signal(c->init.pidfd, SIGKILL);
    if (is_frozen(c))
        cgroup_freeze(c->cgroup, false, NULL);
    r = system_wait_readable(c->init.pidfd, DESTROY_WAIT_MS);
    if (r <= 0)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT,
                       "container '%s': process %d did not end after SIGKILL", c->id,
                       (int)c->init.pid);
    if (system_wait_child(c->init.pidfd, &end) == 0) {
        c->init.ended = true;
        c->init.status = W_EXITCODE(0, SIGKILL);
    }
    return 0;
}

static int remove_rdt(struct container *c, struct wharf_error *e)
{
    const struct spec_intel_rdt unsaid = { .clos_id = c->state.rdt };
    autoclose int mount = rdt_open(&unsaid, NULL);

    /* a mount that is gone took its classes with it */
    return mount < 0 ? 0 : rdt_remove(mount, c->state.rdt, e);
}

/* By the names that we know; the tree is walked only if there is something else. */
static int remove_state(struct container *c)
{
    static const char *const files[] = { "init", "config.json", "state.json" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        unlinkat(c->dir, files[i], 0);
    return unlinkat(c->root, c->id, AT_REMOVEDIR) == 0 ? 0 : path_remove_tree(c->root, c->id);
}

int container_destroy(struct container *c, struct wharf_error *e)
{
    struct cgroup *cg = NULL;
    int r = end_init(c, e), removed;

    if (c->cgroup || c->state.cgroup) {
        removed = container_cgroup(c, &cg, r < 0 ? NULL : e);
        if (removed == 0)
            removed = cgroup_remove(cg, true, r < 0 ? NULL : e);
        r = r < 0 ? r : removed;
    }
    if (r == 0 && c->state.rdt_made)
        r = remove_rdt(c, e);
    if (r < 0)
        return r; /* the directory stays, so that the next delete can try again */
    r = remove_state(c);
    return r < 0 ? err_code(e, r, "cannot remove the state of container '%s'", c->id) : 0;
}

EXPORT int container_delete(struct container *c, int force, struct wharf_error *e)
{
    enum container_status status = status_now(c);
    const struct container_spec *spec = NULL;
    int r;

    if (!force && (status == CONTAINER_RUNNING || status == CONTAINER_PAUSED))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cannot delete container '%s' that is not stopped: %s", c->id,
                       status_names[status]);
    if (c->state.poststop && (r = container_saved_spec(c, &spec, e)) < 0 && !force)
        return r;
    r = container_destroy(c, e);
    if (r < 0)
        return r;
    if (spec && spec->hooks)
        run_poststop(c, &spec->hooks->poststop);
    return 0;
}

/* Killed while it made the cgroup: no process was there yet. */
static void forget_plan(struct container *c)
{
    auto_of(cgroup_close) struct cgroup *cg = NULL;
    struct state plan = { 0 };

    if (state_read_plan(c->dir, &plan) == 0 && plan.cgroup &&
        cgroup_load(&cg, plan.cgroup, NULL) == 0)
        cgroup_unplan(cg);
    state_release(&plan);
}

EXPORT int container_engine_forget(struct container_engine *engine, const char *id,
                                   struct wharf_error *e)
{
    struct wharf_error damage = { 0 };
    struct container *c;
    int r = open_handle(engine, id, &c, e), state;

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    state = state_read(c->dir, &c->state, &damage);
    if (state == -ENOENT)
        forget_plan(c);
    else if (state < 0)
        engine_log(&c->settings, CONTAINER_LOG_WARNING,
                   "container '%s': %s; its cgroup, if it has one, stays", id, damage.message);
    find_init(c);
    r = container_destroy(c, e);
    container_close(c);
    return r;
}
