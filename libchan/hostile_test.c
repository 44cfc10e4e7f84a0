/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile peers: each row is what one writes after the greeting. The connection must end with an
 * error that names the fault, no descriptor may stay open, and a connection beside it goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "base/macros.h"
#include "chan.h"

#define SOON chan_after_ms(5000)
#define MAGIC                                                                                      \
    "\x89"                                                                                         \
    "chan\r\n\x1a"
#define HELLO                                                                                      \
    "\0\0\0\x18\1\0\0\0\0\0\0\0\0\0\0\0"                                                           \
    "\0\1\0\1\0\0\0\1\0\4\0\0\1\0\0\0\0\1\0\0\0\0\0\xfd"
#define OPEN1 "\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\1"

static const struct {
    const char *name, *bytes;
    size_t len;
    const char *message; /* part of the error */
} rows[] = {
#define ROW(name, bytes, message)                                                                  \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, message                                                    \
    }
    ROW("no magic", "GET / HTTP/1.1\r\n\r\n", "does not speak"),
    ROW("frame before greeting", MAGIC OPEN1, "before the greeting"),
    ROW("greeting twice", MAGIC HELLO HELLO, "second greeting"),
    ROW("cut greeting", MAGIC "\0\0\0\4\1\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1", "greeting is cut"),
    ROW("future version",
        MAGIC "\0\0\0\x18\1\0\0\0\0\0\0\0\0\0\0\0"
              "\0\7\0\7\0\0\0\1\0\4\0\0\1\0\0\0\0\1\0\0\0\0\0\xfd",
        "versions 7 to 7"),
    ROW("unknown kind", MAGIC HELLO "\0\0\0\0\x33\0\0\0\0\0\0\0\0\0\0\1", "unknown kind 51"),
    ROW("oversize message", MAGIC HELLO OPEN1 "\x7f\0\0\0\3\0\0\0\0\0\0\0\0\0\0\1",
        "a message of 2130706432 bytes"),
    ROW("oversize control", MAGIC HELLO "\x7f\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\1", "kind 10"),
    ROW("channel never opened", MAGIC HELLO "\0\0\0\1\3\0\0\0\0\0\0\0\0\0\0\5\xc0", "never opened"),
    ROW("opened twice", MAGIC HELLO OPEN1 OPEN1, "out of order"),
    ROW("our parity", MAGIC HELLO "\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\2", "out of order"),
    ROW("credit from the sender", MAGIC HELLO OPEN1 "\0\0\0\4\4\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1",
        "wrong end"),
    ROW("empty message", MAGIC HELLO OPEN1 "\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\1",
        "the message is cut"),
    ROW("two values", MAGIC HELLO OPEN1 "\0\0\0\2\3\0\0\0\0\0\0\0\0\0\0\1\xc0\xc0",
        "bytes behind the value"),
    ROW("cut value", MAGIC HELLO OPEN1 "\0\0\0\2\3\0\0\0\0\0\0\0\0\0\0\1\xa5x",
        "runs past the end"),
    ROW("reference used twice",
        MAGIC HELLO OPEN1 "\0\0\0\x15\3\0\0\0\0\0\0\0\0\0\0\1\x92"
                          "\xd7\4\0\0\0\0\0\0\0\3\xd7\4\0\0\0\0\0\0\0\3",
        "used or out of order"),
    ROW("reference to its own channel",
        MAGIC HELLO OPEN1 "\0\0\0\x0a\3\0\0\0\0\0\0\0\0\0\0\1\xd7\4\0\0\0\0\0\0\0\1",
        "used or out of order"),
    ROW("descriptor that is missing",
        MAGIC HELLO OPEN1 "\0\0\0\x0a\3\0\0\1\0\0\0\0\0\0\0\1\xd7\7\0\0\0\0\0\0\0\0",
        "descriptors are not those"),
    ROW("descriptors on a control frame", MAGIC HELLO "\0\0\0\0\2\0\0\1\0\0\0\0\0\0\0\1",
        "descriptors on a frame"),
    ROW("open behind the goodbye", MAGIC HELLO "\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0" OPEN1,
        "behind the goodbye"),
    ROW("truncated", MAGIC HELLO OPEN1 "\0\0\0\x0a\3\0\0", "closed the connection"),
#undef ROW
};

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The victim's side of a connection on which `bytes` were written: its error after all is read. */
static void victim(int hostile, int fd, const char *message, const char *name)
{
    struct wharf_error e = { 0 };
    struct chan_session *s;
    struct chan_rx *rx;
    struct chan_msg *m = chan_msg_new();
    int r;

    assert_int_equal(chan_attach(fd, true, NULL, &s, NULL), 0);
    shutdown(hostile, SHUT_WR);
    r = chan_accept(s, SOON, &rx, &e);
    if (r == 0) {
        while ((r = chan_recv(rx, m, SOON, &e)) == 0)
            ;
        chan_rx_unref(rx);
    }
    while (chan_session_step(s, &e) == 0)
        ;
    if (!strstr(e.message, message))
        fail_msg("%s: '%s' does not say '%s'", name, e.message, message);
    chan_msg_free(m);
    chan_session_unref(s);
}

static void test_rows(void **state)
{
    int before = count_fds();

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(write(pair[0], rows[i].bytes, rows[i].len), rows[i].len);
        victim(pair[0], pair[1], rows[i].message, rows[i].name);
        close(pair[0]);
    }
    assert_int_equal(count_fds(), before);
}

/* Every prefix of a good conversation, cut: no crash, no leak. */
static void test_cut_everywhere(void **state)
{
    static const char good[] = MAGIC HELLO OPEN1 "\0\0\0\x0b\3\0\0\0\0\0\0\0\0\0\0\1\x91"
                                                 "\xd7\4\0\0\0\0\0\0\0\3"
                                                 "\0\0\0\0\5\0\0\0\0\0\0\0\0\0\0\1";
    int before = count_fds();

    for (size_t len = 0; len < sizeof(good) - 1; len++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(write(pair[0], good, len), len);
        victim(pair[0], pair[1], "", "cut");
        close(pair[0]);
    }
    assert_int_equal(count_fds(), before);
}

/* Descriptors that no frame claims: the connection ends, all of them are closed. */
static void test_descriptor_flood(void **state)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 200)];
    } control = { 0 };
    struct iovec iov = { (void *)(MAGIC HELLO), sizeof(MAGIC HELLO) - 1 };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct chan_options o = { .max_fds = 100 };
    struct wharf_error e = { 0 };
    struct chan_session *s;
    int pair[2], before = count_fds(), r;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int) * 200), SOL_SOCKET, SCM_RIGHTS };
    for (int i = 0; i < 200; i++)
        memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &(int){ 2 }, sizeof(int));
    assert_true(sendmsg(pair[0], &h, 0) > 0);
    assert_int_equal(chan_attach(pair[1], true, &o, &s, NULL), 0);
    while ((r = chan_session_step(s, &e)) == 0)
        ;
    assert_int_equal(r, -EBADMSG);
    assert_non_null(strstr(e.message, "more than 100 descriptors"));
    chan_session_unref(s);
    close(pair[0]);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_descriptor_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
