/* SPDX-License-Identifier: Apache-2.0 */
/* A key is made once and keeps its id; a file that is no key is refused, not replaced. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "base/fd.h"
#include "libtrust/key.h"

/* Made by openssl genpkey; the id is base32 of what openssl pkey -pubout -outform DER | sha256sum
 * says. */
static const char known[] = "-----BEGIN PRIVATE KEY-----\n"
                            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd96CkhoJ5UgjdODo\n"
                            "TeOnwp3fg83Jb5YP7DVyUZGMW4yhRANCAAQKxrN8Upp7HknKFynWjY/53y+vC4AN\n"
                            "pClWFN8N14BhuVQaa3ANa7zmS9QWIUoYA8f2PSfFnJh31CWwP+Tqi5o7\n"
                            "-----END PRIVATE KEY-----\n";
static const char known_id[] = "GSMG:QRAD:4YIY:ESUA:XE22:XC5D:RLX2:SR6P:7WW3:R332:QHPP:HT4R";

static char dir[64], path[128];

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/wharf-key-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key.pem", dir);
    return 0;
}

static int teardown(void **state)
{
    return path_remove_tree(AT_FDCWD, dir);
}

static void a_key_keeps_its_id(void **state)
{
    char first[KEY_ID_MAX], second[KEY_ID_MAX];
    struct wharf_error e = { 0 };
    struct stat st;

    assert_int_equal(key_file(path, first, &e), 0);
    assert_int_equal(key_file(path, second, &e), 0);
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), 59);
    assert_int_equal(strspn(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567:"), 59);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void others_may_not_read_it(void **state)
{
    char id[KEY_ID_MAX];
    struct wharf_error e = { 0 };

    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(key_file(path, id, &e), -EACCES);
    assert_int_equal(chmod(path, 0600), 0);
}

static void ids_are_libtrusts(void **state)
{
    char id[KEY_ID_MAX];

    assert_int_equal(file_replace(AT_FDCWD, path, known, strlen(known), 0600, false), 0);
    assert_int_equal(key_file(path, id, NULL), 0);
    assert_string_equal(id, known_id);
}

static void what_is_no_key_stays(void **state)
{
    char id[KEY_ID_MAX];
    struct wharf_error e = { 0 };
    autofree char *text = NULL;

    assert_int_equal(file_replace(AT_FDCWD, path, "a key", 5, 0600, false), 0);
    assert_int_equal(key_file(path, id, &e), -EBADMSG);
    assert_int_equal(file_read(AT_FDCWD, path, KEY_PEM_MAX, &text), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_key_keeps_its_id),
                                        cmocka_unit_test(others_may_not_read_it),
                                        cmocka_unit_test(ids_are_libtrusts),
                                        cmocka_unit_test(what_is_no_key_stays) };

    return cmocka_run_group_tests(tests, setup, teardown);
}
