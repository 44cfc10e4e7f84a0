/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers as bytes, and the files that answers come from. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/str.h"
#include "network/dns-message.h"

/* A query for `name` (labels joined by dots); its length. */
static size_t query_of(const char *name, unsigned type, unsigned char *out)
{
    size_t n = DNS_HEADER;

    memcpy(out, "\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0", DNS_HEADER);
    for (const char *at = name; *at;) {
        size_t label = strcspn(at, ".");

        out[n++] = (unsigned char)label;
        memcpy(out + n, at, label);
        n += label;
        at += label + (at[label] != '\0');
    }
    memcpy(out + n, "\0\0\0\0\1", 5);
    out[n + 2] = (unsigned char)type;
    return n + 5;
}

static void test_question(void **state)
{
    unsigned char query[512];
    struct dns_question q;
    size_t n = query_of("Web.Net", DNS_AAAA, query);

    assert_int_equal(dns_read_question(query, n, &q), 0);
    assert_string_equal(q.name, "web.net");
    assert_int_equal(q.type, DNS_AAAA);
    assert_int_equal(q.class, DNS_CLASS_IN);
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.end, n);
    for (size_t cut = 0; cut < n; cut++) /* never beyond the message, never half a question */
        assert_true(dns_read_question(query, cut, &q) < 0);
    query[2] |= 0x80;
    assert_int_equal(dns_read_question(query, n, &q), -EBADMSG);
    query[2] &= 0x7f;
    query[DNS_HEADER] = 0xc0; /* a pointer */
    assert_int_equal(dns_read_question(query, n, &q), -EINVAL);
    n = query_of("a b.net", DNS_A, query);
    assert_int_equal(dns_read_question(query, n, &q), -EINVAL);
}

static void test_addresses(void **state)
{
    unsigned char query[512];
    struct ipaddr list[NAMES_FOUND_MAX];
    struct dns_question q;
    autobuf struct buf b = BUF(4096);
    size_t n = query_of("web", DNS_A, query);

    for (int i = 0; i < NAMES_FOUND_MAX; i++)
        list[i] = (struct ipaddr){ AF_INET, { 10, 0, 0, (unsigned char)i } };
    assert_int_equal(dns_read_question(query, n, &q), 0);
    dns_write_addresses(query, &q, list, 2, 512, &b);
    assert_int_equal(b.len, n + 2 * 16);
    assert_memory_equal(b.data, "\x12\x34\x85\x80\0\1\0\2", 8);
    assert_memory_equal(b.data + n, "\xc0\x0c\0\1\0\1\0\0\x02\x58\0\4\x0a\0\0\0", 16);
    assert_true(dns_is_answer((unsigned char *)b.data, b.len, query, n));
    query[1] ^= 1;
    assert_false(dns_is_answer((unsigned char *)b.data, b.len, query, n));
    buf_reset(&b);
    dns_write_addresses(query, &q, list, NAMES_FOUND_MAX, 100, &b);
    assert_true(b.len <= 100);
}

static void test_reverse(void **state)
{
    char text[ADDRESS_TEXT_MAX];
    struct ipaddr a;

    assert_int_equal(dns_reverse_name("2.0.18.172.in-addr.arpa", &a), 0);
    assert_string_equal(ipaddr_text(&a, text), "172.18.0.2");
    assert_int_equal(
        dns_reverse_name("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d"
                         ".f.ip6.arpa",
                         &a),
        0);
    assert_string_equal(ipaddr_text(&a, text), "fd00::2");
    assert_int_equal(dns_reverse_name("2.0.18.in-addr.arpa", &a), -EINVAL);
    assert_int_equal(dns_reverse_name("2.0.18.999.in-addr.arpa", &a), -EINVAL);
    assert_int_equal(dns_reverse_name("x.ip6.arpa", &a), -EINVAL);
}

static void put(int dir, const char *name, const char *text)
{
    assert_int_equal(file_replace(dir, name, text, strlen(text), 0600, false), 0);
}

static void test_names(void **state)
{
    char path[] = "/tmp/network-names-XXXXXX", text[ADDRESS_TEXT_MAX], name[NAME_MAX_DNS + 1];
    struct ipaddr found[NAMES_FOUND_MAX], servers[NAMES_SERVERS];

    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct names names = { dir, "me" };
    put(dir, "n-1",
        "172.18.0.2 fd00::2 0123456789abcdef web www\n172.18.0.3 - 111111111111 db www\n");
    put(dir, "n-2", "172.19.0.2 - 222222222222 web\n");
    put(dir, "c-me",
        "link 1 store db\nnetwork 1 front\nnetwork 2 back\nserver 10.0.0.1\n"
        "server fd00::53\n");
    assert_int_equal(names_find(&names, "WEB", AF_INET, found), 1);
    assert_string_equal(ipaddr_text(&found[0], text), "172.18.0.2");
    assert_int_equal(names_find(&names, "www", AF_INET, found), 2);
    assert_int_equal(names_find(&names, "web.back", AF_INET, found), 1);
    assert_string_equal(ipaddr_text(&found[0], text), "172.19.0.2");
    assert_int_equal(names_find(&names, "web.nowhere", AF_INET, found), -ENOENT);
    assert_int_equal(names_find(&names, "store", AF_INET, found), 1);
    assert_string_equal(ipaddr_text(&found[0], text), "172.18.0.3");
    assert_int_equal(names_find(&names, "web", AF_INET6, found), 1);
    assert_int_equal(names_find(&names, "db", AF_INET6, found), 0);
    assert_int_equal(names_find(&names, "0123456789ab", AF_INET, found), 1);
    assert_int_equal(names_find(&names, "0123", AF_INET, found), -ENOENT);
    assert_int_equal(ipaddr_parse("172.19.0.2", &found[0]), 0);
    assert_int_equal(names_reverse(&names, &found[0], name), 0);
    assert_string_equal(name, "web.back");
    assert_int_equal(names_servers(&names, servers), 2);
    names.container = "other";
    assert_int_equal(names_find(&names, "web", AF_INET, found), -ENOENT);
    close(dir);
    assert_int_equal(path_remove_tree(AT_FDCWD, path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_reverse),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
