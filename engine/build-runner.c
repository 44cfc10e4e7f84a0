/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a build step. See build-runner.h.
 *
 * A step with mounts runs on a thread that first gets a mount namespace of its own, where detached
 * mounts and secrets find paths below the step's directory; libcontainer takes them from there as
 * it takes any path, and nothing of it is seen on the host or outlives the thread. The trap: what
 * was opened in the namespace before can be neither bound nor be part of an overlay in the new one.
 * So each source is copied, detached, before the thread leaves, and the thread ends with the step.
 */
#include "engine/build-runner.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/build-place.h"
#include "engine/join.h"

enum { LOOK_EVERY_MS = 100, OUTPUT_CHUNK = 32 << 10, MOUNTS_MAX = 64 };

struct step {
    struct build_user *builder;
    const struct build_command *c;
    struct arena *arena;
    struct build_place place;
    const char *netns; /* path; NULL: as NetworkMode says */
    struct settings settings;
    struct user user;
    struct oci_mount mounts[MOUNTS_MAX];
    int trees[MOUNTS_MAX]; /* detached copies; -1: none */
};

/* ---- mounts ---------------------------------------------------------------------------------- */

static int make_place(struct step *s, size_t i, bool directory, struct wharf_error *e)
{
    char name[32];
    int fd;

    snprintf(name, sizeof(name), "m%zu", i);
    s->mounts[i].source = arena_format(s->arena, "%s/%s", s->place.path, name);
    if (!s->mounts[i].source)
        return err_nomem(e);
    if (directory)
        return mkdirat(s->place.dir, name, 0700) < 0
                   ? err_sys(e, "cannot make '%s/%s'", s->place.path, name)
                   : 0;
    fd = openat(s->place.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "cannot make '%s/%s'", s->place.path, name);
    fd_close(fd);
    return 0;
}

/* Before the thread has its own namespace. */
static int copy_trees(struct step *s, struct wharf_error *e)
{
    for (size_t i = 0; i < s->c->mount_count; i++) {
        const struct build_mount *m = &s->c->mounts[i];

        if (m->kind != BUILD_MOUNT_BIND)
            continue;
        s->trees[i] = (int)syscall(SYS_open_tree, m->tree, "",
                                   AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        /* a detached mount can be copied from Linux 6.15 on; before, it is used itself */
        if (s->trees[i] < 0 && errno == EINVAL)
            s->trees[i] = fcntl(m->tree, F_DUPFD_CLOEXEC, 3);
        if (s->trees[i] < 0)
            return err_sys(e, "cannot mount over '%s'", m->target);
    }
    return 0;
}

static int place_tree(struct step *s, size_t i, struct wharf_error *e)
{
    struct stat st;
    int r = fstat(s->trees[i], &st) < 0 ? err_sys(e, "cannot look at a mount")
                                        : make_place(s, i, S_ISDIR(st.st_mode), e);

    if (r < 0)
        return r;
    if (syscall(SYS_move_mount, s->trees[i], "", AT_FDCWD, s->mounts[i].source,
                MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, "cannot mount over '%s'", s->c->mounts[i].target);
    return 0;
}

/* A file in memory, seen by this thread's namespace only. */
static int place_secret(struct step *s, size_t i, struct wharf_error *e)
{
    const struct build_mount *m = &s->c->mounts[i];
    char *path = arena_format(s->arena, "%s/m%zu/file", s->place.path, i);
    int r = path ? make_place(s, i, true, e) : err_nomem(e);

    if (r < 0)
        return r;
    if (mount("tmpfs", s->mounts[i].source, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=1m") < 0)
        return err_sys(e, "cannot keep a secret in memory");
    s->mounts[i].source = path;
    autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : fd_write_all(fd, m->data, m->len);
    if (r == 0 && (fchown(fd, m->uid, m->gid) < 0 || fchmod(fd, m->mode) < 0))
        r = -errno;
    return r < 0 ? err_code(e, r, "cannot keep a secret in memory") : 0;
}

static int place_mount(struct step *s, size_t i, struct wharf_error *e)
{
    const struct build_mount *m = &s->c->mounts[i];
    struct oci_mount *out = &s->mounts[i];

    *out = (struct oci_mount){ .target = m->target, .type = "bind" };
    out->options = m->read_only ? "rbind,rprivate,ro" : "rbind,rprivate";
    switch (m->kind) {
    case BUILD_MOUNT_BIND:
        return place_tree(s, i, e);
    case BUILD_MOUNT_SECRET:
        return place_secret(s, i, e);
    case BUILD_MOUNT_SOCKET:
        out->source = m->path;
        return 0;
    default:
        out->type = out->source = "tmpfs";
        out->options = m->bytes
                           ? arena_format(s->arena, "nosuid,nodev,size=%lld", (long long)m->bytes)
                           : "nosuid,nodev";
        return out->options ? 0 : err_nomem(e);
    }
}

static int place_mounts(struct step *s, struct wharf_error *e)
{
    int r = 0;

    if (s->c->mount_count == 0)
        return 0;
    if (s->c->mount_count > MOUNTS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d mounts", MOUNTS_MAX);
    r = copy_trees(s, e);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(e, "cannot make a mount namespace for a build step");
    for (size_t i = 0; i < s->c->mount_count && r == 0; i++)
        r = place_mount(s, i, e);
    return r;
}

/* ---- the specification ----------------------------------------------------------------------- */

static field_strings strings_of(const char *const *list)
{
    return (field_strings){ (char **)(uintptr_t)list, list ? strv_count(list) : 0 };
}

static int fill_settings(struct step *s, struct wharf_error *e)
{
    static char none[] = "none", host[] = "host";
    const struct build_command *c = s->c;
    struct engine *en = s->builder->engine;
    const char *text = arena_format(s->arena, "{\"HostConfig\":%s}", c->host ? c->host : "{}");
    int r = text ? settings_read(text, strlen(text), s->arena, &s->settings, e) : err_nomem(e);

    if (r == 0)
        r = settings_check_limits(s->settings.host, e);
    if (r < 0)
        return r;
    if (c->network != BUILD_NETWORK_DEFAULT)
        s->settings.host->network_mode = c->network == BUILD_NETWORK_NONE ? none : host;
    r = join_resolve(en, s->builder->who, s->settings.host, s->arena, e);
    if (r < 0)
        return r;
    s->settings.host->privileged = c->insecure != 0;
    s->settings.host->extra_hosts = strings_of(c->extra_hosts);
    s->settings.env = strings_of(c->env);
    s->settings.entrypoint = strings_of(c->argv);
    s->settings.working_dir = arena_str(s->arena, c->working_dir);
    s->settings.hostname =
        c->hostname ? arena_str(s->arena, c->hostname) : arena_strn(s->arena, c->id, 12);
    if (!s->settings.working_dir || !s->settings.hostname)
        return err_nomem(e);
    return user_resolve(c->root, c->user, NULL, 0, &s->user, e);
}

static int make_spec(struct step *s, struct container_spec **ret, struct wharf_error *e)
{
    struct oci_input input = {
        .id = s->c->id,
        .hostname = s->settings.hostname,
        .etc = s->place.path,
        .settings = &s->settings,
        .user = &s->user,
        .mounts = { s->mounts, s->c->mount_count },
    };
    autobuf struct buf text = BUF(OCI_TEXT_MAX);
    int r = join_open(s->builder->engine, &s->settings, s->c->id, s->arena, &input, e);

    if (s->netns)
        input.joined.network = s->netns;
    if (r == 0)
        r = oci_config(&input, s->arena, &text, e);
    return r < 0 ? r : container_spec_parse(ret, text.data, text.len, e);
}

/* ---- output and end -------------------------------------------------------------------------- */

/* One read. 1: there may be more; 0: nothing now; -1: the end. */
static int pass_output(struct step *s, int fd, int stream, bool *ret_stop)
{
    char chunk[OUTPUT_CHUNK];
    ssize_t n = read(fd, chunk, sizeof(chunk));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0)
        return -1;
    if (s->c->output(stream, chunk, (size_t)n, s->c->arg) != 0)
        *ret_stop = true;
    return 1;
}

/* Until the command has ended and what it wrote is read; a descendant that holds a pipe open is not
 * waited for: it dies with the container. */
static void follow(struct step *s, struct container_process *process, int out[2])
{
    struct keeper *keeper = s->place.keeper;
    struct pollfd p[4] = { { container_process_pidfd(process), POLLIN, 0 },
                           { out[0], POLLIN, 0 },
                           { out[1], POLLIN, 0 },
                           { keeper ? keeper_fd(keeper) : -1, POLLIN, 0 } };
    bool stop = false, ended = false;

    while (!ended) {
        if (poll(p, ARRAY_SIZE(p), LOOK_EVERY_MS) < 0 && errno != EINTR)
            break;
        if (p[3].revents)
            keeper_run(keeper);
        ended = p[0].revents != 0;
        for (int i = 1; i < 3; i++) {
            int more = 1;

            while (p[i].fd >= 0 && more > 0 && (p[i].revents || ended) && !stop)
                more = pass_output(s, p[i].fd, i, &stop);
            if (more < 0)
                p[i].fd = -1;
        }
        if (!ended && (stop || s->c->cancelled(s->c->arg)))
            container_process_kill(process, SIGKILL, NULL);
    }
}

static int wait_for(struct step *s, struct container *container, int out[2], int *ret_status,
                    struct wharf_error *e)
{
    struct container_process *process = container_init(container);
    int status = 0, r;

    follow(s, process, out);
    r = container_process_wait(process, &status, -1, e);
    if (r < 0)
        return r;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

static int run_container(struct step *s, struct container_engine *engine, int *ret_status,
                         struct wharf_error *e)
{
    struct container_start_options options = CONTAINER_START_OPTIONS;
    struct container_spec *spec = NULL;
    struct container *container = NULL;
    int ends[2][2] = { { -1, -1 }, { -1, -1 } }, out[2];
    autoclose int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int r = make_spec(s, &spec, e);

    for (int i = 0; i < 2 && r == 0; i++) {
        if (null < 0 || pipe2(ends[i], O_CLOEXEC) < 0 || fcntl(ends[i][0], F_SETFL, O_NONBLOCK) < 0)
            r = err_sys(e, "cannot make the pipes of a build step");
    }
    if (r == 0) {
        options.flags = CONTAINER_DIE_WITH_CALLER;
        options.root_fd = s->c->root;
        options.stdio[0] = null;
        options.stdio[1] = ends[0][1];
        options.stdio[2] = ends[1][1];
        r = container_run(engine, s->c->id, spec, &options, &container, e);
    }
    container_spec_free(spec);
    fd_close(ends[0][1]);
    fd_close(ends[1][1]);
    out[0] = ends[0][0];
    out[1] = ends[1][0];
    if (r == 0) {
        r = wait_for(s, container, out, ret_status, e);
        container_delete(container, 1, NULL);
        container_close(container);
    }
    fd_close(out[0]);
    fd_close(out[1]);
    return r;
}

/* ---- one step -------------------------------------------------------------------------------- */

static int run_step(struct step *s, int *ret_status, struct wharf_error *e)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_engine *engine = NULL;
    struct engine *en = s->builder->engine;
    char *state = arena_format(s->arena, "%s/%s", en->run, STATE_DIR);
    int r = build_place_open(en, s->c->id, s->arena, &s->place, e);

    if (r == 0)
        r = fill_settings(s, e);
    if (r == 0)
        r = etc_write(s->place.dir, &s->settings, s->c->id, e);
    if (r == 0)
        r = build_place_connect(&s->place, &s->settings, s->builder->who.uid, s->arena, &s->netns,
                                e);
    if (r == 0)
        r = place_mounts(s, e);
    options.root = state;
    if (r == 0)
        r = state ? container_engine_open(&engine, &options, e) : err_nomem(e);
    if (r == 0)
        r = run_container(s, engine, ret_status, e);
    container_engine_close(engine);
    return r;
}

static void step_done(struct step *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->trees); i++)
        fd_close(s->trees[i]);
    for (size_t i = 0; s->place.dir >= 0 && i < s->c->mount_count && i < MOUNTS_MAX; i++) {
        autofree char *place = str_format("%s/m%zu", s->place.path, i);

        if (place)
            umount2(place, MNT_DETACH);
    }
    build_place_close(&s->place);
    arena_free(s->arena);
    free(s);
}

static int run_here(struct build_user *builder, const struct build_command *command,
                    int *ret_status, struct wharf_error *e)
{
    struct step *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return err_nomem(e);
    s->builder = builder;
    s->c = command;
    s->place.dir = s->place.sandbox.netns = s->place.sandbox.ports = -1;
    for (size_t i = 0; i < ARRAY_SIZE(s->trees); i++)
        s->trees[i] = -1;
    s->arena = arena_new(SETTINGS_ARENA_MAX);
    r = s->arena ? run_step(s, ret_status, e) : err_nomem(e);
    step_done(s);
    return r;
}

struct call {
    struct build_user *builder;
    const struct build_command *command;
    int status, result;
    struct wharf_error *e;
};

static void *run_there(void *arg)
{
    struct call *c = arg;

    c->result = run_here(c->builder, c->command, &c->status, c->e);
    return NULL;
}

/* A step with mounts on a thread that ends with it. */
static int run(void *self, const struct build_command *command, int *ret_status,
               struct wharf_error *e)
{
    struct call c = { .builder = self, .command = command, .e = e };
    pthread_t thread;

    if (command->mount_count == 0)
        return run_here(self, command, ret_status, e);
    if (pthread_create(&thread, NULL, run_there, &c) != 0)
        return err_nomem(e);
    pthread_join(thread, NULL);
    if (c.result == 0)
        *ret_status = c.status;
    return c.result;
}

void engine_build_runner(struct build_user *user, struct build_runner *ret)
{
    build_places_sweep(user->engine);
    *ret = (struct build_runner){ .self = user, .run = run };
}
