/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service that answers every operation of the table by its reply's form, behind the HTTP door: so
 * the whole door can be tested without an engine. What a test wants to see comes back in the
 * answer: the operation, its arguments, the principal, the body.
 *
 *     fake-service [--tls CA CERT KEY | --tls-anyone CERT KEY] ADDRESS...    as -H of dockerd
 *
 * An `id` or `name` chooses special behaviour: "hold" blocks until the client is gone and then says
 * so on stderr, "fail" is an error, "big" a long answer, "flood" an endless one, "silent" none.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "door/docker-server.h"
#include "door/listen.h"
#include "door/tls.h"

#define BIG (3u << 20)

static const char *wish(const struct message *m)
{
    const char *id = message_string(m, "id"), *name = message_string(m, "name");

    return id ? id : name ? name : "";
}

/* What was asked, as a document. */
static json_t *describe(const struct message *m)
{
    json_t *d = json_pack("{ss si sO ss sI ss}", "operation", m->op->name, "api", (int)m->api,
                          "args", m->args, "who", m->principal.name, "uid",
                          (json_int_t)m->principal.uid, "connection", m->connection);

    if (m->body)
        json_object_set(d, "body", m->body);
    return d;
}

/* Reads an upload whole: its length and sum, or the errno of its end. */
static void read_upload(struct message *m, json_t *d)
{
    unsigned char piece[65536];
    uint64_t len = 0, sum = 0;
    ssize_t n;

    if (m->stream < 0)
        return;
    while ((n = read(m->stream, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + piece[i];
        len += (uint64_t)n;
    }
    json_object_set_new(d, "length", json_integer((json_int_t)len));
    json_object_set_new(d, "sum", json_integer((json_int_t)(sum & INT32_MAX)));
    json_object_set_new(d, "end", json_string(n < 0 ? strerror(errno) : "whole"));
    fprintf(stderr, "upload: %llu bytes, %s\n", (unsigned long long)len,
            n < 0 ? strerror(errno) : "whole");
}

static int hold(struct reply *r, struct wharf_error *e)
{
    struct pollfd p = { .fd = r->gone_fd, .events = POLLRDHUP };

    if (r->gone_fd < 0)
        return err_invalid(e, "no gone_fd");
    fprintf(stderr, "holding\n");
    poll(&p, 1, -1);
    fprintf(stderr, "gone\n");
    return err_code(e, -EPIPE, "gone");
}

static int flood(struct reply *r)
{
    static const char piece[32768];
    int n = 0;

    while (n == 0)
        n = reply_write(r, piece, sizeof piece);
    fprintf(stderr, "gone: %s\n", strerror(-n));
    return n;
}

static int stream(struct message *m, struct reply *r, json_t *d, struct wharf_error *e)
{
    int n = reply_begin(r, 200, m->op->reply);

    if (streq(wish(m), "flood"))
        return flood(r);
    if (m->op->reply == FORM_JSON_LINES)
        reply_line(r, json_object_get(d, "operation"));
    if (streq(wish(m), "fail-late"))
        return err_invalid(e, "it failed in the middle");
    read_upload(m, d);
    if (n == 0)
        n = reply_line(r, d);
    return n < 0 ? n : reply_end(r);
}

/* Says what came early, then echoes until the client's end, and then says so. */
static int echo(struct message *m, struct reply *r, struct wharf_error *e)
{
    enum form form =
        m->op->reply == FORM_CONNECTION && !streq(wish(m), "tty") ? FORM_MULTIPLEXED : m->op->reply;
    struct connection c;
    char piece[4096];
    ssize_t n = reply_take(r, form, &c, e);

    if (n < 0)
        return (int)n;
    snprintf(piece, sizeof piece, "hello %zu:", c.early_len);
    send(c.fd, piece, strlen(piece), MSG_NOSIGNAL);
    send(c.fd, c.early, c.early_len, MSG_NOSIGNAL);
    for (;;) {
        struct pollfd p = { .fd = c.fd, .events = POLLIN };

        poll(&p, 1, -1);
        n = recv(c.fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        if (n > 0)
            send(c.fd, piece, (size_t)n, MSG_NOSIGNAL);
    }
    send(c.fd, " bye", 4, MSG_NOSIGNAL);
    free(c.early);
    close(c.fd);
    return 0;
}

static int answer(struct message *m, struct reply *r, struct wharf_error *e)
{
    autojson json_t *d = describe(m);
    autofree char *big = NULL;

    if (streq(wish(m), "silent"))
        return 0;
    if (streq(wish(m), "hold"))
        return hold(r, e);
    if (streq(wish(m), "fail"))
        return err_not_found(e, "No such container: fail");
    if (streq(wish(m), "big") && (big = malloc(BIG)))
        return memset(big, 'x', BIG), reply_text(r, 200, big, BIG);
    if (streq(wish(m), "unread") && m->stream >= 0)
        return reply_json(r, 200, d);
    switch (m->op->reply) {
    case FORM_NONE:
        read_upload(m, d);
        return reply_empty(r, m->op->status);
    case FORM_TEXT:
        return reply_text(r, 200, "OK", 2);
    case FORM_JSON:
        read_upload(m, d);
        return reply_json(r, m->op->status, d);
    case FORM_CONNECTION:
    case FORM_WEBSOCKET:
        return echo(m, r, e);
    default:
        return stream(m, r, d, e);
    }
}

static int call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    return answer(m, r, e);
}

struct options {
    struct tls_options tls;
    bool encrypt;
};

/* [--tls CA CERT KEY | --tls-anyone CERT KEY]: how many arguments. */
static int read_options(char **argv, int argc, struct options *o)
{
    o->tls.verify = argc > 4 && streq(argv[1], "--tls");
    o->encrypt = o->tls.verify || (argc > 3 && streq(argv[1], "--tls-anyone"));
    if (!o->encrypt)
        return 0;
    if (o->tls.verify)
        o->tls.ca = argv[2];
    o->tls.cert = argv[o->tls.verify ? 3 : 2];
    o->tls.key = argv[o->tls.verify ? 4 : 3];
    return o->tls.verify ? 4 : 3;
}

/* Unix sockets are never encrypted. */
static int open_door(struct docker_server *server, struct listen_set *set, const struct options *o,
                     struct wharf_error *e)
{
    auto_of(tls_context_free) struct tls_context *tls = NULL;
    int r = o->encrypt ? tls_context_new(&tls, &o->tls, e) : 0;

    for (size_t i = 0; i < set->count && r == 0; i++) {
        struct listen_socket *l = &set->sockets[i];

        printf("%s\n", l->name);
        r = docker_server_listen(server, take_fd(&l->fd), l->kind == LISTEN_TCP ? tls : NULL, e);
    }
    return r < 0 ? r : docker_server_start(server, e);
}

int main(int argc, char **argv)
{
    static const struct service_ops ops = { .name = "fake", .call = call };
    struct service *service = service_new(sizeof *service, &ops);
    struct listen_options listen = { .group = NULL };
    struct listen_set set = { 0 };
    struct docker_server *server = NULL;
    struct wharf_error e = { 0 };
    struct options o = { 0 };
    sigset_t stop;
    int number, r = docker_server_new(&server, service, &e);

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    for (int i = 1 + read_options(argv, argc, &o); i < argc && r == 0; i++)
        r = listen_add(&set, argv[i], &listen, &e);
    if (r == 0)
        r = open_door(server, &set, &o, &e);
    if (r < 0) {
        fprintf(stderr, "fake-service: %s\n", e.message);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    sigwait(&stop, &number);
    docker_server_free(server);
    listen_done(&set);
    service_unref(service);
    fputs("stopped\n", stderr);
    return 0;
}
