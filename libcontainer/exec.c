/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more process in a running container.
 *
 * The configuration is the one saved at create (never the bundle's again), the namespaces are those
 * of the first process by its pidfd, all in one setns(2). The child is not dumpable before it joins
 * them: from then on processes in the container see it (CVE-2016-9962). From "inside" on it goes
 * the way of the first process (launch.h), stub included.
 */
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "libcontainer/clone.h"
#include "libcontainer/handle.h"
#include "libcontainer/init.h"
#include "libcontainer/mount.h"
#include "libcontainer/system.h"
#include "libcontainer/talk.h"

struct exec_plan { /* what the child reads */
    struct launch *launch;
    const struct spec_process *process;
    int sync, pidfd;
    uint64_t join;                 /* CLONE_NEW* that the child joins itself */
    struct cgroup_entries entries; /* the cgroup's: the child moves itself; or empty */
    bool wait_attached, rootless, keyring;
    const char *keyring_name;
};

struct execution {
    struct container *c;
    const struct container_start_options *start;
    const struct container_spec *spec;
    struct arena *arena;
    struct exec_plan plan;
    struct namespaces namespaces;
    bool enters;           /* the child moves itself into the cgroup */
    struct cgroup *cgroup; /* where it goes; NULL: none */
    struct container_process *process;
    int sync, child_sync;
};

/* ---- CHILD SIDE: system calls only ---- */

static int enter(struct exec_plan *p, struct wharf_error *e)
{
    int r = init_set_oom_score(p->process, p->rootless, e);

    if (r < 0)
        return r;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(e, "cannot make the process not dumpable");
    if (p->wait_attached && sync_expect(p->sync, SYNC_ATTACHED) < 0)
        _exit(1);
    if ((r = cgroup_enter(&p->entries, e)) < 0)
        return r;
    if (p->join && setns(p->pidfd, (int)p->join) < 0)
        return err_sys(e, "cannot join the container's namespaces");
    if (p->join & CLONE_NEWUSER && (r = namespaces_become_root(e)) < 0)
        return r;
    if (p->keyring)
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, p->keyring_name, 0, 0, 0);
    return 0;
}

static int open_terminal(struct exec_plan *p, int *ret_slave, struct wharf_error *e)
{
    autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), master = -1;
    int r;

    if (!p->process->terminal)
        return 0;
    r = console_new(root, &master, ret_slave, e);
    if (r < 0)
        return r;
    r = sync_send(p->sync, SYNC_CONSOLE, 0, master);
    return r < 0 ? err_code(e, r, "cannot hand over the terminal") : 0;
}

static int set_up(struct exec_plan *p, struct wharf_error *e)
{
    int terminal = -1, no_listener = -1, r;

    system_reset_signals();
    if ((r = enter(p, e)) < 0 || (r = open_terminal(p, &terminal, e)) < 0)
        return r;
    if (p->launch->label) {
        p->launch->proc = mount_detached("proc", NULL, NULL, 0, 0);
        if (p->launch->proc < 0)
            return err_code(e, p->launch->proc, "cannot make a procfs for the label");
    }
    if ((r = launch_enter(p->launch, terminal, e)) < 0)
        return r;
    return launch_isolate(p->launch, &p->sync, &no_listener, e);
}

static void run_exec(void *user)
{
    struct exec_plan *p = user;
    struct wharf_error e = { 0 };

    if (set_up(p, &e) < 0)
        init_die(p->sync, &e);
    if (sync_send(p->sync, SYNC_READY, 0, -1) < 0 || sync_expect(p->sync, SYNC_START) < 0)
        _exit(1);
    launch_exec(p->launch, p->sync, &e);
    init_die(p->sync, &e);
}

/* ---- parent ---- */

static int check_status(struct container *c, unsigned flags, struct wharf_error *e)
{
    enum container_status status;
    int r = container_status(c, &status, NULL, e);

    if (r < 0)
        return r;
    if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT,
                       "cannot exec in a stopped container: container not running: '%s'", c->id);
    if (status == CONTAINER_PAUSED && !(flags & CONTAINER_IGNORE_PAUSED))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cannot exec in a paused container: '%s' (resume it, or ask to ignore that)",
                       c->id);
    return 0;
}

/* The pid namespace is joined by the cloning thread; the user namespace by a middle process where
 * we need its capabilities for that, else with all the rest by the child. */
static void choose_namespaces(struct execution *x)
{
    uint64_t listed = x->c->state.namespaces;
    struct namespaces *n = &x->namespaces;

    if (x->c->settings.rootless && (listed & CLONE_NEWUSER)) {
        n->joins[n->join_count++] = (struct namespace_join){ CLONE_NEWUSER, x->c->init.pidfd };
        listed &= ~(uint64_t)CLONE_NEWUSER;
    }
    if (listed & CLONE_NEWPID)
        n->joins[n->join_count++] = (struct namespace_join){ CLONE_NEWPID, x->c->init.pidfd };
    x->plan.join = listed & ~(uint64_t)CLONE_NEWPID;
}

static int choose_cgroup(struct execution *x, struct wharf_error *e)
{
    struct cgroup *whole;
    int r;

    if (!x->c->state.cgroup)
        return 0;
    r = container_cgroup(x->c, &whole, e);
    return r < 0 ? r : cgroup_open_sub(whole, x->start->cgroup, &x->cgroup, e);
}

/* Where the initial processors differ from the final ones, the child must exist before it is in the
 * cgroup: execCPUAffinity.initial holds "before the transition to container's cgroup". */
static int clone_cgroup(const struct execution *x)
{
    return x->cgroup && !attributes_have_initial_affinity(x->plan.launch->attributes) &&
                   clone_may_enter(&x->namespaces)
               ? cgroup_clone_fd(x->cgroup)
               : -1;
}

static void skipped_syscall(void *user, const char *name)
{
    engine_log(user, CONTAINER_LOG_DEBUG, "linux.seccomp: unknown system call '%s' is skipped",
               name);
}

static int prepare(struct execution *x, const char *process_json, struct wharf_error *e)
{
    struct spec_process *process;
    struct launch_options o;
    int pair[2], r;

    if ((r = container_saved_spec(x->c, &x->spec, e)) < 0 ||
        (r = spec_process_parse(process_json, strlen(process_json), x->arena, &process, e)) < 0)
        return r;
    o = (struct launch_options){ x->start,        namespaces_allow_groups(x->spec),
                                 false,           skipped_syscall,
                                 &x->c->settings, x->c->root };
    if ((r = launch_prepare(process, x->spec, &o, x->arena, &x->plan.launch, e)) < 0 ||
        (r = choose_cgroup(x, e)) < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket pair");
    x->sync = pair[0];
    x->child_sync = pair[1];
    choose_namespaces(x);
    x->plan.process = process;
    x->plan.sync = pair[1];
    x->plan.pidfd = x->c->init.pidfd;
    r = x->cgroup ? cgroup_open_entries(x->cgroup, clone_cgroup(x) >= 0, &x->plan.entries, e) : 0;
    if (r < 0)
        return r;
    x->enters = r > 0;
    x->plan.wait_attached =
        attributes_have_initial_affinity(x->plan.launch->attributes) || (x->cgroup && !x->enters);
    x->plan.rootless = x->c->settings.rootless;
    x->plan.keyring = !(x->start->flags & CONTAINER_NO_KEYRING);
    x->plan.keyring_name = arena_format(x->arena, "_ses.%s", x->c->id);
    return x->plan.keyring_name ? 0 : err_nomem(e);
}

/* What is done to the child from outside happens while it waits, and so before what it does itself:
 * its final processors come after the initial ones, and after the cgroup's. */
static int place_child(struct execution *x, bool born_inside, struct wharf_error *e)
{
    pid_t pid = x->process->pid;
    int r = attributes_apply_initial_affinity(x->plan.launch->attributes, pid, e);

    if (r == 0 && x->cgroup && !x->enters)
        r = cgroup_attach(x->cgroup, pid, born_inside, e);
    if (r == 0 && x->plan.wait_attached)
        sync_send(x->sync, SYNC_ATTACHED, 0, -1);
    return r;
}

static int make_child(struct execution *x, struct wharf_error *e)
{
    struct clone_request request = { .namespaces = &x->namespaces,
                                     .cgroup = clone_cgroup(x),
                                     .sync = x->sync,
                                     .child_sync = x->child_sync,
                                     .run = run_exec,
                                     .user = &x->plan };
    int r;

    x->process = process_new(0, -1);
    if (!x->process)
        return err_nomem(e);
    r = clone_child(&request, &x->process->pid, &x->process->pidfd, e);
    x->child_sync = fd_close(x->child_sync);
    cgroup_close_entries(&x->plan.entries);
    return r < 0 ? r : place_child(x, request.cgroup >= 0, e);
}

static int execute(struct execution *x, const char *process_json, struct wharf_error *e)
{
    struct talk talk = { .c = x->c, .start = x->start };
    int r;

    if ((r = prepare(x, process_json, e)) < 0 || (r = make_child(x, e)) < 0)
        return r;
    talk.sync = x->sync;
    talk.process = x->process;
    talk.spec = x->spec;
    talk.what = x->plan.process;
    r = talk_listen(&talk, false, e);
    if (r == 0 && x->start->pidfd_socket >= 0)
        r = process_pass_fd(x->start->pidfd_socket, x->process->pidfd, "pidfd", "the pidfd", e);
    if (r < 0)
        return r;
    if (sync_send(x->sync, SYNC_START, 0, -1) < 0)
        return talk_ended_early(e);
    return talk_listen(&talk, true, e);
}

static void abandon(struct container_process *p)
{
    siginfo_t end;

    if (p && p->pidfd >= 0) {
        system_pidfd_signal(p->pidfd, SIGKILL);
        system_wait_child(p->pidfd, &end);
    }
    container_process_close(p);
}

EXPORT int container_exec(struct container *c, const char *process_json,
                          const struct container_start_options *options,
                          struct container_process **ret_process, struct wharf_error *e)
{
    struct container_start_options start = CONTAINER_START_OPTIONS;
    struct execution x = { .c = c, .start = &start, .sync = -1, .child_sync = -1 };
    int r;

    if (options)
        memcpy(&start, options, MIN(options->size, sizeof(start)));
    r = check_status(c, start.flags, e);
    if (r < 0)
        return r;
    x.arena = arena_new(SPEC_ARENA_MAX);
    r = x.arena ? execute(&x, process_json, e) : err_nomem(e);
    launch_done(x.plan.launch);
    cgroup_close_entries(&x.plan.entries);
    cgroup_close(x.cgroup);
    fd_close(x.sync);
    fd_close(x.child_sync);
    arena_free(x.arena);
    if (r < 0)
        abandon(x.process);
    else
        *ret_process = x.process;
    return r;
}
