/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_sandbox_run: one call, one command, nothing left behind.
 *
 * Three processes. The CALLER prepares everything, clones the KEEPER into its namespaces, writes
 * its id maps, and waits for it or for the wall clock. The keeper builds the root, gives up every
 * right, and starts the COMMAND as its child: a first process of a pid namespace ignores signals
 * that it does not handle, an ordinary command must not. When the command ends the keeper tells its
 * status and exits, and the kernel kills whatever is left in the namespace. If the caller dies, the
 * keeper is killed (PR_SET_PDEATHSIG), and with it all the rest.
 *
 * Between clone3 and exec only raw system calls on prepared data are made.
 */
#include "container.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/cgroup.h"
#include "libcontainer/credentials.h"
#include "libcontainer/handle.h"
#include "libcontainer/sandbox-policy.h"

static const char *const default_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", NULL
};

/* From the caller: go, and what has no cgroup to limit it. */
struct go {
    bool limit_memory, limit_pids;
};

/* From the keeper or the command: the end, or why there is none. */
struct report {
    int code, status;
    struct wharf_error error;
};

/* ---- keeper and command ---- */

static void report_and_exit(int sock, int code, int status, const struct wharf_error *e)
{
    struct report report = { .code = code, .status = status };

    if (e)
        report.error = *e;
    if (write(sock, &report, sizeof(report)) < 0)
        _exit(125);
    _exit(0);
}

static int set_limit(int resource, uint64_t value, struct wharf_error *e)
{
    const struct rlimit limit = { value, value };

    return setrlimit(resource, &limit) < 0 ? err_sys(e, "cannot set a limit of the sandbox") : 0;
}

static int set_limits(const struct container_policy *p, const struct go *go, struct wharf_error *e)
{
    const struct {
        bool set;
        int resource;
        uint64_t value;
    } limits[] = {
        { true, RLIMIT_CORE, 0 },
        { p->cpu_ms > 0, RLIMIT_CPU, (p->cpu_ms + 999) / 1000 },
        { p->file_size > 0, RLIMIT_FSIZE, p->file_size },
        { go->limit_memory, RLIMIT_AS, p->memory },
        { go->limit_pids, RLIMIT_NPROC, p->pids },
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        int r = limits[i].set ? set_limit(limits[i].resource, limits[i].value, e) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

/* Standard descriptors as the policy has them; `sock` becomes 3, all others are closed. */
static int set_descriptors(const struct container_policy *p, int *sock, struct wharf_error *e)
{
    int high[3];

    /* first out of the way of 0, 1, 2, for one may stand where another goes */
    for (int i = 0; i < 3; i++) {
        high[i] = fcntl(p->stdio[i] < 0 ? i : p->stdio[i], F_DUPFD_CLOEXEC, 10);
        if (high[i] < 0 && p->stdio[i] >= 0)
            return err_sys(e, "cannot take over descriptor %d", p->stdio[i]);
    }
    *sock = fcntl(*sock, F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 3; i++) {
        if (high[i] >= 0 ? dup2(high[i], i) < 0 : close(i) < 0 && errno != EBADF)
            return err_sys(e, "cannot take over descriptor %d", i);
    }
    if (*sock < 0 || dup3(*sock, 3, O_CLOEXEC) < 0)
        return err_sys(e, "cannot move the sandbox's socket");
    *sock = 3;
    return syscall(SYS_close_range, 4, ~0u, 0) < 0 ? err_sys(e, "cannot close descriptors") : 0;
}

static int build(const struct sandbox *s, struct wharf_error *e)
{
    int r = rootfs_build(s->rootfs, e);

    if (r == 0)
        r = rootfs_pivot(s->rootfs, e);
    return r < 0 ? r : rootfs_finish(s->rootfs, e);
}

/* No way back from here: the order is that of credentials.h, Landlock, seccomp. */
static int give_up_rights(const struct sandbox *s, struct wharf_error *e)
{
    const struct spec_capabilities none = { 0 };
    uint64_t missed;
    int listener, r;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(e, "cannot set no_new_privs");
    r = capabilities_drop_bounding(&none, e);
    if (r == 0)
        r = capabilities_apply(&none, &missed, e);
    if (r == 0)
        r = landlock_enforce(s->landlock, e);
    if (r < 0 || !s->seccomp.code)
        return r;
    r = seccomp_load_program(&s->seccomp, &listener);
    return r < 0 ? err_code(e, r, "cannot load the seccomp filter") : 0;
}

static int exec_error(const char *name, int code, struct wharf_error *e)
{
    bool missing = code == -ENOENT || code == -ENOTDIR;

    return err_set(e, code, missing ? WHARF_ERROR_NO_COMMAND : WHARF_ERROR_NOT_RUNNABLE,
                   "cannot run '%s' in the sandbox: %s%s", name, strerrordesc_np(-code),
                   missing ? "; are it and its libraries among the policy's paths?" : "");
}

/* execvp(3) without its allocations, and with the PATH of the new environment. */
static int run_command(const char *const argv[], const char *const env[], struct wharf_error *e)
{
    const char *path = NULL;
    int code = -ENOENT;

    if (strchr(argv[0], '/')) {
        execve(argv[0], (char *const *)argv, (char *const *)env);
        return exec_error(argv[0], -errno, e);
    }
    for (const char *const *v = env; *v && !path; v++)
        path = str_after(*v, "PATH=");
    for (path = path ? path : "/usr/bin:/bin"; *path;) {
        size_t n = strcspn(path, ":");
        char file[PATH_MAX];

        if (snprintf(file, sizeof(file), "%.*s/%s", (int)n, path, argv[0]) < PATH_MAX) {
            execve(file, (char *const *)argv, (char *const *)env);
            /* EACCES: Landlock or a missing x; another directory may hold it */
            if (errno != ENOENT && errno != ENOTDIR)
                code = -errno;
        }
        path += n + (path[n] == ':');
    }
    return exec_error(argv[0], code, e);
}

static void wait_for_command(int sock, pid_t command)
{
    int status;
    pid_t pid;

    for (;;) {
        pid = waitpid(-1, &status, __WALL);
        if (pid == command)
            report_and_exit(sock, 0, status, NULL);
        if (pid < 0 && errno != EINTR)
            _exit(125);
    }
}

static int enter(const struct sandbox *s, int *sock, struct wharf_error *e)
{
    const struct container_policy *p = s->policy;
    struct go go;
    int r;

    /* the id maps are there when this comes; an end of file means that the caller gave up */
    if (fd_read_exact(*sock, &go, sizeof(go)) < 0)
        _exit(125);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setsid();
    r = build(s, e);
    if (r == 0)
        r = set_descriptors(p, sock, e);
    if (r == 0 && chdir(p->cwd ? p->cwd : "/") < 0)
        r = err_sys(e, "cannot enter '%s' in the sandbox", p->cwd);
    if (r == 0)
        r = set_limits(p, &go, e);
    if (r == 0)
        r = give_up_rights(s, e);
    /* a change of rights clears it: prctl(2) */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return r;
}

static void keep(const struct sandbox *s, const char *const argv[], int sock)
{
    const char *const *env = s->policy->env ? s->policy->env : default_env;
    struct wharf_error e = { 0 };
    int r = enter(s, &sock, &e);
    pid_t command;

    if (r < 0)
        report_and_exit(sock, r, 0, &e);
    command = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (command < 0)
        report_and_exit(sock, err_sys(&e, "cannot start the command"), 0, &e);
    if (command == 0)
        report_and_exit(sock, run_command(argv, env, &e), 0, &e);
    wait_for_command(sock, command);
}

/* ---- caller ---- */

static int write_maps(pid_t pid, struct wharf_error *e)
{
    /* the same ids inside: files of the given paths keep their owner */
    const struct {
        const char *file;
        unsigned id;
    } maps[] = { { "uid_map", geteuid() }, { "gid_map", getegid() } };
    char path[64], text[64];
    int r;

    snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
    r = file_write(AT_FDCWD, path, "deny");
    for (size_t i = 0; i < ARRAY_SIZE(maps) && r == 0; i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, maps[i].file);
        snprintf(text, sizeof(text), "%u %u 1", maps[i].id, maps[i].id);
        r = file_write(AT_FDCWD, path, text);
    }
    return r < 0 ? err_code(e, r, "cannot write '%s'", path) : 0;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A group for memory and pids. Where none can be made rlimits take its place: *ret is NULL then. */
static int make_cgroup(const struct container_policy *p, pid_t pid, struct cgroup **ret)
{
    struct spec_memory memory = { .limit = { p->memory > 0, (int64_t)p->memory } };
    struct spec_pids pids = { .limit = { p->pids > 0, (int64_t)p->pids } };
    struct spec_resources resources = { .memory = p->memory ? &memory : NULL,
                                        .pids = p->pids ? &pids : NULL };
    char name[64], path[80];
    struct cgroup_options options = { .driver = CONTAINER_CGROUPS_FILES,
                                      .path = path,
                                      .id = name,
                                      .resources = &resources,
                                      .owner_uid = UINT32_MAX };
    int r;

    if (!p->memory && !p->pids)
        return 0;
    snprintf(name, sizeof(name), "sandbox-%d-%lld", pid, (long long)now_ms());
    snprintf(path, sizeof(path), "/wharf-%s", name);
    r = cgroup_create(ret, &options, NULL);
    if (r == 0)
        r = cgroup_attach(*ret, pid, false, NULL);
    return r < 0 ? r : cgroup_apply(*ret, &resources, true, NULL);
}

static void end_cgroup(struct cgroup *cg)
{
    if (cg)
        cgroup_remove(cg, true, NULL);
    cgroup_close(cg);
}

/* Waits for the keeper's report, wall_ms at most. */
static int wait_for_report(int sock, uint64_t wall_ms, int *ret_status, struct wharf_error *e)
{
    int64_t end = wall_ms > INT_MAX || !wall_ms ? INT64_MAX : now_ms() + (int64_t)wall_ms;
    struct pollfd wait = { .fd = sock, .events = POLLIN };
    struct report report;
    int r;

    do {
        int64_t left = end == INT64_MAX ? -1 : MAX(end - now_ms(), 0);

        r = poll(&wait, 1, (int)left);
    } while (r < 0 && errno == EINTR);
    if (r == 0)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "the command ran longer than %llu ms",
                       (unsigned long long)wall_ms);
    if (r < 0 || read(sock, &report, sizeof(report)) != (ssize_t)sizeof(report))
        return err_set(e, -ECHILD, WHARF_ERROR_INTERNAL,
                       "the sandbox was killed from outside, or for want of memory");
    if (report.code < 0) {
        if (e)
            *e = report.error;
        return report.code;
    }
    *ret_status = report.status;
    return 0;
}

static void kill_and_reap(int pidfd)
{
    siginfo_t info;

    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
        ;
}

/* From the keeper's birth to its end. `sock`: our side; kept alone here. */
static int supervise(const struct container_policy *p, pid_t pid, int sock, int *ret_status,
                     struct wharf_error *e)
{
    struct cgroup *cg = NULL;
    bool limited = make_cgroup(p, pid, &cg) == 0;
    const struct go go = { .limit_memory = !limited && p->memory,
                           .limit_pids = !limited && p->pids };
    int r = write_maps(pid, e);

    if (r == 0 && write(sock, &go, sizeof(go)) != (ssize_t)sizeof(go))
        r = err_sys(e, "cannot start the sandbox");
    if (r == 0)
        r = wait_for_report(sock, p->wall_ms, ret_status, e);
    end_cgroup(cg);
    return r;
}

static int run(const struct sandbox *s, const char *const argv[], int *ret_status,
               struct wharf_error *e)
{
    autoclose int ours = -1, theirs = -1, pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                 CLONE_NEWUTS | CLONE_NEWCGROUP | (s->network ? 0 : CLONE_NEWNET),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
    };
    int pair[2], r;
    long pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket pair");
    ours = pair[0];
    theirs = pair[1];
    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return err_sys(e, "cannot make the sandbox's namespaces (are user namespaces allowed?)");
    if (pid == 0) {
        fd_close(ours);
        keep(s, argv, theirs);
    }
    theirs = fd_close(theirs);
    r = supervise(s->policy, (pid_t)pid, ours, ret_status, e);
    kill_and_reap(pidfd);
    return r;
}

EXPORT int container_sandbox_run(const struct container_policy *policy, const char *const argv[],
                                 int *ret_status, struct wharf_error *error)
{
    struct sandbox s = { 0 };
    int r;

    if (!policy || policy->size != sizeof(*policy))
        return err_invalid(error, "the policy's size is not that of struct container_policy");
    if (!argv || !argv[0] || !*argv[0])
        return err_invalid(error, "no command to run in the sandbox");
    r = sandbox_prepare(policy, &s, error);
    if (r < 0)
        return r;
    r = run(&s, argv, ret_status, error);
    sandbox_done(&s);
    return r;
}
