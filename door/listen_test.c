/* SPDX-License-Identifier: Apache-2.0 */
/* What -H accepts, and the sockets that come of it. */
#include "door/listen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"

static struct {
    char dir[64], path[80], value[96], warning[256];
} t;

static void keep_warning(void *user, const char *text)
{
    snprintf(t.warning, sizeof t.warning, "%s", text);
}

static const struct listen_options plain = { .warn = keep_warning };

static int setup(void **state)
{
    snprintf(t.dir, sizeof t.dir, "/tmp/door-listen-XXXXXX");
    if (!mkdtemp(t.dir))
        return -1;
    snprintf(t.path, sizeof t.path, "%s/d.sock", t.dir);
    snprintf(t.value, sizeof t.value, "unix://%s", t.path);
    t.warning[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    return path_remove_tree(AT_FDCWD, t.dir);
}

static bool answers(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

/* ---- values ----------------------------------------------------------------------------------- */

static void refused(void **state)
{
    static const struct {
        const char *value, *text;
    } cases[] = {
        { "udp://127.0.0.1", "Invalid bind address format: udp://127.0.0.1" },
        { "http://a:5", "Invalid bind address format: http://a:5" },
        { "://", "Invalid bind address format: ://" },
        { "unix://tcp://x", "Invalid proto, expected unix: tcp://x" },
        { "tcp://unix:///x", "Invalid proto, expected tcp: unix:///x" },
        { "foo:bar", "Invalid bind address format: foo:bar" },
        { "tcp://1.2.3.4:65536", "Invalid bind address format: tcp://1.2.3.4:65536" },
        { "tcp://1.2.3.4:123456789", "Invalid bind address format: tcp://1.2.3.4:123456789" },
        { "tcp://[::1:5", "Invalid bind address format: tcp://[::1:5" },
        { "tcp://[::1]5", "Invalid bind address format: tcp://[::1]5" },
        { "tcp://a:5/path", "Invalid bind address format: tcp://a:5/path" },
        { "tcp://a b:5", "Invalid bind address format: tcp://a b:5" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wharf_error e = { 0 };

        assert_int_equal(listen_check(cases[i].value, &e), -EINVAL);
        assert_string_equal(e.message, cases[i].text);
    }
}

static void accepted(void **state)
{
    static const char *const values[] = {
        "",         "  ",      "unix://",     "unix:///x",    "tcp://",
        "tcp://:1", "tcp://h", "tcp://[::1]", "tcp://[::1]:", "[::]:80",
        "h:80",     "fd://",   "fd://3",      " fd://name "
    };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        assert_int_equal(listen_check(values[i], NULL), 0);
}

/* ---- unix ------------------------------------------------------------------------------------- */

static void unix_socket(void **state)
{
    struct listen_set set = { 0 };
    struct stat st;

    assert_int_equal(listen_add(&set, t.value, &plain, NULL), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.sockets[0].kind, LISTEN_UNIX);
    assert_string_equal(set.sockets[0].name, t.value);
    assert_int_equal(lstat(t.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(fcntl(set.sockets[0].fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(answers(t.path));
    listen_done(&set);
    assert_int_equal(lstat(t.path, &st), -1);
}

static void unix_socket_in_use(void **state)
{
    struct listen_set set = { 0 }, other = { 0 };
    struct wharf_error e = { 0 };

    assert_int_equal(listen_add(&set, t.value, &plain, NULL), 0);
    assert_int_equal(listen_add(&other, t.value, &plain, &e), -EADDRINUSE);
    assert_non_null(strstr(e.message, "somebody listens there"));
    assert_int_equal(other.count, 0);
    assert_true(answers(t.path));
    listen_done(&set);
}

static void stale_socket_is_replaced(void **state)
{
    struct listen_set dead = { 0 }, set = { 0 };
    struct stat st;

    assert_int_equal(listen_add(&dead, t.value, &plain, NULL), 0);
    dead.sockets[0].fd = fd_close(dead.sockets[0].fd); /* as after kill -9 */
    assert_int_equal(listen_add(&set, t.value, &plain, NULL), 0);
    assert_true(answers(t.path));
    listen_done(&dead); /* leaves alone what is not its own any more */
    assert_int_equal(lstat(t.path, &st), 0);
    listen_done(&set);
}

static void file_is_left_alone(void **state)
{
    struct listen_set set = { 0 };
    autoclose int fd = open(t.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(listen_add(&set, t.value, &plain, NULL), -EEXIST);
    assert_int_equal(lstat(t.path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

static void no_directory(void **state)
{
    struct listen_set set = { 0 };
    struct wharf_error e = { 0 };

    assert_int_equal(listen_add(&set, "unix:///nonexistent/x.sock", &plain, &e), -ENOENT);
    assert_string_equal(e.message,
                        "failed to load listeners: can't create unix socket "
                        "/nonexistent/x.sock: listen unix /nonexistent/x.sock: bind: No such file "
                        "or directory");
}

static void group(void **state)
{
    struct listen_options o = { .group = "2147483000", .warn = keep_warning };
    struct listen_set set = { 0 };
    struct stat st;

    if (geteuid() != 0)
        skip();
    assert_int_equal(listen_add(&set, t.value, &o, NULL), 0);
    assert_int_equal(lstat(t.path, &st), 0);
    assert_int_equal(st.st_gid, 2147483000);
    assert_string_equal(t.warning, "");
    listen_done(&set);
}

static void group_that_is_none(void **state)
{
    struct listen_options o = { .group = "door-no-such-group", .warn = keep_warning };
    struct listen_set set = { 0 };
    struct wharf_error e = { 0 };
    struct stat st;

    assert_int_equal(listen_add(&set, t.value, &o, &e), -ENOENT);
    assert_non_null(strstr(e.message, "invalid group: 'door-no-such-group'"));
    assert_int_equal(lstat(t.path, &st), -1);
}

/* ---- tcp -------------------------------------------------------------------------------------- */

static void tcp(void **state)
{
    struct listen_set set = { 0 }, other = { 0 };
    struct wharf_error e = { 0 };

    assert_int_equal(listen_add(&set, "tcp://127.0.0.1:0", &plain, NULL), 0);
    assert_int_equal(set.sockets[0].kind, LISTEN_TCP);
    assert_true(set.sockets[0].loopback);
    assert_non_null(str_after(set.sockets[0].name, "tcp://127.0.0.1:"));
    assert_int_equal(listen_add(&other, set.sockets[0].name, &plain, &e), -EADDRINUSE);
    assert_non_null(strstr(e.message, "failed to load listeners: listen tcp 127.0.0.1:"));
    assert_int_equal(listen_add(&set, "tcp://0.0.0.0:0", &plain, NULL), 0);
    assert_false(set.sockets[1].loopback);
    listen_done(&set);
    assert_int_equal(listen_add(&set, "tcp://192.0.2.1:0", &plain, NULL), -EADDRNOTAVAIL);
}

static void tcp6(void **state)
{
    struct listen_set set = { 0 };

    if (listen_add(&set, "tcp://[::1]:0", &plain, NULL) == -EAFNOSUPPORT)
        skip(); /* a kernel without IPv6 */
    assert_int_equal(set.count, 1);
    assert_true(set.sockets[0].loopback);
    assert_non_null(str_after(set.sockets[0].name, "tcp://[::1]:"));
    listen_done(&set);
}

/* ---- socket activation ------------------------------------------------------------------------ */

static void set_activation(const char *count, const char *names)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
}

static void no_activation(void **state)
{
    struct listen_set set = { 0 };
    struct wharf_error e = { 0 };

    unsetenv("LISTEN_PID");
    assert_int_equal(listen_add(&set, "fd://", &plain, &e), -ENOENT);
    assert_string_equal(e.message, "failed to load listeners: no sockets found via socket "
                                   "activation: make sure the service was started by systemd");
    setenv("LISTEN_PID", "1", 1); /* somebody else's */
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(listen_add(&set, "fd://", &plain, NULL), -ENOENT);
}

/* As systemd passes them: a unix socket "api" at 3, TCP "web" at 4, something else at 5. */
static void activation(void **state)
{
    struct listen_set passed = { 0 }, set = { 0 };
    struct wharf_error e = { 0 };
    int before[] = { dup(3), dup(4), dup(5) };

    assert_int_equal(listen_add(&passed, t.value, &plain, NULL), 0);
    assert_int_equal(listen_add(&passed, "tcp://127.0.0.1:0", &plain, NULL), 0);
    int unix_fd = fcntl(passed.sockets[0].fd, F_DUPFD, 10);
    int tcp_fd = fcntl(passed.sockets[1].fd, F_DUPFD, 10);
    passed.sockets[0].fd = fd_close(passed.sockets[0].fd);
    passed.sockets[1].fd = fd_close(passed.sockets[1].fd);
    dup2(unix_fd, 3);
    dup2(tcp_fd, 4);
    dup2(1, 5);

    set_activation("2", "api:web");
    assert_int_equal(listen_add(&set, "fd://", &plain, NULL), 0);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.sockets[0].fd, 3);
    assert_int_equal(set.sockets[0].kind, LISTEN_UNIX);
    assert_int_equal(set.sockets[1].kind, LISTEN_TCP);
    assert_true(set.sockets[1].loopback);
    assert_int_equal(listen_add(&set, "fd://3", &plain, &e), -EINVAL);
    assert_non_null(strstr(e.message, "named twice"));
    listen_done(&set);
    assert_int_equal(access(t.path, F_OK), 0); /* systemd's, not ours */

    dup2(unix_fd, 3);
    dup2(tcp_fd, 4);
    assert_int_equal(listen_add(&set, "fd://web", &plain, NULL), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.sockets[0].fd, 4);
    assert_int_equal(listen_add(&set, "fd://3", &plain, NULL), 0);
    assert_int_equal(set.count, 2);
    assert_int_equal(listen_add(&set, "fd://we", &plain, &e), -ENOENT);
    assert_int_equal(listen_add(&set, "fd://9", &plain, &e), -ENOENT);
    assert_non_null(strstr(e.message, "too few socket activated files passed in by systemd"));
    set_activation("3", "api:web");
    assert_int_equal(listen_add(&set, "fd://5", &plain, &e), -EINVAL);
    assert_non_null(strstr(e.message, "failed to listen on systemd activated file: fd 5"));
    assert_int_equal(set.count, 2);

    listen_done(&set);
    listen_done(&passed);
    close(unix_fd);
    close(tcp_fd);
    for (int i = 0; i < 3; i++) {
        if (before[i] >= 0)
            dup2(before[i], 3 + i);
        else
            close(3 + i);
        fd_close(before[i]);
    }
    unsetenv("LISTEN_PID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(accepted),
        cmocka_unit_test_setup_teardown(unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(unix_socket_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_socket_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(file_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(no_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(group, setup, teardown),
        cmocka_unit_test_setup_teardown(group_that_is_none, setup, teardown),
        cmocka_unit_test(tcp),
        cmocka_unit_test(tcp6),
        cmocka_unit_test(no_activation),
        cmocka_unit_test_setup_teardown(activation, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
