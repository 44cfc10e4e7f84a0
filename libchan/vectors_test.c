/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays libchan/vectors: NAME.bin is what a dialling peer sends; NAME.txt what must be decoded
 * from it, channels numbered in the order in which they were opened. Each vector is fed whole and
 * byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "chan.h"

static void show(struct chan_value v, struct buf *b)
{
    enum chan_kind kind = chan_kind_of(v);
    struct chan_value at = chan_first(v);
    const char *text = "";
    uint32_t nsec = 0;
    size_t len = 0;
    int64_t n = 0;
    bool flag = false;

    switch (kind) {
    case CHAN_MAP:
    case CHAN_ARRAY:
        buf_char(b, kind == CHAN_MAP ? '{' : '[');
        for (size_t i = 0; i < chan_count(v); i++, at = chan_next(at)) {
            if (i)
                buf_char(b, ',');
            show(at, b);
            if (kind == CHAN_MAP) {
                buf_char(b, ':');
                at = chan_next(at);
                show(at, b);
            }
        }
        buf_char(b, kind == CHAN_MAP ? '}' : ']');
        break;
    case CHAN_STR:
        chan_get_str(v, &text, &len);
        buf_json(b, text, len);
        break;
    case CHAN_INT:
        chan_get_int(v, &n);
        buf_printf(b, "%" PRId64, n);
        break;
    case CHAN_BOOL:
        chan_get_bool(v, &flag);
        buf_str(b, flag ? "true" : "false");
        break;
    case CHAN_TIME:
        chan_get_time(v, &n, &nsec);
        buf_printf(b, "%" PRId64 ".%09u", n, nsec);
        break;
    default:
        buf_str(b, kind == CHAN_TX ? "sender" : "?");
    }
}

static void show_channel(struct chan_rx *rx, int number, struct buf *b)
{
    struct chan_msg *m = chan_msg_new();
    struct wharf_error e = { 0 };
    int r;

    while ((r = chan_recv(rx, m, chan_after_ms(5000), &e)) == 0) {
        buf_printf(b, "%d ", number);
        show(chan_root(m), b);
        buf_char(b, '\n');
    }
    if (r == -ENODATA)
        buf_printf(b, "%d closed\n", number);
    else
        buf_printf(b, "%d aborted %d %s %s\n", number, e.code, wharf_error_kind_name(e.kind),
                   e.message);
    chan_msg_free(m);
}

static void replay(const char *bytes, size_t len, size_t step, struct buf *b)
{
    struct chan_session *s;
    struct chan_rx *rx;
    int pair[2], number = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(chan_attach(pair[1], true, NULL, &s, NULL), 0);
    for (size_t at = 0; at < len; at += step) {
        assert_int_equal(write(pair[0], bytes + at, MIN(step, len - at)), MIN(step, len - at));
        chan_session_step(s, NULL);
    }
    while (chan_accept(s, CHAN_NOW, &rx, NULL) == 0) {
        show_channel(rx, ++number, b);
        chan_rx_unref(rx);
    }
    chan_session_unref(s);
    close(pair[0]);
}

static void test_vectors(void **state)
{
    static const char *const names[] = { "call", "last", "abort", "two-channels" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        autofree char *bin = str_format("%s/%s.bin", VECTORS, names[i]);
        autofree char *txt = str_format("%s/%s.txt", VECTORS, names[i]);
        autofree char *bytes = NULL;
        autofree char *expected = NULL;
        ssize_t len = file_read(AT_FDCWD, bin, 65536, &bytes);

        assert_true(len > 0);
        assert_true(file_read(AT_FDCWD, txt, 65536, &expected) > 0);
        for (size_t step = 1; step <= 65536; step *= 16) {
            autobuf struct buf b = BUF(65536);

            replay(bytes, (size_t)len, step, &b);
            assert_string_equal(b.data, expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
