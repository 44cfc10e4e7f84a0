/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 over another wire, both sides with certificates (libchan-tls).
 *
 * OpenSSL allows one thread at a time in an SSL object, and a reader would sleep in it: so the
 * socket is driven without waiting, under a lock, and sleeping is done in poll outside of it. ALPN
 * says libchan/1 where both sides know it; a peer without ALPN is accepted.
 */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include "base/str.h"
#include "libchan/transport.h"

#define HANDSHAKE_MS                                                                               \
    10000 /* the longest, whatever the deadline of the call that carries it out                    \
           */

struct tls_wire {
    struct wire wire;
    struct wire *inner;
    SSL *ssl;
    BIO_METHOD *method;
    struct lock lock;
};

static const unsigned char alpn[] = "\x09libchan/1\x08spdy/3.1";

static int tls_error(struct wharf_error *e, int code, const char *what)
{
    char text[160] = "unknown error";

    if (ERR_peek_error())
        ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return err_set(e, code, WHARF_ERROR_UNAUTHORIZED, "%s: %s", what, text);
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned char *chosen;
    int r = SSL_select_next_proto(&chosen, out_len, alpn, sizeof(alpn) - 1, in, in_len);

    *out = chosen;
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* ---- what connections share ---- */

static int load(SSL_CTX *ctx, const struct chan_options *o, struct wharf_error *e)
{
    if (o->tls_cert && SSL_CTX_use_certificate_chain_file(ctx, o->tls_cert) != 1)
        return tls_error(e, -EINVAL, "cannot use the certificate file");
    if (o->tls_key && SSL_CTX_use_PrivateKey_file(ctx, o->tls_key, SSL_FILETYPE_PEM) != 1)
        return tls_error(e, -EINVAL, "cannot use the key file");
    if (o->tls_cert && SSL_CTX_check_private_key(ctx) != 1)
        return tls_error(e, -EINVAL, "the key does not belong to the certificate");
    if (o->tls_ca ? SSL_CTX_load_verify_locations(ctx, o->tls_ca, NULL) != 1
                  : SSL_CTX_set_default_verify_paths(ctx) != 1)
        return tls_error(e, -EINVAL, "cannot use the file of certificate authorities");
    return 0;
}

struct tls_shared {
    SSL_CTX *ctx;
    char *name; /* that the peer's certificate must carry */
};

static void tls_release(void *shared)
{
    struct tls_shared *sh = shared;

    SSL_CTX_free(sh->ctx);
    free(sh->name);
    free(sh);
}

static int tls_prepare(const struct chan_options *o, bool accepting, const char *host,
                       void **ret_shared, struct wharf_error *e)
{
    const char *name = o->tls_name ? o->tls_name : accepting ? NULL : host;
    struct tls_shared *sh = calloc(1, sizeof(*sh));
    int mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, r;

    if (!sh)
        return err_nomem(e);
    sh->ctx = SSL_CTX_new(TLS_method());
    sh->name = name ? strdup(name) : NULL;
    if (!sh->ctx || (name && !sh->name)) {
        tls_release(sh);
        return err_nomem(e);
    }
    if (accepting && o->tls_anonymous)
        mode = SSL_VERIFY_NONE;
    SSL_CTX_set_min_proto_version(sh->ctx, TLS1_3_VERSION);
    SSL_CTX_set_mode(sh->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(sh->ctx, mode, NULL);
    SSL_CTX_set_session_cache_mode(sh->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(sh->ctx, 0);
    SSL_CTX_set_alpn_protos(sh->ctx, alpn, sizeof(alpn) - 1);
    SSL_CTX_set_alpn_select_cb(sh->ctx, select_alpn, NULL);
    r = accepting && !o->tls_cert
            ? err_invalid(e, "a TLS listener needs a certificate: set tls_cert and tls_key")
            : load(sh->ctx, o, e);
    if (r < 0) {
        tls_release(sh);
        return r;
    }
    *ret_shared = sh;
    return 0;
}

/* ---- the wire ---- */

static struct tls_wire *tls_of(struct wire *w)
{
    return (struct tls_wire *)w;
}

/* What an SSL call's failure means: -EAGAIN with the events to poll for, 0 at the end, -errno. */
static int failure(struct tls_wire *t, int r, short *events)
{
    int saved = errno;

    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        *events = POLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *events = POLLOUT;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return saved ? -saved : -ECONNRESET;
    default:
        return -EPROTO;
    }
}

static int sleep_for(int fd, short events, chan_time deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    chan_time left = MAX(deadline - time_now(), 0);
    struct timespec ts = { left / 1000000000, left % 1000000000 };

    return ppoll(&p, 1, &ts, NULL) == 0 ? -ETIMEDOUT : 0;
}

static int tls_handshake(struct wire *w, chan_time deadline, struct wharf_error *e)
{
    struct tls_wire *t = tls_of(w);
    chan_time until = MIN(deadline, time_now() + HANDSHAKE_MS * INT64_C(1000000));
    long verified;

    for (;;) {
        short events = 0;
        int r;

        lock_take(&t->lock);
        ERR_clear_error();
        r = SSL_do_handshake(t->ssl);
        r = r == 1 ? 1 : failure(t, r, &events);
        lock_drop(&t->lock);
        if (r == 1)
            return 0;
        if (r != -EAGAIN)
            break;
        if (sleep_for(w->fd, events, until) < 0)
            return deadline <= until ? -ETIMEDOUT
                                     : err_set(e, -ECONNRESET, WHARF_ERROR_TIMEOUT,
                                               "no TLS handshake within %d ms", HANDSHAKE_MS);
    }
    verified = SSL_get_verify_result(t->ssl);
    if (verified != X509_V_OK)
        return err_set(e, -EKEYREJECTED, WHARF_ERROR_UNAUTHORIZED,
                       "the peer's certificate is refused: %s",
                       X509_verify_cert_error_string(verified));
    return tls_error(e, -ECONNRESET, "the TLS handshake failed");
}

static ssize_t tls_read_now(struct tls_wire *t, void *buf, size_t size, short *events)
{
    size_t have = 0;
    int r = 1;

    lock_take(&t->lock);
    ERR_clear_error();
    while (have < size) {
        errno = 0;
        r = SSL_read(t->ssl, (char *)buf + have, (int)MIN(size - have, (size_t)INT32_MAX));
        if (r <= 0)
            break;
        have += (size_t)r;
    }
    if (!have)
        r = failure(t, r, events);
    lock_drop(&t->lock);
    return have ? (ssize_t)have : r;
}

static ssize_t tls_read(struct wire *w, void *buf, size_t size, struct fd_queue *fds, bool wait)
{
    struct tls_wire *t = tls_of(w);
    short events = POLLIN;
    ssize_t n = tls_read_now(t, buf, size, &events);

    if (n != -EAGAIN || !wait)
        return n;
    sleep_for(w->fd, events, time_now() + WIRE_PATIENCE_MS * INT64_C(1000000));
    return tls_read_now(t, buf, size, &events);
}

static ssize_t tls_write(struct wire *w, const struct iovec *iov, int n, const int *fds,
                         unsigned n_fds)
{
    struct tls_wire *t = tls_of(w);
    ssize_t sent = 0;
    short events;
    int r = 1;

    lock_take(&t->lock);
    ERR_clear_error();
    for (int i = 0; i < n && r > 0; i++) {
        for (size_t at = 0; at < iov[i].iov_len && r > 0; at += r > 0 ? (size_t)r : 0) {
            errno = 0;
            r = SSL_write(t->ssl, (char *)iov[i].iov_base + at,
                          (int)MIN(iov[i].iov_len - at, (size_t)INT32_MAX));
            sent += r > 0 ? r : 0;
        }
    }
    if (!sent && r <= 0)
        sent = failure(t, r, &events);
    lock_drop(&t->lock);
    return sent ? sent : -ECONNRESET;
}

static int tls_peer(struct wire *w, struct chan_peer *ret, struct wharf_error *e)
{
    struct tls_wire *t = tls_of(w);
    X509 *cert = SSL_get1_peer_certificate(t->ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    BIO *bio;

    if (!cert)
        return 0; /* anonymous */
    bio = BIO_new(BIO_s_mem());
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(bio, ret->subject, sizeof(ret->subject) - 1);

        ret->subject[MAX(n, 0)] = '\0';
    }
    BIO_free(bio);
    if (X509_digest(cert, EVP_sha256(), digest, &len) == 1 && len == 32)
        hex_encode(digest, len, ret->fingerprint);
    X509_free(cert);
    return 0;
}

static void tls_shutdown(struct wire *w)
{
    struct tls_wire *t = tls_of(w);

    lock_take(&t->lock);
    SSL_shutdown(t->ssl); /* says that the end is one, as far as the socket takes it */
    ERR_clear_error();
    lock_drop(&t->lock);
    t->inner->ops->shutdown(t->inner);
}

static void tls_free(struct wire *w)
{
    struct tls_wire *t = tls_of(w);

    SSL_free(t->ssl);
    BIO_meth_free(t->method);
    t->inner->ops->free(t->inner);
    free(t);
}

static const struct wire_ops tls_ops = {
    .name = "tls",
    .handshake = tls_handshake,
    .read = tls_read,
    .write = tls_write,
    .peer = tls_peer,
    .shutdown = tls_shutdown,
    .free = tls_free,
};

/* OpenSSL's socket BIO raises SIGPIPE on a closed connection; ours does not. */
static int bio_write(BIO *bio, const char *data, int len)
{
    struct wire *inner = BIO_get_data(bio);
    struct iovec iov = { (void *)data, (size_t)len };
    ssize_t n = inner->ops->write(inner, &iov, 1, NULL, 0);

    BIO_clear_retry_flags(bio);
    if (n == -EAGAIN)
        BIO_set_retry_write(bio);
    errno = n < 0 ? (int)-n : 0;
    return n < 0 ? -1 : (int)n;
}

static int bio_read(BIO *bio, char *data, int len)
{
    struct wire *inner = BIO_get_data(bio);
    ssize_t n = inner->ops->read(inner, data, (size_t)len, NULL, false);

    BIO_clear_retry_flags(bio);
    if (n == -EAGAIN)
        BIO_set_retry_read(bio);
    errno = n < 0 ? (int)-n : 0;
    return n < 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *bio, int command, long n, void *p)
{
    return command == BIO_CTRL_FLUSH;
}

static BIO *bio_over(struct wire *inner, BIO_METHOD **ret_method)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "wire");
    BIO *bio;

    if (!method)
        return NULL;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
    bio = BIO_new(method);
    if (!bio) {
        BIO_meth_free(method);
        return NULL;
    }
    BIO_set_data(bio, inner);
    BIO_set_init(bio, 1);
    *ret_method = method;
    return bio;
}

static int tls_wrap(struct wire *inner, void *shared, bool accepting, const char *host,
                    const char *path, struct wire **ret, struct wharf_error *e)
{
    const struct tls_shared *sh = shared;
    struct tls_wire *t = calloc(1, sizeof(*t));
    BIO_METHOD *method = NULL;
    BIO *bio = NULL;

    if (t && (t->ssl = SSL_new(sh->ctx)))
        bio = bio_over(inner, &method);
    if (!bio) {
        if (t)
            SSL_free(t->ssl);
        free(t);
        return err_nomem(e);
    }
    t->method = method;
    SSL_set_bio(t->ssl, bio, bio);
    if (accepting)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    if (sh->name) {
        X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);

        /* an address is matched as an address, a name as a name */
        if (X509_VERIFY_PARAM_set1_ip_asc(param, sh->name) != 1) {
            SSL_set_tlsext_host_name(t->ssl, sh->name);
            SSL_set1_host(t->ssl, sh->name);
        }
    }
    t->wire = (struct wire){ &tls_ops, inner->fd };
    t->inner = inner;
    *ret = &t->wire;
    return 0;
}

__attribute__((visibility("default"))) const struct chan_layer *chan_tls(void)
{
    static const struct chan_layer tls = {
        .name = "tls", .prepare = tls_prepare, .wrap = tls_wrap, .release = tls_release
    };

    return &tls;
}
