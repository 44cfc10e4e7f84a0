/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door's one thread: accepts, waits for the first byte of each connection, and runs MHD. A
 * connection goes to MHD only when there is something to read, because MHD keeps CONNECTION_MEMORY
 * for each: ten thousand that say nothing cost some hundred KB.
 */
#include "door/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "base/fd.h"

struct listener {
    struct watch watch;
    struct listener *next;
    struct tls_context *tls;
};

struct fresh { /* no byte has come */
    struct watch watch;
    struct fresh *next, **link;
};

int loop_watch(struct docker_server *s, struct watch *w, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = w };

    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, w->fd, &event) < 0 ? -errno : 0;
}

void loop_forget(struct docker_server *s, struct watch *w)
{
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, w->fd, NULL);
}

/* MHD's own inter-thread signal comes only with MHD's own thread. */
void loop_resume(struct docker_server *s, struct MHD_Connection *connection)
{
    uint64_t one = 1;

    MHD_resume_connection(connection);
    if (write(s->wake.fd, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake as can be */
}

static void on_wake(struct docker_server *s, struct watch *w, uint32_t events)
{
    uint64_t count;

    if (read(w->fd, &count, sizeof count) < 0)
        return;
}

/* ---- connections ------------------------------------------------------------------------------ */

static void fresh_free(struct docker_server *s, struct fresh *f)
{
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    s->fresh_count--;
    free(f);
}

/* The descriptor is MHD's from here on, also when it refuses. */
static void give_to_mhd(struct docker_server *s, int fd, struct peer *peer)
{
    struct sockaddr address = { .sa_family = AF_UNIX };

    s->incoming = peer;
    MHD_add_connection(s->mhd, fd, &address, sizeof address);
    free(take_ptr(&s->incoming));
}

static void on_first_byte(struct docker_server *s, struct watch *w, uint32_t events)
{
    struct fresh *f = (struct fresh *)w;
    struct peer *peer;
    int fd = f->watch.fd;

    loop_forget(s, w);
    fresh_free(s, f);
    if (peer_of_socket(fd, &peer) == 0)
        give_to_mhd(s, fd, peer);
    else
        fd_close(fd);
}

static void add_fresh(struct docker_server *s, int fd)
{
    struct fresh *f = s->fresh_count < DOCKER_SERVER_CONNECTIONS_MAX ? calloc(1, sizeof *f) : NULL;

    if (!f) {
        fd_close(fd);
        return;
    }
    f->watch = (struct watch){ .ready = on_first_byte, .fd = fd };
    f->next = s->fresh;
    f->link = &s->fresh;
    if (f->next)
        f->next->link = &f->next;
    s->fresh = f;
    s->fresh_count++;
    if (loop_watch(s, &f->watch, EPOLLIN | EPOLLRDHUP) < 0) {
        fd_close(fd);
        fresh_free(s, f);
    }
}

/* No descriptor is left: one that is kept for this takes the connection and hangs up, because a
 * listener that stays readable would keep the loop busy. */
static void turn_away(struct docker_server *s, int listener)
{
    s->spare = fd_close(s->spare);
    fd_close(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(struct docker_server *s, struct watch *w, uint32_t events)
{
    struct listener *l = (struct listener *)w;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        turn_away(s, w->fd);
    if (fd < 0)
        return;
    if (l->tls)
        fd_close(fd);
    else
        add_fresh(s, fd);
}

/* ---- the thread ------------------------------------------------------------------------------- */

static void *loop(void *arg)
{
    struct docker_server *s = arg;
    struct epoll_event events[32];
    bool running = true;

    while (running) {
        MHD_UNSIGNED_LONG_LONG ms = 0;
        int timeout = MHD_get_timeout(s->mhd, &ms) == MHD_YES ? (int)MIN(ms, 60000) : -1;
        int n = epoll_wait(s->epoll, events, ARRAY_SIZE(events), timeout);

        for (int i = 0; i < n; i++) {
            struct watch *w = events[i].data.ptr;

            if (w == &s->stop)
                running = false;
            else if (w != &s->http)
                w->ready(s, w, events[i].events);
        }
        /* last: it may free what the events above belong to */
        MHD_run(s->mhd);
    }
    return NULL;
}

static int start_thread(struct docker_server *s)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* its threads are the program's no more than it */
    r = pthread_create(&s->thread, NULL, loop, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->started = r == 0;
    return -r;
}

/* ---- the server ------------------------------------------------------------------------------- */

int docker_server_new(struct docker_server **ret, struct service *service, struct wharf_error *e)
{
    auto_of(docker_server_free) struct docker_server *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return err_nomem(e);
    s->service = service_ref(service);
    pthread_mutex_init(&s->lock, NULL);
    s->http.fd = -1;
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->stop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->wake = (struct watch){ on_wake, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (s->epoll < 0 || s->stop.fd < 0 || s->wake.fd < 0 || loop_watch(s, &s->stop, EPOLLIN) < 0 ||
        loop_watch(s, &s->wake, EPOLLIN) < 0)
        return err_sys(e, "cannot make an event loop");
    r = workers_new(&s->workers, e);
    if (r == 0)
        r = http_start(s, e);
    if (r == 0)
        r = loop_watch(s, &s->http, EPOLLIN);
    if (r < 0)
        return r;
    *ret = take_ptr(&s);
    return 0;
}

int docker_server_listen(struct docker_server *s, int fd, struct tls_context *tls,
                         struct wharf_error *e)
{
    struct listener *l = calloc(1, sizeof *l);
    int r = -ENOMEM;

    if (l) {
        *l = (struct listener){ { on_connection, fd }, s->listeners, tls };
        r = loop_watch(s, &l->watch, EPOLLIN);
    }
    if (r < 0) {
        free(l);
        fd_close(fd);
        return err_code(e, r, "cannot accept connections");
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    s->listeners = l;
    return 0;
}

int docker_server_start(struct docker_server *s, struct wharf_error *e)
{
    int r = start_thread(s);

    return r < 0 ? err_code(e, r, "cannot start a thread") : 0;
}

static void close_listeners(struct docker_server *s)
{
    struct listener *l;

    while ((l = s->listeners)) {
        s->listeners = l->next;
        fd_close(l->watch.fd);
        free(l);
    }
    while (s->fresh) {
        fd_close(s->fresh->watch.fd);
        fresh_free(s, s->fresh);
    }
}

/* Everything that waits for a client, or writes to one, finds that the client has gone. */
static void hang_up(struct docker_server *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct exchange *x = s->running; x; x = x->next)
        if (x->fd >= 0)
            shutdown(x->fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
}

void docker_server_free(struct docker_server *s)
{
    uint64_t one = 1;

    if (!s)
        return;
    if (s->stop.fd >= 0 && write(s->stop.fd, &one, sizeof one) < 0)
        return; /* cannot be: nobody writes but us */
    if (s->started)
        pthread_join(s->thread, NULL);
    close_listeners(s);
    hang_up(s);
    workers_free(s->workers); /* all are answered now, so MHD has nothing suspended */
    if (s->mhd) {
        MHD_run(s->mhd);
        MHD_stop_daemon(s->mhd);
    }
    fd_close(s->epoll);
    fd_close(s->stop.fd);
    fd_close(s->wake.fd);
    fd_close(s->spare);
    service_unref(s->service);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
