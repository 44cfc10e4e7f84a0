/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tunnel has two sockets: the client's, with TLS on it, and ours, whose other end is given away.
 * Neither direction has a buffer: bytes are looked at, offered to the other side, and taken only as
 * far as that side took them (SSL_peek, MSG_PEEK). Both sockets are watched edge-triggered for
 * everything, and each event pumps both directions until a side blocks; what must go on without an
 * event, because its turn was over, stands in a list.
 */
#include "door/tls-relay.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "door/accept.h"
#include "door/tls.h"

#define PIECE_MAX   (16u << 10)  /* a TLS record holds no more */
#define TURN_MAX    (256u << 10) /* bytes of one direction before others have their turn */
#define SUBJECT_MAX PRINCIPAL_NAME_MAX

struct source {
    void (*ready)(struct tls_relay *r, struct source *s);
};

struct listener {
    struct source source;
    struct listener *next;
    struct tls_context *tls;
    int fd;
};

struct tunnel {
    struct source source;
    TAILQ_ENTRY(tunnel) entry;   /* of the handshakes, or of the open ones */
    struct tunnel *next_waiting; /* for its next turn, or to be freed */
    SSL *ssl;
    int client, inner;
    int64_t until_ms; /* of a handshake */
    bool open, waiting, dead;
    bool in_ended, out_ended; /* client to service, service to client */
};

struct tunnels { /* the oldest first */
    TAILQ_HEAD(, tunnel) list;
    unsigned count;
};

struct tls_relay {
    tls_relay_open *open;
    void *user;
    struct source stop;
    struct listener *listeners;
    struct tunnels handshakes, tunnels;
    struct tunnel *waiting, *dead;
    int epoll, event, spare;
    bool started;
    unsigned wish; /* set by others: enum wish */
    pthread_t thread;
    char piece[PIECE_MAX];
};

enum wish { WISH_CLOSE = 1u << 0, WISH_END = 1u << 1 };

static int watch(struct tls_relay *r, int fd, struct source *s, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = s };

    return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* ---- lists ------------------------------------------------------------------------------------ */

static void tunnel_list(struct tunnels *all, struct tunnel *t)
{
    TAILQ_INSERT_TAIL(&all->list, t, entry);
    all->count++;
}

static void tunnel_unlist(struct tunnels *all, struct tunnel *t)
{
    TAILQ_REMOVE(&all->list, t, entry);
    all->count--;
}

/* Freed only when no event of this round can mean it any more. */
static void tunnel_end(struct tls_relay *r, struct tunnel *t)
{
    if (t->dead)
        return;
    t->dead = true;
    tunnel_unlist(t->open ? &r->tunnels : &r->handshakes, t);
    t->client = fd_close(t->client);
    t->inner = fd_close(t->inner);
    if (!t->waiting) {
        t->next_waiting = r->dead;
        r->dead = t;
    } /* else when its turn comes */
}

static void tunnel_wait(struct tls_relay *r, struct tunnel *t)
{
    if (t->waiting)
        return;
    t->waiting = true;
    t->next_waiting = r->waiting;
    r->waiting = t;
}

static void free_dead(struct tls_relay *r)
{
    struct tunnel *t;

    while ((t = r->dead)) {
        r->dead = t->next_waiting;
        SSL_free(t->ssl);
        free(t);
    }
}

/* ---- copying ---------------------------------------------------------------------------------- */

/* Whether an operation that did not succeed may do so later. */
static bool is_blocked(struct tunnel *t, int result)
{
    int error = SSL_get_error(t->ssl, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* One piece from the client: its length, 0: none now. A client that breaks off is told from one
 * that ends its direction. */
static size_t copy_in(struct tls_relay *r, struct tunnel *t)
{
    ssize_t sent;
    int n;

    ERR_clear_error();
    n = SSL_peek(t->ssl, r->piece, PIECE_MAX);
    if (n <= 0 && is_blocked(t, n))
        return 0;
    if (n <= 0 && SSL_get_error(t->ssl, n) != SSL_ERROR_ZERO_RETURN) {
        tunnel_end(r, t);
        return 0;
    }
    if (n <= 0) {
        shutdown(t->inner, SHUT_WR);
        t->in_ended = true;
        return 0;
    }
    sent = send(t->inner, r->piece, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        t->in_ended = true; /* nobody reads; what is on its way to the client still goes there */
    n = sent > 0 ? SSL_read(t->ssl, r->piece, (int)sent) : 0;
    return n > 0 ? (size_t)n : 0;
}

/* The service has no more to say; has it gone, too? */
static void end_out(struct tls_relay *r, struct tunnel *t)
{
    struct pollfd p = { .fd = t->inner };
    int n;

    if (!t->out_ended) {
        n = SSL_shutdown(t->ssl);
        if (n < 0 && is_blocked(t, n))
            return;
        shutdown(t->client, SHUT_WR);
        t->out_ended = true;
    }
    if (t->in_ended || (poll(&p, 1, 0) == 1 && p.revents & POLLHUP))
        tunnel_end(r, t);
}

static size_t copy_out(struct tls_relay *r, struct tunnel *t)
{
    ssize_t n = recv(t->inner, r->piece, PIECE_MAX, MSG_PEEK | MSG_DONTWAIT);
    int written;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) { /* ECONNRESET: it closed with something unread */
        end_out(r, t);
        return 0;
    }
    ERR_clear_error();
    written = SSL_write(t->ssl, r->piece, (int)n);
    if (written <= 0) {
        if (!is_blocked(t, written))
            tunnel_end(r, t);
        return 0;
    }
    n = recv(t->inner, r->piece, (size_t)written, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* A client that ended its direction and is now gone altogether. */
static bool is_reset(const struct tunnel *t)
{
    struct pollfd p = { .fd = t->client };

    return t->in_ended && !t->out_ended && poll(&p, 1, 0) == 1 && p.revents & (POLLERR | POLLHUP);
}

static void pump(struct tls_relay *r, struct tunnel *t)
{
    size_t n = 1, total = 0;

    if (is_reset(t)) {
        tunnel_end(r, t);
        return;
    }
    while (n && total < TURN_MAX) {
        n = t->dead || t->in_ended ? 0 : copy_in(r, t);
        n += t->dead ? 0 : copy_out(r, t);
        total += n;
    }
    if (n && !t->dead)
        tunnel_wait(r, t);
}

/* ---- handshakes ------------------------------------------------------------------------------- */

/* The subject of the client's certificate, which has been verified; empty: it showed none.
 * -E2BIG. RFC 2253 escapes what is no printable character. */
static int read_subject(const SSL *ssl, char subject[SUBJECT_MAX])
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    BIO *out = cert ? BIO_new(BIO_s_mem()) : NULL;
    char *text;
    long len;
    int r = -E2BIG;

    subject[0] = '\0';
    if (!cert)
        return 0;
    if (!out)
        return -ENOMEM;
    X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    len = BIO_get_mem_data(out, &text);
    if (len > 0 && len < SUBJECT_MAX) {
        memcpy(subject, text, (size_t)len);
        subject[len] = '\0';
        r = 0;
    }
    BIO_free(out);
    return r;
}

/* The client has shown who it is. */
static int open_tunnel(struct tls_relay *r, struct tunnel *t)
{
    char subject[SUBJECT_MAX];
    struct peer peer;
    int pair[2], n = read_subject(t->ssl, subject);

    if (n == 0)
        n = peer_of_subject(t->client, *subject ? subject : NULL, &peer);
    if (n < 0)
        return n;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    tunnel_unlist(&r->handshakes, t);
    tunnel_list(&r->tunnels, t);
    t->open = true;
    t->inner = pair[0];
    r->open(r->user, pair[1], &peer);
    return watch(r, t->inner, &t->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void shake_hands(struct tls_relay *r, struct tunnel *t)
{
    int n;

    ERR_clear_error();
    n = SSL_accept(t->ssl);
    if (n == 1 ? open_tunnel(r, t) < 0 : !is_blocked(t, n))
        tunnel_end(r, t);
    else if (n == 1)
        pump(r, t);
}

static void on_tunnel(struct tls_relay *r, struct source *s)
{
    struct tunnel *t = (struct tunnel *)s;

    if (t->dead)
        return;
    if (t->open)
        pump(r, t);
    else
        shake_hands(r, t);
}

static void on_listener(struct tls_relay *r, struct source *s)
{
    struct listener *l = (struct listener *)s;
    int fd = accept_connection(l->fd, &r->spare);
    struct tunnel *t = NULL;

    if (fd < 0)
        return;
    if (r->handshakes.count == TLS_HANDSHAKES_MAX)
        tunnel_end(r, TAILQ_FIRST(&r->handshakes.list));
    if (r->tunnels.count < TLS_CONNECTIONS_MAX)
        t = calloc(1, sizeof *t);
    if (!t || !(t->ssl = tls_context_accept(l->tls, fd))) {
        free(t);
        fd_close(fd);
        return;
    }
    t->source.ready = on_tunnel;
    t->client = fd;
    t->inner = -1;
    t->until_ms = clock_ms() + TLS_HANDSHAKE_S * 1000;
    tunnel_list(&r->handshakes, t);
    if (watch(r, fd, &t->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0)
        tunnel_end(r, t);
}

/* Ends those that took too long; how long the next one has, -1: there is none. */
static int expire(struct tls_relay *r)
{
    int64_t now = clock_ms();
    struct tunnel *t;

    while ((t = TAILQ_FIRST(&r->handshakes.list)) && t->until_ms <= now)
        tunnel_end(r, t);
    return t ? (int)(t->until_ms - now) : -1;
}

/* ---- the thread ------------------------------------------------------------------------------- */

static void close_listeners(struct tls_relay *r)
{
    struct listener *l;

    while ((l = r->listeners)) {
        r->listeners = l->next;
        fd_close(l->fd);
        tls_context_free(l->tls);
        free(l);
    }
}

static void on_event(struct tls_relay *r, struct source *s)
{
    uint64_t count;

    if (read(r->event, &count, sizeof count) < 0)
        return;
}

static void take_turns(struct tls_relay *r)
{
    struct tunnel *t, *all = take_ptr(&r->waiting);

    while ((t = all)) {
        all = t->next_waiting;
        t->waiting = false;
        if (!t->dead) {
            pump(r, t);
        } else {
            t->next_waiting = r->dead;
            r->dead = t;
        }
    }
}

static void *run(void *arg)
{
    struct tls_relay *r = arg;
    struct epoll_event events[32];
    unsigned wish = 0;

    while (!(wish & WISH_END)) {
        int timeout = expire(r);
        int n;

        free_dead(r);
        n = epoll_wait(r->epoll, events, ARRAY_SIZE(events), r->waiting ? 0 : timeout);
        for (int i = 0; i < n; i++) {
            struct source *s = events[i].data.ptr;

            s->ready(r, s);
        }
        take_turns(r);
        wish = __atomic_load_n(&r->wish, __ATOMIC_ACQUIRE);
        if (wish & WISH_CLOSE)
            close_listeners(r);
    }
    return NULL;
}

static void tell(struct tls_relay *r, enum wish wish)
{
    uint64_t one = 1;

    __atomic_or_fetch(&r->wish, wish, __ATOMIC_RELEASE);
    if (write(r->event, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake */
}

int tls_relay_new(struct tls_relay **ret, tls_relay_open *open, void *user, struct wharf_error *e)
{
    struct tls_relay *r = calloc(1, sizeof *r);

    if (!r)
        return err_nomem(e);
    r->open = open;
    r->user = user;
    r->stop.ready = on_event;
    TAILQ_INIT(&r->handshakes.list);
    TAILQ_INIT(&r->tunnels.list);
    r->spare = accept_spare();
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->epoll < 0 || r->event < 0 || watch(r, r->event, &r->stop, EPOLLIN) < 0) {
        int n = err_sys(e, "cannot make an event loop");

        tls_relay_free(r);
        return n;
    }
    *ret = r;
    return 0;
}

int tls_relay_listen(struct tls_relay *r, int fd, struct tls_context *tls, struct wharf_error *e)
{
    struct listener *l = calloc(1, sizeof *l);
    int n = -ENOMEM;

    if (l) {
        *l = (struct listener){ { on_listener }, r->listeners, tls, fd };
        n = watch(r, fd, &l->source, EPOLLIN);
    }
    if (n < 0) {
        free(l);
        fd_close(fd);
        return err_code(e, n, "cannot accept connections");
    }
    tls_context_ref(tls);
    r->listeners = l;
    return 0;
}

int tls_relay_start(struct tls_relay *r, struct wharf_error *e)
{
    sigset_t all, before;
    int n;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    n = pthread_create(&r->thread, NULL, run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->started = n == 0;
    return n ? err_code(e, -n, "cannot start a thread") : 0;
}

void tls_relay_close(struct tls_relay *r)
{
    if (r)
        tell(r, WISH_CLOSE);
}

static void end_all(struct tls_relay *r, struct tunnels *all)
{
    struct tunnel *t;

    while ((t = TAILQ_FIRST(&all->list)))
        tunnel_end(r, t);
}

void tls_relay_free(struct tls_relay *r)
{
    if (!r)
        return;
    if (r->started) {
        tell(r, WISH_CLOSE | WISH_END);
        pthread_join(r->thread, NULL);
    }
    close_listeners(r);
    end_all(r, &r->handshakes);
    end_all(r, &r->tunnels);
    take_turns(r);
    free_dead(r);
    fd_close(r->epoll);
    fd_close(r->event);
    fd_close(r->spare);
    free(r);
}
