/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes in containers, held by pidfd: a signal or a wait never meets another process that got
 * the same pid. Only the program that made a process can reap it and learn its status; others see
 * that it has ended.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "libcontainer/handle.h"
#include "libcontainer/system.h"

struct container_process *process_new(pid_t pid, int pidfd)
{
    struct container_process *p = calloc(1, sizeof(*p));

    if (p)
        *p = (struct container_process){ .pid = pid, .pidfd = pidfd, .console = -1 };
    return p;
}

void process_release(struct container_process *p)
{
    p->pidfd = fd_close(p->pidfd);
    p->console = fd_close(p->console);
}

EXPORT void container_process_close(struct container_process *p)
{
    if (p) {
        process_release(p);
        free(p);
    }
}

EXPORT pid_t container_process_pid(const struct container_process *p)
{
    return p->pid;
}

EXPORT int container_process_pidfd(const struct container_process *p)
{
    return p->pidfd;
}

EXPORT int container_process_take_console(struct container_process *p)
{
    return take_fd(&p->console);
}

static int status_of(const siginfo_t *end)
{
    if (end->si_code == CLD_EXITED)
        return W_EXITCODE(end->si_status, 0);
    return W_EXITCODE(0, end->si_status) | (end->si_code == CLD_DUMPED ? WCOREFLAG : 0);
}

EXPORT int container_process_wait(struct container_process *p, int *ret_status, int timeout_ms,
                                  struct wharf_error *e)
{
    siginfo_t end;
    int r;

    if (p->ended) {
        *ret_status = p->status;
        return 0;
    }
    if (p->pidfd < 0)
        return err_set(e, -ECHILD, WHARF_ERROR_CONFLICT,
                       "process %d has ended; its status is known to its parent alone",
                       (int)p->pid);
    /* where there is no limit, a blocking waitid in the parent needs no poll before it */
    r = timeout_ms < 0 ? 1 : system_wait_readable(p->pidfd, timeout_ms);
    if (r < 0)
        return err_code(e, r, "cannot wait for process %d", (int)p->pid);
    if (r == 0)
        return err_set(e, -ETIMEDOUT, WHARF_ERROR_TIMEOUT, "process %d still runs", (int)p->pid);
    r = system_wait_child(p->pidfd, &end);
    if (r == -ECHILD) {
        system_wait_readable(p->pidfd, -1);
        return err_set(e, r, WHARF_ERROR_CONFLICT,
                       "process %d has ended; its status is known to its parent alone",
                       (int)p->pid);
    }
    if (r < 0)
        return err_code(e, r, "cannot wait for process %d", (int)p->pid);
    p->ended = true;
    p->status = status_of(&end);
    *ret_status = p->status;
    return 0;
}

EXPORT int container_process_kill(struct container_process *p, int signal, struct wharf_error *e)
{
    int r = p->pidfd < 0 || p->ended ? -ESRCH : system_pidfd_signal(p->pidfd, signal);

    if (r == -ESRCH)
        return err_set(e, r, WHARF_ERROR_CONFLICT, "process %d is not running", (int)p->pid);
    return r < 0 ? err_code(e, r, "cannot send signal %d to process %d", signal, (int)p->pid) : 0;
}

int process_pass_fd(int socket, int fd, const char *name, const char *what, struct wharf_error *e)
{
    struct iovec data = { (void *)(uintptr_t)name, strlen(name) };
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        return err_sys(e, "cannot pass %s to its socket", what);
    return 0;
}
