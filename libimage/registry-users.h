/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may come in: a file of NAME:HASH lines as htpasswd writes it, hashes by crypt(3) (bcrypt,
 * sha256, sha512, yescrypt). It is read anew when it changes. bcrypt is slow on purpose, and a push
 * is a hundred requests: a login that was right is remembered, as a hash, until then.
 */
#ifndef LIBIMAGE_REGISTRY_USERS_H
#define LIBIMAGE_REGISTRY_USERS_H

#include "base/err.h"
#include "base/macros.h"

enum {
    USERS_FILE_MAX = 4 << 20,
    USERS_LOGIN_MAX = 4096, /* bytes of an Authorization header */
    USERS_REMEMBERED = 64,
};

struct registry_users;
int registry_users_open(struct registry_users **ret, const char *path, struct wharf_error *e);
void registry_users_free(struct registry_users *u);
DEFINE_AUTO(struct registry_users, registry_users_free)
/* `authorization`: the header, or NULL. Threads may call it at once. */
bool registry_users_check(struct registry_users *u, const char *authorization);

#endif
