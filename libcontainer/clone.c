/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone3 for containers. See clone.h.
 *
 * A pid namespace is joined by the calling thread, for its children only (setns(2)), and set back
 * right after the clone: no process in between, and other threads do not notice. That takes
 * CAP_SYS_ADMIN over it; if the user namespace that gives it must be joined first, a middle process
 * does both, since the caller may not change its own user namespace.
 */
#include "libcontainer/clone.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "libcontainer/sync.h"
#include "libcontainer/system.h"

static int explain(int code, struct wharf_error *e)
{
    if (code == -ENOSPC || code == -EUSERS)
        return err_set(e, code, WHARF_ERROR_LIMIT,
                       "cannot make the namespaces: a limit below /proc/sys/user is reached");
    if (code == -EBUSY)
        return err_set(e, code, WHARF_ERROR_CONFLICT,
                       "cannot enter the cgroup: it has controllers enabled for groups below it");
    return err_code(e, code, "cannot make the container's process");
}

static int clone_here(const struct clone_request *q, pid_t *ret_pid, int *ret_pidfd,
                      struct wharf_error *e)
{
    int join = namespaces_join_fd(q->namespaces, CLONE_NEWPID);
    autoclose int own = -1;
    pid_t pid;

    if (join >= 0) {
        own = open("/proc/thread-self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
        if (own < 0 || setns(join, CLONE_NEWPID) < 0)
            return err_sys(e, "cannot join the pid namespace");
    }
    pid = system_clone(q->namespaces->made | CLONE_PIDFD, q->cgroup, ret_pidfd);
    if (pid == 0) {
        close(q->sync); /* the parent's side: its end must be seen here when it dies */
        q->run(q->user);
    }
    if (join >= 0 && setns(own, CLONE_NEWPID) < 0 && pid > 0) {
        system_pidfd_signal(*ret_pidfd, SIGKILL);
        *ret_pid = pid;
        return err_sys(e, "cannot return to the own pid namespace");
    }
    if (pid < 0)
        return explain(pid, e);
    *ret_pid = pid;
    return 0;
}

/* CHILD SIDE: joins the user namespace, becomes its root, joins the pid namespace, and makes the
 * container's process a sibling of itself. */
static void __attribute__((noreturn)) middle(const struct clone_request *q)
{
    const struct namespaces *n = q->namespaces;
    int user = namespaces_join_fd(n, CLONE_NEWUSER), pids = namespaces_join_fd(n, CLONE_NEWPID);
    struct wharf_error e = { 0 };
    int unused = -1;
    pid_t pid;

    close(q->sync);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (setns(user, CLONE_NEWUSER) < 0)
        err_sys(&e, "cannot join the user namespace");
    else if (namespaces_become_root(&e) == 0 && pids >= 0 && setns(pids, CLONE_NEWPID) < 0)
        err_sys(&e, "cannot join the pid namespace");
    if (e.code == 0) {
        pid = system_clone(n->made | CLONE_PARENT, -1, &unused);
        if (pid == 0)
            q->run(q->user);
        if (pid > 0)
            sync_send(q->child_sync, SYNC_PID, pid, -1);
        else
            explain(pid, &e);
    }
    if (e.code != 0)
        sync_send_error(q->child_sync, &e);
    _exit(0);
}

static int clone_by_middle(const struct clone_request *q, pid_t *ret_pid, int *ret_pidfd,
                           struct wharf_error *e)
{
    autoclose int middle_fd = -1;
    struct sync_message said;
    siginfo_t end;
    int fd, r;
    pid_t pid = system_clone(CLONE_PIDFD, -1, &middle_fd);

    if (pid == 0)
        middle(q);
    if (pid < 0)
        return explain(pid, e);
    system_wait_child(middle_fd, &end); /* it says one thing and ends */
    r = system_wait_readable(q->sync, 0);
    if (r == 1)
        r = sync_receive(q->sync, &said, &fd);
    if (r == 1 && said.type == SYNC_ERROR && e)
        *e = said.error;
    if (r == 1 && said.type == SYNC_ERROR)
        return said.code;
    if (r != 1 || said.type != SYNC_PID)
        return err_set(e, -ECHILD, WHARF_ERROR_INTERNAL, "the joining process ended early");
    /* our own child, unreaped: the pid cannot be another's yet */
    *ret_pidfd = system_pidfd_open(said.code);
    if (*ret_pidfd < 0)
        return err_code(e, *ret_pidfd, "cannot open the container's process");
    *ret_pid = said.code;
    return 0;
}

bool clone_may_enter(const struct namespaces *n)
{
    return namespaces_join_fd(n, CLONE_NEWUSER) < 0;
}

int clone_child(const struct clone_request *q, pid_t *ret_pid, int *ret_pidfd,
                struct wharf_error *e)
{
    if (!clone_may_enter(q->namespaces))
        return clone_by_middle(q, ret_pid, ret_pidfd, e);
    return clone_here(q, ret_pid, ret_pidfd, e);
}
