/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests: their grammar, their computation, chain ids. A `struct digest` holds a digest that was
 * checked against the grammar and whose algorithm this library can compute, so its text may become
 * a path: ALG/HEX has no character that means anything to a file system. (OCI image-spec
 * descriptor.md, "Digests".)
 */
#ifndef LIBIMAGE_DIGEST_H
#define LIBIMAGE_DIGEST_H

/* The hashes themselves, not the EVP interface: it looks up providers and reads a configuration
 * before the first byte, and linked into a program it brings most of OpenSSL along. */
#define OPENSSL_API_COMPAT 10101

#include <openssl/sha.h>
#include "base/err.h"
#include "base/macros.h"
#include "image.h"

struct digest {
    char text[IMAGE_DIGEST_MAX]; /* "sha256:...", empty: none */
};

/* `what` names the holder in messages. -EINVAL (grammar), -EOPNOTSUPP (an algorithm that is none of
 * sha256, sha512). */
int digest_parse(struct digest *ret, const char *text, const char *what, struct wharf_error *e);
bool digest_valid(const char *text);
bool digest_equal(const struct digest *a, const struct digest *b);
/* The part behind the colon. */
const char *digest_hex(const struct digest *d);

/* `path` gets ALG/HEX. */
enum { DIGEST_PATH_MAX = IMAGE_DIGEST_MAX };
void digest_path(const struct digest *d, char path[DIGEST_PATH_MAX]);

/* A running computation. hasher_done takes a zeroed one. */
struct hasher {
    bool on, wide; /* wide: sha512 */
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha512;
    };
};

/* The algorithm of `like`, or sha256 for NULL. 0 or -ENOMEM. */
int hasher_init(struct hasher *h, const struct digest *like);
void hasher_add(struct hasher *h, const void *data, size_t len);
void hasher_end(struct hasher *h, struct digest *ret);
void hasher_done(struct hasher *h);

/* sha256 of a few bytes. */
int digest_of(const void *data, size_t len, struct digest *ret);

/* The chain id of a layer with `diff` on top of `parent` (NULL: a base layer). [I config] */
int digest_chain(const struct digest *parent, const struct digest *diff, struct digest *ret);

#endif
