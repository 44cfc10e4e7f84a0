/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container: the parent's side of init.c.
 *
 * Everything that can fail without the child fails before it exists. Then one clone3 brings all
 * new namespaces, the pidfd and (v2) the cgroup; while the child mounts, the parent sets limits and
 * writes the state: the two meet at READY. What `struct creation` holds is undone from its last
 * line to its first when any step fails; nothing is left behind. If this process is killed
 * meanwhile, the child ends at its next word, and the directory says what to clean.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/clone.h"
#include "libcontainer/creation.h"
#include "libcontainer/netlink.h"
#include "libcontainer/rdt.h"
#include "libcontainer/system.h"
#include "libcontainer/talk.h"

/* ---- before the child ---- */

int creation_claim(struct creation *m, struct container_engine *engine, const char *id,
                   struct wharf_error *e)
{
    autoclose int root = -1, dir = -1;

    if (container_check_id(id, e) < 0)
        return -EINVAL;
    root = engine_open_root(engine, true, e);
    if (root < 0)
        return root;
    if (mkdirat(root, id, 0700) < 0) {
        if (errno == EEXIST)
            return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                           "container with id exists already: '%s'", id);
        return err_sys(e, "cannot make the state directory of '%s'", id);
    }
    dir = openat(root, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    m->c = dir < 0 ? NULL : container_handle(&engine->settings, id, root, dir);
    if (!m->c) {
        unlinkat(root, id, AT_REMOVEDIR);
        return err_nomem(e);
    }
    m->made = true;
    take_fd(&root);
    take_fd(&dir);
    return 0;
}

/* The bundle's path for the state document, and the root's below it. */
static int name_paths(struct creation *m, struct state *s, struct wharf_error *e)
{
    const char *root = m->spec->root ? m->spec->root->path : "";
    char bundle[4096], link[64];
    ssize_t n;

    if (m->start->bundle) {
        n = (ssize_t)strlen(m->start->bundle);
        s->bundle = strdup(m->start->bundle);
    } else {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", m->start->bundle_fd);
        n = readlink(m->start->bundle_fd >= 0 ? link : "/proc/self/cwd", bundle,
                     sizeof(bundle) - 1);
        if (n < 0)
            return err_sys(e, "cannot tell the bundle's path");
        s->bundle = strndup(bundle, (size_t)n);
    }
    if (!s->bundle)
        return err_nomem(e);
    s->rootfs = root[0] == '/' || !root[0] ? strdup(root) : str_format("%s/%s", s->bundle, root);
    return s->rootfs ? 0 : err_nomem(e);
}

static json_t *annotations_of(const struct container_spec *spec)
{
    json_t *tree = spec->annotations.count > 0 ? json_object() : NULL;

    for (size_t i = 0; tree && i < spec->annotations.count; i++) {
        const struct field_pair *p = &spec->annotations.items[i];

        json_object_set_new(tree, p->key, json_string(p->value));
    }
    return tree;
}

int creation_fill_state(struct creation *m, struct wharf_error *e)
{
    const struct container_spec *spec = m->spec;
    struct state *s = &m->c->state;
    char now[STATE_TIME_MAX];
    int r = name_paths(m, s, e);

    if (r < 0)
        return r;
    state_now(now);
    s->created = strdup(now);
    s->oci_version = strdup(spec->oci_version ? spec->oci_version : "1.0.0");
    s->owner = geteuid();
    s->annotations = annotations_of(spec);
    s->namespaces = m->plan.namespaces.listed;
    s->poststart = spec->hooks && spec->hooks->poststart.count > 0;
    s->poststop = spec->hooks && spec->hooks->poststop.count > 0;
    return s->created && s->oci_version ? 0 : err_nomem(e);
}

/* The host's uid of the container's root, to whom its cgroup is delegated; only where it sees
 * itself as the root of a tree of its own. */
static uint32_t cgroup_owner(const struct creation *m)
{
    const spec_id_maps *maps = &m->spec->linux_->uid_mappings;

    if (!(m->plan.namespaces.made & CLONE_NEWUSER) || !m->plan.namespaces.cgroup)
        return UINT32_MAX;
    for (size_t i = 0; i < maps->count; i++) {
        if (maps->items[i].container_id == 0)
            return maps->items[i].host_id;
    }
    return UINT32_MAX;
}

/* Writes down what the cgroup has become, where that is not what was planned. */
static int save_cgroup(struct creation *m, struct wharf_error *e)
{
    json_t *saved;
    int r = cgroup_save(m->c->cgroup, &saved, e);

    if (r < 0)
        return r;
    json_decref(m->c->state.cgroup);
    m->c->state.cgroup = saved;
    return state_write(m->c->dir, &m->c->state, e);
}

/* Named on disk before it exists: whenever this process is killed, delete finds it. */
int creation_make_cgroup(struct creation *m, struct wharf_error *e)
{
    const struct engine_settings *settings = &m->c->settings;
    struct cgroup_options o = { .driver = settings->cgroups,
                                .path = m->spec->linux_->cgroups_path,
                                .id = m->c->id,
                                .rootless = settings->rootless,
                                .resources = m->spec->linux_->resources,
                                .annotations = &m->spec->annotations,
                                .owner_uid = cgroup_owner(m) };
    int r;

    if ((r = cgroup_plan(&m->c->cgroup, &o, e)) < 0 ||
        (r = cgroup_save(m->c->cgroup, &m->c->state.cgroup, e)) < 0 ||
        (r = state_write_plan(m->c->dir, &m->c->state, e)) < 0 ||
        (r = cgroup_make(m->c->cgroup, e)) < 0)
        return r;
    r = r == 1 ? save_cgroup(m, e) : state_commit(m->c->dir, e);
    if (r < 0)
        return r;
    m->into_cgroup = clone_may_enter(&m->plan.namespaces) && cgroup_clone_fd(m->c->cgroup) >= 0;
    return 0;
}

static int plan_rdt(struct creation *m, struct wharf_error *e)
{
    const struct spec_intel_rdt *rdt = m->spec->linux_->intel_rdt;
    struct state *s = &m->c->state;
    int r;

    if (!rdt)
        return 0;
    s->rdt = strdup(rdt->clos_id ? rdt->clos_id : m->c->id);
    if (!s->rdt)
        return err_nomem(e);
    m->rdt = rdt_open(rdt, e);
    r = m->rdt < 0 ? m->rdt : rdt_plan(m->rdt, s->rdt, rdt, e);
    s->rdt_made = r == 1;
    return r < 0 ? r : 0;
}

/* The state says already that it will be ours; if another was faster, that is taken back. */
static int make_rdt(struct creation *m, struct wharf_error *e)
{
    struct state *s = &m->c->state;
    int r = m->rdt < 0 ? 0 : rdt_make(m->rdt, s->rdt, m->spec->linux_->intel_rdt, e);
    bool lost = r == 0 && s->rdt_made;

    s->rdt_made = r == 1;
    if (r < 0)
        return r;
    return lost ? state_write(m->c->dir, s, e) : 0;
}

/* A joined mount namespace is as its owner made it: what would change it is refused. */
static int check_joined_root(const struct container_spec *spec, struct wharf_error *e)
{
    const struct {
        const char *field;
        bool used;
    } fields[] = {
        { "root.path", spec->root && spec->root->path && !streq(spec->root->path, "/") },
        { "mounts", spec->mounts.count > 0 },
        { "process.terminal", spec->process && spec->process->terminal },
        { "linux.devices", spec->linux_->devices.count > 0 },
        { "linux.maskedPaths", spec->linux_->masked_paths.count > 0 },
        { "linux.readonlyPaths", spec->linux_->readonly_paths.count > 0 },
        { "linux.sysctl", spec->linux_->sysctl.count > 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (fields[i].used)
            return err_unsupported(e,
                                   "%s: not with a mount namespace that is joined, which has its "
                                   "root already (root.path may be '/')",
                                   fields[i].field);
    }
    if (spec->process && ((spec->process->selinux_label && *spec->process->selinux_label) ||
                          (spec->process->apparmor_profile && *spec->process->apparmor_profile)))
        return err_unsupported(e, "process: no label with a mount namespace that is joined");
    return 0;
}

static int prepare_root(struct creation *m, struct wharf_error *e)
{
    struct rootfs_options o = { .bundle_fd = m->start->bundle_fd,
                                .root_fd = m->start->root_fd,
                                .flags = m->start->flags,
                                .rootless = m->c->settings.rootless };
    struct cgroup_view *views = NULL;
    int r;

    if (!(m->plan.namespaces.listed & CLONE_NEWNS))
        return err_unsupported(e, "linux.namespaces: a container needs a mount namespace");
    if (!(m->plan.namespaces.made & CLONE_NEWNS))
        return check_joined_root(m->spec, e);
    if (m->c->cgroup) {
        r = cgroup_views(m->c->cgroup, m->arena, &views, &o.view_count, e);
        if (r < 0)
            return r;
        o.views = views;
    }
    return rootfs_prepare(m->spec, &o, m->arena, &m->plan.rootfs, e);
}

static int prepare_hooks(struct creation *m, struct wharf_error *e)
{
    const struct spec_hooks none = { 0 }, *h = m->spec->hooks ? m->spec->hooks : &none;
    const struct {
        const spec_hook_list *list;
        const char *moment;
        struct hooks *ret;
    } moments[] = {
        { &h->prestart, "prestart", &m->prestart },
        { &h->create_runtime, "createRuntime", &m->create_runtime },
        { &h->create_container, "createContainer", &m->plan.create_container },
        { &h->start_container, "startContainer", &m->plan.start_container },
        { &h->poststart, "poststart", &m->poststart },
        { &h->poststop, "poststop", &m->poststop },
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(moments); i++)
        r = hooks_prepare(moments[i].list, moments[i].moment, m->arena, moments[i].ret, e);
    m->plan.hooks_outside = h->prestart.count > 0 || h->create_runtime.count > 0;
    if (r < 0 || !m->spec->hooks)
        return r;
    return hook_state_prepare(m->spec, m->c->id, m->c->state.bundle, m->arena, &m->plan.state, e);
}

static void skipped_syscall(void *user, const char *name)
{
    engine_log(user, CONTAINER_LOG_DEBUG, "linux.seccomp: unknown system call '%s' is skipped",
               name);
}

static int prepare_launch(struct creation *m, struct wharf_error *e)
{
    const struct launch_options o = {
        m->start,  namespaces_allow_groups(m->spec), true, skipped_syscall, &m->c->settings,
        m->c->root
    };

    int r;

    if (!m->spec->process)
        return 0;
    r = launch_prepare(m->spec->process, m->spec, &o, m->arena, &m->plan.launch, e);
    if (r == 0 && m->plan.launch->filter.notify)
        r = seccomp_check_listener(m->spec->linux_->seccomp->listener_path, e);
    return r;
}

static bool sets_scheduler(const struct creation *m)
{
    return m->spec->process && m->spec->process->scheduler;
}

/* Where a later `start` connects. Bound through a descriptor, so that the directory's name may be
 * longer than a socket's address. */
static int listen_for_start(struct creation *m, struct wharf_error *e)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    m->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start.sock", m->c->dir);
    if (m->listener < 0 || bind(m->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(m->listener, 1) < 0)
        return err_sys(e, "cannot make the start socket");
    return 0;
}

static int open_sync(struct creation *m, struct wharf_error *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket pair");
    m->sync = pair[0];
    m->child_sync = pair[1];
    return 0;
}

/* Where the child cannot enter its cgroup itself it goes on while it is moved, unless what it does
 * next depends on where it is: a cgroup namespace takes the groups its maker is in as roots, and a
 * realtime policy takes their budget. */
static bool must_wait(const struct creation *m)
{
    return m->c->cgroup && (sets_scheduler(m) || (m->plan.namespaces.cgroup && !m->enters));
}

static int open_entries(struct creation *m, struct wharf_error *e)
{
    int r =
        m->c->cgroup ? cgroup_open_entries(m->c->cgroup, m->into_cgroup, &m->plan.entries, e) : 0;

    m->enters = r > 0;
    return MIN(r, 0);
}

static int prepare(struct creation *m, bool wait, struct wharf_error *e)
{
    int r;

    if ((r = namespaces_prepare(m->spec, &m->plan.namespaces, e)) < 0 ||
        (r = creation_fill_state(m, e)) < 0 || (r = prepare_launch(m, e)) < 0 ||
        (r = prepare_hooks(m, e)) < 0 || (r = plan_rdt(m, e)) < 0 ||
        (r = creation_make_cgroup(m, e)) < 0 || (r = make_rdt(m, e)) < 0 ||
        (r = prepare_root(m, e)) < 0 || (r = open_sync(m, e)) < 0 || (r = open_entries(m, e)) < 0 ||
        (wait && (r = listen_for_start(m, e)) < 0))
        return r;
    m->plan.spec = m->spec;
    m->plan.sync = m->child_sync;
    m->plan.listener = m->listener;
    m->plan.wait_attached = must_wait(m);
    m->plan.rootless = m->c->settings.rootless;
    m->plan.keyring = !(m->start->flags & CONTAINER_NO_KEYRING);
    m->plan.keyring_name = arena_format(m->arena, "_ses.%s", m->c->id);
    return m->plan.keyring_name ? 0 : err_nomem(e);
}

/* ---- with the child ---- */

static void run_init(void *plan)
{
    init_main(plan);
}

static int make_child(struct creation *m, struct wharf_error *e)
{
    struct clone_request request = { .namespaces = &m->plan.namespaces,
                                     .cgroup = m->into_cgroup ? cgroup_clone_fd(m->c->cgroup) : -1,
                                     .sync = m->sync,
                                     .child_sync = m->child_sync,
                                     .run = run_init,
                                     .user = &m->plan };
    int r = clone_child(&request, &m->c->init.pid, &m->c->init.pidfd, e);

    m->child_sync = fd_close(m->child_sync);
    m->listener = fd_close(m->listener);
    cgroup_close_entries(&m->plan.entries);
    return r;
}

static int give_net_devices(struct creation *m, struct wharf_error *e)
{
    const struct spec_linux *l = m->spec->linux_;
    autoclose int netns = -1;
    char path[64];
    int r = 0;

    if (l->net_devices.count == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)m->c->init.pid);
    netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return err_sys(e, "linux.netDevices: cannot open the container's network namespace");
    for (size_t i = 0; r == 0 && i < l->net_devices.count; i++) {
        const struct spec_net_device *d = &l->net_devices.items[i];

        r = netlink_give_device(d->host, netns, d->name ? d->name : d->host, e);
    }
    return r;
}

int creation_save_config(struct creation *m, struct wharf_error *e)
{
    autofree char *text = NULL;
    int r = container_spec_write(m->spec, &text, e);

    if (r < 0)
        return r;
    r = file_replace(m->c->dir, "config.json", text, strlen(text), 0600, false);
    return r < 0 ? err_code(e, r, "cannot save config.json") : 0;
}

/* What the child waits for comes first, then what can go on while it mounts. */
static int serve_child(struct creation *m, struct wharf_error *e)
{
    pid_t pid = m->c->init.pid;
    int r = 0;

    if (m->plan.namespaces.made & CLONE_NEWUSER) {
        r = namespaces_write_maps(pid, m->spec->linux_, e);
        if (r < 0)
            return r;
        sync_send(m->sync, SYNC_MAPPED, 0, -1);
    }
    if (m->c->cgroup) {
        if (!m->enters)
            r = cgroup_attach(m->c->cgroup, pid, m->into_cgroup, e);
        if (r == 0 && m->c->settings.cgroups == CONTAINER_CGROUPS_SYSTEMD)
            r = save_cgroup(m, e); /* only now is it known where the scope is */
        if (r < 0)
            return r;
        if (m->plan.wait_attached && !sets_scheduler(m))
            sync_send(m->sync, SYNC_ATTACHED, 0, -1);
        if (m->spec->linux_->resources)
            r = cgroup_apply(m->c->cgroup, m->spec->linux_->resources, true, e);
        if (m->plan.wait_attached && sets_scheduler(m) && r == 0)
            sync_send(m->sync, SYNC_ATTACHED, 0, -1);
    }
    if (r == 0 && m->rdt >= 0)
        r = rdt_attach(m->rdt, m->c->state.rdt, pid, e);
    if (r < 0 || (r = give_net_devices(m, e)) < 0 || (r = creation_save_config(m, e)) < 0)
        return r;
    return state_write_init(m->c->dir, pid, e);
}

static int run_outside_hooks(void *user, struct wharf_error *e)
{
    struct creation *m = user;
    pid_t pid = m->c->init.pid;
    int r = hooks_run(&m->prestart, &m->plan.state, "creating", pid, e);

    if (r == 0)
        r = hooks_run(&m->create_runtime, &m->plan.state, "creating", pid, e);
    if (r == 0)
        sync_send(m->sync, SYNC_HOOKED, (int)pid, -1);
    return r;
}

static int pass_pidfd(struct creation *m, struct wharf_error *e)
{
    return m->start->pidfd_socket < 0
               ? 0
               : process_pass_fd(m->start->pidfd_socket, m->c->init.pidfd, "pidfd", "the pidfd", e);
}

static int make(struct creation *m, bool wait, struct wharf_error *e)
{
    struct talk talk = { .c = m->c,
                         .process = &m->c->init,
                         .spec = m->spec,
                         .what = m->spec->process,
                         .start = m->start,
                         .hooks = run_outside_hooks,
                         .user = m };
    int r;

    if ((r = prepare(m, wait, e)) < 0 || (r = make_child(m, e)) < 0 || (r = serve_child(m, e)) < 0)
        return r;
    talk.sync = m->sync;
    if ((r = talk_listen(&talk, false, e)) < 0 || (r = pass_pidfd(m, e)) < 0)
        return r;
    r = sync_send(m->sync, SYNC_START, (int)m->c->init.pid, -1);
    if (r < 0)
        return talk_ended_early(e);
    if (wait)
        return 0;
    r = talk_listen(&talk, true, e);
    return r < 0 ? r : hooks_run(&m->poststart, &m->plan.state, "running", m->c->init.pid, e);
}

static void release(struct creation *m)
{
    launch_done(m->plan.launch);
    rootfs_done(m->plan.rootfs);
    cgroup_close_entries(&m->plan.entries);
    namespaces_done(&m->plan.namespaces);
    fd_close(m->sync);
    fd_close(m->child_sync);
    fd_close(m->listener);
    fd_close(m->rdt);
    arena_free(m->arena);
}

/* Undoes what make has done. What a hook did can only be undone by a hook, so once there was a
 * process that may have asked for hooks, those of the end run too. */
static void unmake(struct creation *m)
{
    bool hooked = m->c->init.pid > 0;

    if (container_destroy(m->c, NULL) == 0 && hooked)
        hooks_run_all(&m->poststop, &m->plan.state, "stopped", container_hook_failed,
                      &m->c->settings);
}

int creation_end(struct creation *m, int r, struct container **ret)
{
    if (r == 0)
        *ret = take_ptr(&m->c);
    else if (m->made)
        unmake(m);
    container_close(m->c);
    release(m);
    return r;
}

static int create(struct container_engine *engine, const char *id,
                  const struct container_spec *spec, const struct container_start_options *options,
                  bool wait, struct container **ret, struct wharf_error *e)
{
    struct container_start_options start = CONTAINER_START_OPTIONS;
    struct creation m = {
        .spec = spec, .start = &start, .sync = -1, .child_sync = -1, .listener = -1, .rdt = -1
    };
    int r;

    if (options)
        memcpy(&start, options, MIN(options->size, sizeof(start)));
    r = spec_check(spec, e);
    if (r < 0)
        return r;
    m.arena = arena_new(SPEC_ARENA_MAX);
    r = m.arena ? creation_claim(&m, engine, id, e) : err_nomem(e);
    if (r == 0)
        r = make(&m, wait, e);
    return creation_end(&m, r, ret);
}

EXPORT int container_create(struct container_engine *engine, const char *id,
                            const struct container_spec *spec,
                            const struct container_start_options *options,
                            struct container **ret_container, struct wharf_error *e)
{
    return create(engine, id, spec, options, true, ret_container, e);
}

EXPORT int container_run(struct container_engine *engine, const char *id,
                         const struct container_spec *spec,
                         const struct container_start_options *options,
                         struct container **ret_container, struct wharf_error *e)
{
    return create(engine, id, spec, options, false, ret_container, e);
}
