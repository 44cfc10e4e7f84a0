/* SPDX-License-Identifier: Apache-2.0 */
#include "door/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

/* What Go's TLS offers for 1.2: forward secrecy and authenticated encryption alone. 1.3 has no
 * other. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

struct tls_context {
    SSL_CTX *ssl;
    int references;
};

/* The library's own words for what went wrong last. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "unknown error";
}

/* A key with a password cannot be asked for it. */
static int no_password(char *buf, int size, int writing, void *user)
{
    return 0;
}

static int refuse_file(const char *path, const char *what, struct wharf_error *e)
{
    if (access(path, R_OK) < 0)
        return err_sys(e, "%s '%s'", what, path);
    return err_invalid(e, "%s '%s': %s", what, path, reason());
}

static int load_pair(SSL_CTX *ssl, const struct tls_options *o, struct wharf_error *e)
{
    if (!o->cert || !o->key)
        return err_invalid(e, "TLS needs a certificate and a key: --tlscert, --tlskey");
    if (SSL_CTX_use_certificate_chain_file(ssl, o->cert) != 1)
        return refuse_file(o->cert, "could not load the TLS certificate", e);
    if (SSL_CTX_use_PrivateKey_file(ssl, o->key, SSL_FILETYPE_PEM) != 1)
        return refuse_file(o->key, "could not load the TLS key", e);
    if (SSL_CTX_check_private_key(ssl) != 1)
        return err_invalid(e, "the TLS key '%s' is not the one of the certificate '%s'", o->key,
                           o->cert);
    return 0;
}

static int load_ca(SSL_CTX *ssl, const struct tls_options *o, struct wharf_error *e)
{
    if (!o->verify)
        return 0;
    if (!o->ca)
        return err_invalid(e, "to verify clients a CA certificate is needed: --tlscacert");
    if (SSL_CTX_load_verify_file(ssl, o->ca) != 1)
        return refuse_file(o->ca, "could not read CA certificate", e);
    SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(o->ca));
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

/* No session is resumed: each connection shows its certificate anew, and the CA decides anew. */
static void configure(SSL_CTX *ssl)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ssl, CIPHERS_1_2);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
}

int tls_context_new(struct tls_context **ret, const struct tls_options *options,
                    struct wharf_error *e)
{
    auto_of(tls_context_free) struct tls_context *t = calloc(1, sizeof *t);
    int r;

    if (!t)
        return err_nomem(e);
    t->references = 1;
    t->ssl = SSL_CTX_new(TLS_server_method());
    if (!t->ssl)
        return err_nomem(e);
    ERR_clear_error();
    configure(t->ssl);
    r = load_pair(t->ssl, options, e);
    if (r == 0)
        r = load_ca(t->ssl, options, e);
    ERR_clear_error();
    if (r < 0)
        return r;
    *ret = take_ptr(&t);
    return 0;
}

void tls_context_free(struct tls_context *t)
{
    if (!t || __atomic_sub_fetch(&t->references, 1, __ATOMIC_ACQ_REL))
        return;
    SSL_CTX_free(t->ssl);
    free(t);
}

struct tls_context *tls_context_ref(struct tls_context *t)
{
    __atomic_add_fetch(&t->references, 1, __ATOMIC_RELAXED);
    return t;
}

SSL *tls_context_accept(const struct tls_context *t, int fd)
{
    SSL *ssl = SSL_new(t->ssl);

    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}
