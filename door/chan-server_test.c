/* SPDX-License-Identifier: Apache-2.0 */
/* A service called over libchan answers as it does in its own process. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "door/chan-server.h"
#include "libswarm/adapters/chan.h"

static struct {
    char dir[64], address[128];
    struct chan_server *server;
    struct service *local, *remote;
} t;

static int echo_connection(struct reply *r, struct wharf_error *e)
{
    struct connection c;
    char byte;
    int n = reply_take(r, FORM_CONNECTION, &c, e);

    if (n < 0)
        return n;
    while (recv(c.fd, &byte, 1, 0) == 1)
        send(c.fd, &byte, 1, MSG_NOSIGNAL);
    close(c.fd);
    free(c.early);
    return 0;
}

static int count_stream(struct message *m, struct reply *r)
{
    char bytes[4096], answer[64];
    size_t total = 0;
    ssize_t n;

    while ((n = read(m->stream, bytes, sizeof bytes)) > 0)
        total += (size_t)n;
    n = snprintf(answer, sizeof answer, "{\"bytes\":%zu}", total);
    return reply_json_text(r, 200, answer, (size_t)n);
}

static int local_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    autojson json_t *answer = NULL;

    if (operation_is(m->op, "container.attach"))
        return echo_connection(r, e);
    if (operation_is(m->op, "image.load"))
        return count_stream(m, r);
    if (operation_is(m->op, "container.inspect"))
        return err_not_found(e, "No such container: %s", message_string(m, "id"));
    if (operation_is(m->op, "system.events")) {
        reply_begin(r, 200, FORM_JSON_LINES);
        for (int i = 0; i < 3; i++)
            reply_write(r, "{}\n", 3);
        return reply_end(r);
    }
    answer = json_pack("{sssIsO*sO}", "op", m->op->name, "uid", (json_int_t)m->principal.uid,
                       "body", m->body, "args", m->args);
    return reply_json(r, 200, answer);
}

static int setup(void **state)
{
    static const struct service_ops ops = { .name = "local", .call = local_call };
    struct wharf_error e = { 0 };

    snprintf(t.dir, sizeof t.dir, "/tmp/wharf-chan-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.address, sizeof t.address, "unix:%s/sock", t.dir);
    t.local = service_new(sizeof *t.local, &ops);
    assert_int_equal(chan_server_start(t.address, NULL, t.local, &t.server, &e), 0);
    assert_int_equal(chan_service_new(t.address, &t.remote, &e), 0);
    return 0;
}

static int teardown(void **state)
{
    service_unref(t.remote);
    chan_server_stop(t.server);
    service_unref(t.local);
    return path_remove_tree(AT_FDCWD, t.dir);
}

static struct message *message(const char *operation)
{
    struct message *m;

    /* a uid that is not ours: what counts is who is at the other end */
    assert_int_equal(message_new(operation, principal_of_user(4242, 0), &m, NULL), 0);
    return m;
}

static void parameters_and_bodies_arrive(void **state)
{
    struct message *m = message("container.list");
    autojson json_t *answer = NULL, *expected = NULL;
    struct wharf_error e = { 0 };

    message_set(m, "all", "1", &e);
    message_set(m, "limit", "7", &e);
    message_set(m, "filters", "{\"label\":[\"a\",\"b\"]}", &e);
    m->body = json_pack("{s[ii]}", "x", 1, 2);
    expected = json_pack("{sssIs{s[ii]}s{sbsis{s[ss]}}}", "op", "container.list", "uid",
                         (json_int_t)getuid(), "body", "x", 1, 2, "args", "all", 1, "limit", 7,
                         "filters", "label", "a", "b");
    assert_int_equal(service_ask(t.remote, m, &answer, &e), 0);
    assert_true(json_equal(answer, expected));
}

static void errors_keep_their_kind(void **state)
{
    struct message *m = message("container.inspect");
    struct wharf_error e = { 0 };

    message_set(m, "id", "nosuch", &e);
    assert_true(service_ask(t.remote, m, NULL, &e) < 0);
    assert_int_equal(e.kind, WHARF_ERROR_NOT_FOUND);
    assert_string_equal(e.message, "No such container: nosuch");
}

static void streams_travel(void **state)
{
    struct message *m = message("image.load");
    autojson json_t *answer = NULL;
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/data", t.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 100000), 0);
    m->stream = fd;
    assert_int_equal(service_ask(t.remote, m, &answer, NULL), 0);
    assert_int_equal(json_integer_value(json_object_get(answer, "bytes")), 100000);
}

/* A reply that gives a connection away. */
struct giving {
    struct reply reply;
    int theirs;
    enum form form;
};

static int give(struct reply *r, enum form form, struct connection *ret)
{
    struct giving *g = (struct giving *)r;

    g->form = form;
    *ret = (struct connection){ .fd = g->theirs, .early = strdup("early "), .early_len = 6 };
    return 0;
}

static void *write_and_end(void *user)
{
    int fd = *(int *)user;

    send(fd, "late", 4, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    return NULL;
}

static void connections_are_joined(void **state)
{
    static const struct reply_ops ops = { .take = give };
    struct message *m = message("container.attach");
    struct giving g;
    char text[64] = { 0 };
    pthread_t thread;
    int pair[2];
    ssize_t n;
    size_t len = 0;

    message_set(m, "id", "x", NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    reply_init(&g.reply, &ops);
    g.theirs = pair[1];
    pthread_create(&thread, NULL, write_and_end, &pair[0]);
    service_call(t.remote, m, &g.reply);
    pthread_join(thread, NULL);
    while ((n = recv(pair[0], text + len, sizeof text - len - 1, 0)) > 0)
        len += (size_t)n;
    assert_string_equal(text, "early late");
    assert_int_equal(g.form, FORM_CONNECTION);
    close(pair[0]);
    reply_done(&g.reply);
    message_free(m);
}

static void many_callers(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct service *s;

        assert_int_equal(chan_service_new(t.address, &s, NULL), 0);
        assert_int_equal(service_ask(s, message("system.version"), NULL, NULL), 0);
        service_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_and_bodies_arrive),
        cmocka_unit_test(errors_keep_their_kind),
        cmocka_unit_test(streams_travel),
        cmocka_unit_test(connections_are_joined),
        cmocka_unit_test(many_callers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
