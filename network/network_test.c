/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, ports as text, what is written down, and who gets which address: no kernel. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/ipam.h"
#include "network/port.h"

static struct ipaddr address(const char *text)
{
    struct ipaddr a;

    assert_int_equal(ipaddr_parse(text, &a), 0);
    return a;
}

static struct subnet subnet(const char *text)
{
    struct subnet s;

    assert_int_equal(subnet_parse(text, &s), 0);
    return s;
}

static void test_subnets(void **state)
{
    struct subnet a = subnet("172.17.3.9/16"), b = subnet("172.17.128.0/17"),
                  c = subnet("fd00::/64");
    struct ipaddr first = subnet_first(&a), last = subnet_last(&a), at = address("10.0.255.255");
    char text[SUBNET_TEXT_MAX];

    assert_string_equal(subnet_text(&a, text), "172.17.3.9/16");
    assert_string_equal(ipaddr_text(&first, text), "172.17.0.0");
    assert_string_equal(ipaddr_text(&last, text), "172.17.255.255");
    assert_true(subnet_overlaps(&a, &b) && subnet_overlaps(&b, &a));
    assert_false(subnet_overlaps(&a, &c));
    assert_true(ipaddr_next(&at));
    assert_string_equal(ipaddr_text(&at, text), "10.1.0.0");
    at = address("255.255.255.255");
    assert_false(ipaddr_next(&at));
    assert_int_equal(subnet_parse("10.0.0.0", &a), -EINVAL);
    assert_int_equal(subnet_parse("10.0.0.0/33", &a), -EINVAL);
    assert_int_equal(subnet_parse("10.0.0/8", &a), -EINVAL);
}

static void test_mac(void **state)
{
    char text[MAC_TEXT_MAX];
    unsigned char mac[6];

    assert_int_equal(mac_parse("02:42:AC:11:00:02", mac), 0);
    assert_string_equal(mac_text(mac, text), "02:42:ac:11:00:02");
    assert_int_equal(mac_parse("02:42:ac:11:00", mac), -EINVAL);
    assert_int_equal(mac_parse("02:42:ac:11:00:02:03", mac), -EINVAL);
    assert_int_equal(mac_parse("02:42:ac:11:00:0g", mac), -EINVAL);
    assert_int_equal(mac_parse("", mac), -EINVAL);
}

static void requests(const char *bindings, const char *exposed, bool all, struct arena *arena,
                     int expected, port_list *ret)
{
    autojson json_t *b = json_loads(bindings, 0, NULL), *x = json_loads(exposed, 0, NULL);

    assert_int_equal(port_requests(b, x, all, arena, ret, NULL), expected);
}

static void test_port_requests(void **state)
{
    auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
    port_list list = { 0 };

    requests("{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"},{\"HostIp\":\"127.0.0.1\","
             "\"HostPort\":\"8080\"}],\"53/udp\":[{\"HostPort\":\"5000-5010\"}]}",
             "{\"443/tcp\":{}}", true, arena, 0, &list);
    assert_int_equal(list.count, 4);
    assert_int_equal(list.items[0].port, 53); /* fixed ones first */
    assert_int_equal(list.items[0].last, 5010);
    assert_int_equal(list.items[1].first, 8080);
    assert_int_equal(list.items[2].first, 0);
    assert_int_equal(list.items[3].port, 443);
    requests("{\"80-82/tcp\":[{\"HostPort\":\"90-92\"}]}", "null", false, arena, 0, &list);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.items[2].first, 92);
    requests("{\"80-82/tcp\":[{\"HostPort\":\"90-91\"}]}", "null", false, arena, -EINVAL, &list);
    requests("{\"80/icmp\":[{}]}", "null", false, arena, -EINVAL, &list);
    requests("{\"0/tcp\":[{}]}", "null", false, arena, -EINVAL, &list);
    requests("{\"80/tcp\":[{\"HostPort\":\"70000\"}]}", "null", false, arena, -EINVAL, &list);
    requests("{\"80/tcp\":[{\"HostIp\":\"here\"}]}", "null", false, arena, -EINVAL, &list);
}

static void test_published_text(void **state)
{
    struct published p = { IPPROTO_UDP, { AF_INET }, 53, { AF_INET, { 172, 17, 0, 2 } }, 5353 }, q;
    autobuf struct buf b = BUF(256);

    published_write(&p, &b);
    assert_string_equal(b.data, "udp 0.0.0.0 53 172.17.0.2 5353");
    assert_int_equal(published_read(b.data, &q), 0);
    assert_int_equal(q.to_port, 5353);
    assert_int_equal(ipaddr_compare(&q.to, &p.to), 0);
    assert_int_equal(published_read("udp 0.0.0.0 53 ::1 5353", &q), -EINVAL);
    assert_int_equal(published_read("udp 0.0.0.0 53 172.17.0.2", &q), -EINVAL);
    assert_int_equal(published_read("icmp 0.0.0.0 53 172.17.0.2 1", &q), -EINVAL);
}

/* ---- written down ---------------------------------------------------------------------------- */

struct fixture {
    char path[64];
    struct network_store store;
    struct arena *arena;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->path, sizeof(f->path), "/tmp/network-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    autofree char *file = str_format("%s/network.db", f->path);
    assert_int_equal(network_store_open(&f->store, file, NULL), 0);
    f->arena = arena_new(16 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    network_store_close(&f->store);
    arena_free(f->arena);
    path_remove_tree(AT_FDCWD, f->path);
    free(f);
    return 0;
}

static int make(struct fixture *f, const char *name, const char *document, int64_t owner,
                struct network *ret, struct wharf_error *e)
{
    autojson json_t *tree = json_loads(document, 0, NULL);
    static struct subnet host[1];
    subnet_list used = { host, 1 };
    char id[NETWORK_ID_LENGTH + 1];
    struct network n = { .owner = owner, .bridge = arena_str(f->arena, "br") };

    host[0] = subnet("172.17.0.0/24");
    assert_non_null(tree);
    assert_int_equal(id_make(id), 0);
    n.id = arena_str(f->arena, id);
    assert_int_equal(fields_read(network_document_fields, tree, "", f->arena, &n.document, e), 0);
    n.document.name = arena_str(f->arena, name);
    int r = network_derive(&n, e);
    if (r == 0)
        r = ipam_network(&f->store, &n, NULL, 0, &used, f->arena, e);
    if (r == 0)
        r = netstore_network_add(&f->store, &n, e);
    if (r == 0)
        r = ipam_reserve(&f->store, &n, e);
    *ret = n;
    return r;
}

static void test_blocks(void **state)
{
    struct fixture *f = *state;
    struct wharf_error e = { 0 };
    char text[SUBNET_TEXT_MAX];
    struct network n;

    /* the host has a route into the first block */
    assert_int_equal(make(f, "a", "{}", 1000, &n, &e), 0);
    assert_string_equal(subnet_text(&n.subnet[0], text), "172.18.0.1/16");
    assert_int_equal(make(f, "b", "{\"EnableIPv6\":true}", 1000, &n, &e), 0);
    assert_string_equal(subnet_text(&n.subnet[0], text), "172.19.0.1/16");
    assert_int_equal(n.subnet[1].address.bytes[0], 0xfd);
    assert_int_equal(n.subnet[1].prefix, 64);
    assert_int_equal(
        make(f, "c", "{\"IPAM\":{\"Config\":[{\"Subnet\":\"172.19.4.0/24\"}]}}", 1000, &n, &e),
        -EEXIST);
    assert_string_equal(e.message, "Pool overlaps with other one on this address space");
    assert_int_equal(make(f, "d",
                          "{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.9.0.0/24\",\"Gateway\":"
                          "\"10.8.0.1\"}]}}",
                          1000, &n, &e),
                     -EINVAL);
    assert_int_equal(make(f, "e", "{\"Driver\":\"nodrv\"}", 1000, &n, &e), -ENOENT);
    assert_string_equal(e.message, "plugin \"nodrv\" not found");
    assert_int_equal(make(f, "a", "{}", 2000, &n, &e), -EEXIST);
}

static void test_owners(void **state)
{
    struct fixture *f = *state;
    struct network n, found;
    network_list_of list;

    assert_int_equal(make(f, "mine", "{}", 1000, &n, NULL), 0);
    assert_int_equal(netstore_network_find(&f->store, "mine", 1000, f->arena, &found, NULL), 0);
    assert_string_equal(found.id, n.id);
    assert_int_equal(netstore_network_find(&f->store, "mine", 2000, f->arena, &found, NULL),
                     -ENOENT);
    assert_int_equal(netstore_network_find(&f->store, n.id, 2000, f->arena, &found, NULL), -ENOENT);
    n.id[12] = '\0';
    assert_int_equal(netstore_network_find(&f->store, n.id, 0, f->arena, &found, NULL), 0);
    assert_int_equal(netstore_networks(&f->store, 2000, f->arena, &list, NULL), 0);
    assert_int_equal(list.count, 0);
}

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    struct wharf_error e = { 0 };
    char text[ADDRESS_TEXT_MAX];
    struct ipaddr a;
    struct network n;

    assert_int_equal(
        make(f, "n",
             "{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.1.0.0/29\",\"AuxiliaryAddresses\":"
             "{\"router\":\"10.1.0.3\"}}]}}",
             0, &n, &e),
        0);
    static const char *const expected[] = { "10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6" };
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        char endpoint[2] = { (char)('a' + i), 0 };

        assert_int_equal(ipam_take(&f->store, &n, false, NULL, endpoint, &a, &e), 0);
        assert_string_equal(ipaddr_text(&a, text), expected[i]);
    }
    assert_int_equal(ipam_take(&f->store, &n, false, NULL, "z", &a, &e), -EADDRNOTAVAIL);
    assert_non_null(strstr(e.message, "no available IPv4 addresses"));
    assert_int_equal(ipam_take(&f->store, &n, false, "10.1.0.4", "z", &a, &e), -EADDRINUSE);
    assert_int_equal(ipam_take(&f->store, &n, false, "10.2.0.4", "z", &a, &e), -EINVAL);
    assert_int_equal(ipam_give_back(&f->store, "b", &e), 0);
    assert_int_equal(ipam_take(&f->store, &n, false, NULL, "z", &a, &e), 0);
    assert_string_equal(ipaddr_text(&a, text), "10.1.0.4");
}

static void test_ranges(void **state)
{
    struct fixture *f = *state;
    char text[ADDRESS_TEXT_MAX];
    struct ipaddr a;
    struct network n;

    assert_int_equal(make(f, "n",
                          "{\"IPAM\":{\"Config\":[{\"Subnet\":\"10.1.0.0/16\",\"IPRange\":"
                          "\"10.1.7.0/24\"},{\"Subnet\":\"fd01::/64\"}]},\"EnableIPv6\":true}",
                          0, &n, NULL),
                     0);
    assert_int_equal(ipam_take(&f->store, &n, false, NULL, "a", &a, NULL), 0);
    assert_string_equal(ipaddr_text(&a, text), "10.1.7.0");
    assert_int_equal(ipam_take(&f->store, &n, false, "10.1.9.9", "b", &a, NULL), 0);
    assert_int_equal(ipam_take(&f->store, &n, true, NULL, "a", &a, NULL), 0);
    assert_string_equal(ipaddr_text(&a, text), "fd01::2");
}

static void test_endpoints(void **state)
{
    struct fixture *f = *state;
    struct endpoint p = { .id = (char *)"e1",
                          .network = (char *)"n1",
                          .container = (char *)"c1",
                          .name = (char *)"web",
                          .hostname = (char *)"web",
                          .owner = 7,
                          .settings.mac = (char *)"02:42:00:00:00:07" };
    struct published port = { IPPROTO_TCP, { AF_INET }, 80, { AF_INET, { 10, 0, 0, 2 } }, 8080 };
    published_list ports;
    endpoint_list list;

    assert_int_equal(netstore_endpoint_add(&f->store, &p, NULL), 0);
    assert_int_equal(netstore_endpoint_add(&f->store, &p, NULL), -EEXIST);
    p.active = true;
    p.address[0] = address("10.0.0.2");
    p.interface = (char *)"eth0";
    assert_int_equal(mac_parse("02:42:00:00:00:07", p.mac), 0);
    assert_int_equal(netstore_endpoint_update(&f->store, &p, NULL), 0);
    assert_int_equal(netstore_endpoints(&f->store, "c1", NULL, f->arena, &list, NULL), 0);
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].active);
    assert_string_equal(list.items[0].settings.mac, p.settings.mac);
    assert_memory_equal(list.items[0].mac, p.mac, 6);
    assert_int_equal(ipaddr_compare(&list.items[0].address[0], &p.address[0]), 0);
    assert_int_equal(list.items[0].address[1].family, 0);
    assert_int_equal(netstore_port_add(&f->store, "c1", &port, NULL), 0);
    assert_int_equal(netstore_ports(&f->store, NULL, f->arena, &ports, NULL), 0);
    assert_int_equal(ports.count, 1);
    assert_int_equal(ports.items[0].to_port, 8080);
    assert_int_equal(netstore_ports(&f->store, "c2", f->arena, &ports, NULL), 0);
    assert_int_equal(ports.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subnets),
        cmocka_unit_test(test_mac),
        cmocka_unit_test(test_port_requests),
        cmocka_unit_test(test_published_text),
        cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endpoints, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
