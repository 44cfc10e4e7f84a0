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
#include <sys/stat.h>
#include <cmocka.h>
#include "base/str.h"
#include "base/fd.h"
#include "network/keeper.h"
#include "network/link.h"
#include "network/network.h"
#include "network/pool.h"
#include "network/port.h"

static struct ipaddr address(const char *text)
{
    struct ipaddr a;

    assert_int_equal(ipaddr_parse(text, &a), 0);
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

static int connects(int family, const struct ipaddr *to, uint16_t port)
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
    struct ipaddr loopback = address("127.0.0.1"), loopback6 = address("::1"), none = { 0 };
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
    autoclose hidden_unused int listener = listen_in(netns, 80);
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
    struct ipaddr to[2] = { address("10.0.0.2") }, none = { 0 };
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

/* ---- the whole ------------------------------------------------------------------------------- */

struct world {
    char path[64], run[80];
    struct networks *nw;
};

static void open_world(struct world *w)
{
    struct wharf_error e = { 0 };
    struct networks_options options = { .root = w->path, .run = w->run };

    if (networks_open(&w->nw, &options, &e) < 0)
        fail_msg("%s", e.message);
}

static int setup_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    auto_of(netlink_close) struct netlink *nl = NULL;

    if (unshare(CLONE_NEWNET) < 0)
        skip();
    assert_int_equal(netlink_open(&nl, -1, NULL), 0);
    assert_int_equal(netlink_set_up(nl, 1, true, NULL), 0);
    snprintf(w->path, sizeof(w->path), "/tmp/network-world-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    snprintf(w->run, sizeof(w->run), "%s/run", w->path);
    open_world(w);
    *state = w;
    return 0;
}

static int teardown_world(void **state)
{
    struct world *w = *state;

    networks_close(w->nw);
    path_remove_tree(AT_FDCWD, w->path);
    free(w);
    return 0;
}

static void create(struct world *w, int64_t owner, const char *body, int expected)
{
    autojson json_t *tree = json_loads(body, 0, NULL), *reply = NULL;
    struct wharf_error e = { 0 };

    assert_non_null(tree);
    int r = network_create(w->nw, owner, tree, &reply, &e);
    if (r != expected)
        fail_msg("%d: %s", r, e.message);
}

static struct network_sandbox start(struct world *w, const struct network_member *m,
                                    const char *ports, int expected)
{
    autojson json_t *bindings = json_loads(ports, 0, NULL);
    struct network_request request = { .member = m, .port_bindings = bindings };
    struct network_sandbox sandbox = { -1, -1, NULL };
    struct wharf_error e = { 0 };
    int r = network_start(w->nw, &request, &sandbox, &e);

    if (r != expected)
        fail_msg("%d: %s", r, e.message);
    return sandbox;
}

/* A member of inspect's Networks, as text. */
static void expect_setting(struct world *w, const char *container, const char *network,
                           const char *name, const char *expected)
{
    autojson json_t *settings = NULL;

    assert_int_equal(network_settings(w->nw, container, NULL, &settings, NULL), 0);
    json_t *all = json_object_get(settings, "Networks");
    assert_string_equal(json_string_value(json_object_get(json_object_get(all, network), name)),
                        expected);
}

static const struct network_member web = {
    .id = "1111111111111111", .name = "web", .hostname = "web", .owner = 1000
};
static const struct network_member db = {
    .id = "2222222222222222", .name = "db", .hostname = "db", .owner = 1000
};

static void test_life(void **state)
{
    struct world *w = *state;
    struct ipaddr loopback = address("127.0.0.1");
    struct wharf_error e = { 0 };
    autojson json_t *list = NULL, *pruned = NULL;
    autojson json_t *alias = json_loads("{\"Aliases\":[\"www\"]}", 0, NULL);

    create(w, 1000, "{\"Name\":\"front\",\"EnableIPv6\":true}", 0);
    create(w, 1000, "{\"Name\":\"front\"}", -EEXIST);
    create(w, 1000, "{\"Name\":\"bridge\"}", -EPERM);
    assert_int_equal(network_join(w->nw, &web, "front", NULL, NULL, NULL, &e), 0);
    assert_int_equal(network_join(w->nw, &web, "front", NULL, NULL, NULL, &e), -EEXIST);
    assert_string_equal(e.message, "endpoint with name web already exists in network front");
    struct network_sandbox sandbox = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", 0);
    autoclose hidden_unused int listener = listen_in(sandbox.netns, 80);
    assert_int_equal(connects(AF_INET, &loopback, 8080), 0);
    assert_string_not_equal(sandbox.keeper, "");
    expect_setting(w, web.id, "front", "IPAddress", "172.18.0.2");

    assert_int_equal(network_join(w->nw, &db, "", NULL, NULL, NULL, &e), 0);
    struct network_sandbox other =
        start(w, &db, "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", -EADDRINUSE);
    expect_setting(w, db.id, "bridge", "IPAddress", "");
    other = start(w, &db, "{}", 0);
    expect_setting(w, db.id, "bridge", "IPAddress", "172.17.0.2");
    assert_int_equal(network_connect(w->nw, 1000, "front", &db, alias, other.netns, &e), 0);
    expect_setting(w, db.id, "front", "IPAddress", "172.18.0.3");
    assert_int_equal(network_disconnect(w->nw, 1000, "bridge", &db, other.netns, false, &e), 0);
    assert_int_equal(network_disconnect(w->nw, 1000, "bridge", &db, other.netns, false, &e),
                     -ENOENT);
    assert_int_equal(network_remove(w->nw, 1000, "front", NULL, &e), -EBUSY);
    assert_int_equal(network_remove(w->nw, 2000, "front", NULL, &e), -ENOENT);
    assert_string_equal(e.message, "network front not found");

    assert_int_equal(network_leave(w->nw, db.id, &e), 0);
    assert_int_equal(network_stop(w->nw, web.id, &e), 1);
    assert_int_equal(connects(AF_INET, &loopback, 8080), -ECONNREFUSED);
    assert_int_equal(network_stop(w->nw, web.id, &e), 0);
    network_sandbox_done(&sandbox);
    sandbox = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", 0);
    assert_int_equal(network_leave(w->nw, web.id, &e), 0);
    assert_int_equal(network_list(w->nw, 1000, NULL, false, &list, &e), 0);
    assert_int_equal(json_array_size(list), 4);
    assert_int_equal(network_prune(w->nw, 1000, NULL, &pruned, &e), 0);
    assert_int_equal(json_array_size(json_object_get(pruned, "NetworksDeleted")), 1);
    network_sandbox_done(&sandbox);
    network_sandbox_done(&other);
}

/* A start whose process was killed: nobody called stop, the descriptors are closed. */
static void test_killed(void **state)
{
    struct world *w = *state;
    struct ipaddr loopback = address("127.0.0.1");

    assert_int_equal(network_join(w->nw, &web, "default", NULL, NULL, NULL, NULL), 0);
    struct network_sandbox first = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8081\"}]}", 0);
    network_sandbox_done(&first);
    networks_close(w->nw);
    open_world(w);
    struct network_sandbox again = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8081\"}]}", 0);
    autoclose hidden_unused int listener = listen_in(again.netns, 80);
    assert_int_equal(connects(AF_INET, &loopback, 8081), 0);
    expect_setting(w, web.id, "bridge", "IPAddress", "172.17.0.2");
    network_sandbox_done(&again);
}

/* --bip: at once on an idle root, refused while containers are on the bridge. */
static void test_bridge_ip(void **state)
{
    struct world *w = *state;
    struct networks_options options = { .root = w->path,
                                        .run = w->run,
                                        .bridge_ip = "10.200.0.1/24" };
    struct wharf_error e = { 0 };

    networks_close(w->nw);
    assert_int_equal(networks_open(&w->nw, &options, &e), 0);
    assert_int_equal(network_join(w->nw, &web, "bridge", NULL, NULL, NULL, NULL), 0);
    struct network_sandbox first = start(w, &web, "{}", 0);
    expect_setting(w, web.id, "bridge", "IPAddress", "10.200.0.2");
    networks_close(w->nw);
    w->nw = NULL;
    options.bridge_ip = "10.201.0.1/24";
    assert_int_equal(networks_open(&w->nw, &options, &e), -EBUSY);
    network_sandbox_done(&first);
}

/* Somebody flushed the rules of the host, or removed the bridge. */
static void test_flushed(void **state)
{
    struct world *w = *state;
    auto_of(netlink_close) struct netlink *nl = NULL;
    auto_of(nft_close) struct nft *nft = NULL;
    struct ipaddr loopback = address("127.0.0.1");

    assert_int_equal(network_join(w->nw, &web, NULL, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(network_join(w->nw, &db, NULL, NULL, NULL, NULL, NULL), 0);
    struct network_sandbox first = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8082\"}]}", 0);
    autoclose hidden_unused int listener = listen_in(first.netns, 80);
    assert_int_equal(nft_open(&nft, NULL), 0);
    nft_begin(nft, "wharf");
    nft_delete_table(nft);
    assert_int_equal(nft_commit(nft, NULL), 0);
    assert_int_equal(connects(AF_INET, &loopback, 8082), -ECONNREFUSED);
    struct network_sandbox second = start(w, &db, "{}", 0);
    assert_int_equal(connects(AF_INET, &loopback, 8082), 0);
    network_sandbox_done(&second);
    network_sandbox_done(&first);

    assert_int_equal(netlink_open(&nl, -1, NULL), 0);
    assert_int_equal(netlink_delete_link(nl, netlink_index(nl, "wharf0", NULL), NULL), 0);
    first = start(w, &web, "{}", 0);
    assert_true(netlink_index(nl, "wharf0", NULL) > 0);
    network_sandbox_done(&first);
}

/* The shim's part: the name server answers, ports are withdrawn at its end. */
static void test_keeper(void **state)
{
    struct world *w = *state;
    struct ipaddr loopback = address("127.0.0.1");
    struct keeper *keeper;
    struct wharf_error e = { 0 };

    create(w, 1000, "{\"Name\":\"back\"}", 0);
    assert_int_equal(network_join(w->nw, &web, "back", NULL, NULL, NULL, NULL), 0);
    struct network_sandbox sandbox = start(w, &web, "{\"80/tcp\":[{\"HostPort\":\"8083\"}]}", 0);
    autoclose hidden_unused int listener = listen_in(sandbox.netns, 80);
    if (keeper_open(&keeper, sandbox.keeper, sandbox.netns, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(connects(AF_INET, &loopback, 8083), 0);
    keeper_run(keeper);
    keeper_close(keeper);
    assert_int_equal(connects(AF_INET, &loopback, 8083), -ECONNREFUSED);
    network_sandbox_done(&sandbox);
}

static void test_pool(void **state)
{
    struct netns_pool *pool;
    struct stat a, b;

    assert_int_equal(netns_pool_open(&pool, 2, NULL), 0);
    autoclose int first = netns_pool_take(pool, NULL), second = netns_pool_take(pool, NULL);
    assert_true(fstat(first, &a) == 0 && fstat(second, &b) == 0 && a.st_ino != b.st_ino);
    netns_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_published, setup),
        cmocka_unit_test_setup(test_keep, setup),
        cmocka_unit_test_setup(test_pool, setup),
        cmocka_unit_test_setup_teardown(test_life, setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(test_killed, setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(test_bridge_ip, setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(test_flushed, setup_world, teardown_world),
        cmocka_unit_test_setup_teardown(test_keeper, setup_world, teardown_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
