/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving what cannot be handed over.
 *
 * Copying messages re-homes what is attached by itself: an end that came by one session is put into
 * a message for another, and session_try_send gives it a pipe and a pump (pump_rehome), unless it
 * is free to move. A pump is a detached thread that owns what it moves and ends when that ends; it
 * sleeps in the same calls as everybody else. PUMPS_MAX bounds them in one process: a peer that
 * makes us forward without end gets -EAGAIN.
 */
#include "libchan/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/fd.h"
#include "libchan/address.h"
#include "libchan/transport.h"

#define PUMP_STACK      (256u << 10)
#define PUMP_CHUNK      (32u << 10) /* bytes of a byte stream in one message */
#define STREAM_CAPACITY 4 /* messages between a pump and its session before credit is known */

struct pump {
    void (*run)(struct pump *);
    struct chan_tx *tx;
    struct chan_rx *rx;
    int fd;
    bool shared; /* others send there too: leave tx open at the end */
};

static _Atomic unsigned pumps; /* a count, so that threads have a limit */

static void *pump_main(void *arg)
{
    struct pump p = *(struct pump *)arg;

    free(arg);
    p.run(&p);
    chan_tx_unref(p.tx);
    chan_rx_unref(p.rx);
    fd_close(p.fd);
    atomic_fetch_sub(&pumps, 1);
    return NULL;
}

/* Starts a thread that owns what `p` holds. On failure the caller still does. */
static int pump_start(const struct pump *p, struct wharf_error *e)
{
    struct pump *copy = malloc(sizeof(*copy));
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int r;

    if (!copy)
        return err_nomem(e);
    *copy = *p;
    if (atomic_fetch_add(&pumps, 1) >= PUMPS_MAX) {
        atomic_fetch_sub(&pumps, 1);
        free(copy);
        return err_set(e, -EAGAIN, WHARF_ERROR_LIMIT,
                       "more than %u channels and streams are being forwarded", PUMPS_MAX);
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, PUMP_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attr, pump_main, copy);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        atomic_fetch_sub(&pumps, 1);
        free(copy);
        return err_code(e, -r, "cannot start a thread");
    }
    return 0;
}

/* ---- messages ---- */

/* Ends `dst` as `src` ended, or `src` because `dst` did. */
static void end_alike(struct chan_tx *dst, struct chan_rx *src, int r, bool from_src,
                      const struct wharf_error *why)
{
    if (!from_src)
        chan_cancel(src, why);
    else if (r == -ENODATA)
        chan_close(dst);
    else
        chan_abort(dst, why);
}

int64_t chan_copy(struct chan_tx *dst, struct chan_rx *src, chan_time deadline,
                  struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error why = { 0 };
    bool from_src = true;
    int64_t count = 0;
    int r;

    if (!m)
        return err_nomem(e);
    while ((r = chan_recv(src, m, deadline, &why)) == 0) {
        r = chan_send(dst, m, deadline, &why);
        if (r < 0) {
            from_src = false;
            break;
        }
        count++;
    }
    chan_msg_free(m);
    if (r != -EAGAIN && r != -ETIMEDOUT)
        end_alike(dst, src, r, from_src, &why);
    if (r == -ENODATA && from_src)
        return count;
    if (e)
        *e = why;
    return r;
}

static void run_copy(struct pump *p)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error why = { 0 };
    int r = m ? 0 : -ENOMEM;

    if (!p->shared) {
        chan_msg_free(m);
        chan_copy(p->tx, p->rx, CHAN_FOREVER, NULL);
        return;
    }
    while (r == 0 && (r = chan_recv(p->rx, m, CHAN_FOREVER, NULL)) == 0) {
        r = chan_send(p->tx, m, CHAN_FOREVER, &why);
        if (r < 0)
            chan_cancel(p->rx, &why);
    }
    chan_msg_free(m);
}

int pump_rehome(struct chan **end, bool is_tx, struct wharf_error *e)
{
    struct pump p = { .run = run_copy, .fd = -1 };
    struct chan_tx *tx;
    struct chan_rx *rx;
    int r = chan_pipe(1, &tx, &rx);

    if (r < 0)
        return err_code(e, r, "cannot re-home a channel");
    if (is_tx) {
        p.tx = tx_of_chan(*end);
        p.rx = rx;
        p.shared = atomic_load(&(*end)->tx_refs) > 1;
    } else {
        p.tx = tx;
        p.rx = rx_of_chan(*end);
    }
    r = pump_start(&p, e);
    if (r < 0) {
        chan_tx_unref(tx);
        chan_rx_unref(rx);
        return r;
    }
    *end = is_tx ? chan_of_tx(tx) : chan_of_rx(rx);
    return 0;
}

/* ---- bytes ---- */

/* From a descriptor into a channel of byte strings. */
static void run_read(struct pump *p)
{
    autofree uint8_t *buf = malloc(PUMP_CHUNK);
    struct chan_msg *m = chan_msg_new();
    struct wharf_error why = { 0 };
    ssize_t n = 0;

    while (buf && m && (n = read(p->fd, buf, PUMP_CHUNK)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){ .fd = p->fd, .events = POLLIN }, 1, -1);
            continue;
        }
        if (n < 0) {
            err_sys(&why, "cannot read from the stream");
            chan_abort(p->tx, &why);
            break;
        }
        chan_put_bin(m, buf, (size_t)n);
        if (chan_send(p->tx, m, CHAN_FOREVER, NULL) < 0)
            break;
    }
    chan_msg_free(m);
    shutdown(p->fd, SHUT_RD);
}

static int write_bytes(int fd, const uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == ENOTSOCK)
            n = write(fd, p, len);
        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
        else if (n < 0 && errno != EINTR)
            return -errno;
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* From a channel of byte strings into a descriptor. */
static void run_write(struct pump *p)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error why = { 0 };
    const void *data;
    size_t len;

    while (m && chan_recv(p->rx, m, CHAN_FOREVER, NULL) == 0) {
        int r = chan_get_bin(chan_root(m), &data, &len);

        if (r == 0)
            r = write_bytes(p->fd, data, len);
        if (r < 0) {
            err_code(&why, r, "cannot write to the stream");
            chan_cancel(p->rx, &why);
            break;
        }
    }
    chan_msg_free(m);
    shutdown(p->fd, SHUT_WR);
}

/* A pump for one direction with a descriptor of its own; takes the channel end on success. */
static int pump_bytes(int fd, struct chan_tx *tx, struct chan_rx *rx, struct wharf_error *e)
{
    struct pump p = { .run = tx ? run_read : run_write, .tx = tx, .rx = rx };
    int r;

    p.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (p.fd < 0)
        return err_sys(e, "cannot pump a stream");
    r = pump_start(&p, e);
    if (r < 0)
        close(p.fd);
    return r;
}

int pump_to_fd(struct attachment *a, int *ret)
{
    autoclose int ours = -1, theirs = -1;
    int pair[2], r = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    ours = pair[0];
    theirs = pair[1];
    if (a->source)
        r = pump_bytes(ours, NULL, rx_of_chan(a->source), NULL);
    if (r == 0) {
        a->source = NULL;
        if (a->sink)
            r = pump_bytes(ours, tx_of_chan(a->sink), NULL, NULL);
    }
    if (r < 0)
        return r;
    a->sink = NULL;
    *ret = take_fd(&theirs);
    return 0;
}

int pump_from_fd(struct attachment *a, struct wharf_error *e)
{
    struct chan_tx *in = NULL, *sink = NULL;
    struct chan_rx *out = NULL, *source = NULL;
    int r = 0;

    if (a->how & CHAN_READ)
        r = chan_pipe(STREAM_CAPACITY, &in, &source);
    if (r == 0 && (a->how & CHAN_WRITE))
        r = chan_pipe(STREAM_CAPACITY, &sink, &out);
    if (r == 0 && in && (r = pump_bytes(a->fd, in, NULL, e)) == 0)
        in = NULL;
    if (r == 0 && out && (r = pump_bytes(a->fd, NULL, out, e)) == 0)
        out = NULL;
    if (r < 0) {
        chan_tx_unref(in), chan_tx_unref(sink);
        chan_rx_unref(out), chan_rx_unref(source);
        return err_code(e, r, "cannot pump a descriptor");
    }
    close(a->fd);
    a->fd = -1;
    a->kind = ATTACHED_STREAM;
    a->source = source ? chan_of_rx(source) : NULL;
    a->sink = sink ? chan_of_tx(sink) : NULL;
    return 0;
}

/* ---- the gateway ---- */

static int dial_raw(const char *target, chan_time deadline, struct wharf_error *e)
{
    struct address a;
    int r = address_parse(target, &a, e);

    if (r < 0)
        return r;
    if (a.scheme != SCHEME_UNIX && a.scheme != SCHEME_TCP)
        return err_unsupported(e, "a gateway leads to unix: and tcp: addresses, not to '%s'",
                               target);
    int fd = address_connect(&a, deadline, e);
    /* whoever gets it expects a socket as any other: it was non-blocking for the deadline only */
    if (fd >= 0 && fcntl(fd, F_SETFL, 0) < 0) {
        close(fd);
        return err_sys(e, "cannot set up the connection to '%s'", target);
    }
    return fd;
}

/* Where this request wants to go. */
static int target_of(struct chan_msg *m, const char *target, char *text, size_t size,
                     struct wharf_error *e)
{
    const char *asked = target;
    size_t len = target ? strlen(target) : 0;

    if (!target && chan_get_str(chan_get(chan_root(m), "address"), &asked, &len) < 0)
        return err_invalid(e, "the request names no address");
    if (len >= size || memchr(asked, 0, len))
        return err_invalid(e, "the address is too long");
    memcpy(text, asked, len);
    text[len] = '\0';
    return 0;
}

static void answer(struct chan_msg *request, const char *target, chan_time deadline)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error why = { 0 };
    char text[256];
    struct chan_tx *ret;
    int fd = -1;

    if (!m || chan_take_tx(chan_get(chan_root(request), "ret"), &ret) < 0) {
        chan_msg_free(m);
        return;
    }
    if (target_of(request, target, text, sizeof(text), &why) == 0)
        fd = dial_raw(text, deadline, &why);
    if (fd >= 0) {
        chan_put_map(m, 1);
        chan_put_str(m, "conn");
        if (chan_put_fd(m, fd, CHAN_READ | CHAN_WRITE) < 0)
            close(fd);
        chan_send_last(ret, m, deadline, &why);
    } else {
        chan_abort(ret, &why);
    }
    chan_tx_unref(ret);
    chan_msg_free(m);
}

int chan_gateway(struct chan_rx *requests, const char *target, chan_time deadline,
                 struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    int r;

    if (!m)
        return err_nomem(e);
    while ((r = chan_recv(requests, m, deadline, e)) == 0)
        answer(m, target, deadline);
    chan_msg_free(m);
    return r == -ENODATA ? 0 : r;
}

int chan_connect(struct chan_tx *gateway, const char *address, chan_time deadline, int *ret_fd,
                 struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *rx = NULL;
    int r;

    if (!m)
        return err_nomem(e);
    chan_put_map(m, address ? 2 : 1);
    if (address) {
        chan_put_str(m, "address");
        chan_put_str(m, address);
    }
    chan_put_str(m, "ret");
    chan_put_return(m, &rx);
    r = chan_send(gateway, m, deadline, e);
    if (r == 0)
        r = chan_recv(rx, m, deadline, e);
    if (r == 0) {
        r = chan_take_fd(chan_get(chan_root(m), "conn"), ret_fd);
        if (r < 0)
            err_code(e, r, "the gateway's answer brings no connection");
    }
    chan_rx_unref(rx);
    chan_msg_free(m);
    return r;
}
