/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of base: numbers, buffers, arenas, paths, JSON limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

static void test_numbers(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &u), -ERANGE);
    assert_int_equal(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i), 0);
    assert_true(i == INT64_MIN);
    const char *bad[] = { "", " 0", "0x0", "1000x", "-", "+1", "1 " };
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_int_equal(parse_u64(bad[n], 0, 10, &u), -EINVAL);
        assert_int_equal(parse_i64(bad[n], 0, 10, &i), -EINVAL);
    }
    assert_int_equal(parse_octal("0755", 07777, &u), 0);
    assert_int_equal(u, 0755);
    assert_int_equal(parse_octal("8", 07777, &u), -EINVAL);
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = { { "0", 0 },         { "64", 64 },           { "64k", 65536 },    { "64KB", 65536 },
                 { "64KiB", 65536 }, { "1.5g", 1610612736 }, { "2 mb", 2097152 }, { "7b", 7 } };
    int64_t v;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        assert_int_equal(parse_size(good[n].text, &v), 0);
        assert_true(v == good[n].value);
    }
    assert_int_equal(parse_size("9999999p", &v), -ERANGE);
    assert_int_equal(parse_size("m", &v), -EINVAL);
    assert_int_equal(parse_size("1x", &v), -EINVAL);
    assert_int_equal(parse_size("-1", &v), -EINVAL);
}

static void test_buffer(void **state)
{
    struct buf b = BUF(32);

    (void)state;
    buf_json(&b, "a\"\n\x01\xff", 5);
    assert_string_equal(b.data, "\"a\\\"\\n\\u0001\\ufffd\"");
    buf_str(&b, "0123456789012345678901234567890");
    assert_int_equal(b.error, -EFBIG);
    buf_done(&b);
}

static void test_arena(void **state)
{
    struct arena *a = arena_new(10000);

    (void)state;
    assert_string_equal(arena_format(a, "%s-%d", "x", 3), "x-3");
    assert_non_null(arena_alloc(a, 5000));
    assert_null(arena_alloc(a, 10000));
    assert_null(arena_array(a, SIZE_MAX, 2));
    arena_free(a);
}

static void test_clean(void **state)
{
    static const char *cases[][2] = {
        { "/a/../../b/./c//", "/b/c" }, { "a/..", "." }, { "../a", "../a" },
        { "../../a/..", "../.." },      { "/", "/" },    { "", "." }
    };
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        autofree char *out = path_clean(cases[n][0]);
        assert_string_equal(out, cases[n][1]);
    }
}

static void test_paths(void **state)
{
    char template[] = "/tmp/wharf-base-XXXXXX";
    struct stat st, found;
    autoclose int root = -1;

    (void)state;
    assert_non_null(mkdtemp(template));
    root = open(template, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("/inner", root, "link"), 0);
    /* what a dangling link points to is made inside the root, wherever the link says */
    assert_int_equal(symlinkat("../../../inner/./file", root, "dangling"), 0);
    autoclose int file = path_make_file_in(root, "/dangling", 0600);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(fstatat(root, "inner/file", &found, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(found.st_ino == st.st_ino);
    assert_int_equal(path_make_file_in(root, "/inner/file/below", 0600), -ENOTDIR);
    assert_int_equal(symlinkat("turn", root, "turn"), 0);
    assert_int_equal(path_make_dirs_in(root, "/turn/sub", 0755), -ELOOP);
    autoclose int made = path_make_dirs_in(root, "/link/../link/sub/deep", 0755);
    assert_true(made >= 0);
    autoclose int plain = path_open_plain(root, "inner/sub/deep", O_PATH, 0);
    assert_true(plain >= 0);
    assert_int_equal(path_open_plain(root, "link", O_PATH, 0), -ELOOP);
    assert_int_equal(path_open_in(root, "../../../etc/passwd", O_RDONLY, 0), -ENOENT);
    assert_int_equal(path_remove_tree(AT_FDCWD, template), 0);
    assert_int_equal(access(template, F_OK), -1);
}

static int read_json(const char *text, struct json_limits limits)
{
    struct wharf_error e = { 0 };
    json_t *tree = NULL;
    int r = json_read(text, strlen(text), limits, "test", &tree, &e);

    json_decref(tree);
    return r;
}

static void test_json(void **state)
{
    struct json_limits small = { .size = 40, .depth = 3, .fold_case = true };

    (void)state;
    assert_int_equal(read_json("{\"a\":[{\"b\":1}]}", small), 0);
    assert_int_equal(read_json("{\"a\":\"[[[[\"}", small), 0);
    assert_int_equal(read_json("[[[[]]]]", small), -EINVAL);
    assert_int_equal(read_json("{\"a\":1,\"a\":2}", JSON_LIMITS), -EINVAL);
    assert_int_equal(read_json("{\"a\":1,\"A\":2}", small), -EINVAL);
    assert_int_equal(read_json("[{\"x\":{\"a\":1,\"A\":2}}]", small), -EINVAL);
    assert_int_equal(read_json("{\"a\":1,\"A\":2}", JSON_LIMITS), 0);
    assert_int_equal(read_json("{\"a\":1} x", JSON_LIMITS), -EINVAL);
    assert_int_equal(read_json("\"0123456789012345678901234567890123456789\"", small), -EFBIG);
}

static void test_errors(void **state)
{
    struct wharf_error e = { 0 };

    (void)state;
    errno = ENOENT;
    assert_int_equal(err_sys(&e, "cannot open '%s'", "x"), -ENOENT);
    assert_string_equal(e.message, "cannot open 'x': No such file or directory");
    assert_int_equal(err_wrap(&e, -ENOENT, "layer %d", 3), -ENOENT);
    assert_string_equal(e.message, "layer 3: cannot open 'x': No such file or directory");
    assert_int_equal(wharf_error_http(&e), 404);
    assert_int_equal(err_invalid(NULL, "nobody listens"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_buffer),  cmocka_unit_test(test_arena),
        cmocka_unit_test(test_clean),   cmocka_unit_test(test_paths),
        cmocka_unit_test(test_json),    cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
