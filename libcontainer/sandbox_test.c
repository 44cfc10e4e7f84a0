/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes of /bin/sh, as whoever runs the test: root and others alike. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "container.h"
#include "libcontainer/landlock.h"

static const char *const system_paths[] = { "/usr", "/bin", "/lib", "/lib64", "/etc", NULL };

static struct container_policy make_policy(void)
{
    return (struct container_policy){ .size = sizeof(struct container_policy),
                                      .read_paths = system_paths,
                                      .stdio = { -1, -1, -1 } };
}

static int shell(const struct container_policy *policy, const char *script, struct wharf_error *e)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    int status = -1, r = container_sandbox_run(policy, argv, &status, e);

    return r < 0 ? r : status;
}

static bool no_user_namespaces(void)
{
    struct container_policy policy = make_policy();
    struct wharf_error e = { 0 };

    return shell(&policy, "true", &e) < 0 && strstr(e.message, "user namespaces");
}

#define NEED_NAMESPACES()                                                                          \
    do {                                                                                           \
        if (no_user_namespaces()) {                                                                \
            print_message("skipped: user namespaces are not allowed here\n");                      \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static void must_exit(const struct container_policy *policy, const char *script, int code)
{
    struct wharf_error e = { 0 };
    int status = shell(policy, script, &e);

    if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("'%s' gave %d (%s)", script, status, e.message);
}

static void test_status(void **state)
{
    struct container_policy policy = make_policy();
    const char *const missing[] = { "no-such-command", NULL };
    const char *const denied[] = { "/etc/passwd", NULL };
    struct wharf_error e = { 0 };
    int status = 77;

    (void)state;
    NEED_NAMESPACES();
    must_exit(&policy, "exit 0", 0);
    must_exit(&policy, "exit 7", 7);
    status = shell(&policy, "kill -TERM $$", &e);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(container_sandbox_run(&policy, missing, &status, &e), -ENOENT);
    assert_int_equal(e.kind, WHARF_ERROR_NO_COMMAND);
    assert_int_equal(container_sandbox_run(&policy, denied, &status, &e), -EACCES);
    assert_int_equal(e.kind, WHARF_ERROR_NOT_RUNNABLE);
}

static void test_walls(void **state)
{
    struct container_policy policy = make_policy();

    (void)state;
    NEED_NAMESPACES();
    must_exit(&policy, "test ! -e /home && test ! -e /var && test ! -e /sys", 0);
    must_exit(&policy, "! touch /usr/x 2>/dev/null && ! touch /x 2>/dev/null", 0);
    must_exit(&policy, "echo x >/tmp/x && test -s /tmp/x", 0);
    must_exit(&policy, "grep -q '^CapEff:.0000000000000000$' /proc/self/status", 0);
    must_exit(&policy, "grep -q '^CapBnd:.0000000000000000$' /proc/self/status", 0);
    must_exit(&policy, "grep -q '^NoNewPrivs:.1$' /proc/self/status", 0);
    must_exit(&policy, "test $(ls -d /proc/[0-9]* | wc -l) -le 6", 0);
    must_exit(&policy, "test $(cat /proc/net/dev | wc -l) = 3", 0);    /* lo alone */
    must_exit(&policy, "test \"$(ls /proc/self/fd | wc -w)\" = 4", 0); /* 0 1 2 and ls's own */
    must_exit(&policy, "! echo 1 2>/dev/null >/proc/sys/kernel/panic", 0);
    policy.seccomp_preset = "default";
    must_exit(&policy, "! unshare -U true 2>/dev/null", 0);
    policy.seccomp_preset = "strict";
    must_exit(&policy, "echo x | cat | grep -q x", 0);
}

static void test_write_paths(void **state)
{
    char dir[] = "/tmp/sandbox-test-XXXXXX";
    const char *const writable[] = { dir, NULL };
    struct container_policy policy = make_policy();
    autofree char *text = NULL, *file = NULL;

    (void)state;
    NEED_NAMESPACES();
    assert_non_null(mkdtemp(dir));
    file = str_format("%s/out", dir);
    policy.write_paths = writable;
    policy.cwd = dir;
    policy.file_size = 4096;
    must_exit(&policy, "echo hello >out", 0);
    assert_int_equal(file_read(AT_FDCWD, file, 64, &text), 6);
    must_exit(&policy, "head -c 100000 /dev/zero >big; test $(wc -c <big) = 4096", 0);
    assert_int_equal(path_remove_tree(AT_FDCWD, dir), 0);
}

static void test_limits(void **state)
{
    struct container_policy policy = make_policy();
    struct wharf_error e = { 0 };
    int status;

    (void)state;
    NEED_NAMESPACES();
    policy.wall_ms = 200;
    assert_int_equal(shell(&policy, "sleep 10", &e), -ETIMEDOUT);
    policy.wall_ms = 20000;
    policy.cpu_ms = 500;
    status = shell(&policy, "while :; do :; done", &e);
    assert_true(WIFSIGNALED(status) &&
                (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL));
    policy.cpu_ms = 0;
    policy.pids = 8;
    must_exit(&policy,
              "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done 2>/dev/null; "
              "test $(ls -d /proc/[0-9]* | wc -l) -le 9 || exit 1",
              2 /* dash's fork failed */);
}

static int listen_on_loopback(uint16_t *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void test_network(void **state)
{
    struct container_policy policy = make_policy();
    autofree char *allowed = NULL, *script = NULL;
    const char *list[] = { NULL, NULL };
    uint16_t open_port = 0, closed_port = 0;
    autoclose int one = -1, two = -1;

    (void)state;
    NEED_NAMESPACES();
    if (landlock_abi() < 4 || access("/bin/bash", X_OK) < 0) {
        print_message("skipped: needs Landlock ABI 4 and bash\n");
        skip();
    }
    one = listen_on_loopback(&open_port);
    two = listen_on_loopback(&closed_port);
    list[0] = allowed = str_format("tcp:%u", open_port);
    /* the allowed port, another one, and a datagram */
    script = str_format("exec 2>/dev/null; bash -c ': >/dev/tcp/127.0.0.1/%u' || exit 1; "
                        "bash -c ': >/dev/tcp/127.0.0.1/%u' && exit 2; "
                        "bash -c ': >/dev/udp/127.0.0.1/%u' && exit 3; exit 0",
                        open_port, closed_port, open_port);
    policy.net_allow = list;
    must_exit(&policy, script, 0);
    policy.net_allow = NULL;
    must_exit(&policy, script, 1);
}

static void test_bad_policies(void **state)
{
    struct container_policy policy = make_policy();
    const char *const relative[] = { "usr", NULL }, *const whole[] = { "/", NULL };
    const char *const absent[] = { "/nonexistent", NULL }, *const ports[] = { "udp:53", NULL };
    struct wharf_error e = { 0 };

    (void)state;
    policy.read_paths = relative;
    assert_int_equal(shell(&policy, "true", &e), -EINVAL);
    policy.read_paths = whole;
    assert_int_equal(shell(&policy, "true", &e), -EINVAL);
    policy.read_paths = absent;
    assert_int_equal(shell(&policy, "true", &e), -ENOENT);
    assert_non_null(strstr(e.message, "/nonexistent"));
    policy = make_policy();
    policy.seccomp_preset = "lax";
    assert_int_equal(shell(&policy, "true", &e), -EINVAL);
    policy = make_policy();
    policy.size = 8;
    assert_int_equal(shell(&policy, "true", &e), -EINVAL);
    policy = make_policy();
    policy.net_allow = ports;
    if (landlock_abi() >= 4)
        assert_int_equal(shell(&policy, "true", &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),      cmocka_unit_test(test_walls),
        cmocka_unit_test(test_write_paths), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_network),     cmocka_unit_test(test_bad_policies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
