/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes in network namespaces of this test's own: they go with the process,
 * so nothing has to be cleaned up. Without the right to make one every test is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include "base/str.h"
#include "libcontainer/netlink.h"

struct state {
    struct netlink *nl;
    int other; /* a second namespace */
    struct wharf_error e;
};

/* A fresh namespace, entered; its descriptor. */
static int fresh_namespace(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int setup(void **ret)
{
    struct state *s = calloc(1, sizeof(*s));

    s->other = fresh_namespace();
    close(fresh_namespace());
    *ret = s;
    return netlink_open(&s->nl, -1, &s->e);
}

static int teardown(void **ret)
{
    struct state *s = *ret;

    netlink_close(s->nl);
    close(s->other);
    free(s);
    return 0;
}

static void check(struct state *s, int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, s->e.message);
}

static int index_of(struct state *s, const char *name)
{
    int index = netlink_index(s->nl, name, &s->e);

    check(s, index);
    return index;
}

static struct netlink_address address(const char *text, unsigned prefix)
{
    struct netlink_address a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET,
                                 .prefix = prefix };

    assert_int_equal(inet_pton(a.family, text, a.bytes), 1);
    return a;
}

static void test_a_veth_and_a_bridge_in_one_batch(void **ret)
{
    static const unsigned char mac[6] = { 2, 1, 2, 3, 4, 5 };
    struct state *s = *ret;
    struct netlink_link link;
    int index, bridge;

    netlink_begin(s->nl);
    check(s, netlink_add_bridge(s->nl, "br0", &s->e));
    check(s, netlink_add_veth(s->nl, "left", "right", -1, &s->e));
    check(s, netlink_end(s->nl, &s->e));
    index = index_of(s, "left");
    bridge = index_of(s, "br0");
    netlink_begin(s->nl);
    check(s, netlink_set_mtu(s->nl, index, 1400, &s->e));
    check(s, netlink_set_mac(s->nl, index, mac, &s->e));
    check(s, netlink_set_master(s->nl, index, bridge, &s->e));
    check(s, netlink_set_up(s->nl, index, true, &s->e));
    check(s, netlink_end(s->nl, &s->e));
    check(s, netlink_link_get(s->nl, index, &link, &s->e));
    assert_string_equal(link.name, "left");
    assert_string_equal(link.kind, "veth");
    assert_int_equal(link.mtu, 1400);
    assert_int_equal(link.master, bridge);
    assert_memory_equal(link.mac, mac, sizeof(mac));
    assert_true(link.flags & IFF_UP);
    check(s, netlink_delete_link(s->nl, index, &s->e));
    assert_int_equal(netlink_index(s->nl, "right", &s->e), -ENODEV);
}

static int count_link(void *user, const struct netlink_link *link)
{
    *(int *)user += str_after(link->name, "v") != NULL;
    return 0;
}

static void test_many_requests_and_a_long_list(void **ret)
{
    struct state *s = *ret;
    int count = 0;

    netlink_begin(s->nl);
    for (int i = 0; i < 100; i++) {
        char name[IFNAMSIZ], peer[IFNAMSIZ];

        snprintf(name, sizeof(name), "v%d", i);
        snprintf(peer, sizeof(peer), "vp%d", i);
        check(s, netlink_add_veth(s->nl, name, peer, -1, &s->e));
    }
    check(s, netlink_end(s->nl, &s->e));
    check(s, netlink_links(s->nl, count_link, &count, &s->e));
    assert_int_equal(count, 200);
}

static void test_the_first_error_of_a_batch_is_told(void **ret)
{
    struct state *s = *ret;

    netlink_begin(s->nl);
    check(s, netlink_set_up(s->nl, 1, true, &s->e));
    check(s, netlink_set_mtu(s->nl, 4711, 1400, &s->e));
    check(s, netlink_set_up(s->nl, 4712, true, &s->e));
    assert_int_equal(netlink_end(s->nl, &s->e), -ENODEV);
    assert_non_null(strstr(s->e.message, "4711"));
    check(s, netlink_set_up(s->nl, 1, true, &s->e)); /* and the next call is not confused */
}

static void test_the_kernels_words_are_told(void **ret)
{
    struct state *s = *ret;
    struct netlink_route route = { .destination = address("192.0.2.0", 24),
                                   .gateway = address("198.51.100.1", 32) };

    assert_true(netlink_add_route(s->nl, &route, &s->e) < 0);
    assert_non_null(strstr(s->e.message, "Nexthop has invalid gateway"));
}

static void test_names_are_checked(void **ret)
{
    static const char *const bad[] = { "", ".", "..", "a/b", "a:b", "a b", "sixteen-bytes-xx" };
    struct state *s = *ret;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(netlink_add_bridge(s->nl, bad[i], &s->e), -EINVAL);
}

static int keep_one(void *user, const struct netlink_address *a)
{
    if (a->family == AF_INET)
        *(struct netlink_address *)user = *a;
    return 0;
}

static int keep_default(void *user, const struct netlink_route *route)
{
    if (route->destination.family == AF_INET && route->destination.prefix == 0)
        *(struct netlink_route *)user = *route;
    return 0;
}

static void test_addresses_and_routes(void **ret)
{
    struct state *s = *ret;
    struct netlink_address a = address("192.0.2.7", 24), got = { 0 };
    struct netlink_route route = { .destination = { .family = AF_INET },
                                   .gateway = address("192.0.2.1", 32),
                                   .priority = 7 },
                         found = { 0 };

    check(s, netlink_add_veth(s->nl, "left", "right", -1, &s->e));
    route.index = index_of(s, "left");
    check(s, netlink_add_address(s->nl, route.index, &a, &s->e));
    check(s, netlink_set_up(s->nl, route.index, true, &s->e));
    check(s, netlink_addresses(s->nl, route.index, keep_one, &got, &s->e));
    assert_memory_equal(got.bytes, a.bytes, 4);
    assert_int_equal(got.prefix, 24);
    check(s, netlink_add_route(s->nl, &route, &s->e));
    check(s, netlink_routes(s->nl, route.index, keep_default, &found, &s->e));
    assert_memory_equal(found.gateway.bytes, route.gateway.bytes, 4);
    assert_int_equal(found.priority, 7);
    check(s, netlink_delete_route(s->nl, &route, &s->e));
    check(s, netlink_delete_address(s->nl, route.index, &a, &s->e));
    got.prefix = 0;
    check(s, netlink_addresses(s->nl, route.index, keep_one, &got, &s->e));
    assert_int_equal(got.prefix, 0);
}

static void test_a_peer_is_born_elsewhere(void **ret)
{
    struct state *s = *ret;
    auto_of(netlink_close) struct netlink *there = NULL;

    check(s, netlink_add_veth(s->nl, "left", "eth0", s->other, &s->e));
    assert_int_equal(netlink_index(s->nl, "eth0", &s->e), -ENODEV);
    check(s, netlink_open(&there, s->other, &s->e));
    assert_true(netlink_index(there, "eth0", &s->e) > 0);
    check(s, netlink_set_up(s->nl, index_of(s, "left"), true, &s->e)); /* we are still here */
}

static int collect_global(void *user, const struct netlink_address *a)
{
    if (a->scope == RT_SCOPE_UNIVERSE)
        ++*(int *)user;
    return 0;
}

static void test_a_given_device_keeps_its_addresses(void **ret)
{
    struct state *s = *ret;
    struct netlink_address four = address("192.0.2.7", 24), six = address("2001:db8::7", 64);
    auto_of(netlink_close) struct netlink *there = NULL;
    struct netlink_link link;
    int count = 0, index;

    check(s, netlink_add_veth(s->nl, "left", "right", -1, &s->e));
    index = index_of(s, "left");
    check(s, netlink_add_address(s->nl, index, &four, &s->e));
    check(s, netlink_add_address(s->nl, index, &six, &s->e));
    check(s, netlink_set_up(s->nl, index, true, &s->e));
    check(s, netlink_give_device("left", s->other, "eth0", &s->e));
    assert_int_equal(netlink_index(s->nl, "left", &s->e), -ENODEV);
    check(s, netlink_open(&there, s->other, &s->e));
    index = netlink_index(there, "eth0", &s->e);
    check(s, index);
    check(s, netlink_link_get(there, index, &link, &s->e));
    assert_true(link.flags & IFF_UP);
    check(s, netlink_addresses(there, index, collect_global, &count, &s->e));
    assert_int_equal(count, 2);
    assert_int_equal(netlink_give_device("missing", s->other, NULL, &s->e), -ENODEV);
    assert_non_null(strstr(s->e.message, "'missing'"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_veth_and_a_bridge_in_one_batch),
        CASE(many_requests_and_a_long_list),
        CASE(the_first_error_of_a_batch_is_told),
        CASE(the_kernels_words_are_told),
        CASE(names_are_checked),
        CASE(addresses_and_routes),
        CASE(a_peer_is_born_elsewhere),
        CASE(a_given_device_keeps_its_addresses),
    };
    int probe = fresh_namespace();

    if (probe < 0) {
        print_message("skipped: no right to make a network namespace\n");
        return 77;
    }
    close(probe);
    return cmocka_run_group_tests_name("netlink", tests, NULL, NULL);
}
