/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chan-bench - one measurement of one subject; bench/chan.py runs them in turn
 *
 *     chan-bench CASE SUBJECT SIZE COUNT      prints "VALUE UNIT" lines
 *
 * CASE rtt: microseconds a round trip. CASE oneway: messages a second, and nanoseconds of processor
 * time (user and system, both sides) a message. CASE fds: descriptors a second, SIZE of them in a
 * message. Two threads stand for the two sides in memory, two processes elsewhere.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "base/macros.h"
#include "base/str.h"
#include "chan.h"

static size_t size;
static long count;
static char *data;

static double now(int clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "chan-bench: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* A subject: two ends, each able to send and to receive one message of `size` bytes. */
struct side {
    int fd;                       /* sockets */
    struct chan_session *session; /* libchan */
    struct chan_tx *tx;
    struct chan_rx *rx;
    struct chan_msg *out, *in;
    struct ring *tx_ring, *rx_ring; /* in memory */
    int index;
};

struct subject {
    const char *name;
    bool threads;
    void (*pair)(struct side sides[2]);        /* before the sides part */
    void (*begin)(struct side *, bool server); /* on its own side; may be NULL */
    void (*send)(struct side *);
    void (*recv)(struct side *);
    void (*end)(struct side *); /* all is sent; may be NULL */
};

/* ---- raw sockets: u32 length and the bytes ---- */

static void pair_stream(struct side s[2])
{
    int fds[2];

    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
    s[0].fd = fds[0];
    s[1].fd = fds[1];
}

static void pair_seqpacket(struct side s[2])
{
    int fds[2];

    need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
    s[0].fd = fds[0];
    s[1].fd = fds[1];
}

static void pair_tcp(struct side s[2])
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    need(bind(l, (struct sockaddr *)&sin, len) == 0 && listen(l, 1) == 0, "listen");
    getsockname(l, (struct sockaddr *)&sin, &len);
    s[0].fd = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(s[0].fd, (struct sockaddr *)&sin, len) == 0, "connect");
    s[1].fd = accept(l, NULL, NULL);
    close(l);
    for (int i = 0; i < 2; i++)
        setsockopt(s[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void raw_send(struct side *s)
{
    uint32_t n = (uint32_t)size;
    struct iovec iov[2] = { { &n, 4 }, { data, size } };
    size_t left = size + 4;

    while (left) {
        ssize_t w = writev(s->fd, iov, 2);

        need(w > 0, "write");
        left -= (size_t)w;
        for (int i = 0; i < 2; i++) {
            size_t step = MIN((size_t)w, iov[i].iov_len);

            iov[i].iov_base = (char *)iov[i].iov_base + step;
            iov[i].iov_len -= step;
            w -= (ssize_t)step;
        }
    }
}

/* One read for header and body where it comes in one piece: the least that a framed stream needs.
 */
static void raw_recv(struct side *s)
{
    size_t have = 0;

    while (have < size + 4) {
        ssize_t r = read(s->fd, data + 65536 + have, size + 4 - have);

        need(r > 0, "read");
        have += (size_t)r;
    }
}

/* ---- libchan ---- */

static struct chan_session *attach(int fd, bool accepting, const struct chan_dialect *dialect)
{
    const struct chan_options o = { .dialects = { dialect } };
    struct wharf_error e = { 0 };
    struct chan_session *s;

    if (chan_attach(fd, accepting, &o, &s, &e) < 0) {
        fprintf(stderr, "chan-bench: %s\n", e.message);
        exit(1);
    }
    return s;
}

static void dialect_begin(struct side *s, bool server, const struct chan_dialect *dialect)
{
    s->out = chan_msg_new();
    s->in = chan_msg_new();
    if (s->tx)
        return; /* in memory */
    s->session = attach(s->fd, server, dialect);
    need(chan_open(s->session, &s->tx, NULL) == 0, "open");
    need(chan_accept(s->session, CHAN_FOREVER, &s->rx, NULL) == 0, "accept");
}

static void chan_begin(struct side *s, bool server)
{
    dialect_begin(s, server, chan_dialect_native());
}

static void spdy_begin(struct side *s, bool server)
{
    dialect_begin(s, server, chan_dialect_spdy_2015());
}

static void pair_pipe(struct side s[2])
{
    unsigned capacity = 1024;

    chan_pipe(capacity, &s[0].tx, &s[1].rx);
    chan_pipe(capacity, &s[1].tx, &s[0].rx);
}

static void pair_rendezvous(struct side s[2])
{
    chan_pipe(0, &s[0].tx, &s[1].rx);
    chan_pipe(0, &s[1].tx, &s[0].rx);
}

static void chan_send_one(struct side *s)
{
    if (size < 4096)
        chan_put_bin(s->out, data, size);
    else
        chan_put_bin_ref(s->out, data, size, NULL, NULL);
    need(chan_send(s->tx, s->out, CHAN_FOREVER, NULL) == 0, "send");
}

static void chan_recv_one(struct side *s)
{
    const void *p;
    size_t n = 0;

    need(chan_recv(s->rx, s->in, CHAN_FOREVER, NULL) == 0, "recv");
    chan_get_bin(chan_root(s->in), &p, &n);
    need(n == size, "size");
}

static void chan_end(struct side *s)
{
    chan_close(s->tx);
    if (s->session)
        chan_session_flush(s->session, CHAN_FOREVER, NULL);
}

/* ---- a ring of pointers under a mutex, and a futex ring of bytes ---- */

#define RING 1024
struct ring {
    pthread_mutex_t mutex;
    pthread_cond_t more, room;
    unsigned head, tail;
    void *slots[RING];
    /* futex */
    _Atomic uint32_t f_tail __attribute__((aligned(64))), f_head __attribute__((aligned(64)));
    _Atomic uint32_t sleeping_rx, sleeping_tx;
    char bytes[1 << 18] __attribute__((aligned(64)));
};

static void pair_rings(struct side s[2])
{
    for (int i = 0; i < 2; i++) {
        s[i].tx_ring = aligned_alloc(64, sizeof(struct ring));
        memset(s[i].tx_ring, 0, sizeof(struct ring));
        pthread_mutex_init(&s[i].tx_ring->mutex, NULL);
        pthread_cond_init(&s[i].tx_ring->more, NULL);
        pthread_cond_init(&s[i].tx_ring->room, NULL);
        s[1 - i].rx_ring = s[i].tx_ring;
    }
}

static void mutex_send(struct side *s)
{
    struct ring *r = s->tx_ring;

    pthread_mutex_lock(&r->mutex);
    while (r->tail - r->head == RING)
        pthread_cond_wait(&r->room, &r->mutex);
    r->slots[r->tail++ % RING] = data;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->mutex);
}

static void mutex_recv(struct side *s)
{
    struct ring *r = s->rx_ring;

    pthread_mutex_lock(&r->mutex);
    while (r->tail == r->head)
        pthread_cond_wait(&r->more, &r->mutex);
    r->head++;
    pthread_cond_signal(&r->room);
    pthread_mutex_unlock(&r->mutex);
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void futex_send(struct side *s)
{
    struct ring *r = s->tx_ring;
    uint32_t tail = atomic_load(&r->f_tail), n = (uint32_t)size;

    for (uint32_t head; tail - (head = atomic_load(&r->f_head)) + n > sizeof(r->bytes);) {
        atomic_store(&r->sleeping_tx, 1);
        if (atomic_load(&r->f_head) == head)
            futex(&r->f_head, FUTEX_WAIT_PRIVATE, head);
        atomic_store(&r->sleeping_tx, 0);
    }
    for (uint32_t at = 0; at < n;) {
        uint32_t offset = (tail + at) % sizeof(r->bytes);
        uint32_t step = MIN(n - at, (uint32_t)sizeof(r->bytes) - offset);

        memcpy(r->bytes + offset, data + at, step);
        at += step;
    }
    atomic_store(&r->f_tail, tail + n);
    if (atomic_load(&r->sleeping_rx))
        futex(&r->f_tail, FUTEX_WAKE_PRIVATE, 1);
}

static void futex_recv(struct side *s)
{
    struct ring *r = s->rx_ring;
    uint32_t head = atomic_load(&r->f_head), n = (uint32_t)size;

    for (uint32_t tail; (tail = atomic_load(&r->f_tail)) - head < n;) {
        atomic_store(&r->sleeping_rx, 1);
        if (atomic_load(&r->f_tail) == tail)
            futex(&r->f_tail, FUTEX_WAIT_PRIVATE, tail);
        atomic_store(&r->sleeping_rx, 0);
    }
    for (uint32_t at = 0; at < n;) {
        uint32_t offset = (head + at) % sizeof(r->bytes);
        uint32_t step = MIN(n - at, (uint32_t)sizeof(r->bytes) - offset);

        memcpy(data + 65536 * (1 + s->index) + at, r->bytes + offset, step);
        at += step;
    }
    atomic_store(&r->f_head, head + n);
    if (atomic_load(&r->sleeping_tx))
        futex(&r->f_head, FUTEX_WAKE_PRIVATE, 1);
}

#include "bench/chan/peers.h"

static const struct subject subjects[] = {
    { "raw-unix", false, pair_stream, NULL, raw_send, raw_recv, NULL },
    { "raw-seqpacket", false, pair_seqpacket, NULL, raw_send, raw_recv, NULL },
    { "raw-tcp", false, pair_tcp, NULL, raw_send, raw_recv, NULL },
    { "wharf-unix", false, pair_stream, chan_begin, chan_send_one, chan_recv_one, chan_end },
    { "wharf-spdy", false, pair_stream, spdy_begin, chan_send_one, chan_recv_one, chan_end },
    { "wharf-tcp", false, pair_tcp, chan_begin, chan_send_one, chan_recv_one, chan_end },
    { "wharf-memory", true, pair_pipe, chan_begin, chan_send_one, chan_recv_one, NULL },
    { "wharf-rendezvous", true, pair_rendezvous, chan_begin, chan_send_one, chan_recv_one, NULL },
    { "mutex-ring", true, pair_rings, NULL, mutex_send, mutex_recv, NULL },
    { "futex-ring", true, pair_rings, NULL, futex_send, futex_recv, NULL },
    PEERS
};

/* ---- the cases ---- */

static const struct subject *subject;
static bool oneway;

static void run_side(struct side *s, bool server)
{
    long n = count;

    if (subject->begin)
        subject->begin(s, server);
    for (long i = 0; i < n; i++) {
        if (!server || !oneway)
            (server ? subject->recv : subject->send)(s);
        if (server || !oneway)
            (server && !oneway ? subject->send : subject->recv)(s);
    }
    if (oneway && !server && subject->end)
        subject->end(s);
    if (oneway && server)
        subject->send(s); /* all is received */
    else if (oneway)
        subject->recv(s);
}

static void *run_server(void *side)
{
    run_side(side, true);
    return NULL;
}

static double run_pair(void)
{
    struct side sides[2] = { { .fd = -1 }, { .fd = -1, .index = 1 } };
    double begin;

    subject->pair(sides);
    if (subject->threads) {
        pthread_t thread;

        begin = now(CLOCK_MONOTONIC);
        pthread_create(&thread, NULL, run_server, &sides[1]);
        run_side(&sides[0], false);
        begin = now(CLOCK_MONOTONIC) - begin;
        pthread_join(thread, NULL);
        return begin;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        fd_close(sides[0].fd);
        run_side(&sides[1], true);
        usleep(100000); /* ZeroMQ and nng send the last answer from a thread of their own */
        _exit(0);
    }
    fd_close(sides[1].fd);
    begin = now(CLOCK_MONOTONIC);
    run_side(&sides[0], false);
    begin = now(CLOCK_MONOTONIC) - begin;
    waitpid(pid, NULL, 0);
    return begin;
}

/* One thread hands a message to itself. */
static void same_thread(void)
{
    struct side s = { .out = chan_msg_new(), .in = chan_msg_new() };
    double begin = now(CLOCK_MONOTONIC);

    chan_pipe(1, &s.tx, &s.rx);
    for (long i = 0; i < count; i++) {
        chan_send_one(&s);
        chan_recv_one(&s);
    }
    printf("%.4f us\n", (now(CLOCK_MONOTONIC) - begin) / (double)count * 1e6);
}

/* Descriptors: `size` in each message, the receiver closes them. */
static void fds_raw(int fd, bool server)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 64)];
    } control = { 0 };
    char byte = 0;
    struct iovec iov = { &byte, 1 };

    for (long i = 0; i < count; i++) {
        struct msghdr h = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * size) };
        int *fds = (int *)CMSG_DATA(&control.align);

        if (server) {
            need(recvmsg(fd, &h, MSG_CMSG_CLOEXEC) == 1, "recvmsg");
            for (size_t k = 0; k < size; k++)
                close(fds[k]);
        } else {
            control.align =
                (struct cmsghdr){ CMSG_LEN(sizeof(int) * size), SOL_SOCKET, SCM_RIGHTS };
            for (size_t k = 0; k < size; k++)
                fds[k] = 2;
            need(sendmsg(fd, &h, 0) == 1, "sendmsg");
        }
    }
    need(server ? write(fd, "", 1) == 1 : read(fd, &byte, 1) == 1, "end");
}

static void fds_chan(int fd, bool server)
{
    struct side s = { .fd = fd };

    chan_begin(&s, server);
    for (long i = 0; i < count; i++) {
        if (server) {
            need(chan_recv(s.rx, s.in, CHAN_FOREVER, NULL) == 0, "recv");
            continue; /* the next one closes them */
        }
        chan_put_array(s.out, (unsigned)size);
        for (size_t k = 0; k < size; k++)
            chan_put_fd(s.out, fcntl(2, F_DUPFD_CLOEXEC, 3), CHAN_READ);
        need(chan_send(s.tx, s.out, CHAN_FOREVER, NULL) == 0, "send");
    }
    size = 1;
    if (server)
        chan_send_one(&s);
    else
        chan_recv_one(&s);
}

static void bench_fds(const char *name)
{
    void (*run)(int, bool) = streq(name, "raw-unix") ? fds_raw : fds_chan;
    double total = (double)count * (double)size, begin;
    struct side s[2];
    pid_t pid;

    pair_stream(s);
    begin = now(CLOCK_MONOTONIC);
    pid = fork();
    if (pid == 0) {
        close(s[0].fd);
        run(s[1].fd, true);
        _exit(0);
    }
    close(s[1].fd);
    run(s[0].fd, false);
    printf("%.0f fd/s\n", total / (now(CLOCK_MONOTONIC) - begin));
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    uint64_t n = 0, c = 0;

    if (argc != 5 || parse_u64(argv[3], 0, 65536, &n) < 0 ||
        parse_u64(argv[4], 1, 100000000, &c) < 0) {
        fprintf(stderr, "usage: chan-bench rtt|oneway|fds|same SUBJECT SIZE COUNT\n");
        return 2;
    }
    size = n;
    count = (long)c;
    data = calloc(4, 65540);
    if (streq(argv[1], "same"))
        return same_thread(), 0;
    if (streq(argv[1], "fds"))
        return bench_fds(argv[2]), 0;
    for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
        if (streq(subjects[i].name, argv[2]))
            subject = &subjects[i];
    }
    if (!subject) {
        fprintf(stderr, "chan-bench: no such subject: %s\n", argv[2]);
        return 77;
    }
    oneway = streq(argv[1], "oneway");
    double used = cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN), wall = run_pair();
    used = cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN) - used;
    if (oneway)
        printf("%.0f msg/s\n%.1f ns cpu\n", (double)count / wall, used / (double)count * 1e9);
    else
        printf("%.3f us\n", wall / (double)count * 1e6);
    return 0;
}
