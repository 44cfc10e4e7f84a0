/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of service against a directory that stands in for resctrl: an ordinary file system makes
 * no files of its own, so a class is made half by hand. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/rdt.h"

static char work[] = "/tmp/rdt-test-XXXXXX";
static int mount = -1;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(work))
        return -1;
    mount = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return mount < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    fd_close(mount);
    return path_remove_tree(AT_FDCWD, work);
}

static void put(const char *path, const char *text)
{
    int fd = openat(mount, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static char *name(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void a_class_of_anothers_is_compared(void **state)
{
    struct spec_intel_rdt spec = { .clos_id = name("theirs"), .l3_cache_schema = name("L3:0=f") };
    struct wharf_error e = { 0 };
    autofree char *tasks = NULL;

    (void)state;
    assert_int_equal(mkdirat(mount, "theirs", 0755), 0);
    put("theirs/schemata", "    MB:0=100\n    L3:0=f\n");
    put("theirs/tasks", "");
    assert_int_equal(rdt_plan(mount, "theirs", &spec, &e), 0);
    assert_int_equal(rdt_make(mount, "theirs", &spec, &e), 0);
    spec.mem_bw_schema = name("MB:0=50");
    assert_int_equal(rdt_make(mount, "theirs", &spec, &e), -EEXIST);
    assert_non_null(strstr(e.message, "not 'MB:0=50'"));
    assert_int_equal(rdt_attach(mount, "theirs", 77, &e), 0);
    assert_int_equal(file_read(mount, "theirs/tasks", 64, &tasks), 2);
    assert_string_equal(tasks, "77");
}

static void a_class_without_schemata_must_be_there(void **state)
{
    struct spec_intel_rdt spec = { .clos_id = name("none") };
    struct wharf_error e = { 0 };

    (void)state;
    assert_int_equal(rdt_plan(mount, "none", &spec, &e), -ENOENT);
    assert_non_null(strstr(e.message, "linux.intelRdt.closID"));
    spec.clos_id = NULL;
    spec.enable_monitoring = true;
    assert_int_equal(rdt_plan(mount, "none", &spec, &e), -EOPNOTSUPP);
    spec.enable_monitoring = false;
    assert_int_equal(rdt_plan(mount, "none", &spec, &e), 1);
    assert_int_equal(rdt_make(mount, "none", &spec, &e), 1);
    assert_int_equal(rdt_remove(mount, "none", &e), 0);
    assert_int_equal(faccessat(mount, "none", F_OK, 0), -1);
    assert_int_equal(rdt_remove(mount, "none", &e), 0);
}

static void a_failed_make_leaves_nothing(void **state)
{
    struct spec_intel_rdt spec = { .l3_cache_schema = name("L3:0=f") };
    struct wharf_error e = { 0 };

    (void)state;
    /* no file "schemata" comes with the directory here */
    assert_true(rdt_make(mount, "half", &spec, &e) < 0);
    assert_non_null(strstr(e.message, "'half'"));
    assert_int_equal(faccessat(mount, "half", F_OK, 0), -1);
}

static void a_class_of_ours_is_written_anew(void **state)
{
    struct spec_intel_rdt spec = { .l3_cache_schema = name("L3:0=3"),
                                   .mem_bw_schema = name("MB:0=20") };
    struct wharf_error e = { 0 };
    autofree char *text = NULL;

    (void)state;
    assert_int_equal(rdt_update(mount, "ours", &spec, &e), -ENOENT);
    assert_int_equal(mkdirat(mount, "ours", 0755), 0);
    put("ours/schemata", "");
    assert_int_equal(rdt_update(mount, "ours", &spec, &e), 0);
    assert_true(file_read(mount, "ours/schemata", 64, &text) > 0);
    assert_string_equal(text, "L3:0=3\nMB:0=20\n");
}

static void a_host_without_it_is_told_by_the_field(void **state)
{
    struct spec_intel_rdt spec = { .clos_id = name("a") };
    struct wharf_error e = { 0 };

    (void)state;
    if (access("/sys/fs/resctrl/info", F_OK) == 0)
        skip();
    assert_int_equal(rdt_open(&spec, &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.message, "linux.intelRdt.closID"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_of_anothers_is_compared),
        cmocka_unit_test(a_class_without_schemata_must_be_there),
        cmocka_unit_test(a_failed_make_leaves_nothing),
        cmocka_unit_test(a_class_of_ours_is_written_anew),
        cmocka_unit_test(a_host_without_it_is_told_by_the_field),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
