/* SPDX-License-Identifier: Apache-2.0 */
/* Processes by raw system calls. See system.h. */
#include "libcontainer/system.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

pid_t system_clone(uint64_t flags, int cgroup, int *ret_pidfd)
{
    int pidfd = -1;
    struct clone_args args = {
        .flags = flags | CLONE_CLEAR_SIGHAND | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid < 0)
        return -errno;
    if (pid > 0 && (flags & CLONE_PIDFD))
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}

void system_reset_signals(void)
{
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int system_wait_readable(int fd, int timeout_ms)
{
    struct pollfd p = { fd, POLLIN, 0 };
    int64_t end = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
    int left = timeout_ms;

    for (;;) {
        int n = poll(&p, 1, left);

        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
        if (timeout_ms > 0) {
            int64_t rest = end - now_ms();

            left = rest > 0 ? (int)rest : 0;
        }
    }
}

int system_wait_child(int pidfd, siginfo_t *ret)
{
    siginfo_t end = { 0 };

    while (waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED | __WALL) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    *ret = end;
    return 0;
}

int system_pidfd_open(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : (int)fd;
}

int system_pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
