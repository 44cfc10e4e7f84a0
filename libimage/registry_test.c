/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and names: the two grammars that strangers write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "libimage/auth.h"
#include "libimage/registry-files.h"

static void test_challenges(void **state)
{
    static struct challenge c;

    (void)state;
    assert_true(challenge_parse(&c, "Bearer realm=\"https://a/t\",service=\"s, \\\"x\\\"\","
                                    "scope=\"repository:a/b:pull,push\",error=\"x\""));
    assert_true(c.bearer);
    assert_string_equal(c.realm, "https://a/t");
    assert_string_equal(c.service, "s, \"x\"");
    assert_string_equal(c.scope, "repository:a/b:pull,push");
    assert_true(challenge_parse(&c, "basic REALM=x"));
    assert_false(c.bearer);
    assert_string_equal(c.realm, "x");
    assert_true(challenge_parse(&c, "Basic realm=\"b\", bEARER realm=\"https://t\", service=q"));
    assert_true(c.bearer);
    assert_string_equal(c.realm, "https://t");
    assert_string_equal(c.service, "q");
    assert_true(challenge_parse(&c, "Negotiate, Basic realm=\"b\""));
    assert_string_equal(c.realm, "b");
    assert_false(challenge_parse(&c, "Negotiate abc"));
    assert_false(challenge_parse(&c, ""));
}

static void test_names(void **state)
{
    static const char *const good[] = { "a", "a/b", "a.b_c__d---e/0", "library/busybox" };
    static const char *const bad[] = { "",       "/",       "a/",    "/a",     "a//b",
                                       "A",      "a..b",    "a___b", "a.",     "-a",
                                       "_blobs", "a/_tags", "..",    "a/../b", "a b" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(registry_name_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(registry_name_valid(bad[i]));
    assert_true(registry_tag_valid("v1.0-x_Y"));
    assert_false(registry_tag_valid(".x"));
    assert_false(registry_tag_valid("a/b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
