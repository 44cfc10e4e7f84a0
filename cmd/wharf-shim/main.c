/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Birth and loop of a shim. It lives as long as its container, as anybody is connected before that
 * runs, and as output is still being delivered after its end.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"

int source_watch(struct shim *shim, struct source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };
    int op = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (source->fd < 0 || source->events == events)
        return 0;
    if (epoll_ctl(shim->epoll, op, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

void source_close(struct shim *shim, struct source *source)
{
    source_watch(shim, source, 0);
    source->fd = fd_close(source->fd);
    source->events = 0;
}

/* ---- time ------------------------------------------------------------------------------------ */

int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t epoch_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void timer_stop(struct shim *shim, struct timer *timer)
{
    for (struct timer **at = &shim->timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->at_ms = 0;
}

void timer_set(struct shim *shim, struct timer *timer, int64_t ms)
{
    if (timer->at_ms == 0) {
        timer->next = shim->timers;
        shim->timers = timer;
    }
    timer->at_ms = monotonic_ms() + ms;
}

/* Until the next timer; -1: there is none. */
static int timers_wait(const struct shim *shim)
{
    int64_t first = INT64_MAX;

    if (!shim->timers)
        return -1;
    for (const struct timer *t = shim->timers; t; t = t->next)
        first = MIN(first, t->at_ms);
    return (int)MIN(MAX(first - monotonic_ms(), (int64_t)0), (int64_t)INT32_MAX);
}

static void timers_fire(struct shim *shim)
{
    int64_t now = shim->timers ? monotonic_ms() : 0;
    bool again = shim->timers != NULL;

    while (again) { /* one that fires may set and stop others */
        again = false;
        for (struct timer *t = shim->timers; t && !again; t = t->next) {
            if (t->at_ms <= now) {
                timer_stop(shim, t);
                t->fire(shim, t);
                again = true;
            }
        }
    }
}

/* ---- birth ----------------------------------------------------------------------------------- */

static bool peer_is_ours(int socket)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_ready(struct shim *shim, struct source *source, uint32_t events)
{
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0 && (!peer_is_ours(fd) || connection_add(shim, fd) < 0))
        fd_close(fd);
}

static void on_signal(int signal)
{
}

/* A handler, not SIG_IGN: what is ignored stays ignored in the container's program (execve(2)). */
static void survive_signals(void)
{
    static const int signals[] = { SIGPIPE, SIGHUP, SIGINT };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, NULL);
}

static int shim_open(struct shim *shim)
{
    for (int fd = SHIM_FD_CONTROL; fd < SHIM_FD_END; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    network_reserve();
    shim->names.fd = shim->ports = -1;
    survive_signals();
    shim->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (shim->epoll < 0)
        return -errno;
    shim->listen = (struct source){ .fd = SHIM_FD_LISTEN, .ready = accept_ready };
    int r = source_watch(shim, &shim->listen, EPOLLIN);
    return r < 0 ? r : connection_add(shim, SHIM_FD_CONTROL);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool has_work(const struct shim *shim)
{
    if (shim->done || shim->quit)
        return shim->clients != NULL && !shim->quit;
    return shim->started || shim->connections || shim->clients;
}

static void shim_loop(struct shim *shim)
{
    struct epoll_event events[16];

    while (has_work(shim)) {
        int count = epoll_wait(shim->epoll, events, ARRAY_SIZE(events), timers_wait(shim));

        for (int i = 0; i < count && !shim->quit; i++) {
            struct source *source = events[i].data.ptr;

            /* closed by an earlier event of this round: what it belongs to lives until the sweep */
            if (source->fd >= 0)
                source->ready(shim, source, events[i].events);
        }
        timers_fire(shim);
        connection_sweep(shim); /* which may close clients */
        client_sweep(shim);
        process_sweep(shim);
    }
}

int main(int argc, char **argv)
{
    static struct shim shim; /* its buffers take memory when they are first used */

    if (argc != 2 || fcntl(SHIM_FD_CONTROL, F_GETFD) < 0 || fcntl(SHIM_FD_DIR, F_GETFD) < 0) {
        fprintf(stderr, "wharf-shim: started by wharf to hold a container, not by hand\n");
        return 2;
    }
    shim.id = argv[1];
    int r = shim_open(&shim);
    if (r < 0) {
        struct wharf_error e = { 0 };

        err_code(&e, r, "the shim cannot begin");
        shim_send_failure(SHIM_FD_CONTROL, &e);
        return 1;
    }
    shim_loop(&shim);
    if (!shim.done) {
        char endpoint[sizeof(SHIMS_DIR) + ID_LENGTH + 2];

        snprintf(endpoint, sizeof(endpoint), SHIMS_DIR "/%.64s", shim.id);
        unlinkat(SHIM_FD_RUN, endpoint, 0);
    }
    client_free_all(&shim);
    connection_free_all(&shim);
    return 0;
}
