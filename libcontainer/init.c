/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHILD SIDE, between clone and exec: the container's first process makes itself at home.
 *
 * It is a clone of a program that may have threads: system calls on the plan only. Each step
 * returns 0 or a complete error, which goes to the parent over the socket; a parent that has died
 * is noticed at the next word with it, and ends this process. The order is what matters here:
 *
 *   - not dumpable before anything of the container can see this process (CVE-2016-9962);
 *   - cgroup before cgroup namespace, both before the mounts that show them;
 *   - hooks, console, pivot_root; from there on no descriptor leads outside;
 *   - READY only when nothing but the program's own start can fail, so that `create` tells all.
 */
#include "libcontainer/init.h"

#include <fcntl.h>
#include <sched.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "libcontainer/system.h"

void init_die(int sync, const struct wharf_error *e)
{
    sync_send_error(sync, e);
    _exit(1);
}

/* The parent is gone or talks nonsense: nobody is left to be told. */
static void need_word(int sync, enum sync_type type)
{
    if (sync_expect(sync, type) < 0)
        _exit(1);
}

static int64_t need_answer(int sync, enum sync_type type)
{
    struct sync_message m;
    int fd;

    if (sync_receive(sync, &m, &fd) != 1 || m.type != type)
        _exit(1);
    fd_close(fd);
    return m.code;
}

int init_set_oom_score(const struct spec_process *process, bool rootless, struct wharf_error *e)
{
    autoclose int fd = -1;
    struct statfs fs;
    char text[24];
    int n;

    if (!process || !process->oom_score_adj.set)
        return 0;
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return err_sys(e, "process.oomScoreAdj: cannot open /proc/self/oom_score_adj");
    n = snprintf(text, sizeof(text), "%lld", (long long)process->oom_score_adj.value);
    /* lowering it is a privilege; a rootless runtime does without, as runc does */
    if (write(fd, text, (size_t)n) < 0 && !(rootless && errno == EACCES))
        return err_sys(e, "process.oomScoreAdj: cannot set %s", text);
    return 0;
}

/* Everything that makes the namespaces ours. */
static int enter_namespaces(struct init_plan *p, struct wharf_error *e)
{
    const struct namespaces *n = &p->namespaces;
    int r = init_set_oom_score(p->spec->process, p->rootless, e);

    if (r < 0)
        return r;
    if (n->made & CLONE_NEWUSER) {
        need_word(p->sync, SYNC_MAPPED);
        if ((r = namespaces_become_root(e)) < 0)
            return r;
    }
    /* after the maps: the files that take them belong to root once we are not dumpable */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(e, "cannot make the process not dumpable");
    if ((r = namespaces_join(n, e)) < 0)
        return r;
    if ((r = cgroup_enter(&p->entries, e)) < 0)
        return r;
    if (p->wait_attached)
        need_word(p->sync, SYNC_ATTACHED);
    if ((r = namespaces_make_cgroup(n, e)) < 0 || (r = namespaces_make_time(n, e)) < 0)
        return r;
    return n->made & CLONE_NEWNET ? namespaces_raise_loopback(e) : 0;
}

/* A session keyring that the container does not share with its maker. What a kernel or a filter
 * around us refuses is left out, as runc does: keys are then those of the user. */
static int join_keyring(const struct init_plan *p, struct wharf_error *e)
{
    if (!p->keyring)
        return 0;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, p->keyring_name, 0, 0, 0) < 0 &&
        errno != ENOSYS && errno != EPERM && errno != EDQUOT)
        return err_sys(e, "cannot make a session keyring (see the option no-new-keyring)");
    return 0;
}

static int set_names(const struct container_spec *spec, struct wharf_error *e)
{
    const char *host = spec->hostname, *domain = spec->domainname;

    if (host && *host && sethostname(host, strlen(host)) < 0)
        return err_sys(e, "hostname: cannot set '%s'", host);
    if (domain && *domain && setdomainname(domain, strlen(domain)) < 0)
        return err_sys(e, "domainname: cannot set '%s'", domain);
    return 0;
}

static int run_create_hooks(struct init_plan *p, struct wharf_error *e)
{
    int64_t pid;

    if (!p->hooks_outside && p->create_container.count == 0)
        return 0;
    if (sync_send(p->sync, SYNC_HOOKS, 0, -1) < 0)
        _exit(1);
    pid = need_answer(p->sync, SYNC_HOOKED);
    return hooks_run(&p->create_container, &p->state, "creating", (pid_t)pid, e);
}

static int make_console(struct init_plan *p, int *ret_slave, struct wharf_error *e)
{
    autoclose int master = -1;
    int r;

    if (!p->launch || !p->launch->process->terminal)
        return 0;
    r = rootfs_console(p->rootfs, &master, ret_slave, e);
    if (r < 0)
        return r;
    r = sync_send(p->sync, SYNC_CONSOLE, 0, master);
    return r < 0 ? err_code(e, r, "cannot hand over the terminal") : 0;
}

static int build_root(struct init_plan *p, int *ret_terminal, struct wharf_error *e)
{
    int r = 0;

    if (p->rootfs && (r = rootfs_build(p->rootfs, e)) < 0)
        return r;
    if ((r = run_create_hooks(p, e)) < 0)
        return r;
    if (!p->rootfs)
        return 0;
    if ((r = make_console(p, ret_terminal, e)) < 0 || (r = rootfs_pivot(p->rootfs, e)) < 0 ||
        (p->launch && (r = rootfs_make_dir(p->rootfs, p->launch->process->cwd, e)) < 0) ||
        (r = rootfs_finish(p->rootfs, e)) < 0)
        return r;
    if (p->launch && p->launch->label) {
        p->launch->proc = rootfs_proc(p->rootfs, e);
        return p->launch->proc < 0 ? p->launch->proc : 0;
    }
    return 0;
}

/* Only the first that connects is answered; who comes later finds the socket closed. It has to say
 * START before anything happens: one that dies before leaves a container that ends. */
static void wait_for_start(struct init_plan *p)
{
    int peer;

    do
        peer = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    while (peer < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (peer < 0 || dup3(peer, p->sync, O_CLOEXEC) < 0)
        _exit(1);
    close(peer);
    p->listener = fd_close(p->listener);
    if (sync_send(p->sync, SYNC_STARTING, 0, -1) < 0)
        _exit(1);
}

static int set_up(struct init_plan *p, struct wharf_error *e)
{
    int terminal = -1, r;

    system_reset_signals();
    if ((r = enter_namespaces(p, e)) < 0 || (r = join_keyring(p, e)) < 0 ||
        (r = set_names(p->spec, e)) < 0 || (r = build_root(p, &terminal, e)) < 0)
        return r;
    if (!p->launch)
        return 0;
    if ((r = launch_enter(p->launch, terminal, e)) < 0)
        return r;
    return launch_isolate(p->launch, &p->sync, &p->listener, e);
}

void init_main(struct init_plan *p)
{
    struct wharf_error e = { 0 };
    int64_t pid;

    if (set_up(p, &e) < 0)
        init_die(p->sync, &e);
    if (sync_send(p->sync, SYNC_READY, 0, -1) < 0)
        _exit(1);
    pid = need_answer(p->sync, SYNC_START);
    if (p->listener >= 0) {
        wait_for_start(p);
        need_word(p->sync, SYNC_START);
    }
    if (!p->launch)
        err_invalid(&e, "process: missing in config.json, nothing can be started");
    else if (hooks_run(&p->start_container, &p->state, "created", (pid_t)pid, &e) == 0)
        launch_exec(p->launch, p->sync, &e);
    init_die(p->sync, &e);
}
