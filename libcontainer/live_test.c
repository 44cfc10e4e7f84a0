/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts and devices given to a running container, which waits for them with the host's shell.
 * Needs root. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "container.h"

static char work[] = "/tmp/live-test-XXXXXX";

/* Runs the script in a container whose root holds the host's programs only. */
static struct container *start(struct container_engine *engine, const char *script)
{
    static const char *const shared[] = { "/usr", "/bin", "/lib", "/lib64" };
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    struct container_spec *spec = NULL;
    struct container *c = NULL;
    struct wharf_error e = { 0 };
    autofree char *root = str_format("%s/root", work);
    char id[32];
    int r = container_spec_new(&spec, &e);

    snprintf(id, sizeof(id), "live-%d", getpid());
    mkdir(root, 0755);
    if (r == 0)
        r = container_spec_set(spec, "root.path", root, &e);
    if (r == 0)
        r = container_spec_set(spec, "root.readonly", "false", &e);
    if (r == 0)
        r = container_spec_set_args(spec, argv, NULL, &e);
    for (size_t i = 0; i < ARRAY_SIZE(shared) && r == 0; i++)
        r = container_spec_add_mount(spec, shared[i], shared[i], "bind", "rbind,ro", &e);
    if (r == 0)
        r = container_run(engine, id, spec, NULL, &c, &e);
    container_spec_free(spec);
    if (r < 0)
        fail_msg("%s", e.message);
    return c;
}

static void test_live(void **state)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_engine *engine = NULL;
    struct wharf_error e = { 0 };
    autofree char *state_dir = NULL, *hot = NULL, *go = NULL;
    autoclose int tree = -1;
    struct container *c;
    int status = -1;

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: containers with mounts need root\n");
        skip();
    }
    assert_non_null(mkdtemp(work));
    state_dir = str_format("%s/state", work);
    hot = str_format("%s/hot", work);
    options.root = state_dir;
    assert_int_equal(mkdir(hot, 0755), 0);
    assert_int_equal(container_engine_open(&engine, &options, &e), 0);
    c = start(engine, "while ! test -e /hot/in/go; do sleep 0.02; done; : >/hot/in/seen || exit 3; "
                      "while ! test -c /dev/mem2; do sleep 0.02; done; "
                      "head -c 4 </dev/mem2 >/dev/null || exit 4; "
                      "while test -e /hot/in/go; do sleep 0.02; done; exit 42");
    go = str_format("%s/go", hot);
    assert_int_equal(file_replace(AT_FDCWD, go, "", 0, 0644, false), 0);
    tree = open_tree(AT_FDCWD, hot, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    assert_true(tree >= 0);
    if (container_add_mount(c, tree, "/hot/in", &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_add_mount(c, tree, "/x/../proc/self", &e), -EPERM);
    assert_int_equal(container_add_mount(c, tree, "relative", &e), -EINVAL);
    /* 1:5 is zero */
    if (container_add_device(c, "/dev/mem2", S_IFCHR | 0666, makedev(1, 5), &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_add_device(c, "/dev/mem2", S_IFCHR | 0666, makedev(1, 3), &e),
                     -EEXIST);
    {
        autofree char *seen = str_format("%s/seen", hot);

        for (int i = 0; i < 250 && access(seen, F_OK) < 0; i++)
            usleep(20000);
        assert_int_equal(access(seen, F_OK), 0);
    }
    assert_int_equal(container_remove_mount(c, "/hot/none", &e), -ENOENT);
    if (container_remove_mount(c, "/hot/in", &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_process_wait(container_init(c), &status, 10000, &e), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(container_delete(c, 1, &e), 0);
    container_close(c);
    container_engine_close(engine);
    assert_int_equal(path_remove_tree(AT_FDCWD, work), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_live) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
