/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle against the running kernel: needs root and a static busybox for the root file
 * system; skips with the reason where either is missing. State goes to a temporary directory.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "container.h"

static char work[] = "/tmp/life_test.XXXXXX";
static char root[64], state[64];
static struct container_engine *engine;

static const char *busybox(void)
{
    static const char *const places[] = { "/bin/busybox", "/usr/bin/busybox" };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

static int set_up(void **unused)
{
    struct container_engine_options o = { .size = sizeof(o), .root = state, .rootless = -1 };
    autofree char *program = NULL, *copy = NULL;
    const char *from = busybox();
    ssize_t len;

    if (geteuid() != 0 || !from || !mkdtemp(work))
        return 0;
    snprintf(root, sizeof(root), "%s/root", work);
    snprintf(state, sizeof(state), "%s/state", work);
    copy = str_format("%s/bin/sh", root);
    len = file_read(AT_FDCWD, from, 8 << 20, &program);
    if (len < 0 || !copy || mkdir(root, 0755) < 0)
        return -1;
    *strrchr(copy, '/') = 0;
    mkdir(copy, 0755);
    copy[strlen(copy)] = '/';
    if (file_replace(AT_FDCWD, copy, program, (size_t)len, 0755, false) < 0)
        return -1;
    return container_engine_open(&engine, &o, NULL);
}

static int tear_down(void **unused)
{
    container_engine_close(engine);
    return path_remove_tree(AT_FDCWD, work);
}

/* An id is the name of a cgroup too, and the machine may run this test twice at a time. */
static const char *named(const char *what)
{
    static char id[64];

    snprintf(id, sizeof(id), "life-test-%d-%s", (int)getpid(), what);
    return id;
}

static void need_root(void)
{
    if (!engine) {
        print_message("needs root and busybox-static\n");
        skip();
    }
}

static struct container_spec *shell(const char *script)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct container_spec *spec;

    assert_int_equal(container_spec_new(&spec, NULL), 0);
    assert_int_equal(container_spec_set(spec, "root.path", root, NULL), 0);
    assert_int_equal(container_spec_set_args(spec, argv, NULL, NULL), 0);
    return spec;
}

static int wait_for(struct container_process *p)
{
    struct wharf_error e = { 0 };
    int status = -1;

    if (container_process_wait(p, &status, 10000, &e) < 0)
        fail_msg("%s", e.message);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int count(void *user, const char *id)
{
    ++*(int *)user;
    return 0;
}

static int left_behind(void)
{
    int n = 0;

    assert_int_equal(container_engine_list(engine, count, &n, NULL), 0);
    return n;
}

static void run_gives_the_exit_status(void **unused)
{
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;

    need_root();
    spec = shell("exit 7");
    if (container_run(engine, named("run"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(wait_for(container_init(c)), 7);
    assert_int_equal(container_delete(c, 0, NULL), 0);
    container_close(c);
    container_spec_free(spec);
    assert_int_equal(left_behind(), 0);
}

static void create_waits_and_start_starts_once(void **unused)
{
    enum container_status status;
    struct container_spec *spec;
    struct container *c, *again;
    struct wharf_error e = { 0 };

    need_root();
    spec = shell("read line < /proc/self/comm; while :; do :; done");
    if (container_create(engine, named("create"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_create(engine, named("create"), spec, NULL, &again, &e), -EEXIST);
    assert_int_equal(container_status(c, &status, NULL, NULL), 0);
    assert_int_equal(status, CONTAINER_CREATED);
    assert_int_equal(container_open(engine, named("create"), &again, NULL), 0);
    if (container_start(again, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_start(c, &e), -EBUSY);
    assert_non_null(strstr(e.message, "already running"));
    assert_int_equal(container_delete(c, 0, &e), -EBUSY);
    assert_int_equal(container_kill(again, SIGKILL, 0, NULL), 0);
    assert_int_equal(wait_for(container_init(c)), 128 + SIGKILL);
    assert_int_equal(container_kill(c, SIGTERM, 0, &e), -ESRCH);
    assert_int_equal(container_delete(c, 0, NULL), 0);
    container_close(again);
    container_close(c);
    container_spec_free(spec);
    assert_int_equal(left_behind(), 0);
}

/* Each of these fails at another step; each names the cause and leaves nothing. */
static void a_failed_create_leaves_nothing(void **unused)
{
    static const struct {
        const char *path, *value, *says;
        int kind;
    } faults[] = {
        { "process.args[0]", "/bin/none", "no such file or directory", WHARF_ERROR_NO_COMMAND },
        { "process.args[0]", "none", "not found in $PATH", WHARF_ERROR_NO_COMMAND },
        { "process.args[0]", "/bin", "is a directory", WHARF_ERROR_NOT_RUNNABLE },
        { "process.cwd", "/bin/sh", "/bin/sh", WHARF_ERROR_INTERNAL },
        { "root.path", "/none", "/none", WHARF_ERROR_NOT_FOUND },
    };

    need_root();
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct container_spec *spec = shell("exit 0");
        struct wharf_error e = { 0 };
        struct container *c;

        assert_int_equal(container_spec_set(spec, faults[i].path, faults[i].value, &e), 0);
        assert_true(container_create(engine, named("fault"), spec, NULL, &c, &e) < 0);
        if (!strstr(e.message, faults[i].says) || (int)e.kind != faults[i].kind)
            fail_msg("%s: '%s', kind %s", faults[i].value, e.message,
                     wharf_error_kind_name(e.kind));
        container_spec_free(spec);
        assert_int_equal(left_behind(), 0);
    }
}

static void exec_runs_beside_the_first_process(void **unused)
{
    static const char process[] =
        "{\"cwd\":\"/\",\"args\":[\"/bin/sh\",\"-c\",\"%s\"],\"env\":[\"A=b\"]}";
    struct container_process *p;
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;
    char json[512];

    need_root();
    spec = shell("while :; do :; done");
    if (container_run(engine, named("exec"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    snprintf(json, sizeof(json), process,
             "test $A = b && test $$ -gt 1 && test -e /proc/1/stat && exit 5");
    if (container_exec(c, json, NULL, &p, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(wait_for(p), 5);
    container_process_close(p);
    assert_int_equal(container_exec(c, "{\"cwd\":\"/\",\"args\":[\"none\"]}", NULL, &p, &e),
                     -ENOENT);
    assert_int_equal(container_delete(c, 1, NULL), 0);
    assert_int_equal(container_exec(c, json, NULL, &p, &e), -ESRCH);
    container_close(c);
    container_spec_free(spec);
}

static int run_inside(struct container *c, const char *script)
{
    struct wharf_error e = { 0 };
    struct container_process *p;
    char json[512];
    int status;

    snprintf(json, sizeof(json), "{\"cwd\":\"/\",\"args\":[\"/bin/sh\",\"-c\",\"%s\"]}", script);
    if (container_exec(c, json, NULL, &p, &e) < 0)
        fail_msg("%s", e.message);
    status = wait_for(p);
    container_process_close(p);
    return status;
}

static void mounts_and_devices_come_to_a_running_container(void **unused)
{
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;
    int tree;

    need_root();
    spec = shell("while :; do :; done");
    if (container_run(engine, named("live"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    tree = (int)syscall(SYS_open_tree, AT_FDCWD, work, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
    assert_true(tree >= 0);
    if (container_add_mount(c, tree, "/dev/shm/new", &e) < 0)
        fail_msg("%s", e.message);
    close(tree);
    assert_int_equal(run_inside(c, "test -d /dev/shm/new/state"), 0);
    assert_int_equal(container_remove_mount(c, "/dev/shm/new", &e), 0);
    assert_int_equal(run_inside(c, "test -d /dev/shm/new/state"), 1);
    assert_int_equal(container_add_mount(c, 0, "relative", &e), -EINVAL);
    if (container_add_device(c, "/dev/fuse2", S_IFCHR | 0600, makedev(10, 229), &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(run_inside(c, "test -c /dev/fuse2 && : < /dev/fuse2"), 0);
    assert_int_equal(container_delete(c, 1, NULL), 0);
    container_close(c);
    container_spec_free(spec);
}

static void pause_and_events(void **unused)
{
    struct container_event event = { 0 };
    enum container_status status;
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container_process *p;
    struct container *c;
    int fd;

    need_root();
    spec = shell("while :; do :; done");
    if (container_run(engine, named("pause"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    fd = container_events_fd(c, CONTAINER_EVENT_EXIT, &e);
    assert_true(fd >= 0);
    assert_int_equal(container_next_event(c, &event, &e), 0);
    if (container_pause(c, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(container_pause(c, &e), -EBUSY);
    assert_int_equal(container_status(c, &status, NULL, NULL), 0);
    assert_int_equal(status, CONTAINER_PAUSED);
    assert_int_equal(container_exec(c, "{\"cwd\":\"/\",\"args\":[\"/bin/sh\"]}", NULL, &p, &e),
                     -EBUSY);
    assert_int_equal(container_resume(c, &e), 0);
    assert_int_equal(container_resume(c, &e), -EBUSY);
    assert_int_equal(container_kill(c, SIGKILL, 0, &e), 0);
    assert_int_equal(wait_for(container_init(c)), 128 + SIGKILL);
    assert_int_equal(container_next_event(c, &event, &e), 1);
    assert_int_equal(event.type, CONTAINER_EVENT_EXIT);
    assert_int_equal(container_delete(c, 0, NULL), 0);
    container_close(c);
    container_spec_free(spec);
}

/* CVE-2019-5736: the image that the container can execute as its own is the stub, which refuses. */
static void self_exe_is_never_the_host_binary(void **unused)
{
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;

    need_root();
    spec = shell("exit 0");
    assert_int_equal(container_spec_set(spec, "process.args[0]", "/proc/self/exe", NULL), 0);
    if (container_run(engine, named("self"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(wait_for(container_init(c)), 126);
    assert_int_equal(container_delete(c, 0, NULL), 0);
    container_close(c);
    container_spec_free(spec);
}

static void a_terminal_is_the_containers_own(void **unused)
{
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;
    char text[256];
    int console;
    ssize_t n;

    need_root();
    spec = shell("test -t 0 && test -t 2 && test -c /dev/console && echo yes");
    assert_int_equal(container_spec_set(spec, "process.terminal", "true", NULL), 0);
    if (container_run(engine, named("tty"), spec, NULL, &c, &e) < 0)
        fail_msg("%s", e.message);
    console = container_process_take_console(container_init(c));
    assert_true(console >= 0);
    assert_int_equal(wait_for(container_init(c)), 0);
    n = read(console, text, sizeof(text));
    assert_int_equal(n, 5);
    assert_memory_equal(text, "yes\r\n", 5);
    close(console);
    assert_int_equal(container_delete(c, 0, NULL), 0);
    container_close(c);
    container_spec_free(spec);
}

static void hooks_run_in_their_places(void **unused)
{
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    struct container *c;
    autofree char *text = NULL, *json = NULL;

    need_root();
    json = str_format(
        "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"%s\"},\"process\":{\"cwd\":\"/\",\"args\":"
        "[\"/bin/sh\",\"-c\",\"exit 0\"]},\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{"
        "\"type\":\"pid\"}]},\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\","
        "\"-c\",\"cat > %s/seen; echo why >&2; exit 3\"]}]}}",
        root, work);
    assert_int_equal(container_spec_parse(&spec, json, strlen(json), &e), 0);
    assert_true(container_run(engine, named("hooks"), spec, NULL, &c, &e) < 0);
    assert_non_null(
        strstr(e.message, "createRuntime hook '/bin/sh' failed with exit status 3: why"));
    json = (free(json), str_format("%s/seen", work));
    assert_true(file_read(AT_FDCWD, json, 65536, &text) > 0);
    assert_non_null(strstr(text, "\"status\":\"creating\""));
    assert_int_equal(left_behind(), 0);
    container_spec_free(spec);
}

static void ids_that_could_lead_elsewhere_are_refused(void **unused)
{
    static const char *const ids[] = { "", ".", "..", ".a", "a/b", "../a", "@x", "a b" };
    struct wharf_error e = { 0 };
    struct container *c;

    need_root();
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        assert_int_equal(container_open(engine, ids[i], &c, &e), -EINVAL);
    assert_int_equal(container_open(engine, "nobody", &c, &e), -ENOENT);
    assert_int_equal(container_engine_forget(engine, "nobody", &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_gives_the_exit_status),
        cmocka_unit_test(create_waits_and_start_starts_once),
        cmocka_unit_test(a_failed_create_leaves_nothing),
        cmocka_unit_test(exec_runs_beside_the_first_process),
        cmocka_unit_test(mounts_and_devices_come_to_a_running_container),
        cmocka_unit_test(pause_and_events),
        cmocka_unit_test(self_exe_is_never_the_host_binary),
        cmocka_unit_test(a_terminal_is_the_containers_own),
        cmocka_unit_test(hooks_run_in_their_places),
        cmocka_unit_test(ids_that_could_lead_elsewhere_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
