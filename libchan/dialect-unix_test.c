/* SPDX-License-Identifier: Apache-2.0 */
/* The unix dialect of 2014: what payloads become, and peers that break its rules. The recorded
 * traffic is in spdy_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/macros.h"
#include "chan.h"

#define SOON chan_after_ms(10000)

static struct chan_session *accepted(int fd)
{
    const struct chan_options o = { .dialects = { chan_dialect_unix_2014() } };
    struct chan_session *s;

    assert_int_equal(chan_attach(fd, true, &o, &s, NULL), 0);
    return s;
}

static struct chan_rx *receiver(struct chan_session *s)
{
    struct chan_rx *rx;

    assert_int_equal(chan_accept(s, SOON, &rx, NULL), 0);
    return rx;
}

/* ---- payloads ---- */

static const struct {
    const char *payload;
    int pairs; /* of the map that it is; -1: bytes */
} payloads[] = {
    { "000;", 0 },
    { "000;1:a,0:,", 1 },
    { "000;1:a,4:1:x,,1:b,8:1:y,1:z,,", 2 },
    { "000;1:a,4:1:x,,", 1 },
    { "", -1 },
    { "000", -1 },
    { "001;1:a,0:,", -1 },
    { "000;1:a,", -1 },     /* a key without values */
    { "000;1:a,1:x,", -1 }, /* values that are no netstrings */
    { "000;2:a,0:,", -1 },  /* a length too large, */
    { "000;0:a,0:,", -1 },  /* and too small */
    { "000;1:a;0:,", -1 },
    { "000;:a,0:,", -1 },
    { "000;99999999999999999999:a,0:,", -1 },
    { "000;1:\xff,0:,", -1 }, /* a key that is no text */
};

static void test_payloads(void **state)
{
    struct chan_msg *m = chan_msg_new();
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct chan_session *s = accepted(pair[1]);
    struct chan_rx *rx = receiver(s);
    for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
        size_t len = strlen(payloads[i].payload);
        const char header[4] = { 0, 0, 0, (char)len };
        const void *bytes;
        size_t n;

        assert_int_equal(send(pair[0], header, 4, 0), 4);
        assert_int_equal(send(pair[0], payloads[i].payload, len, 0), len);
        assert_int_equal(chan_recv(rx, m, SOON, NULL), 0);
        if (payloads[i].pairs >= 0) {
            assert_int_equal(chan_kind_of(chan_root(m)), CHAN_MAP);
            assert_int_equal(chan_count(chan_root(m)), payloads[i].pairs);
        } else {
            assert_int_equal(chan_get_bin(chan_root(m), &bytes, &n), 0);
            assert_int_equal(n, len);
            assert_memory_equal(bytes, payloads[i].payload, len);
        }
    }
    close(pair[0]);
    assert_int_equal(chan_recv(rx, m, SOON, NULL), -ENODATA);
    chan_rx_unref(rx);
    chan_msg_free(m);
    chan_session_unref(s);
}

/* ---- what this wire cannot carry is refused, and the next message goes ---- */

static void test_refusals(void **state)
{
    const struct chan_options o = { .dialects = { chan_dialect_unix_2014() } };
    struct chan_msg *m = chan_msg_new();
    struct chan_tx *tx, *second, *attached;
    struct chan_rx *rx;
    struct chan_session *s;
    char text[16] = "";
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(chan_attach(pair[0], false, &o, &s, NULL), 0);
    assert_int_equal(chan_open(s, &tx, NULL), 0);
    assert_int_equal(chan_open(s, &second, NULL), -EMLINK);
    chan_put_int(m, 7);
    assert_int_equal(chan_send(tx, m, SOON, NULL), -EOPNOTSUPP);
    chan_msg_clear(m);
    assert_int_equal(chan_pipe(1, &attached, &rx), 0);
    chan_put_tx(m, attached);
    assert_int_equal(chan_send(tx, m, SOON, NULL), -EOPNOTSUPP);
    chan_msg_clear(m);
    chan_rx_unref(rx);
    chan_put_bin(m, "raw", 3);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    assert_int_equal(recv(pair[1], text, sizeof(text), 0), 7);
    assert_memory_equal(text, "\0\0\0\3raw", 7);
    chan_tx_unref(tx);
    assert_int_equal(recv(pair[1], text, sizeof(text), 0), 0); /* closing is the end of the bytes */
    close(pair[1]);
    chan_msg_free(m);
    chan_session_unref(s);
}

/* ---- peers that break the rules ---- */

static const struct {
    const char *bytes;
    size_t len;
    const char *message;
} hostile[] = {
#define ROW(bytes, message)                                                                        \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, message                                                          \
    }
    ROW("\x7f\xff\xff\xff", "a message of 2147483647 bytes"),
    ROW("\1\0\0\1x", "a message of 16777217 bytes"),
    ROW("\x80\0\0\1x", "promises a descriptor that did not come"),
    ROW("\0\0\0\5four", "closed the connection"),
    ROW("\0\0", "closed the connection"),
#undef ROW
};

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_hostile(void **state)
{
    struct chan_msg *m = chan_msg_new();
    int before = count_fds();

    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct wharf_error e = { 0 };
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        struct chan_session *s = accepted(pair[1]);
        struct chan_rx *rx = receiver(s);
        assert_int_equal(send(pair[0], hostile[i].bytes, hostile[i].len, 0), hostile[i].len);
        close(pair[0]);
        assert_int_equal(chan_recv(rx, m, SOON, &e), -ECONNRESET);
        if (!strstr(e.message, hostile[i].message))
            fail_msg("row %zu: '%s' does not say '%s'", i, e.message, hostile[i].message);
        chan_rx_unref(rx);
        chan_session_unref(s);
    }
    chan_msg_free(m);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
