/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principals that are no Unix users get a number above 2^32, from SHA-256 of the name, so that an
 * owner is one integer in every table and never collides with a user's.
 */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "swarm.h"

int principal_of_subject(const char *kind, const char *subject, struct principal *ret)
{
    struct principal p = { 0 };
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int n = snprintf(p.name, sizeof p.name, "%s:%s", kind, subject);

    if (n < 0 || (size_t)n >= sizeof p.name)
        return -E2BIG;
    SHA256((const unsigned char *)p.name, (size_t)n, digest);
    memcpy(&p.uid, digest, sizeof p.uid);
    p.uid = (p.uid & INT64_MAX) | (INT64_C(1) << 62);
    *ret = p;
    return 0;
}
