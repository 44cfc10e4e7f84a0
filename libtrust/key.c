/* SPDX-License-Identifier: Apache-2.0 */
#include "libtrust/key.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"

#define ID_BYTES 30

static void key_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
#define autokey __attribute__((cleanup(key_free)))

static void base32_groups(const unsigned char *bytes, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    unsigned bits = 0, held = 0;
    size_t n = 0;

    for (size_t i = 0; i < ID_BYTES; i++) {
        held = held << 8 | bytes[i];
        for (bits += 8; bits >= 5; bits -= 5) {
            if (n && n % 4 == 0)
                *out++ = ':';
            *out++ = digits[held >> (bits - 5) & 31];
            n++;
        }
    }
    *out = '\0';
}

static int key_id(EVP_PKEY *key, char ret[KEY_ID_MAX], struct wharf_error *e)
{
    unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
    int len = i2d_PUBKEY(key, &der);

    if (len < 0)
        return err_nomem(e);
    SHA256(der, (size_t)len, digest);
    OPENSSL_free(der);
    base32_groups(digest, ret);
    return 0;
}

static EVP_PKEY *parse_key(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    char group[32] = "";

    BIO_free(bio);
    if (key && (!EVP_PKEY_get_group_name(key, group, sizeof group, NULL) ||
                (!streq(group, "prime256v1") && !streq(group, "P-256")))) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static int read_key(const char *path, EVP_PKEY **ret, struct wharf_error *e)
{
    autofree char *pem = NULL;
    struct stat st;
    ssize_t n = file_read(AT_FDCWD, path, KEY_PEM_MAX, &pem);

    if (n < 0)
        return n == -ENOENT ? (int)n : err_code(e, (int)n, "cannot read '%s'", path);
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN,
                       "the private key '%s' can be read by others: chmod 600 it", path);
    *ret = parse_key(pem, (size_t)n);
    return *ret ? 0
                : err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "'%s' is no P-256 private key", path);
}

static int write_pem(EVP_PKEY *key, const char *path)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    long len;
    int fd, r = -ENOMEM;

    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        len = BIO_get_mem_data(bio, &pem);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : fd_write_all(fd, pem, (size_t)len);
        if (r == 0 && fsync(fd) < 0)
            r = -errno;
        fd_close(fd);
    }
    BIO_free(bio);
    return r;
}

/* Written beside and linked into place: link(2) fails if another process was first. */
static int make_key(const char *path, struct wharf_error *e)
{
    autofree char *draft = str_format("%s.%d", path, (int)getpid());
    autokey EVP_PKEY *key = EVP_EC_gen("P-256");
    int r = draft && key ? 0 : -ENOMEM;

    if (r == 0) {
        unlink(draft);
        r = write_pem(key, draft);
    }
    if (r == 0 && link(draft, path) < 0 && errno != EEXIST)
        r = -errno;
    if (draft)
        unlink(draft);
    return r < 0 ? err_code(e, r, "cannot make the key '%s'", path) : 0;
}

int key_file(const char *path, char ret_id[KEY_ID_MAX], struct wharf_error *e)
{
    autokey EVP_PKEY *key = NULL;
    int r = read_key(path, &key, e);

    if (r == -ENOENT) {
        r = make_key(path, e);
        if (r == 0)
            r = read_key(path, &key, e);
        if (r == -ENOENT)
            r = err_code(e, r, "cannot read '%s'", path);
    }
    return r < 0 ? r : key_id(key, ret_id, e);
}
