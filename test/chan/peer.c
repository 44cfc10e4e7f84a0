/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our side of the conversations of test_spdy.py; spdy-peer.js is the other, by a SPDY and a msgpack
 * that are not ours. Either side can serve and call.
 *
 *     peer 2015|0.1|jschan|auto serve|call ADDRESS
 *
 * The service, on every channel: {op: ..., ret: Sender}
 *     echo    data               answers with the data
 *     stream  io: byte stream    sends its bytes back to it, answers with their count
 *     give    n                  answers {rx: Receiver}, and sends 0 .. n-1 there
 *     sink    rx: Receiver       answers with the count of what comes
 *     back    chan: Sender       answers {chan: that same channel}
 *     drop    chan: Sender       no answer; the channel ends
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/str.h"
#include "chan.h"

#define SOON chan_after_ms(20000)

enum { BIG = 100000, BIG_JSCHAN = 30000, STREAM_BYTES = 1536 << 10, MANY = 1000, CALLS = 200 };

static _Noreturn void die(const char *what, const struct wharf_error *e)
{
    fprintf(stderr, "peer: %s: %s\n", what, e && *e->message ? e->message : "failed");
    exit(1);
}

#define check(condition, what, e)                                                                  \
    do {                                                                                           \
        if (!(condition))                                                                          \
            die(what, e);                                                                          \
    } while (0)

/* ---- the service ---- */

static size_t send_back(int fd)
{
    autofree char *data = malloc(65536);
    size_t total = 0;
    ssize_t n;

    while ((n = read(fd, data, 65536)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(fd, data + at, (size_t)(n - at));

            check(w > 0, "write to a stream", NULL);
            at += w;
        }
        total += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    close(fd);
    return total;
}

static void op_stream(struct chan_msg *m, struct chan_msg *answer)
{
    int fd;

    check(chan_take_fd(chan_get(chan_root(m), "io"), &fd) == 0, "take a stream", NULL);
    chan_put_int(answer, (int64_t)send_back(fd));
}

static void op_sink(struct chan_msg *m, struct chan_msg *answer)
{
    struct chan_msg *in = chan_msg_new();
    struct chan_rx *rx;
    int64_t n = 0;

    check(chan_take_rx(chan_get(chan_root(m), "rx"), &rx) == 0, "take a receiver", NULL);
    while (chan_recv(rx, in, SOON, NULL) == 0)
        n++;
    chan_rx_unref(rx);
    chan_msg_free(in);
    chan_put_int(answer, n);
}

static void op_back(struct chan_msg *m, struct chan_msg *answer)
{
    struct chan_tx *tx;

    check(chan_take_tx(chan_get(chan_root(m), "chan"), &tx) == 0, "take a sender", NULL);
    chan_put_map(answer, 1);
    chan_put_str(answer, "chan");
    chan_put_tx(answer, tx);
}

static void op_give(struct chan_msg *m, struct chan_tx *ret)
{
    struct chan_msg *out = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;
    int64_t n = 0;

    chan_get_int(chan_get(chan_root(m), "n"), &n);
    chan_pipe(16, &tx, &rx);
    chan_put_map(out, 1);
    chan_put_str(out, "rx");
    chan_put_rx(out, rx);
    check(chan_send_last(ret, out, SOON, NULL) == 0, "send a receiver", NULL);
    for (int64_t i = 0; i < n; i++) {
        chan_put_int(out, i);
        check(chan_send(tx, out, SOON, NULL) == 0, "send to what was given", NULL);
    }
    chan_tx_unref(tx);
    chan_msg_free(out);
}

static void answer_one(struct chan_msg *m)
{
    struct chan_value op = chan_get(chan_root(m), "op");
    struct chan_msg *answer = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_tx *ret;

    if (chan_take_tx(chan_get(chan_root(m), "ret"), &ret) < 0) {
        chan_msg_free(answer);
        return;
    }
    if (chan_equals(op, "give")) {
        op_give(m, ret);
    } else {
        if (chan_equals(op, "echo"))
            chan_put_value(answer, chan_get(chan_root(m), "data"));
        else if (chan_equals(op, "stream"))
            op_stream(m, answer);
        else if (chan_equals(op, "sink"))
            op_sink(m, answer);
        else
            op_back(m, answer);
        check(chan_send_last(ret, answer, SOON, &e) == 0, "answer", &e);
    }
    chan_tx_unref(ret);
    chan_msg_free(answer);
}

/* The channels one after another: while the first is served, the second is not read. */
static void serve(struct chan_session *s)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    struct chan_rx *rx;

    while (chan_accept(s, SOON, &rx, &e) == 0) {
        int r, n = 0;

        while ((r = chan_recv(rx, m, SOON, &e)) == 0) {
            answer_one(m);
            n++;
        }
        check(r == -ENODATA, "receive", &e);
        printf("channel ended after %d messages\n", n);
        chan_rx_unref(rx);
    }
    chan_msg_free(m);
    check(chan_session_shutdown(s, SOON, &e) == 0, "shut down", &e);
}

/* ---- the caller ---- */

struct caller {
    struct chan_session *s;
    struct chan_tx *tx;
    struct chan_msg *m;
};

static void begin(struct caller *c, const char *op, unsigned more)
{
    chan_msg_clear(c->m);
    chan_put_map(c->m, 2 + more);
    chan_put_str(c->m, "op");
    chan_put_str(c->m, op);
}

static struct chan_rx *start(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_rx *ret;

    chan_put_str(c->m, "ret");
    chan_put_return(c->m, &ret);
    check(chan_send(c->tx, c->m, SOON, &e) == 0, "send", &e);
    return ret;
}

static struct chan_value finish(struct caller *c, struct chan_rx *ret)
{
    struct wharf_error e = { 0 };

    check(chan_recv(ret, c->m, SOON, &e) == 0, "receive an answer", &e);
    chan_rx_unref(ret);
    return chan_root(c->m);
}

static int64_t finish_int(struct caller *c, struct chan_rx *ret)
{
    int64_t n = -1;

    check(chan_get_int(finish(c, ret), &n) == 0, "a number", NULL);
    return n;
}

static void case_echo(struct caller *c, size_t len)
{
    autofree char *data = malloc(len);
    const void *back;
    size_t n;

    memset(data, 'x', len);
    begin(c, "echo", 1);
    chan_put_str(c->m, "data");
    chan_put_bin(c->m, data, len);
    check(chan_get_bin(finish(c, start(c)), &back, &n) == 0, "bytes", NULL);
    check(n == len && memcmp(back, data, n) == 0, "the same bytes", NULL);
}

static void case_time(struct caller *c)
{
    uint32_t nsec = 0;
    int64_t sec = 0;

    begin(c, "echo", 1);
    chan_put_str(c->m, "data");
    chan_put_time(c->m, 1402000000, 123456789);
    check(chan_get_time(finish(c, start(c)), &sec, &nsec) == 0, "a time", NULL);
    check(sec == 1402000000 && nsec == 123456789, "the same time", NULL);
}

static void *feed(void *arg)
{
    autofree char *data = malloc(STREAM_BYTES);
    int fd = *(int *)arg;
    size_t at = 0;

    memset(data, 'y', STREAM_BYTES);
    while (at < STREAM_BYTES) {
        ssize_t n = write(fd, data + at, STREAM_BYTES - at);

        check(n > 0, "write to a stream", NULL);
        at += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

static void case_stream(struct caller *c)
{
    autofree char *data = malloc(65536);
    struct chan_rx *ret;
    pthread_t feeder;
    size_t total = 0;
    ssize_t n;
    int pair[2];

    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair", NULL);
    begin(c, "stream", 1);
    chan_put_str(c->m, "io");
    chan_put_fd(c->m, pair[1], CHAN_READ | CHAN_WRITE);
    ret = start(c);
    pthread_create(&feeder, NULL, feed, &pair[0]);
    while ((n = read(pair[0], data, 65536)) > 0)
        total += (size_t)n;
    pthread_join(feeder, NULL);
    check(total == STREAM_BYTES, "all bytes came back", NULL);
    check(finish_int(c, ret) == STREAM_BYTES, "all bytes were seen", NULL);
    close(pair[0]);
}

static void case_give(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_rx *rx;
    int64_t n;
    int r;

    begin(c, "give", 1);
    chan_put_str(c->m, "n");
    chan_put_int(c->m, MANY);
    check(chan_take_rx(chan_get(finish(c, start(c)), "rx"), &rx) == 0, "a receiver", NULL);
    for (int i = 0; i < MANY; i++) {
        check(chan_recv(rx, c->m, SOON, &e) == 0, "receive what is given", &e);
        check(chan_get_int(chan_root(c->m), &n) == 0 && n == i, "in order", NULL);
    }
    r = chan_recv(rx, c->m, SOON, &e);
    check(r == -ENODATA, "its end", &e);
    chan_rx_unref(rx);
}

static void case_sink(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_tx *tx;
    struct chan_rx *rx, *ret;

    chan_pipe(4, &tx, &rx);
    begin(c, "sink", 1);
    chan_put_str(c->m, "rx");
    chan_put_rx(c->m, rx);
    ret = start(c);
    for (int i = 0; i < MANY; i++) {
        chan_msg_clear(c->m);
        chan_put_int(c->m, i);
        check(chan_send(tx, c->m, SOON, &e) == 0, "send to the sink", &e);
    }
    chan_tx_unref(tx);
    check(finish_int(c, ret) == MANY, "the sink's count", NULL);
}

static void case_back(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_tx *tx, *back;
    struct chan_rx *rx;

    chan_pipe(4, &tx, &rx);
    begin(c, "back", 1);
    chan_put_str(c->m, "chan");
    chan_put_tx(c->m, tx);
    check(chan_take_tx(chan_get(finish(c, start(c)), "chan"), &back) == 0, "a sender", NULL);
    for (int i = 0; i < 10; i++) {
        chan_msg_clear(c->m);
        chan_put_int(c->m, i);
        check(chan_send(back, c->m, SOON, &e) == 0, "send around", &e);
        check(chan_recv(rx, c->m, SOON, &e) == 0, "receive around", &e);
    }
    chan_tx_unref(back);
    check(chan_recv(rx, c->m, SOON, &e) == -ENODATA, "the end around", &e);
    chan_rx_unref(rx);
}

static void case_drop(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_tx *tx;
    struct chan_rx *rx;

    chan_pipe(1, &tx, &rx);
    chan_msg_clear(c->m);
    chan_put_map(c->m, 2);
    chan_put_str(c->m, "op");
    chan_put_str(c->m, "drop");
    chan_put_str(c->m, "chan");
    chan_put_tx(c->m, tx);
    check(chan_send(c->tx, c->m, SOON, &e) == 0, "send", &e);
    check(chan_recv(rx, c->m, SOON, &e) < 0, "the end of what was dropped", NULL);
    chan_rx_unref(rx);
}

/* A thousand messages that are not read yet, on a channel of their own. */
static struct chan_tx *unread(struct caller *c)
{
    struct wharf_error e = { 0 };
    struct chan_tx *tx;

    check(chan_open(c->s, &tx, &e) == 0, "open a second channel", &e);
    for (int i = 0; i < MANY; i++) {
        chan_msg_clear(c->m);
        chan_put_map(c->m, 1);
        chan_put_str(c->m, "op");
        chan_put_str(c->m, "late");
        check(chan_send(tx, c->m, SOON, &e) == 0, "send unread", &e);
    }
    return tx;
}

static void call(struct chan_session *s, bool old, bool jschan)
{
    struct caller c = { .s = s, .m = chan_msg_new() };
    struct wharf_error e = { 0 };
    struct chan_tx *late;

    check(chan_open(s, &c.tx, &e) == 0, "open", &e);
    case_echo(&c, 5);
    late = unread(&c);
    for (int i = 0; i < CALLS; i++)
        case_echo(&c, 64);
    case_echo(&c, jschan ? BIG_JSCHAN : BIG); /* it decodes what one read brings */
    if (!old)
        case_time(&c);
    case_stream(&c);
    case_give(&c);
    case_sink(&c);
    if (!jschan) { /* its servers can send on a channel that they open, and not receive */
        case_back(&c);
        case_drop(&c);
    }
    case_echo(&c, 5);
    chan_tx_unref(c.tx);
    chan_tx_unref(late);
    chan_msg_free(c.m);
    check(chan_session_shutdown(s, SOON, &e) == 0, "shut down", &e);
    printf("all calls answered\n");
}

int main(int argc, char **argv)
{
    struct chan_options o = { .dialects = { chan_dialect_native(), chan_dialect_spdy_2015(),
                                            chan_dialect_spdy_010() } };
    struct chan_listener *l;
    struct chan_session *s;
    struct wharf_error e = { 0 };
    bool old, jschan;

    if (argc != 4) {
        fprintf(stderr, "usage: peer 2015|0.1|jschan|auto serve|call ADDRESS\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    jschan = streq(argv[1], "jschan");
    old = jschan || streq(argv[1], "0.1");
    if (!streq(argv[1], "auto"))
        o = (struct chan_options){ .dialects = { old ? chan_dialect_spdy_010()
                                                     : chan_dialect_spdy_2015() } };
    if (streq(argv[2], "call")) {
        check(chan_dial(argv[3], &o, SOON, &s, &e) == 0, "dial", &e);
        call(s, old, jschan);
    } else {
        check(chan_listen(argv[3], &o, &l, &e) == 0, "listen", &e);
        printf("listening at %s\n", chan_listener_address(l));
        check(chan_listener_accept(l, SOON, &s, &e) == 0, "accept", &e);
        serve(s);
        chan_listener_free(l);
    }
    chan_session_unref(s);
    return 0;
}
