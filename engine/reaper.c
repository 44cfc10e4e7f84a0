/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/reaper.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct reaper {
    pthread_t thread;
    int epoll, stop; /* stop: an eventfd, the only one that is no pidfd */
};

static void *reap(void *user)
{
    struct reaper *r = user;
    struct epoll_event event;

    for (;;) {
        if (epoll_wait(r->epoll, &event, 1, -1) < 1)
            continue;
        if (event.data.fd == r->stop)
            return NULL;
        siginfo_t end;
        waitid((idtype_t)P_PIDFD, (id_t)event.data.fd, &end, WEXITED | WNOHANG);
        /* closing alone would not take it out while a child that is being made has a copy */
        epoll_ctl(r->epoll, EPOLL_CTL_DEL, event.data.fd, NULL);
        close(event.data.fd);
    }
}

static int watch(struct reaper *r, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int reaper_open(struct reaper **ret, struct wharf_error *e)
{
    struct reaper *r = calloc(1, sizeof(*r));

    if (!r)
        return err_nomem(e);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = r->epoll < 0 || r->stop < 0 ? -errno : watch(r, r->stop);
    if (code == 0)
        code = -pthread_create(&r->thread, NULL, reap, r);
    if (code < 0) {
        fd_close(r->epoll);
        fd_close(r->stop);
        free(r);
        return err_code(e, code, "cannot watch the shims");
    }
    *ret = r;
    return 0;
}

void reaper_close(struct reaper *r)
{
    if (!r)
        return;
    eventfd_write(r->stop, 1);
    pthread_join(r->thread, NULL);
    close(r->epoll);
    close(r->stop);
    free(r);
}

void reaper_add(struct reaper *r, pid_t pid)
{
    int fd = r ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd >= 0 && watch(r, fd) < 0)
        close(fd);
}
