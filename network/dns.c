/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See dns.h. One inner epoll; every descriptor in it is the first member of what it belongs to.
 *
 * A forwarded question gets a socket and a random number of its own: whoever wants to slip a false
 * answer in must guess both. The answer goes back with the asker's number. Memory is taken per
 * question and given back with its answer; an idle server holds a page.
 *
 * Trap: within one round of events, an earlier one may end what a later one is about. Ended things
 * are put aside and freed after the round.
 */
#include "network/dns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include "network/dns-message.h"

#define DNS_PORT      53
#define TICK_MS       250
#define ROUND_MAX     32   /* datagrams taken in one go: the loop has other work */
#define UDP_PLAIN_MAX 512  /* RFC 1035, section 4.2.1 */
#define UDP_MAX       4096 /* questions longer than this come by TCP */

enum kind { KIND_UDP, KIND_LISTENER, KIND_TIMER, KIND_PENDING, KIND_CLIENT, KIND_SERVER };

struct watch {
    int fd;
    enum kind kind;
};

struct pending {
    struct watch watch;
    struct sockaddr_in client;
    unsigned char id[2]; /* the client's */
    int64_t deadline_ms;
    int server; /* index of the one that is being asked */
    bool ended;
    struct pending *next;
    size_t len;
    unsigned char query[]; /* under our number */
};

/* A connection: a question is read from the client, answered, or passed to a server. */
struct stream {
    struct watch client, server; /* server.fd -1: not asking */
    int64_t deadline_ms;
    int server_index;
    bool ended;
    struct buf in, out;
    size_t sent; /* of `out`, to the client or to the server */
    struct stream *next;
};

struct dns {
    int epoll;
    struct watch udp, listener, timer;
    struct names names;
    struct pending *pending;
    struct stream *streams;
    int pending_count, stream_count;
    bool ticking;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int watch(struct dns *dns, struct watch *w, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = w };

    if (epoll_ctl(dns->epoll, EPOLL_CTL_MOD, w->fd, &event) == 0)
        return 0;
    return epoll_ctl(dns->epoll, EPOLL_CTL_ADD, w->fd, &event) < 0 ? -errno : 0;
}

/* The clock runs while there is something to wait for. */
static void tick(struct dns *dns, bool on)
{
    struct itimerspec every = { .it_interval.tv_nsec = on ? TICK_MS * 1000000L : 0,
                                .it_value.tv_nsec = on ? TICK_MS * 1000000L : 0 };

    if (dns->ticking != on)
        timerfd_settime(dns->timer.fd, 0, &every, NULL);
    dns->ticking = on;
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Some order of equal addresses, another one each time, as docker does. */
static void turn(struct ipaddr *addresses, int count)
{
    unsigned char by = 0;
    struct ipaddr first;

    if (count < 2 || getrandom(&by, 1, GRND_NONBLOCK) != 1)
        return;
    for (int n = by % count; n > 0; n--) {
        first = addresses[0];
        memmove(addresses, addresses + 1, (size_t)(count - 1) * sizeof(*addresses));
        addresses[count - 1] = first;
    }
}

/* What we know ourselves. 1: `b` is the answer; 0: ask a server; -1: not worth an answer. */
static int answer(const struct dns *dns, const unsigned char *query, size_t len, size_t limit,
                  struct buf *b)
{
    struct ipaddr found[NAMES_FOUND_MAX], address;
    char name[NAME_MAX_DNS + 1];
    struct dns_question q;
    int r = dns_read_question(query, len, &q);

    if (r == -EBADMSG)
        return -1;
    if (r < 0 || q.class != DNS_CLASS_IN || !q.name[0])
        return 0;
    if (q.type == DNS_PTR && dns_reverse_name(q.name, &address) == 0 &&
        names_reverse(&dns->names, &address, name) == 0) {
        dns_write_name(query, &q, name, b);
        return 1;
    }
    if (q.type != DNS_A && q.type != DNS_AAAA)
        return 0;
    r = names_find(&dns->names, q.name, q.type == DNS_A ? AF_INET : AF_INET6, found);
    if (r < 0)
        return 0;
    turn(found, r);
    dns_write_addresses(query, &q, found, (size_t)r, limit, b);
    return 1;
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static int server_socket(const struct dns *dns, int type, int index)
{
    struct ipaddr servers[NAMES_SERVERS];
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT) };

    if (index >= names_servers(&dns->names, servers))
        return -ENOENT;
    const struct ipaddr *a = &servers[index];
    autoclose int fd = socket(a->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    memcpy(&four.sin_addr, a->bytes, 4);
    memcpy(&six.sin6_addr, a->bytes, 16);
    int r = a->family == AF_INET6 ? connect(fd, (struct sockaddr *)&six, sizeof(six))
                                  : connect(fd, (struct sockaddr *)&four, sizeof(four));
    return r < 0 && errno != EINPROGRESS ? -errno : take_fd(&fd);
}

static void reply(struct dns *dns, const struct sockaddr_in *client, const void *data, size_t len)
{
    sendto(dns->udp.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)client,
           sizeof(*client));
}

static void reply_failure(struct dns *dns, const struct sockaddr_in *client,
                          const unsigned char *query, size_t len)
{
    autobuf struct buf b = BUF(UDP_MAX);

    dns_write_failure(query, len, DNS_SERVER_FAILURE, &b);
    if (!b.error)
        reply(dns, client, b.data, b.len);
}

static void pending_end(struct dns *dns, struct pending *p)
{
    p->watch.fd = fd_close(p->watch.fd);
    p->ended = true;
}

/* Asks the next server that can be asked; when there is none, says so. */
static void pending_ask(struct dns *dns, struct pending *p)
{
    int fd;

    p->watch.fd = fd_close(p->watch.fd);
    while ((fd = server_socket(dns, SOCK_DGRAM, p->server)) != -ENOENT) {
        p->watch.fd = fd < 0 ? -1 : fd;
        if (fd >= 0 && send(fd, p->query, p->len, MSG_NOSIGNAL) == (ssize_t)p->len &&
            watch(dns, &p->watch, EPOLLIN) == 0) {
            p->deadline_ms = now_ms() + DNS_SERVER_WAIT_MS;
            return;
        }
        p->watch.fd = fd_close(p->watch.fd);
        p->server++;
    }
    memcpy(p->query, p->id, 2);
    reply_failure(dns, &p->client, p->query, p->len);
    pending_end(dns, p);
}

static void forward(struct dns *dns, const struct sockaddr_in *client, const unsigned char *query,
                    size_t len)
{
    struct pending *p = dns->pending_count < DNS_PENDING_MAX ? malloc(sizeof(*p) + len) : NULL;

    if (!p) {
        reply_failure(dns, client, query, len);
        return;
    }
    *p = (struct pending){ .watch = { -1, KIND_PENDING }, .client = *client, .len = len };
    memcpy(p->query, query, len);
    memcpy(p->id, query, 2);
    getrandom(p->query, 2, 0);
    p->next = dns->pending;
    dns->pending = p;
    dns->pending_count++;
    tick(dns, true);
    pending_ask(dns, p);
}

static void udp_ready(struct dns *dns)
{
    unsigned char query[UDP_MAX];

    for (int i = 0; i < ROUND_MAX; i++) {
        struct sockaddr_in client;
        socklen_t size = sizeof(client);
        autobuf struct buf b = BUF(UDP_MAX);
        ssize_t n = recvfrom(dns->udp.fd, query, sizeof(query), MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&client, &size);

        if (n < 0)
            return;
        if (n > (ssize_t)sizeof(query) || n < DNS_HEADER)
            continue;
        int r = answer(dns, query, (size_t)n, UDP_PLAIN_MAX, &b);
        if (r > 0 && !b.error)
            reply(dns, &client, b.data, b.len);
        else if (r == 0)
            forward(dns, &client, query, (size_t)n);
    }
}

static void pending_ready(struct dns *dns, struct pending *p)
{
    unsigned char message[DNS_MESSAGE_MAX];
    ssize_t n = recv(p->watch.fd, message, sizeof(message), MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN) { /* nobody listens there: an ICMP message said so */
        p->server++;
        pending_ask(dns, p);
    } else if (n >= 0 && dns_is_answer(message, (size_t)n, p->query, p->len)) {
        memcpy(message, p->id, 2);
        reply(dns, &p->client, message, (size_t)n);
        pending_end(dns, p);
    }
}

/* ---- connections ----------------------------------------------------------------------------- */

static void stream_end(struct stream *s)
{
    s->client.fd = fd_close(s->client.fd);
    s->server.fd = fd_close(s->server.fd);
    s->ended = true;
}

/* Whether `b` holds a whole message behind its two bytes of length; that length. */
static bool whole(const struct buf *b, size_t *ret)
{
    if (b->len < 2)
        return false;
    *ret = (size_t)((unsigned char)b->data[0] << 8 | (unsigned char)b->data[1]);
    return b->len >= *ret + 2;
}

static void put_length(struct buf *b, size_t len)
{
    buf_char(b, (char)(len >> 8));
    buf_char(b, (char)len);
}

/* Forgets the question that was answered; what the client sent behind it stays. */
static void consume(struct buf *b, size_t n)
{
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

static void stream_ask(struct dns *dns, struct stream *s)
{
    int fd;

    s->server.fd = fd_close(s->server.fd);
    s->sent = 0;
    while ((fd = server_socket(dns, SOCK_STREAM, s->server_index)) < 0 && fd != -ENOENT)
        s->server_index++;
    s->server.fd = fd < 0 ? -1 : fd;
    if (fd < 0 || watch(dns, &s->server, EPOLLOUT) < 0)
        stream_end(s);
    else
        watch(dns, &s->client, 0); /* one question at a time */
}

/* The next question of the client, if it is all there. */
static void stream_question(struct dns *dns, struct stream *s)
{
    autobuf struct buf b = BUF(DNS_MESSAGE_MAX);
    size_t len;

    if (!whole(&s->in, &len)) {
        watch(dns, &s->client, EPOLLIN);
        return;
    }
    int r = answer(dns, (unsigned char *)s->in.data + 2, len, DNS_MESSAGE_MAX, &b);
    if (r < 0 || b.error) {
        stream_end(s);
    } else if (r == 0) {
        s->server_index = 0;
        stream_ask(dns, s);
    } else {
        put_length(&s->out, b.len);
        buf_add(&s->out, b.data, b.len);
        consume(&s->in, len + 2);
        s->sent = 0;
        watch(dns, &s->client, EPOLLOUT);
    }
}

/* Reads what there is: 1, 0 at the end, -1. */
static int stream_read(int fd, struct buf *b)
{
    unsigned char chunk[4096];
    ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return 1;
    if (n > 0)
        buf_add(b, chunk, (size_t)n);
    return n <= 0 ? (int)n : b->error ? -1 : 1;
}

/* Sends on: 1 when all of it is out, 0, -1. */
static int stream_send(int fd, const struct buf *b, size_t all, size_t *sent)
{
    ssize_t n = send(fd, b->data + *sent, all - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    *sent += (size_t)n;
    return *sent == all;
}

static void client_ready(struct dns *dns, struct stream *s)
{
    s->deadline_ms = now_ms() + DNS_STREAM_WAIT_MS;
    if (s->out.len == 0) {
        if (stream_read(s->client.fd, &s->in) <= 0)
            stream_end(s);
        else
            stream_question(dns, s);
        return;
    }
    int r = stream_send(s->client.fd, &s->out, s->out.len, &s->sent);
    if (r < 0)
        stream_end(s);
    if (r <= 0)
        return;
    buf_reset(&s->out);
    stream_question(dns, s);
}

/* The server's turn: our question out, then its answer in. */
static void server_ready(struct dns *dns, struct stream *s)
{
    size_t len = 0, all = 0;

    s->deadline_ms = now_ms() + DNS_STREAM_WAIT_MS;
    if (!whole(&s->in, &all)) {
        stream_end(s);
        return;
    }
    int r = s->sent < all + 2 ? stream_send(s->server.fd, &s->in, all + 2, &s->sent)
                              : stream_read(s->server.fd, &s->out);
    if (r < 0 || (r == 0 && s->sent == all + 2)) {
        buf_reset(&s->out);
        s->server_index++;
        stream_ask(dns, s);
        return;
    }
    if (s->sent == all + 2)
        watch(dns, &s->server, EPOLLIN);
    if (!whole(&s->out, &len))
        return;
    s->server.fd = fd_close(s->server.fd);
    consume(&s->in, all + 2);
    s->sent = 0;
    watch(dns, &s->client, EPOLLOUT);
}

static void listener_ready(struct dns *dns)
{
    autoclose int fd = accept4(dns->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct stream *s = fd >= 0 && dns->stream_count < DNS_STREAMS_MAX ? malloc(sizeof(*s)) : NULL;

    if (!s)
        return;
    *s = (struct stream){ .client = { fd, KIND_CLIENT },
                          .server = { -1, KIND_SERVER },
                          .in = BUF(DNS_MESSAGE_MAX + 4096),
                          .out = BUF(DNS_MESSAGE_MAX + 4096),
                          .deadline_ms = now_ms() + DNS_STREAM_WAIT_MS };
    if (watch(dns, &s->client, EPOLLIN) < 0) {
        free(s);
        return;
    }
    take_fd(&fd);
    s->next = dns->streams;
    dns->streams = s;
    dns->stream_count++;
    tick(dns, true);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void timer_ready(struct dns *dns)
{
    int64_t now = now_ms();
    uint64_t times;

    if (read(dns->timer.fd, &times, sizeof(times)) < 0)
        return;
    for (struct pending *p = dns->pending; p; p = p->next) {
        if (!p->ended && p->deadline_ms <= now) {
            p->server++;
            pending_ask(dns, p);
        }
    }
    for (struct stream *s = dns->streams; s; s = s->next) {
        if (!s->ended && s->deadline_ms <= now)
            stream_end(s);
    }
}

static void sweep(struct dns *dns, bool all)
{
    for (struct pending **at = &dns->pending; *at;) {
        struct pending *p = *at;

        if (!p->ended && !all) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        fd_close(p->watch.fd);
        free(p);
        dns->pending_count--;
    }
    for (struct stream **at = &dns->streams; *at;) {
        struct stream *s = *at;

        if (!s->ended && !all) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        stream_end(s);
        buf_done(&s->in);
        buf_done(&s->out);
        free(s);
        dns->stream_count--;
    }
    if (!dns->pending && !dns->streams)
        tick(dns, false);
}

static void ready(struct dns *dns, struct watch *w)
{
    struct stream *client = (struct stream *)((char *)w - offsetof(struct stream, client));
    struct stream *server = (struct stream *)((char *)w - offsetof(struct stream, server));

    if (w->fd < 0)
        return;
    switch (w->kind) {
    case KIND_UDP:
        udp_ready(dns);
        break;
    case KIND_LISTENER:
        listener_ready(dns);
        break;
    case KIND_TIMER:
        timer_ready(dns);
        break;
    case KIND_PENDING:
        pending_ready(dns, (struct pending *)w);
        break;
    case KIND_CLIENT:
        client_ready(dns, client);
        break;
    case KIND_SERVER:
        server_ready(dns, server);
        break;
    }
}

void dns_run(struct dns *dns)
{
    struct epoll_event events[16];
    int count = epoll_wait(dns->epoll, events, ARRAY_SIZE(events), 0);

    for (int i = 0; i < count; i++)
        ready(dns, events[i].data.ptr);
    sweep(dns, false);
}

int dns_fd(const struct dns *dns)
{
    return dns->epoll;
}

static int listen_on(int type)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
    autoclose int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    inet_pton(AF_INET, DNS_ADDRESS, &at.sin_addr);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        (type == SOCK_STREAM && listen(fd, DNS_STREAMS_MAX) < 0))
        return -errno;
    return take_fd(&fd);
}

/* The sockets belong to the namespace that we are in when they are made. */
static int listen_in(struct dns *dns, int netns)
{
    autoclose int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    if (home < 0 || setns(netns, CLONE_NEWNET) < 0)
        return -errno;
    dns->udp.fd = listen_on(SOCK_DGRAM);
    dns->listener.fd = listen_on(SOCK_STREAM);
    if (setns(home, CLONE_NEWNET) < 0)
        return -errno;
    return MIN(dns->udp.fd, dns->listener.fd);
}

int dns_open(struct dns **ret, int netns, int directory, const char *container,
             struct wharf_error *e)
{
    struct dns *dns = malloc(sizeof(*dns));

    if (!dns)
        return err_nomem(e);
    *dns = (struct dns){
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .udp = { -1, KIND_UDP },
        .listener = { -1, KIND_LISTENER },
        .timer = { timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), KIND_TIMER },
        .names = { directory, container },
    };
    int r = dns->epoll < 0 || dns->timer.fd < 0 ? -errno : listen_in(dns, netns);
    if (r >= 0)
        r = watch(dns, &dns->udp, EPOLLIN);
    if (r >= 0)
        r = watch(dns, &dns->listener, EPOLLIN);
    if (r >= 0)
        r = watch(dns, &dns->timer, EPOLLIN);
    if (r < 0) {
        dns_close(dns);
        return err_code(e, r, "cannot run the name server of the container");
    }
    *ret = dns;
    return 0;
}

void dns_close(struct dns *dns)
{
    if (!dns)
        return;
    sweep(dns, true);
    fd_close(dns->timer.fd);
    fd_close(dns->listener.fd);
    fd_close(dns->udp.fd);
    fd_close(dns->epoll);
    free(dns);
}
