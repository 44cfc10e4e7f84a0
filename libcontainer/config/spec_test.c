/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the configuration: real documents come back as they went in, faults are told with the
 * path of the field, a refused change changes nothing. Documents: fuzz/corpus/config.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/config/mount-options.h"
#include "libcontainer/config/spec.h"

DEFINE_AUTO(struct container_spec, container_spec_free)
#define autospec auto_of(container_spec_free)

static int parse(const char *text, struct container_spec **ret, struct wharf_error *e)
{
    return container_spec_parse(ret, text, strlen(text), e);
}

static json_t *tree_of(const char *text)
{
    struct json_limits limits = { .size = SPEC_TEXT_MAX, .depth = SPEC_DEPTH_MAX, .wide = true };
    json_t *tree = NULL;

    assert_int_equal(json_read(text, strlen(text), limits, "test", &tree, NULL), 0);
    return tree;
}

/* What write says of a spec that has no document behind it: all of it went through the structs. */
static char *written(struct container_spec *spec)
{
    json_t *document = spec->document;
    char *text = NULL;

    spec->document = NULL;
    assert_int_equal(container_spec_write(spec, &text, NULL), 0);
    spec->document = document;
    return text;
}

static void check_file(const char *name, bool exact)
{
    autofree char *path = str_format("%s/%s", CORPUS, name), *text = NULL, *first = NULL,
                  *second = NULL;
    autospec struct container_spec *spec = NULL, *again = NULL;
    autojson json_t *before = NULL, *after = NULL;
    struct wharf_error e = { 0 };

    assert_true(file_read(AT_FDCWD, path, SPEC_TEXT_MAX, &text) > 0);
    if (parse(text, &spec, &e) < 0)
        fail_msg("%s: %s", name, e.message);
    first = written(spec);
    assert_int_equal(parse(first, &again, &e), 0);
    second = written(again);
    assert_string_equal(first, second);
    before = tree_of(text);
    after = tree_of(first);
    if (exact)
        assert_true(json_equal(before, after));
}

/* every-field.json has each member of each table, in the tables' own words: nothing is lost. */
static void test_round_trip(void **state)
{
    check_file("every-field.json", true);
    check_file("runc-spec.json", false);
    check_file("crun-spec.json", false);
    check_file("docker.json", false);
    check_file("podman.json", false);
}

static void test_default(void **state)
{
    autospec struct container_spec *spec = NULL, *again = NULL;
    autofree char *first = NULL, *second = NULL;

    assert_int_equal(container_spec_new(&spec, NULL), 0);
    assert_int_equal(spec_check(spec, NULL), 0);
    first = written(spec);
    assert_int_equal(parse(first, &again, NULL), 0);
    second = written(again);
    assert_string_equal(first, second);
    assert_int_equal(again->mounts.count, 7);
    assert_non_null(spec_namespace_find(again, CLONE_NEWPID));
    assert_null(spec_namespace_find(again, CLONE_NEWUSER));
}

static void test_unlimited(void **state)
{
    autospec struct container_spec *spec = NULL;
    autofree char *path = str_format("%s/docker.json", CORPUS), *text = NULL, *out = NULL;

    assert_true(file_read(AT_FDCWD, path, SPEC_TEXT_MAX, &text) > 0);
    assert_int_equal(parse(text, &spec, NULL), 0);
    assert_int_equal(spec->process->rlimits.items[0].type, RLIMIT_CORE);
    assert_true(spec->process->rlimits.items[0].soft == RLIM_INFINITY);
    assert_int_equal(container_spec_write(spec, &out, NULL), 0);
    assert_non_null(strstr(out, "\"soft\":18446744073709551615"));
}

/* config.md "Extensibility": what is not known is kept and ignored. */
static void test_unknown_members(void **state)
{
    autospec struct container_spec *spec = NULL;
    autofree char *out = NULL;

    assert_int_equal(
        parse("{\"ociVersion\":\"1.9.9\",\"x\":[1],\"mounts\":[{\"destination\":\"/a\","
              "\"y\":2},{\"destination\":\"/b\"}],\"linux\":{\"z\":{\"w\":3},"
              "\"resources\":{\"memory\":{\"v\":18446744073709551615}}}}",
              &spec, NULL),
        0);
    assert_int_equal(container_spec_set(spec, "linux.resources.memory.limit", "1k", NULL), 0);
    assert_int_equal(container_spec_write(spec, &out, NULL), 0);
    assert_string_equal(out, "{\"ociVersion\":\"1.9.9\",\"mounts\":[{\"destination\":\"/a\",\"y\":2"
                             "},{\"destination\":\"/b\"}],\"linux\":{\"resources\":{\"memory\":{"
                             "\"limit\":1024,\"v\":18446744073709551615}},\"z\":{\"w\":3}},\"x\":["
                             "1]}");
}

/* Each fault, and how its message begins. %s stands in a document that is else right. */
static const struct {
    const char *member, *message;
} faults[] = {
    { "\"windows\":{}", "windows: is for another platform" },
    { "\"hostname\":1", "hostname: must be a string, not an integer" },
    { "\"hostname\":18446744073709551615", "hostname: must be a string, not an integer above" },
    { "\"annotations\":{\"a\":1}", "annotations.a: must be a string, not an integer" },
    { "\"mounts\":[{}]", "mounts[0].destination: is missing" },
    { "\"mounts\":[{\"destination\":\"\"}]", "mounts[0].destination: may not be empty" },
    { "\"process\":{\"args\":[\"a\"]}", "process.cwd: is missing" },
    { "\"process\":{\"cwd\":\"/\"}", "process.args: may not be empty" },
    { "\"process\":{\"cwd\":\"x\",\"args\":[\"a\"]}", "process.cwd: 'x' is not an absolute path" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\",2]}", "process.args[1]: must be a string" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"oomScoreAdj\":1001}",
      "process.oomScoreAdj: 1001 is outside -1000..1000" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"user\":{\"uid\":-1,\"gid\":0}}",
      "process.user.uid: -1 is outside 0..4294967295" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"user\":{\"uid\":4294967296,\"gid\":0}}",
      "process.user.uid: 4294967296 is outside" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"user\":{\"uid\":\"root\",\"gid\":0}}",
      "process.user.uid: must be an integer, not a string" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"capabilities\":{\"bounding\":[\"CAP_X\"]}}",
      "process.capabilities.bounding[0]: unknown value 'CAP_X'" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"rlimits\":[{\"type\":\"RLIMIT_CPU\","
      "\"soft\":1,\"hard\":18446744073709551616}]}",
      "config.json: line 1 column" },
    { "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"rlimits\":[{\"type\":\"RLIMIT_CPU\","
      "\"soft\":2,\"hard\":1}]}",
      "process.rlimits[0]: RLIMIT_CPU: soft is above hard" },
    { "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pidd\"}]}",
      "linux.namespaces[1].type: unknown value 'pidd'" },
    { "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}",
      "linux.namespaces[1]: type 'pid' stands twice" },
    { "\"linux\":{\"devices\":[{\"path\":\"/a\",\"type\":\"c\"},{\"path\":\"/b\",\"type\":\"c\","
      "\"major\":1.5}]}",
      "linux.devices[1].major: must be an integer, not a number" },
    { "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":["
      "\"a\"],\"action\":\"SCMP_ACT_DO\"}]}}",
      "linux.seccomp.syscalls[0].action: unknown value 'SCMP_ACT_DO'" },
    { "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}}",
      "linux.seccomp.defaultAction: may not be SCMP_ACT_NOTIFY" },
    { "\"linux\":{\"landlock\":{\"handledAccessFS\":[\"fly\"]}}",
      "linux.landlock.handledAccessFS[0]: unknown value 'fly'" },
    { "\"linux\":{\"landlock\":{\"udpPort\":[]}}", "linux.landlock: unknown member 'udpPort'" },
    { "\"linux\":{\"landlock\":{\"handledAccessFS\":[],\"pathBeneath\":[{\"paths\":[\"/\"],"
      "\"allowedAccess\":[\"execute\"]}]}}",
      "linux.landlock.pathBeneath[0].allowedAccess: names a right" },
    { "\"linux\":{\"sysctl\":{\"kernel.hostname\":\"a\"},\"namespaces\":[{\"type\":\"uts\"}]}",
      "linux.sysctl: 'kernel.hostname' conflicts" },
    { "\"linux\":{\"sysctl\":{\"net/ipv4/ip_forward\":\"1\"}}",
      "linux.sysctl: 'net/ipv4/ip_forward' needs a network namespace" },
    { "\"linux\":{\"sysctl\":{\"vm.swappiness\":\"1\"}}",
      "linux.sysctl: 'vm.swappiness' belongs to no namespace" },
    { "\"linux\":{\"sysctl\":{\"net/../kernel/pid_max\":\"1\"},\"namespaces\":[{\"type\":"
      "\"network\"}]}",
      "linux.sysctl: 'net/../kernel/pid_max' is not a name" },
    { "\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}",
      "linux.uidMappings: needs a user namespace" },
    { "\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}", "linux.uidMappings: a new user" },
    { "\"linux\":{\"netDevices\":{\"a/b\":{}},\"namespaces\":[{\"type\":\"network\"}]}",
      "linux.netDevices: 'a/b' is not an interface name" },
    { "\"linux\":{\"resources\":{\"unified\":{\"../a.b\":\"1\"}}}",
      "linux.resources.unified: '../a.b' is not a cgroup file" },
    { "\"linux\":{\"devices\":[{\"path\":\"/dev/a\",\"type\":\"c\",\"major\":1,\"minor\":3},"
      "{\"path\":\"/dev/a\",\"type\":\"c\",\"major\":1,\"minor\":5}]}",
      "linux.devices[1]: '/dev/a' is another device in linux.devices[0]" },
    { "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}}",
      "linux.seccomp.defaultErrnoRet: defaultAction returns no errno" },
    { "\"linux\":{\"intelRdt\":{\"closID\":\"..\"}}", "linux.intelRdt.closID: '..'" },
    { "\"hooks\":{\"poststop\":[{\"path\":\"/a\"},{\"path\":\"b\"}]}",
      "hooks.poststop[1].path: 'b' is not absolute" },
    { "\"hooks\":{\"poststop\":[{\"path\":\"/a\",\"timeout\":0}]}",
      "hooks.poststop[0].timeout: 0 is outside 1.." },
    { "\"hostname\":\"a\\u0000b\"", "config.json: line 1 column" },
    { "\"root\":{\"path\":\"a\"},\"root\":{\"path\":\"b\"}", "config.json: line 1 column" },
};

static void test_faults(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        autofree char *text = str_format("{\"ociVersion\":\"1.0.0\",%s}", faults[i].member);
        autospec struct container_spec *spec = NULL;
        struct wharf_error e = { 0 };

        if (parse(text, &spec, &e) != -EINVAL || !str_after(e.message, faults[i].message))
            fail_msg("%s: %s", faults[i].member, e.message);
        assert_null(spec);
    }
}

static void test_version(void **state)
{
    struct container_spec *spec = NULL;

    assert_int_equal(parse("{\"ociVersion\":\"2.0.0\"}", &spec, NULL), -EOPNOTSUPP);
    assert_int_equal(parse("{}", &spec, NULL), -EINVAL);
    assert_int_equal(parse("[]", &spec, NULL), -EINVAL);
    assert_int_equal(parse("", &spec, NULL), -EINVAL);
}

static void test_set(void **state)
{
    static const struct {
        const char *path, *value;
        int result;
    } sets[] = {
        { "process.cwd", "/tmp", 0 },
        { "process.terminal", "true", 0 },
        { "process.terminal", "yes", -EINVAL },
        { "process.env[+]", "A=B", 0 },
        { "process.env[0]", "C=D", 0 },
        { "process.env[99]", "C=D", -EINVAL },
        { "process.user.additionalGids", "[7,8]", 0 },
        { "process.user.additionalGids[+]", "9", 0 },
        { "process.rlimits[0].hard", "18446744073709551615", 0 },
        { "process.capabilities.bounding[+]", "CAP_SYS_ADMIN", 0 },
        { "process.capabilities.ambient", "CAP_KILL,CAP_CHOWN", 0 },
        { "process.capabilities.ambient", "CAP_NO", -EINVAL },
        { "linux.resources.memory.limit", "64M", 0 },
        { "linux.resources.memory.limit", "64Q", -EINVAL },
        { "linux.resources.devices[+].allow", "true", 0 },
        { "linux.resources.rdma[mlx5_0.1].hcaHandles", "3", 0 },
        { "linux.sysctl.net.ipv4.ip_forward", "1", 0 },
        { "linux.sysctl.net.ipv4.ip_forward", "0", 0 },
        { "linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[]}", 0 },
        { "annotations.org.example.key", "v", 0 },
        { "linux.nothing", "1", -EINVAL },
        { "linux", "1", -EINVAL },
        { "", "1", -EINVAL },
        { "process.env[", "1", -EINVAL },
        { "process..cwd", "1", -EINVAL },
        { "windows", "1", -EINVAL },
    };
    autospec struct container_spec *spec = NULL;

    assert_int_equal(container_spec_new(&spec, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        struct wharf_error e = { 0 };
        int r = container_spec_set(spec, sets[i].path, sets[i].value, &e);

        if (r != sets[i].result)
            fail_msg("%s=%s: %d %s", sets[i].path, sets[i].value, r, e.message);
    }
    assert_string_equal(spec->process->cwd, "/tmp");
    assert_string_equal(spec->process->env.items[0], "C=D");
    assert_string_equal(spec->process->env.items[2], "A=B");
    assert_int_equal(spec->process->user.additional_gids.count, 3);
    assert_int_equal(spec->process->user.additional_gids.items[2], 9);
    assert_int_equal(spec->process->capabilities->ambient, 1 << 5 | 1 << 0);
    assert_int_equal(spec->linux_->resources->memory->limit.value, 64 << 20);
    assert_int_equal(spec->linux_->resources->devices.count, 2);
    assert_string_equal(spec->linux_->resources->rdma.items[0].device, "mlx5_0.1");
    assert_int_equal(spec->linux_->sysctl.count, 1);
    assert_string_equal(spec->linux_->sysctl.items[0].value, "0");
    assert_true(spec->linux_->seccomp->flags_set);
    assert_string_equal(spec_annotation(spec, "org.example.key"), "v");
}

/* A struct that a refused value would have needed is not made. */
static void test_set_is_atomic(void **state)
{
    autospec struct container_spec *spec = NULL;
    size_t mounts;

    assert_int_equal(container_spec_new(&spec, NULL), 0);
    mounts = spec->mounts.count;
    assert_int_equal(container_spec_set(spec, "linux.resources.memory.limit", "x", NULL), -EINVAL);
    assert_null(spec->linux_->resources->memory);
    assert_int_equal(container_spec_set(spec, "mounts[+].options", "x", NULL), -EINVAL);
    assert_int_equal(spec->mounts.count, mounts);
    /* an element that lacks what is required is found before create */
    assert_int_equal(container_spec_set(spec, "mounts[+].source", "x", NULL), 0);
    assert_int_equal(spec_check(spec, NULL), -EINVAL);
}

static void test_namespaces(void **state)
{
    autospec struct container_spec *spec = NULL;

    assert_int_equal(container_spec_new(&spec, NULL), 0);
    assert_int_equal(container_spec_set_namespace(spec, "network", "/run/netns/a", 0, NULL), 0);
    assert_string_equal(spec_namespace_find(spec, CLONE_NEWNET)->path, "/run/netns/a");
    assert_int_equal(container_spec_set_namespace(spec, "network", NULL, 1, NULL), 0);
    assert_null(spec_namespace_find(spec, CLONE_NEWNET));
    assert_int_equal(container_spec_set_namespace(spec, "time", NULL, 0, NULL), 0);
    assert_non_null(spec_namespace_find(spec, CLONE_NEWTIME));
    assert_int_equal(container_spec_set_namespace(spec, "net", NULL, 0, NULL), -EINVAL);
}

static void test_parts(void **state)
{
    static const char good[] = "{\"cwd\":\"/\",\"args\":[\"id\"],\"user\":{\"uid\":1,\"gid\":2}}";
    static const char bad[] = "{\"memory\":{\"limit\":\"64M\"}}";
    auto_of(arena_free) struct arena *arena = arena_new(SPEC_ARENA_MAX);
    struct spec_resources *resources = NULL;
    struct spec_process *process = NULL;
    struct wharf_error e = { 0 };

    assert_int_equal(spec_process_parse(good, strlen(good), arena, &process, &e), 0);
    assert_int_equal(process->user.gid, 2);
    assert_int_equal(spec_resources_parse(bad, strlen(bad), arena, &resources, &e), -EINVAL);
    assert_string_equal(e.message,
                        "linux.resources.memory.limit: must be an integer, not a string");
}

static struct mount_options options_of(const char *words, bool bind, int result)
{
    auto_of(arena_free) struct arena *arena = arena_new(65536);
    struct mount_options o = { 0 };
    char *items[16], *copy = strdup(words), *rest = copy;
    field_strings list = { items, 0 };

    while ((items[list.count] = strsep(&rest, ",")))
        list.count++;
    assert_int_equal(mount_options_parse(&list, bind, arena, &o, NULL), result);
    o.data.items = NULL; /* gone with the arena; the count is what is looked at */
    free(copy);
    return o;
}

static void test_mount_options(void **state)
{
    struct mount_options o = options_of("ro,nosuid,rw,noatime,relatime,size=1", false, 0);

    assert_int_equal(o.one.set, MOUNT_ATTR_NOSUID);
    assert_int_equal(o.one.clr, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
    assert_int_equal(o.data.count, 1);
    o = options_of("rbind,rslave,rro,rnoatime,ridmap", false, 0);
    assert_true(o.bind && o.bind_tree && o.propagation_tree);
    assert_int_equal(o.propagation, MS_SLAVE);
    assert_int_equal(o.tree.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
    assert_int_equal(o.tree.clr, MOUNT_ATTR__ATIME);
    assert_int_equal(o.idmap, MOUNT_IDMAP_TREE);
    o = options_of("sync,async,lazytime,tmpcopyup,defaults", false, 0);
    assert_int_equal(o.super_set, MS_LAZYTIME);
    assert_int_equal(o.super_clr, MS_SYNCHRONOUS);
    assert_true(o.tmpcopyup && !o.bind);
    options_of("bind,size=1", false, -EINVAL);
    options_of("ro,nosuch", true, -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_default),
        cmocka_unit_test(test_unlimited),     cmocka_unit_test(test_unknown_members),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_version),
        cmocka_unit_test(test_set),           cmocka_unit_test(test_set_is_atomic),
        cmocka_unit_test(test_namespaces),    cmocka_unit_test(test_parts),
        cmocka_unit_test(test_mount_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
