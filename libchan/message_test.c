/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of messages: building, reading, and checking what came from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include "libchan/message.h"

/* The recorded message of the 2015 dialect, but for the id's form. */
static void test_map(void **state)
{
    static const uint8_t expected[] = "\x82\xa2op\xa4"
                                      "echo\xa4"
                                      "data\xa5hello";
    struct chan_msg *m = chan_msg_new();
    const char *text;
    size_t len;

    chan_put_map(m, 2);
    chan_put_str(m, "op");
    chan_put_str(m, "echo");
    chan_put_str(m, "data");
    assert_int_equal(msg_ready(m), -EINVAL);
    chan_put_str(m, "hello");
    assert_int_equal(msg_ready(m), 0);
    assert_int_equal(chan_msg_size(m), sizeof(expected) - 1);
    assert_memory_equal(msg_body(m), expected, sizeof(expected) - 1);
    assert_int_equal(chan_put_nil(m), -EINVAL);
    assert_int_equal(chan_msg_error(m), -EINVAL);
    assert_int_equal(chan_get_str(chan_get(chan_root(m), "data"), &text, &len), 0);
    assert_memory_equal(text, "hello", len);
    assert_int_equal(chan_kind_of(chan_get(chan_root(m), "none")), CHAN_NONE);
    assert_int_equal(chan_get_str(chan_get(chan_get(chan_root(m), "x"), "y"), &text, &len),
                     -ENOENT);
    chan_msg_free(m);
}

static void test_integers(void **state)
{
    static const struct {
        int64_t value;
        uint8_t size, first;
    } rows[] = {
        { 0, 1, 0 },
        { 127, 1, 0x7f },
        { 128, 3, 0xd1 },
        { 200, 3, 0xd1 },
        { -1, 1, 0xff },
        { -32, 1, 0xe0 },
        { -33, 2, 0xd0 },
        { -129, 3, 0xd1 },
        { 40000, 5, 0xd2 },
        { -40000, 5, 0xd2 },
        { INT64_MAX, 9, 0xd3 },
        { INT64_MIN, 9, 0xd3 },
        { 1ll << 31, 9, 0xd3 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct chan_msg *m = chan_msg_new();
        int64_t back = 7;
        double d;

        assert_int_equal(chan_put_int(m, rows[i].value), 0);
        assert_int_equal(m->len, rows[i].size);
        assert_int_equal(msg_body(m)[0], rows[i].first);
        assert_int_equal(chan_get_int(chan_root(m), &back), 0);
        assert_true(back == rows[i].value);
        assert_int_equal(chan_get_double(chan_root(m), &d), 0);
        assert_true(d == (double)rows[i].value);
        chan_msg_free(m);
    }
}

static void test_unsigned(void **state)
{
    static const uint64_t values[] = { 0,     127,   128,        255,        256,
                                       65535, 65536, UINT32_MAX, 1ull << 32, UINT64_MAX };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct chan_msg *m = chan_msg_new();
        uint64_t back = 7;
        int64_t s = 7;

        chan_put_uint(m, values[i]);
        assert_int_equal(chan_get_uint(chan_root(m), &back), 0);
        assert_true(back == values[i]);
        assert_int_equal(chan_get_int(chan_root(m), &s), values[i] > INT64_MAX ? -ERANGE : 0);
        assert_int_equal(chan_kind_of(chan_root(m)), values[i] > INT64_MAX ? CHAN_UINT : CHAN_INT);
        chan_msg_free(m);
    }
}

static void count_done(void *arg)
{
    ++*(int *)arg;
}

static void test_references(void **state)
{
    static char big[10000];
    struct chan_msg *m = chan_msg_new(), *copy = chan_msg_new();
    const void *p;
    size_t len;
    int done = 0;
    int64_t n = 0;

    memset(big, 'x', sizeof(big));
    chan_put_array(m, 3);
    chan_put_bin_ref(m, big, sizeof(big), count_done, &done);
    chan_put_bin_ref(m, "small", 5, count_done, &done);
    chan_put_int(m, 42);
    assert_int_equal(done, 1);
    assert_int_equal(chan_msg_size(m), 1 + 3 + sizeof(big) + 2 + 5 + 1);
    assert_int_equal(chan_get_bin(chan_at(chan_root(m), 0), &p, &len), 0);
    assert_ptr_equal(p, big);
    assert_int_equal(len, sizeof(big));
    assert_int_equal(chan_get_int(chan_at(chan_root(m), 2), &n), 0);
    assert_int_equal(n, 42);
    assert_int_equal(chan_put_value(copy, chan_root(m)), 0);
    assert_int_equal(chan_msg_size(copy), chan_msg_size(m));
    assert_int_equal(chan_get_int(chan_at(chan_root(copy), 2), &n), 0);
    assert_int_equal(n, 42);
    chan_msg_free(m);
    assert_int_equal(done, 2);
    chan_msg_free(copy);
}

static void test_attachments(void **state)
{
    struct chan_msg *m = chan_msg_new(), *other = chan_msg_new();
    struct chan_tx *tx;
    struct chan_rx *rx;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken = -1;

    chan_put_array(m, 2);
    assert_int_equal(chan_put_return(m, &rx), 0);
    assert_int_equal(chan_put_fd(m, fd, CHAN_READ), 0);
    assert_int_equal(chan_kind_of(chan_at(chan_root(m), 0)), CHAN_TX);
    assert_int_equal(chan_take_fd(chan_at(chan_root(m), 0), &taken), -EPROTOTYPE);
    assert_int_equal(chan_put_value(other, chan_root(m)), 0);
    assert_int_equal(chan_take_tx(chan_at(chan_root(m), 0), &tx), -EALREADY);
    assert_int_equal(chan_take_tx(chan_at(chan_root(other), 0), &tx), 0);
    assert_int_equal(chan_take_tx(chan_at(chan_root(other), 0), &tx), -EALREADY);
    chan_msg_free(m);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    chan_msg_free(other);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* not taken: closed with the message */
    chan_tx_unref(tx);
    chan_rx_unref(rx);
}

static int check(const char *bytes, size_t len)
{
    struct chan_msg *m = chan_msg_new();
    const char *fault = NULL;
    int r;

    if (len)
        memcpy(msg_reserve(m, len + 1), bytes, len);
    m->len = len;
    r = msg_check(m, &(struct body_limits){ 4, true }, &fault);
    assert_true((r == 0) == (fault == NULL));
    chan_msg_free(m);
    return r;
}

static void test_check(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int r;
    } rows[] = {
#define ROW(text, r) { text, sizeof(text) - 1, r }
        ROW("\xc0", 0),
        ROW("", -EBADMSG),
        ROW("\xc1", -EBADMSG),                     /* never used */
        ROW("\xc0\xc0", -EBADMSG),                 /* two values */
        ROW("\xa5hell", -EBADMSG),                 /* cut text */
        ROW("\xa2\xff\xfe", -EBADMSG),             /* no UTF-8 */
        ROW("\xdd\xff\xff\xff\xff\xc0", -EBADMSG), /* 2^32 - 1 values in one byte */
        ROW("\xdf\x80\x00\x00\x00\xc0", -EBADMSG),
        ROW("\xc6\xff\xff\xff\xff", -EBADMSG),
        ROW("\xd6\x04\x00\x00\x00\x03", 0),
        ROW("\xd6\x08\x00\x00\x00\x03", -EBADMSG), /* unknown ext */
        ROW("\xd6\x04\x00\x00\x00", -EBADMSG),
        ROW("\xd6\x06\x00\x00\x00\x00", -EBADMSG),     /* a time has 12 bytes */
        ROW("\xc7\x04\x04\x00\x00\x00\x03", -EBADMSG), /* channel, not as fixext */
        ROW("\xc7\x0c\x06\0\0\0\0\x53\x90\xd2\x80\x07\x5b\xcd\x15", 0),
        ROW("\x95\xd6\x04\0\0\0\1\xd6\x04\0\0\0\2\xd6\x04\0\0\0\3\xd6\x04\0\0\0\4\xd6\x04\0\0\0\5",
            -EBADMSG), /* five attachments where four are allowed */
#undef ROW
    };
    char deep[CHAN_DEPTH_MAX + 2];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(check(rows[i].bytes, rows[i].len), rows[i].r);
    memset(deep, 0x91, sizeof(deep));
    deep[CHAN_DEPTH_MAX] = (char)0xc0;
    assert_int_equal(check(deep, CHAN_DEPTH_MAX + 1), 0);
    deep[CHAN_DEPTH_MAX] = (char)0x91;
    deep[CHAN_DEPTH_MAX + 1] = (char)0xc0;
    assert_int_equal(check(deep, CHAN_DEPTH_MAX + 2), -EBADMSG);
}

static void test_depth(void **state)
{
    struct chan_msg *m = chan_msg_new();

    for (unsigned i = 0; i < CHAN_DEPTH_MAX; i++)
        assert_int_equal(chan_put_array(m, 1), 0);
    assert_int_equal(chan_put_array(m, 1), -EMSGSIZE);
    chan_msg_clear(m);
    assert_int_equal(chan_put_strn(m, "\xff", 1), -EINVAL);
    chan_msg_clear(m);
    assert_int_equal(chan_put_time(m, 0, 1000000000), -EINVAL);
    chan_msg_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),         cmocka_unit_test(test_integers),
        cmocka_unit_test(test_unsigned),    cmocka_unit_test(test_references),
        cmocka_unit_test(test_attachments), cmocka_unit_test(test_check),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
