/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real groups, made below a name of this test's own in whatever hierarchies stand here: the host as
 * it is (hybrid, v1 or v2). The same program runs in a v1 and in a v2 view in test/cgroup.
 * Whatever the outcome, teardown kills and removes what was made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

struct state {
    struct cgroup *cg;
    pid_t child;
    char path[64];
    struct wharf_error e;
};

static int setup(void **ret)
{
    struct state *s = calloc(1, sizeof(*s));

    snprintf(s->path, sizeof(s->path), "/wharf-cgroup-test-%d/one", (int)getpid());
    *ret = s;
    return 0;
}

static int teardown(void **ret)
{
    struct state *s = *ret;
    char parent[GROUP_PATH_MAX];

    if (s->cg) {
        cgroup_freeze(s->cg, false, NULL);
        cgroup_kill(s->cg, SIGKILL, NULL);
    }
    if (s->child > 0) {
        kill(s->child, SIGKILL);
        waitpid(s->child, NULL, 0);
    }
    if (s->cg) {
        cgroup_remove(s->cg, true, NULL);
        for (size_t i = 0; i < s->cg->count; i++) {
            snprintf(parent, sizeof(parent), "%s", s->cg->groups[i].path);
            *strrchr(parent, '/') = 0;
            rmdir(parent);
        }
    }
    cgroup_close(s->cg);
    free(s);
    return 0;
}

/* A child that sleeps until it is killed. */
static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void check(struct state *s, int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, s->e.message);
}

static void create(struct state *s)
{
    struct cgroup_options o = { .path = s->path, .owner_uid = UINT32_MAX };

    check(s, cgroup_create(&s->cg, &o, &s->e));
}

static void attach(struct state *s)
{
    s->child = sleeper();
    check(s, cgroup_attach(s->cg, s->child, false, &s->e));
}

static void expect_file(struct group *g, const char *file, const char *text)
{
    char got[512];

    assert_non_null(g);
    assert_true(group_read(g, file, got, sizeof(got)) > 0);
    assert_string_equal(got, text);
}

static void test_attach_puts_the_process_everywhere(void **ret)
{
    struct state *s = *ret;
    char pid[16];

    create(s);
    attach(s);
    snprintf(pid, sizeof(pid), "%d\n", (int)s->child);
    assert_true(s->cg->count > 0);
    for (size_t i = 0; i < s->cg->count; i++)
        expect_file(&s->cg->groups[i], "cgroup.procs", pid);
}

static void test_limits_are_written(void **ret)
{
    struct state *s = *ret;
    struct spec_memory memory = { .limit = { true, 64 << 20 } };
    struct spec_pids pids = { .limit = { true, 0 } };
    struct spec_cpu cpu = { .shares = { true, 1024 },
                            .quota = { true, 50000 },
                            .period = { true, 100000 },
                            .burst = { true, 10000 } };
    struct spec_resources r = { .memory = &memory, .pids = &pids, .cpu = &cpu };
    struct group *g;

    create(s);
    r.memory = cgroup_owner(s->cg, CONTROLLER_MEMORY) ? r.memory : NULL;
    r.pids = cgroup_owner(s->cg, CONTROLLER_PIDS) ? r.pids : NULL;
    r.cpu = cgroup_owner(s->cg, CONTROLLER_CPU) ? r.cpu : NULL;
    if (!r.memory && !r.pids && !r.cpu)
        skip(); /* the pure v2 view of a hybrid host */
    check(s, cgroup_apply(s->cg, &r, true, &s->e));
    g = cgroup_owner(s->cg, CONTROLLER_MEMORY);
    if (g)
        expect_file(g, g->v2 ? "memory.max" : "memory.limit_in_bytes", "67108864\n");
    g = cgroup_owner(s->cg, CONTROLLER_PIDS);
    if (g)
        expect_file(g, "pids.max", "1\n");
    g = cgroup_owner(s->cg, CONTROLLER_CPU);
    if (g)
        expect_file(g, g->v2 ? "cpu.max" : "cpu.cfs_quota_us",
                    g->v2 ? "50000 100000\n" : "50000\n");
    if (g)
        expect_file(g, g->v2 ? "cpu.weight" : "cpu.shares", g->v2 ? "100\n" : "1024\n");
}

/* The two bound one another, so one order fails when they grow and the other when they shrink. */
static void test_memory_and_swap_change_in_any_direction(void **ret)
{
    static const int64_t sizes[] = { 64, 256, 32, 512, 16 };
    struct state *s = *ret;
    struct group *g;

    create(s);
    g = cgroup_owner(s->cg, CONTROLLER_MEMORY);
    if (!g || g->v2)
        skip(); /* v2's limits are independent */
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct spec_memory memory = { .limit = { true, sizes[i] << 20 },
                                      .swap = { true, sizes[i] << 20 } };
        struct spec_resources r = { .memory = &memory };
        uint64_t now;

        check(s, cgroup_apply(s->cg, &r, false, &s->e));
        assert_int_equal(group_read_u64(g, "memory.memsw.limit_in_bytes", &now), 0);
        assert_int_equal(now, sizes[i] << 20);
    }
}

static void test_a_limit_without_controller_names_it(void **ret)
{
    struct state *s = *ret;
    struct spec_network network = { .class_id = { true, 7 } };
    struct spec_resources r = { .network = &network };
    struct cgroup_options o = { .path = s->path, .resources = &r, .owner_uid = UINT32_MAX };
    struct cgroup *cg = NULL;

    if (access("/sys/fs/cgroup/net_cls", F_OK) == 0)
        skip(); /* this kernel has it */
    assert_int_equal(cgroup_create(&cg, &o, &s->e), -EOPNOTSUPP);
    assert_null(cg);
    assert_non_null(strstr(s->e.message, "'net_cls'"));
}

static void test_busy_groups_are_refused(void **ret)
{
    struct state *s = *ret;
    struct cgroup_options o = { .path = s->path, .owner_uid = UINT32_MAX };
    struct cgroup *second = NULL;

    create(s);
    attach(s);
    assert_int_equal(cgroup_create(&second, &o, &s->e), -EBUSY);
    assert_null(second);
    assert_non_null(strstr(s->e.message, "not empty"));
}

static void test_frozen_groups_are_refused(void **ret)
{
    struct state *s = *ret;
    struct cgroup_options o = { .path = s->path, .owner_uid = UINT32_MAX };
    struct cgroup *second = NULL;

    create(s);
    check(s, cgroup_freeze(s->cg, true, &s->e));
    assert_int_equal(cgroup_is_frozen(s->cg), 1);
    assert_int_equal(cgroup_create(&second, &o, &s->e), -EBUSY);
    assert_non_null(strstr(s->e.message, "frozen"));
}

static void test_an_existing_group_is_never_removed(void **ret)
{
    struct state *s = *ret;
    struct cgroup_options o = { .path = s->path, .owner_uid = UINT32_MAX };
    struct cgroup *second = NULL;

    create(s);
    check(s, cgroup_create(&second, &o, &s->e));
    check(s, cgroup_remove(second, true, &s->e));
    for (size_t i = 0; i < s->cg->count; i++)
        assert_int_equal(access(s->cg->groups[i].path, F_OK), 0);
    cgroup_close(second);
}

static void test_a_frozen_process_can_be_killed(void **ret)
{
    struct state *s = *ret;
    int status;

    create(s);
    attach(s);
    check(s, cgroup_freeze(s->cg, true, &s->e));
    check(s, cgroup_kill(s->cg, SIGKILL, &s->e));
    assert_int_equal(waitpid(s->child, &status, 0), s->child);
    assert_true(WIFSIGNALED(status));
    s->child = 0;
}

static void test_other_signals_reach_all(void **ret)
{
    struct state *s = *ret;
    int status;

    create(s);
    attach(s);
    check(s, cgroup_kill(s->cg, SIGTERM, &s->e));
    assert_int_equal(waitpid(s->child, &status, 0), s->child);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    s->child = 0;
    assert_int_equal(cgroup_is_frozen(s->cg), 0);
}

static void test_pids_are_found_below(void **ret)
{
    struct state *s = *ret;
    struct group *g;
    pid_t *pids = NULL;
    size_t count;
    char pid[16];

    create(s);
    g = cgroup_census(s->cg);
    s->child = sleeper();
    snprintf(pid, sizeof(pid), "%d", (int)s->child);
    assert_int_equal(mkdirat(group_dir(g), "a", 0755), 0);
    assert_int_equal(mkdirat(group_dir(g), "a/b", 0755), 0);
    assert_int_equal(group_write(g, "a/b/cgroup.procs", pid), 0);
    check(s, cgroup_pids(s->cg, &pids, &count, &s->e));
    assert_int_equal(count, 1);
    assert_int_equal(pids[0], s->child);
    free(pids);
}

static void test_remove_takes_groups_below_and_processes(void **ret)
{
    struct state *s = *ret;

    create(s);
    attach(s);
    for (size_t i = 0; i < s->cg->count; i++) {
        assert_int_equal(mkdirat(group_dir(&s->cg->groups[i]), "a", 0755), 0);
        assert_int_equal(mkdirat(group_dir(&s->cg->groups[i]), "a/b", 0755), 0);
    }
    assert_int_equal(cgroup_remove(s->cg, false, &s->e), -EBUSY);
    signal(SIGCHLD, SIG_IGN); /* nobody waits: the kernel reaps */
    check(s, cgroup_remove(s->cg, true, &s->e));
    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < s->cg->count; i++)
        assert_int_equal(access(s->cg->groups[i].path, F_OK), -1);
    s->child = 0;
    check(s, cgroup_remove(s->cg, true, &s->e)); /* again: fine */
}

static void test_save_and_load(void **ret)
{
    struct state *s = *ret;
    struct cgroup *again = NULL;
    autojson json_t *saved = NULL, *second = NULL;

    create(s);
    attach(s);
    check(s, cgroup_save(s->cg, &saved, &s->e));
    check(s, cgroup_load(&again, saved, &s->e));
    check(s, cgroup_save(again, &second, &s->e));
    assert_true(json_equal(saved, second));
    for (size_t i = 0; i < s->cg->count; i++) {
        assert_string_equal(again->groups[i].path, s->cg->groups[i].path);
        assert_int_equal(again->groups[i].controllers, s->cg->groups[i].controllers);
        assert_int_equal(again->groups[i].dir, -1); /* loading opens nothing */
    }
    check(s, cgroup_kill(again, SIGKILL, &s->e));
    waitpid(s->child, NULL, 0);
    s->child = 0;
    check(s, cgroup_remove(again, false, &s->e));
    cgroup_close(again);
}

static void test_a_failed_create_leaves_nothing(void **ret)
{
    struct state *s = *ret;
    /* the leaf's name is one that the kernel refuses, its parent's is not */
    struct cgroup_options o = { .path = "/wharf-cgroup-test-left/a\nb", .owner_uid = UINT32_MAX };
    char parent[GROUP_PATH_MAX];
    struct hierarchies all;
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);

    assert_int_equal(cgroup_create(&s->cg, &o, &s->e), -EINVAL);
    assert_null(s->cg);
    check(s, hierarchies_find(&all, arena, &s->e));
    for (size_t i = 0; i < all.count; i++) {
        snprintf(parent, sizeof(parent), "%s/wharf-cgroup-test-left", all.items[i].mount);
        assert_int_equal(access(parent, F_OK), -1);
    }
}

static void test_open_sub(void **ret)
{
    struct state *s = *ret;
    struct cgroup *sub = NULL;
    struct group *g;

    create(s);
    assert_int_equal(cgroup_open_sub(s->cg, "../..", &sub, &s->e), -EINVAL);
    assert_int_equal(cgroup_open_sub(s->cg, "missing", &sub, &s->e), -ENOENT);
    for (size_t i = 0; i < s->cg->count; i++)
        assert_int_equal(mkdirat(group_dir(&s->cg->groups[i]), "in", 0755), 0);
    check(s, cgroup_open_sub(s->cg, "in", &sub, &s->e));
    g = &sub->groups[0];
    assert_true(str_ends(g->path, "/one/in"));
    cgroup_close(sub);
}

/* The child dies of a limit that it passes; the event and the counter tell. */
static void test_oom_is_told(void **ret)
{
    struct state *s = *ret;
    struct spec_memory memory = { .limit = { true, 8 << 20 }, .swap = { true, 8 << 20 } };
    struct spec_resources r = { .memory = &memory };
    struct pollfd p = { .events = POLLIN };
    uint64_t kills = 0;
    int gate[2];

    create(s);
    if (!cgroup_owner(s->cg, CONTROLLER_MEMORY))
        skip(); /* the pure v2 view of a hybrid host */
    check(s, cgroup_apply(s->cg, &r, true, &s->e));
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    s->child = fork();
    if (s->child == 0) {
        char byte;

        if (read(gate[0], &byte, 1) == 1)
            for (volatile char *eaten = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                 ; eaten += 4096)
                *eaten = 1; /* until it is killed: by the limit, or past the mapping */
        _exit(0);
    }
    check(s, cgroup_attach(s->cg, s->child, false, &s->e));
    check(s, cgroup_event_open(s->cg, CONTAINER_EVENT_OOM, &p.fd, &s->e));
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(waitpid(s->child, NULL, 0), s->child);
    s->child = 0;
    check(s, cgroup_event_read(s->cg, CONTAINER_EVENT_OOM, p.fd, &kills, &s->e));
    assert_int_equal(kills, 1);
    close(p.fd);
    close(gate[0]);
    close(gate[1]);
}

static void test_freezing_is_told(void **ret)
{
    struct state *s = *ret;
    struct pollfd p = { .events = POLLIN };
    uint64_t frozen = 0;

    create(s);
    if (!cgroup_v2(s->cg)) {
        assert_int_equal(cgroup_event_open(s->cg, CONTAINER_EVENT_FROZEN, &p.fd, &s->e),
                         -EOPNOTSUPP);
        return;
    }
    attach(s);
    check(s, cgroup_event_open(s->cg, CONTAINER_EVENT_FROZEN, &p.fd, &s->e));
    assert_int_equal(poll(&p, 1, 0), 0);
    check(s, cgroup_freeze(s->cg, true, &s->e));
    assert_int_equal(poll(&p, 1, 5000), 1);
    check(s, cgroup_event_read(s->cg, CONTAINER_EVENT_FROZEN, p.fd, &frozen, &s->e));
    assert_int_equal(frozen, 1);
    close(p.fd);
}

static void test_stats_count_the_process(void **ret)
{
    struct state *s = *ret;
    autojson json_t *stats = NULL;

    create(s);
    attach(s);
    check(s, cgroup_stats(s->cg, &stats, &s->e));
    assert_true(json_is_object(json_object_get(stats, "cpu")));
    if (cgroup_owner(s->cg, CONTROLLER_PIDS)) /* a thread sanitizer adds a task of its own */
        assert_in_range(
            json_integer_value(json_object_get(json_object_get(stats, "pids"), "current")), 1, 2);
    if (cgroup_owner(s->cg, CONTROLLER_MEMORY))
        assert_true(json_is_integer(
            json_object_get(json_object_get(json_object_get(stats, "memory"), "usage"), "usage")));
}

/* Can a process in the group open /dev/kmsg (c 1:11), which the default rules do not name? */
static bool can_open(struct state *s)
{
    int gate[2], status;
    char byte;

    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    s->child = fork();
    if (s->child == 0) {
        int fd = read(gate[0], &byte, 1) == 1 ? open("/dev/kmsg", O_RDONLY | O_CLOEXEC) : -1;

        _exit(fd >= 0 ? 0 : errno == EPERM ? 1 : 2);
    }
    check(s, cgroup_attach(s->cg, s->child, false, &s->e));
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_int_equal(waitpid(s->child, &status, 0), s->child);
    s->child = 0;
    close(gate[0]);
    close(gate[1]);
    assert_in_range(WEXITSTATUS(status), 0, 1);
    return WEXITSTATUS(status) == 0;
}

static void test_device_rules_are_replaced(void **ret)
{
    struct state *s = *ret;
    struct spec_device_rule rules[] = {
        { .allow = false, .access = (char *)"rwm" },
        { .allow = true,
          .type = (char *)"c",
          .major = { true, 1 },
          .minor = { true, 11 },
          .access = (char *)"r" },
    };
    struct spec_resources r = { .devices = { rules, 1 } };

    if (access("/dev/kmsg", R_OK) < 0)
        skip();
    create(s);
    assert_true(can_open(s));
    check(s, cgroup_apply(s->cg, &r, true, &s->e));
    assert_false(can_open(s));
    for (int i = 0; i < 3; i++) {
        r.devices.count = 2;
        check(s, cgroup_apply(s->cg, &r, false, &s->e));
        assert_true(can_open(s));
        r.devices.count = 1;
        check(s, cgroup_apply(s->cg, &r, false, &s->e));
        assert_false(can_open(s));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(attach_puts_the_process_everywhere),
        CASE(limits_are_written),
        CASE(memory_and_swap_change_in_any_direction),
        CASE(a_limit_without_controller_names_it),
        CASE(busy_groups_are_refused),
        CASE(frozen_groups_are_refused),
        CASE(an_existing_group_is_never_removed),
        CASE(a_frozen_process_can_be_killed),
        CASE(other_signals_reach_all),
        CASE(pids_are_found_below),
        CASE(remove_takes_groups_below_and_processes),
        CASE(save_and_load),
        CASE(a_failed_create_leaves_nothing),
        CASE(open_sub),
        CASE(device_rules_are_replaced),
        CASE(oom_is_told),
        CASE(freezing_is_told),
        CASE(stats_count_the_process),
    };

    if (geteuid() != 0) {
        print_message("skipped: making cgroups needs root\n");
        return 77;
    }
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
