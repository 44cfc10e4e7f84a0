/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges, pairs, the packet filter and host ports, in network namespaces of the test's own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "base/str.h"
#include "network/link.h"
#include "network/port.h"

static struct address address(const char *text)
{
    struct address a;

    assert_int_equal(address_parse(text, &a), 0);
    return a;
}

/* The test's own world; without the rights for it there is nothing to test. */
static int setup(void **state)
{
    if (unshare(CLONE_NEWNET) < 0)
        skip();
    return 0;
}

static struct network network(void)
{
    struct network n = { .id = (char *)"0123", .bridge = (char *)"wt0", .icc = true };

    n.document.name = (char *)"net";
    n.subnet[0] = (struct subnet){ address("10.77.0.1"), 24 };
    n.subnet[1] = (struct subnet){ address("fd77::1"), 64 };
    return n;
}

static struct endpoint endpoint(void)
{
    struct endpoint p = { .id = (char *)"00112233445566778899",
                          .interface = (char *)"eth0",
                          .mac = { 2, 0x42, 10, 77, 0, 2 } };

    p.address[0] = address("10.77.0.2");
    p.address[1] = address("fd77::2");
    return p;
}

static int count_links(void *user, const struct netlink_link *link)
{
    ++*(int *)user;
    return 0;
}

static int connects(int family, const struct address *to, uint16_t port)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    struct timeval soon = { .tv_sec = 5 };
    autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(&four.sin_addr, to->bytes, 4);
    memcpy(&six.sin6_addr, to->bytes, 16);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
    int r = family == AF_INET ? connect(fd, (struct sockaddr *)&four, sizeof(four))
                              : connect(fd, (struct sockaddr *)&six, sizeof(six));
    return r < 0 ? -errno : 0;
}

/* Listens inside the namespace on any address of both families. */
static int listen_in(int netns, uint16_t port)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    autoclose int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    assert_int_equal(setns(netns, CLONE_NEWNET), 0);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    return fd;
}

static void test_published(void **state)
{
    auto_of(netlink_close) struct netlink *nl = NULL;
    auto_of(nft_close) struct nft *nft = NULL;
    struct network n = network();
    struct endpoint p = endpoint();
    struct firewall_network own = { .bridge = n.bridge, .icc = true, .masquerade = true };
    struct address loopback = address("127.0.0.1"), loopback6 = address("::1"), none = { 0 };
    struct port_request request = {
        .protocol = IPPROTO_TCP, .port = 80, .first = 8080, .last = 8080
    };
    struct published published[2];
    struct wharf_error e = { 0 };
    int links = 0;
    autokeep struct port_keep keep;

    assert_int_equal(netlink_open(&nl, -1, &e), 0);
    assert_int_equal(nft_open(&nft, &e), 0);
    assert_int_equal(netlink_set_up(nl, 1, true, &e), 0);
    int bridge = bridge_ensure(nl, &n, "wharf:/test", &e);
    assert_string_equal(e.message, "");
    assert_true(bridge > 0);
    assert_int_equal(bridge_ensure(nl, &n, "wharf:/test", &e), bridge);
    assert_int_equal(bridge_ensure(nl, &n, "wharf:/other", NULL), -EEXIST);

    autoclose int netns = netns_make(&e);
    assert_true(netns >= 0);
    struct link_routes routes = { true, true };
    for (int again = 0; again < 2; again++) /* as after a kill */
        assert_int_equal(link_attach(nl, bridge, &n, &p, netns, &routes, &e), 0);
    autoclose int listener = listen_in(netns, 80);
    assert_int_equal(connects(AF_INET, &p.address[0], 80), 0);
    assert_int_equal(connects(AF_INET6, &p.address[1], 80), 0);

    assert_int_equal(port_keep_open(&keep, &e), 0);
    assert_int_equal(port_take(&keep, &request, &none, p.address, published, &e), 2);
    assert_int_equal(port_take(&keep, &request, &none, p.address, published, &e), -EADDRINUSE);
    assert_string_equal(e.message, "Bind for 0.0.0.0:8080 failed: port is already allocated");
    assert_int_equal(firewall_add(nft, "wt", &own, published, 2, &e), -ENOENT);
    assert_int_equal(firewall_make(nft, "wt", &own, 1, NULL, 0, &e), 0);
    assert_int_equal(connects(AF_INET, &loopback, 8080), -ECONNREFUSED);
    assert_int_equal(firewall_add(nft, "wt", &own, published, 2, &e), 0);
    assert_int_equal(connects(AF_INET, &loopback, 8080), 0);
    assert_int_equal(connects(AF_INET6, &loopback6, 8080), -ECONNREFUSED);
    assert_int_equal(connects(AF_INET6, &n.subnet[1].address, 8080), 0);
    assert_int_equal(connects(AF_INET, &n.subnet[0].address, 8080), 0);
    assert_int_equal(firewall_unpublish(nft, "wt", published, 2, &e), 0);
    assert_int_equal(firewall_unpublish(nft, "wt", published, 2, &e), 0);
    assert_int_equal(connects(AF_INET, &loopback, 8080), -ECONNREFUSED);

    assert_int_equal(link_detach(nl, &p, &e), 0);
    assert_int_equal(link_detach(nl, &p, &e), 0);
    assert_int_equal(bridge_remove(nl, n.bridge, "wharf:/other", &e), 0);
    assert_true(netlink_index(nl, n.bridge, &e) > 0);
    assert_int_equal(bridge_remove(nl, n.bridge, "wharf:/test", &e), 0);
    assert_int_equal(netlink_links(nl, count_links, &links, &e), 0);
    assert_true(netlink_index(nl, n.bridge, NULL) < 0);
}

/* The keep holds ports that nobody else has a descriptor of any more. */
static void test_keep(void **state)
{
    struct port_request any = { .protocol = IPPROTO_UDP, .port = 53 }, same = any;
    struct address to[2] = { address("10.0.0.2") }, none = { 0 };
    struct published published[2];
    struct port_keep keep, other;

    assert_int_equal(port_keep_open(&keep, NULL), 0);
    for (int i = 0; i < 3 * KEEP_BATCH; i++)
        assert_int_equal(port_take(&keep, &any, &none, to, published, NULL), 1);
    int held = port_keep_seal(&keep, NULL);
    assert_true(held >= 0);
    port_keep_close(&keep);
    same.first = same.last = published[0].host_port;
    assert_int_equal(port_keep_open(&other, NULL), 0);
    assert_int_equal(port_take(&other, &same, &none, to, published, NULL), -EADDRINUSE);
    close(held);
    assert_int_equal(port_take(&other, &same, &none, to, published, NULL), 1);
    port_keep_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_published, setup),
        cmocka_unit_test_setup(test_keep, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
