/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp programs are judged by what they do: each case loads one in a child and makes the call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "libcontainer/seccomp-filter.h"

/* A list of strings; the cast is for -Wwrite-strings. */
#define NAMES(...)                                                                                 \
    {                                                                                              \
        .items = (char **)(uintptr_t)(const char *[]){ __VA_ARGS__ },                              \
        .count = ARRAY_SIZE(((const char *[]){ __VA_ARGS__ }))                                     \
    }

/* What a call gives under a filter: its result, -errno, or 1000 + the signal that ended the child.
 */
static int under(const struct spec_seccomp *spec, int cache, long nr, long arg)
{
    struct wharf_error e = { 0 };
    struct seccomp_program program = { 0 };
    int status, listener;
    pid_t pid;

    if (seccomp_compile(spec, cache, &program, NULL, NULL, &e) < 0)
        fail_msg("%s", e.message);
    pid = fork();
    if (pid == 0) {
        long r;

        signal(SIGSYS, SIG_DFL); /* cmocka catches it */
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (seccomp_load_program(&program, &listener) < 0)
            _exit(200);
        r = syscall(nr, arg, 0, 0, 0, 0, 0);
        syscall(SYS_exit_group, r < 0 ? errno : 0); /* nothing else is allowed by some profiles */
    }
    waitpid(pid, &status, 0);
    seccomp_done(&program);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : -WEXITSTATUS(status);
}

/* What a child needs to end, and seccomp(2) as the youngest call that is named. */
#define ALLOW_BASICS                                                                               \
    {                                                                                              \
        .names = NAMES("exit_group", "exit", "no_such_call", "seccomp", "getppid"),                \
        .action = SECCOMP_RET_ALLOW,                                                               \
    }

static void test_actions(void **state)
{
    struct spec_seccomp_rule rules[] = {
        { .names = NAMES("getpid"), .action = SECCOMP_RET_ERRNO },
        { .names = NAMES("getuid"), .action = SECCOMP_RET_ERRNO, .errno_ret = { true, ENOTTY } },
        { .names = NAMES("getgid"), .action = SECCOMP_RET_KILL_PROCESS },
        { .names = NAMES("getegid"), .action = SECCOMP_RET_TRAP },
    };
    struct spec_seccomp spec = { .default_action = SECCOMP_RET_ALLOW,
                                 .syscalls = { rules, ARRAY_SIZE(rules) } };

    (void)state;
    assert_int_equal(under(&spec, -1, SYS_getppid, 0), 0);
    assert_int_equal(under(&spec, -1, SYS_getpid, 0), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_getuid, 0), -ENOTTY);
    assert_int_equal(under(&spec, -1, SYS_getgid, 0), 1000 + SIGSYS);
    assert_int_equal(under(&spec, -1, SYS_getegid, 0), 1000 + SIGSYS);
}

static void test_arguments(void **state)
{
    struct spec_seccomp_arg args[] = { { .index = 0, .value = 7, .op = SCMP_CMP_EQ },
                                       { .index = 0, .value = 9, .op = SCMP_CMP_EQ } };
    struct spec_seccomp_arg masked[] = {
        { .index = 0, .value = 0xf0, .value_two = 0x30, .op = SCMP_CMP_MASKED_EQ }
    };
    struct spec_seccomp_rule rules[] = {
        { .names = NAMES("alarm"), .action = SECCOMP_RET_ERRNO, .args = { args, 2 } },
        { .names = NAMES("getsid"), .action = SECCOMP_RET_ERRNO, .args = { masked, 1 } },
    };
    struct spec_seccomp spec = { .default_action = SECCOMP_RET_ALLOW,
                                 .syscalls = { rules, ARRAY_SIZE(rules) } };

    (void)state;
    /* two conditions on one argument: either matches */
    assert_int_equal(under(&spec, -1, SYS_alarm, 7), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_alarm, 9), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_alarm, 8), 0);
    assert_int_equal(under(&spec, -1, SYS_getsid, 0x35), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_getsid, 0), 0);
}

static void test_young_calls(void **state)
{
    struct spec_seccomp_rule basics = ALLOW_BASICS;
    uint32_t archs[] = { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 };
    struct spec_seccomp spec = { .default_action = SECCOMP_RET_ERRNO, .syscalls = { &basics, 1 } };

    (void)state;
    /* seccomp(2) is the youngest that the profile names: older ones are refused, younger unknown */
    assert_int_equal(under(&spec, -1, SYS_getpid, 0), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_seccomp + 1, 0), -ENOSYS);
    assert_int_equal(under(&spec, -1, 5000, 0), -ENOSYS);
#ifdef __x86_64__
    spec.architectures.items = (void *)archs;
    spec.architectures.count = sizeof(spec.architectures.items[0]) == 4 ? 3 : 0;
    assert_int_equal(under(&spec, -1, SYS_getpid, 0), -EPERM);
    assert_int_equal(under(&spec, -1, SYS_getppid, 0), 0);
    assert_int_equal(under(&spec, -1, 5000, 0), -ENOSYS);
#endif
    /* a permissive default gets no stub: the kernel itself answers */
    spec.default_action = SECCOMP_RET_ALLOW;
    assert_int_equal(under(&spec, -1, 5000, 0), -ENOSYS);
}

static void test_cache(void **state)
{
    char template[] = "/tmp/wharf-seccomp-XXXXXX";
    struct spec_seccomp_rule basics = ALLOW_BASICS;
    struct spec_seccomp spec = { .default_action = SECCOMP_RET_ERRNO, .syscalls = { &basics, 1 } };
    autoclose int dir = -1;
    char *slot = NULL, name[32] = "";
    ssize_t len = -1;

    (void)state;
    assert_non_null(mkdtemp(template));
    dir = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2; i++)
        assert_int_equal(under(&spec, dir, SYS_getpid, 0), -EPERM);
    for (int i = 0; i < 64 && len < 0; i++) {
        snprintf(name, sizeof(name), "seccomp-%02d", i);
        len = file_read(dir, name, 1 << 20, &slot);
    }
    assert_true(len > 0);
    /* a slot of other rules, or one that is damaged or cut, is not believed */
    slot[3] ^= 1;
    assert_int_equal(file_replace(dir, name, slot, (size_t)len, 0600, false), 0);
    assert_int_equal(under(&spec, dir, SYS_getpid, 0), -EPERM);
    slot[3] ^= 1;
    memset(slot + len - 64, 0, 64);
    assert_int_equal(file_replace(dir, name, slot, (size_t)len, 0600, false), 0);
    assert_int_equal(under(&spec, dir, SYS_getpid, 0), -EPERM);
    assert_int_equal(file_replace(dir, name, slot, (size_t)len - 64, 0600, false), 0);
    assert_int_equal(under(&spec, dir, SYS_getpid, 0), -EPERM);
    free(slot);
    assert_int_equal(path_remove_tree(AT_FDCWD, template), 0);
}

static void test_cache_directory(void **state)
{
    char template[] = "/tmp/wharf-seccomp-XXXXXX";
    autoclose int root = -1;
    int dir;

    (void)state;
    assert_non_null(mkdtemp(template));
    root = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        dir = seccomp_open_cache(root);
        assert_true(dir >= 0);
        close(dir);
    }
    /* one that others may write is of no use, nor is a link */
    assert_int_equal(fchmodat(root, ".seccomp", 0777, 0), 0);
    assert_int_equal(seccomp_open_cache(root), -1);
    assert_int_equal(renameat(root, ".seccomp", root, "real"), 0);
    assert_int_equal(fchmodat(root, "real", 0700, 0), 0);
    assert_int_equal(symlinkat("real", root, ".seccomp"), 0);
    assert_int_equal(seccomp_open_cache(root), -1);
    assert_int_equal(path_remove_tree(AT_FDCWD, template), 0);
}

static void test_refusals(void **state)
{
    struct spec_seccomp_rule rule = { .names = NAMES("write"), .action = SECCOMP_RET_USER_NOTIF };
    struct spec_seccomp spec = { .default_action = SECCOMP_RET_ALLOW, .syscalls = { &rule, 1 } };
    struct seccomp_program program = { 0 };
    struct wharf_error e = { 0 };

    (void)state;
    assert_int_equal(seccomp_compile(&spec, -1, &program, NULL, NULL, &e), -EINVAL);
    assert_non_null(strstr(e.message, "listenerPath"));
    spec.listener_path = (char *)(uintptr_t) "/run/x";
    assert_int_equal(seccomp_compile(&spec, -1, &program, NULL, NULL, &e), -EINVAL);
    assert_non_null(strstr(e.message, "'write'"));
    spec.default_action = SECCOMP_RET_USER_NOTIF;
    assert_int_equal(seccomp_compile(&spec, -1, &program, NULL, NULL, &e), -EINVAL);
    assert_null(program.code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),         cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_young_calls),     cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_directory), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
