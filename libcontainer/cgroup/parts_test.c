/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that need no cgroup: reading mountinfo, conversions, paths, the device filter (run by a
 * small interpreter here, and loaded into the kernel by cgroup_test), D-Bus messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include "base/str.h"
#include "libcontainer/cgroup/dbus.h"
#include "libcontainer/cgroup/devices.h"
#include "libcontainer/cgroup/limits.h"
#include "libcontainer/cgroup/systemd.h"

static void test_mountinfo_of_a_hybrid_host(void **state)
{
    char text[] = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
                  "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
                  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                  "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
                  "50 23 0:29 / /srv/a\\040b/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                  "51 23 0:40 / /srv/a\\040b/memory rw - cgroup cgroup rw,memory\n";
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
    struct hierarchies h;

    assert_int_equal(hierarchies_parse(&h, text, arena, NULL), 0);
    assert_int_equal(h.count, 4); /* the second mount of cpu says nothing new */
    assert_string_equal(h.items[0].mount, "/sys/fs/cgroup/cpu,cpuacct");
    assert_int_equal(h.items[0].controllers,
                     CONTROLLER_BIT(CONTROLLER_CPU) | CONTROLLER_BIT(CONTROLLER_CPUACCT));
    assert_string_equal(h.items[1].options, "name=systemd");
    assert_string_equal(h.items[2].mount, "/srv/a b/memory");
    assert_true(h.items[3].v2);
}

static void test_mountinfo_that_is_odd(void **state)
{
    static const char *const odd[] = {
        "", "\n\n", "no separator", "1 2 - cgroup", " - cgroup2", "1 2 3 4 5 6 - tmpfs x"
    };
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
    struct hierarchies h;

    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        autofree char *text = strdup(odd[i]);

        assert_int_equal(hierarchies_parse(&h, text, arena, NULL), -ENOENT);
    }
}

static void test_own_group(void **state)
{
    static const char text[] = "9:name=systemd:/x\n4:memory:/a/b\n0::/user.slice\n";
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
    struct hierarchy memory = { .options = (char *)"memory" }, v2 = { .v2 = true };
    struct hierarchy pids = { .options = (char *)"pids" };

    assert_string_equal(hierarchy_own_group(&memory, text, arena), "/a/b");
    assert_string_equal(hierarchy_own_group(&v2, text, arena), "/user.slice");
    assert_null(hierarchy_own_group(&pids, text, arena));
}

static void test_paths_stay_inside(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "/a/b", "/a/b" }, { "a", "/a" },    { "//a/./b/", "/a/b" }, { "/a/../b", "/b" },
        { "/..", NULL },    { "../x", NULL }, { "/a/../../x", NULL }, { "/", NULL },
        { "/a/..", NULL },  { "", NULL },     { "/..a", "/..a" },
    };
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *out = NULL;
        int r = cgroup_path_clean(cases[i].in, arena, &out, NULL);

        assert_int_equal(r, cases[i].out ? 0 : -EINVAL);
        if (cases[i].out)
            assert_string_equal(out, cases[i].out);
    }
}

static void test_conversions(void **state)
{
    struct opt_i64 memory = { true, 100 }, none = { 0 };
    int64_t swap = 7;

    assert_int_equal(cpu_weight(2), 1);
    assert_int_equal(cpu_weight(1024), 100);
    assert_int_equal(cpu_weight(262144), 10000);
    for (uint64_t s = 3, last = 1; s < 262144; s += 97) {
        assert_in_range(cpu_weight(s), last, 10000);
        last = cpu_weight(s);
    }
    assert_int_equal(io_weight(10), 1);
    assert_int_equal(io_weight(1000), 10000);
    assert_int_equal(swap_alone(&memory, 150, &swap), 0);
    assert_int_equal(swap, 50);
    assert_int_equal(swap_alone(&memory, -1, &swap), 0);
    assert_int_equal(swap, -1);
    assert_int_equal(swap_alone(&memory, 99, &swap), -EINVAL);
    assert_int_equal(swap_alone(&none, 150, &swap), -EINVAL);
}

/* ---- the device filter ---- */

/* Runs the instructions that the filter uses; anything else fails the test. */
static unsigned interpret(const struct bpf_insn *code, size_t count, struct bpf_cgroup_dev_ctx *ctx)
{
    uint32_t r[11] = { 0 };

    for (size_t pc = 0, steps = 0; pc < count && steps < 100000; pc++, steps++) {
        const struct bpf_insn *i = &code[pc];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (uint32_t)i->imm;

        switch (i->code & ~BPF_X) {
        case BPF_LDX | BPF_MEM | BPF_W:
            memcpy(&r[i->dst_reg], (char *)ctx + i->off, 4);
            break;
        case BPF_ALU | BPF_AND:
            r[i->dst_reg] &= operand;
            break;
        case BPF_ALU | BPF_RSH:
            r[i->dst_reg] >>= operand;
            break;
        case BPF_ALU | BPF_MOV:
            r[i->dst_reg] = operand;
            break;
        case BPF_JMP32 | BPF_JNE:
            pc += r[i->dst_reg] != operand ? (size_t)i->off : 0;
            break;
        case BPF_JMP32 | BPF_JEQ:
            pc += r[i->dst_reg] == operand ? (size_t)i->off : 0;
            break;
        case BPF_JMP | BPF_EXIT:
            return r[0];
        default:
            fail_msg("instruction %zu: code %x", pc, i->code);
        }
    }
    fail_msg("the program does not end");
    return 0;
}

static bool allowed(const struct device_rules *rules, char type, uint32_t major, uint32_t minor,
                    unsigned access)
{
    struct bpf_cgroup_dev_ctx ctx = {
        access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major, minor
    };
    size_t count;
    autofree struct bpf_insn *code = device_program(rules, &count);

    assert_non_null(code);
    return interpret(code, count, &ctx);
}

static void test_the_last_rule_that_names_a_bit_wins(void **state)
{
    struct device_rule items[] = {
        { false, 'a', -1, -1, DEVICE_ALL }, { true, 'c', 1, -1, DEVICE_ALL },
        { false, 'c', 1, 3, DEVICE_WRITE }, { true, 'b', 8, 0, DEVICE_READ },
        { true, 'b', 8, 0, DEVICE_WRITE },
    };
    struct device_rules rules = { items, ARRAY_SIZE(items) };

    assert_true(allowed(&rules, 'c', 1, 5, DEVICE_READ | DEVICE_WRITE));
    assert_true(allowed(&rules, 'c', 1, 3, DEVICE_READ));
    assert_false(allowed(&rules, 'c', 1, 3, DEVICE_READ | DEVICE_WRITE));
    assert_false(allowed(&rules, 'b', 1, 5, DEVICE_READ));
    assert_true(allowed(&rules, 'b', 8, 0, DEVICE_READ | DEVICE_WRITE)); /* by two rules together */
    assert_false(allowed(&rules, 'b', 8, 0, DEVICE_READ | DEVICE_MKNOD));
    assert_false(allowed(&rules, 'b', 8, 1, DEVICE_READ));
}

static void test_no_rules_deny_all_but_the_defaults(void **state)
{
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
    struct device_rules rules;

    assert_int_equal(device_rules_make(NULL, arena, &rules, NULL), 0);
    assert_true(allowed(&rules, 'c', 1, 3, DEVICE_READ | DEVICE_WRITE));
    assert_true(allowed(&rules, 'b', 8, 0, DEVICE_MKNOD));
    assert_false(allowed(&rules, 'b', 8, 0, DEVICE_READ));
}

static void test_allow_all(void **state)
{
    struct device_rule items[] = { { false, 'b', 8, 0, DEVICE_ALL },
                                   { true, 'a', -1, -1, DEVICE_ALL },
                                   { false, 'c', 5, 1, DEVICE_ALL } };
    struct device_rules rules = { items, ARRAY_SIZE(items) };

    assert_true(allowed(&rules, 'b', 8, 0, DEVICE_ALL));
    assert_false(allowed(&rules, 'c', 5, 1, DEVICE_READ));
}

/* ---- D-Bus ---- */

static void test_annotations_become_properties(void **state)
{
    static const char *const good[] = { "true", "'text'", "\"text\"",
                                        "7",    "-7",     "uint64 18446744073709551615" };
    static const char *const bad[] = {
        "", "'", "yes", "uint32 4294967296", "['a']", "'a'b'", "1.5"
    };
    struct wharf_error e;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        autobuf struct buf b = BUF(4096);

        assert_int_equal(systemd_property_parse(&b, "Name", good[i], &e), 0);
        assert_true(b.len > 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        autobuf struct buf b = BUF(4096);

        assert_int_equal(systemd_property_parse(&b, "Name", bad[i], &e), -EINVAL);
        assert_int_equal(systemd_property_parse(&b, "Na me", "true", &e), -EINVAL);
    }
}

static void test_unit_names(void **state)
{
    static const struct {
        const char *path, *slice, *name;
    } cases[] = {
        { NULL, "system.slice", "wharf-id.scope" },
        { "a-b.slice:p:n", "a-b.slice", "p-n.scope" },
        { ":p:n", "system.slice", "p-n.scope" },
        { "a.slice::n", "a.slice", "n.scope" },
        { "/a/b", NULL, NULL },
        { "a:b:c:d", NULL, NULL },
        { "a:p:n", NULL, NULL },
        { "a.slice:p:n/../x", NULL, NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cgroup_options o = { .path = cases[i].path, .id = "id" };
        struct systemd_unit *unit = NULL;
        int r = systemd_unit_new(&unit, &o, NULL);

        assert_int_equal(r, cases[i].name ? 0 : -EINVAL);
        if (r == 0) {
            assert_string_equal(systemd_unit_slice(unit), cases[i].slice);
            assert_string_equal(systemd_unit_name(unit), cases[i].name);
        }
        systemd_unit_free(unit);
    }
}

/* A signal with one string, as systemd would send it. */
static void build_signal(struct buf *b)
{
    static const unsigned char start[] = { 'l', DBUS_SIGNAL, 0, 1, 10, 0, 0, 0, 1, 0, 0, 0 };
    struct dbus_array fields;

    buf_add(b, start, sizeof(start));
    fields = dbus_array_begin(b, 8);
    dbus_byte(b, 3); /* the member */
    dbus_signature(b, "s");
    dbus_string(b, "JobRemoved");
    dbus_align(b, 8);
    dbus_byte(b, 5); /* the call that it answers */
    dbus_signature(b, "u");
    dbus_u32(b, 77);
    dbus_array_end(b, fields);
    dbus_align(b, 8);
    dbus_string(b, "hello"); /* 10 bytes with its length */
}

static void test_a_message_is_taken_apart(void **state)
{
    autobuf struct buf b = BUF(4096);
    struct dbus_message m;

    build_signal(&b);
    assert_int_equal(dbus_parse((unsigned char *)b.data, b.len, &m), 0);
    assert_int_equal(m.type, DBUS_SIGNAL);
    assert_string_equal(m.member, "JobRemoved");
    assert_int_equal(m.reply_to, 77);
    assert_string_equal(dbus_read_string(&m.body), "hello");
    assert_false(m.body.bad);
    assert_string_equal(dbus_read_string(&m.body), ""); /* past the end */
    assert_true(m.body.bad);
}

/* Each cut form is refused; each damaged one is refused or read within its bounds (the sanitizer
 * builds watch). */
static void test_messages_that_are_cut_or_damaged(void **state)
{
    autobuf struct buf b = BUF(4096);
    struct dbus_message m;

    build_signal(&b);
    for (size_t len = 0; len < b.len; len++) {
        autofree unsigned char *copy = malloc(len + 1);

        memcpy(copy, b.data, len);
        assert_int_equal(dbus_parse(copy, len, &m), -EBADMSG);
    }
    for (size_t at = 0; at < b.len; at++) {
        autofree unsigned char *copy = malloc(b.len);

        memcpy(copy, b.data, b.len);
        copy[at] ^= 0xff;
        if (dbus_parse(copy, b.len, &m) == 0)
            dbus_read_string(&m.body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mountinfo_of_a_hybrid_host),
        cmocka_unit_test(test_mountinfo_that_is_odd),
        cmocka_unit_test(test_own_group),
        cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_the_last_rule_that_names_a_bit_wins),
        cmocka_unit_test(test_no_rules_deny_all_but_the_defaults),
        cmocka_unit_test(test_allow_all),
        cmocka_unit_test(test_annotations_become_properties),
        cmocka_unit_test(test_unit_names),
        cmocka_unit_test(test_a_message_is_taken_apart),
        cmocka_unit_test(test_messages_that_are_cut_or_damaged),
    };

    return cmocka_run_group_tests_name("cgroup-parts", tests, NULL, NULL);
}
