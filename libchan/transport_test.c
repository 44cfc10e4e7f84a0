/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of TLS and websocket: calls, a pumped descriptor, identity, and who is turned away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/macros.h"
#include "base/str.h"
#include "chan.h"

#define SOON chan_after_ms(10000)

/* A self-signed certificate that both sides present and trust. */
static char cert_path[64], key_path[64];

static void write_pem(char *path, EVP_PKEY *key, X509 *cert)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    if (cert)
        PEM_write_X509(f, cert);
    else
        PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static int make_certificate(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_EXTENSION *san =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");

    snprintf(cert_path, sizeof(cert_path), "/tmp/chan-test-%d.crt", getpid());
    snprintf(key_path, sizeof(key_path), "/tmp/chan-test-%d.key", getpid());
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"alice", -1, -1,
                               0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509_add_ext(x, san, -1);
    X509_sign(x, key, EVP_sha256());
    write_pem(cert_path, NULL, x);
    write_pem(key_path, key, NULL);
    X509_EXTENSION_free(san);
    X509_free(x);
    EVP_PKEY_free(key);
    return 0;
}

static int remove_certificate(void **state)
{
    unlink(cert_path);
    unlink(key_path);
    return 0;
}

/* Sends everything back, with the attachments. */
static void *echo(void *listener)
{
    struct chan_msg *m = chan_msg_new(), *answer = chan_msg_new();
    struct chan_session *s;
    struct chan_rx *rx;

    if (chan_listener_accept(listener, SOON, &s, NULL) == 0) {
        if (chan_accept(s, SOON, &rx, NULL) == 0) {
            while (chan_recv(rx, m, SOON, NULL) == 0) {
                struct chan_tx *ret;

                assert_int_equal(chan_take_tx(chan_get(chan_root(m), "ret"), &ret), 0);
                chan_put_value(answer, chan_get(chan_root(m), "data"));
                chan_send_last(ret, answer, SOON, NULL);
                chan_tx_unref(ret);
            }
            chan_rx_unref(rx);
        }
        chan_session_unref(s);
    }
    chan_msg_free(m);
    chan_msg_free(answer);
    return NULL;
}

static void call(struct chan_tx *tx, const char *data, size_t len)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *ret;
    const void *back;
    size_t n;

    chan_put_map(m, 2);
    chan_put_str(m, "data");
    chan_put_bin_ref(m, data, len, NULL, NULL);
    chan_put_str(m, "ret");
    chan_put_return(m, &ret);
    assert_int_equal(chan_send(tx, m, SOON, NULL), 0);
    assert_int_equal(chan_recv(ret, m, SOON, NULL), 0);
    assert_int_equal(chan_get_bin(chan_root(m), &back, &n), 0);
    assert_int_equal(n, len);
    assert_memory_equal(back, data, len);
    chan_rx_unref(ret);
    chan_msg_free(m);
}

static struct chan_options options(void)
{
    return (struct chan_options){ .tls = chan_tls(),
                                  .websocket = chan_websocket(),
                                  .tls_ca = cert_path,
                                  .tls_cert = cert_path,
                                  .tls_key = key_path };
}

static void calls_over(const char *url, bool identity)
{
    static const size_t sizes[] = { 0, 64, 5000, 70000, 1 << 20 };
    static char data[1 << 20];
    struct chan_options o = options();
    struct wharf_error e = { 0 };
    struct chan_listener *l;
    struct chan_session *s;
    struct chan_peer peer;
    struct chan_tx *tx;
    pthread_t thread;
    int r;

    memset(data, 'x', sizeof(data));
    assert_int_equal(chan_listen(url, &o, &l, &e), 0);
    pthread_create(&thread, NULL, echo, l);
    r = chan_dial(chan_listener_address(l), &o, SOON, &s, &e);
    if (r < 0)
        print_message("%s: %s\n", url, e.message);
    assert_int_equal(r, 0);
    assert_int_equal(chan_session_peer(s, SOON, &peer, &e), 0);
    assert_string_equal(peer.subject, identity ? "CN=alice" : "");
    assert_int_equal(strlen(peer.fingerprint), identity ? 64 : 0);
    chan_open(s, &tx, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        call(tx, data, sizes[i]);
    chan_tx_unref(tx);
    pthread_join(thread, NULL);
    chan_session_unref(s);
    chan_listener_free(l);
}

static void test_tls(void **state)
{
    calls_over("tls:127.0.0.1:0", true);
}

static void test_websocket(void **state)
{
    calls_over("ws://127.0.0.1:0/chan", false);
}

static void test_websocket_tls(void **state)
{
    calls_over("wss://127.0.0.1:0/chan", true);
}

/* No certificate, no session; and a listener that speaks something else. */
static void test_refused(void **state)
{
    struct chan_options o = options(), bare = { .tls = chan_tls(), .tls_ca = cert_path };
    struct wharf_error e = { 0 };
    struct chan_listener *l;
    struct chan_session *s;
    pthread_t thread;

    assert_int_equal(chan_listen("tls:127.0.0.1:0", &o, &l, NULL), 0);
    pthread_create(&thread, NULL, echo, l);
    assert_true(chan_dial(chan_listener_address(l), &bare, SOON, &s, &e) < 0);
    pthread_join(thread, NULL);
    chan_listener_free(l);

    bare.tls_cert = "/nonexistent";
    assert_int_equal(chan_listen("tls:127.0.0.1:0", &bare, &l, &e), -EINVAL);
}

/* ---- hostile bytes: the connection ends by name, the next one is served ---- */

#define REQUEST                                                                                    \
    "GET /chan HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"  \
    "Sec-WebSocket-Protocol: libchan.1\r\n\r\n"
#define NO_MASK "\0\0\0\0"

static const struct {
    const char *url, *bytes;
    size_t len;
    const char *message;
} hostile[] = {
#define ROW(url, bytes, message)                                                                   \
    {                                                                                              \
        url, bytes, sizeof(bytes) - 1, message                                                     \
    }
    ROW("tcp:127.0.0.1:0", "GET / HTTP/1.1\r\n\r\n", "does not speak libchan's native"),
    ROW("tls:127.0.0.1:0", "GET / HTTP/1.1\r\n\r\n", "TLS"),
    ROW("tls:127.0.0.1:0", "\x16\3\1\xff\xff", "TLS"),
    ROW("wss://127.0.0.1:0/chan", REQUEST, "TLS"),
    ROW("ws://127.0.0.1:0/chan",
        "\x89"
        "chan\r\n\x1a\r\n\r\n",
        "none for a websocket"),
    ROW("ws://127.0.0.1:0/chan", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "none for a websocket"),
    ROW("ws://127.0.0.1:0/chan", "GET / HTTP", "websocket request"),
    ROW("ws://127.0.0.1:0/chan", REQUEST "\x82\x08GARBAGE!", "websocket does not allow"),
    ROW("ws://127.0.0.1:0/chan", REQUEST "\xf2\x80" NO_MASK, "websocket does not allow"),
    ROW("ws://127.0.0.1:0/chan", REQUEST "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" NO_MASK,
        "closed the connection"),
    ROW("ws://127.0.0.1:0/chan", REQUEST "\x82\x88" NO_MASK "GARBAGE!",
        "does not speak libchan's native"),
    ROW("ws://127.0.0.1:0/chan", REQUEST "\x88\x80" NO_MASK, "closed the connection"),
#undef ROW
};

static int connect_raw(const struct chan_listener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(getsockname(chan_listener_pollfd(l), (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static void test_hostile_bytes(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct chan_options o = options();
        struct wharf_error e = { 0 };
        struct chan_listener *l;
        struct chan_session *s;
        struct chan_rx *rx;

        assert_int_equal(chan_listen(hostile[i].url, &o, &l, NULL), 0);
        int fd = connect_raw(l);
        assert_int_equal(send(fd, hostile[i].bytes, hostile[i].len, 0), hostile[i].len);
        if (strstr(hostile[i].message, "closed") || strstr(hostile[i].message, "request"))
            shutdown(fd, SHUT_WR); /* these are faults only when no more can come */
        assert_int_equal(chan_listener_accept(l, SOON, &s, NULL), 0);
        assert_int_equal(chan_accept(s, SOON, &rx, &e), -ECONNRESET);
        if (!strstr(e.message, hostile[i].message))
            fail_msg("row %zu: '%s' does not say '%s'", i, e.message, hostile[i].message);
        chan_session_unref(s);
        close(fd);
        chan_listener_free(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_bytes), cmocka_unit_test(test_tls),
        cmocka_unit_test(test_websocket),     cmocka_unit_test(test_websocket_tls),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
