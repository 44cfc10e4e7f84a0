/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door's one thread: accepts, waits for the first byte of each connection, and runs MHD. A
 * connection goes to MHD only when there is something to read, because MHD keeps CONNECTION_MEMORY
 * for each: ten thousand that say nothing cost a few MB.
 */
#include "door/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "door/accept.h"

struct listener {
    struct watch watch;
    struct listener *next;
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

static void loop_wake(struct docker_server *s)
{
    uint64_t one = 1;

    if (write(s->wake.fd, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake as can be */
}

/* MHD's own inter-thread signal comes only with MHD's own thread. */
void loop_resume(struct docker_server *s, struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
    loop_wake(s);
}

/* ---- connections ------------------------------------------------------------------------------ */

static void drop(struct docker_server *s, struct client *c)
{
    client_move(&s->clients, c, CLIENT_SERVED);
    fd_close(c->watch.fd);
    free(c);
}

/* The client is MHD's from here on (on_connection, http.c), also when it refuses. */
static void give_to_mhd(struct docker_server *s, struct client *c)
{
    struct sockaddr address = { .sa_family = AF_UNIX };

    client_move(&s->clients, c, CLIENT_HEAD);
    s->incoming = c;
    MHD_add_connection(s->mhd, c->watch.fd, &address, sizeof address);
    if (s->incoming) { /* refused, and closed */
        s->incoming->watch.fd = -1;
        drop(s, take_ptr(&s->incoming));
    }
}

static void on_first_byte(struct docker_server *s, struct watch *w, uint32_t events)
{
    struct client *c = (struct client *)w;

    loop_forget(s, w);
    if (*c->peer.connection || peer_of_socket(w->fd, &c->peer) == 0)
        give_to_mhd(s, c);
    else
        drop(s, c);
}

static void add_client(struct docker_server *s, struct client *c)
{
    c->watch.ready = on_first_byte;
    client_move(&s->clients, c, CLIENT_SILENT);
    if (loop_watch(s, &c->watch, EPOLLIN | EPOLLRDHUP) < 0)
        drop(s, c);
}

static void on_connection(struct docker_server *s, struct watch *w, uint32_t events)
{
    int fd = accept_connection(w->fd, &s->spare);
    struct client *c = fd >= 0 ? client_new(fd, NULL) : NULL;

    if (c)
        add_client(s, c);
    else
        fd_close(fd);
}

/* In the relay's thread. */
static void on_tls_connection(void *user, int fd, const struct peer *peer)
{
    struct client *c = client_new(fd, peer);
    struct docker_server *s = user;

    if (!c) {
        fd_close(fd);
        return;
    }
    pthread_mutex_lock(&s->lock);
    c->entry.tqe_next = s->arrived;
    s->arrived = c;
    pthread_mutex_unlock(&s->lock);
    loop_wake(s);
}

static void add_arrived(struct docker_server *s)
{
    struct client *c, *all;

    pthread_mutex_lock(&s->lock);
    all = take_ptr(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    while ((c = all)) {
        all = c->entry.tqe_next;
        add_client(s, c);
    }
}

static void on_wake(struct docker_server *s, struct watch *w, uint32_t events)
{
    uint64_t count;

    if (read(w->fd, &count, sizeof count) > 0)
        add_arrived(s);
}

/* MHD finds that those it knows have hung up. */
static void end_due(struct docker_server *s, int64_t now_ms)
{
    struct client *c;

    while ((c = clients_next_due(&s->clients, now_ms))) {
        if (c->known_to_mhd)
            shutdown(c->watch.fd, SHUT_RDWR);
        else
            drop(s, c);
    }
}

/* ---- the thread ------------------------------------------------------------------------------- */

static int next_timeout(struct docker_server *s)
{
    int timeout = clients_timeout(&s->clients, clock_ms());
    MHD_UNSIGNED_LONG_LONG ms = 0;

    if (MHD_get_timeout(s->mhd, &ms) != MHD_YES)
        return timeout;
    return (int)MIN(ms, timeout < 0 ? 60000u : (unsigned)timeout);
}

static void *loop(void *arg)
{
    struct docker_server *s = arg;
    struct epoll_event events[32];
    bool running = true;

    while (running) {
        int n = epoll_wait(s->epoll, events, ARRAY_SIZE(events), next_timeout(s));

        for (int i = 0; i < n; i++) {
            struct watch *w = events[i].data.ptr;

            if (w == &s->stop)
                running = false;
            else if (w != &s->http)
                w->ready(s, w, events[i].events);
        }
        end_due(s, clock_ms());
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
    clients_init(&s->clients);
    s->spare = accept_spare();
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

static int listen_tls(struct docker_server *s, int fd, struct tls_context *tls,
                      struct wharf_error *e)
{
    int r = s->tls ? 0 : tls_relay_new(&s->tls, on_tls_connection, s, e);

    if (r == 0)
        return tls_relay_listen(s->tls, fd, tls, e);
    fd_close(fd);
    return r;
}

int docker_server_listen(struct docker_server *s, int fd, struct tls_context *tls,
                         struct wharf_error *e)
{
    struct listener *l;
    int r = -ENOMEM;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (tls)
        return listen_tls(s, fd, tls, e);
    l = calloc(1, sizeof *l);
    if (l) {
        *l = (struct listener){ { on_connection, fd }, s->listeners };
        r = loop_watch(s, &l->watch, EPOLLIN);
    }
    if (r < 0) {
        free(l);
        fd_close(fd);
        return err_code(e, r, "cannot accept connections");
    }
    s->listeners = l;
    return 0;
}

int docker_server_start(struct docker_server *s, struct wharf_error *e)
{
    int r = s->tls ? tls_relay_start(s->tls, e) : 0;

    if (r < 0)
        return r;
    r = start_thread(s);
    return r < 0 ? err_code(e, r, "cannot start a thread") : 0;
}

static void close_listeners(struct docker_server *s)
{
    struct listener *l;
    struct client *c;

    while ((l = s->listeners)) {
        s->listeners = l->next;
        fd_close(l->watch.fd);
        free(l);
    }
    while ((c = TAILQ_FIRST(&s->clients.queues[CLIENT_SILENT].list)))
        drop(s, c);
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

static void stop_thread(struct docker_server *s)
{
    uint64_t one = 1;

    if (s->started && write(s->stop.fd, &one, sizeof one) == sizeof one)
        pthread_join(s->thread, NULL);
    s->started = false;
}

void docker_server_free(struct docker_server *s)
{
    if (!s)
        return;
    tls_relay_close(s->tls);
    stop_thread(s);
    close_listeners(s);
    hang_up(s);
    if (workers_end(s->workers, DOCKER_SERVER_STOP_S * 1000) < 0)
        return;               /* its memory is theirs still */
    workers_free(s->workers); /* all are answered now, so MHD has nothing suspended */
    if (s->mhd) {
        MHD_run(s->mhd);
        MHD_stop_daemon(s->mhd);
    }
    tls_relay_free(s->tls);
    add_arrived(s);
    close_listeners(s);
    fd_close(s->epoll);
    fd_close(s->stop.fd);
    fd_close(s->wake.fd);
    fd_close(s->spare);
    service_unref(s->service);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
