/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, Landlock and process attributes, judged by what the kernel says in a child
 * afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "base/arena.h"
#include "libcontainer/credentials.h"
#include "libcontainer/landlock.h"

/* Runs `call` in a child: its result, which must fit an exit status. */
static int in_child(int (*call)(void *), void *arg)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(call(arg));
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool bit(uint64_t set, unsigned n)
{
    return set >> n & 1;
}

static int check_capabilities(void *arg)
{
    const struct spec_capabilities *wish = arg;
    struct spec_capabilities got;
    uint64_t dropped, missed;
    struct wharf_error e = { 0 };

    if (capabilities_resolve(wish, &got, &dropped, &e) < 0 ||
        capabilities_drop_bounding(&got, &e) < 0 || capabilities_apply(&got, &missed, &e) < 0)
        return 1;
    for (unsigned c = 0; c < 41; c++) {
        if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) != bit(got.bounding, c))
            return 2;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0) != bit(got.ambient, c))
            return 3;
    }
    return missed || dropped ? 4 : 0;
}

static void test_capabilities(void **state)
{
    uint64_t some = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_KILL;
    struct spec_capabilities wish = { .bounding = some,
                                      .permitted = some,
                                      .effective = some,
                                      .inheritable = UINT64_C(1) << CAP_KILL,
                                      .ambient = UINT64_C(1) << CAP_KILL };

    (void)state;
    assert_string_equal(capability_words[40].name, "CAP_CHECKPOINT_RESTORE");
    assert_true(capability_words[40].value == (int64_t)1 << 40);
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(check_capabilities, &wish), 0);
    assert_int_equal(in_child(check_capabilities, &(struct spec_capabilities){ 0 }), 0);
}

static int check_landlock(void *arg)
{
    struct wharf_error e = { 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enforce(arg, &e) < 0)
        return 1;
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0)
        return 2;
    return open("/usr/bin/env", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 3;
}

static void test_landlock(void **state)
{
    char *paths[] = { (char *)(uintptr_t) "/etc" };
    struct spec_landlock_path rule = { .paths = { paths, 1 }, .access = 1u << 2 | 1u << 3 };
    struct spec_landlock spec = { .handled_fs = 1u << 2, .path_beneath = { &rule, 1 } };
    struct arena *arena = arena_new(1 << 16);
    const struct spec_landlock *ready;
    struct wharf_error e = { 0 };

    (void)state;
    if (landlock_abi() == 0)
        skip();
    assert_int_equal(landlock_prepare(&spec, arena, &ready, &e), 0);
    assert_ptr_equal(ready, &spec);
    assert_int_equal(in_child(check_landlock, (void *)(uintptr_t)ready), 0);
    /* a right that no kernel has yet */
    spec.handled_fs |= UINT64_C(1) << 60;
    assert_int_equal(landlock_prepare(&spec, arena, &ready, &e), -EOPNOTSUPP);
    spec.best_effort = true;
    assert_int_equal(landlock_prepare(&spec, arena, &ready, &e), 0);
    assert_true(ready->handled_fs == 1u << 2);
    assert_int_equal(in_child(check_landlock, (void *)(uintptr_t)ready), 0);
    arena_free(arena);
}

static int check_attributes(void *arg)
{
    struct wharf_error e = { 0 };
    struct rlimit limit;
    cpu_set_t cpus;

    if (attributes_apply(arg, &e) < 0)
        return 1;
    if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_cur != 7 || limit.rlim_max != 9)
        return 2;
    if (sched_getscheduler(0) != SCHED_BATCH || getpriority(PRIO_PROCESS, 0) != 5)
        return 3;
    return sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) != 1 ||
                   !CPU_ISSET(0, &cpus)
               ? 4
               : 0;
}

static void test_attributes(void **state)
{
    struct spec_rlimit limit = { .type = RLIMIT_CORE, .soft = 7, .hard = 9 };
    struct spec_scheduler scheduler = { .policy = SCHED_BATCH, .nice = 5 };
    struct spec_cpu_affinity affinity = { .final = (char *)(uintptr_t) "0" };
    struct spec_process process = { .rlimits = { &limit, 1 },
                                    .scheduler = &scheduler,
                                    .exec_cpu_affinity = &affinity };
    static const char *bad[] = { "a", "3-1", "1,,2", "1,", "9999", "-1", "1-" };
    struct arena *arena = arena_new(1 << 20);
    struct process_attributes *ready;
    struct wharf_error e = { 0 };

    (void)state;
    assert_int_equal(attributes_prepare(&process, NULL, false, arena, &ready, &e), 0);
    assert_int_equal(in_child(check_attributes, ready), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        affinity.final = (char *)(uintptr_t)bad[i];
        assert_int_equal(attributes_prepare(&process, NULL, false, arena, &ready, &e), -EINVAL);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_landlock),
        cmocka_unit_test(test_attributes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
