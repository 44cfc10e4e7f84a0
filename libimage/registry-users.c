/* SPDX-License-Identifier: Apache-2.0 */
/* See registry-users.h. (RFC 7617: the Basic scheme.) */
#include "libimage/registry-users.h"
#include "base/fd.h"
#include "base/str.h"
#include "libimage/digest.h"

#include <crypt.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/stat.h>

struct registry_users {
    char *path, *text; /* the file as it was read */
    struct timespec changed;
    pthread_mutex_t lock;
    struct digest remembered[USERS_REMEMBERED];
    unsigned turn;
};

/* The caller holds the lock. */
static int refresh(struct registry_users *u)
{
    struct stat st;
    ssize_t n;
    char *text;

    if (stat(u->path, &st) < 0)
        return -errno;
    if (u->text && st.st_mtim.tv_sec == u->changed.tv_sec &&
        st.st_mtim.tv_nsec == u->changed.tv_nsec)
        return 0;
    n = file_read(AT_FDCWD, u->path, USERS_FILE_MAX, &text);
    if (n < 0)
        return (int)n;
    free(u->text);
    u->text = text;
    u->changed = st.st_mtim;
    memset(u->remembered, 0, sizeof(u->remembered));
    return 0;
}

int registry_users_open(struct registry_users **ret, const char *path, struct wharf_error *e)
{
    auto_of(registry_users_free) struct registry_users *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return err_nomem(e);
    pthread_mutex_init(&u->lock, NULL);
    u->path = strdup(path);
    if (!u->path)
        return err_nomem(e);
    r = refresh(u);
    if (r < 0)
        return err_code(e, r, "cannot read the registry's users from '%s'", path);
    *ret = take_ptr(&u);
    return 0;
}

void registry_users_free(struct registry_users *u)
{
    if (!u)
        return;
    pthread_mutex_destroy(&u->lock);
    free(u->path);
    free(u->text);
    free(u);
}

/* "user:password" of a header; a new string or NULL. */
static char *read_login(const char *authorization)
{
    const char *packed =
        authorization && strncasecmp(authorization, "basic ", 6) == 0 ? authorization + 6 : NULL;
    size_t len = packed ? strlen(packed) : 0;
    autofree char *plain = NULL;

    if (!len || len % 4 || len > USERS_LOGIN_MAX)
        return NULL;
    plain = calloc(1, len / 4 * 3 + 4);
    if (!plain ||
        EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)packed, (int)len) < 0 ||
        !strchr(plain, ':'))
        return NULL;
    return take_ptr(&plain);
}

/* The hash of a user's line, a new string; NULL: there is no such user. */
static char *find_hash(const struct registry_users *u, const char *user, size_t len)
{
    for (const char *line = u->text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, user, len) == 0 && line[len] == ':')
            return strndup(line + len + 1, strcspn(line + len + 1, "\r\n:"));
    }
    return NULL;
}

static bool is_remembered(const struct registry_users *u, const struct digest *login)
{
    for (size_t i = 0; i < USERS_REMEMBERED; i++) {
        if (digest_equal(&u->remembered[i], login))
            return true;
    }
    return false;
}

static bool password_fits(const char *password, const char *hash)
{
    autofree struct crypt_data *data = calloc(1, sizeof(*data));
    /* unlike crypt_r it gives NULL on failure, and sanitizers do not stand in its way */
    const char *made = data ? crypt_rn(password, hash, data, sizeof(*data)) : NULL;

    return made && strlen(made) == strlen(hash) && CRYPTO_memcmp(made, hash, strlen(hash)) == 0;
}

/* A hash that nobody's password has: an unknown user takes as long as a wrong password. */
#define NOBODY "$2y$05$......................................................"

bool registry_users_check(struct registry_users *u, const char *authorization)
{
    autofree char *login = read_login(authorization), *hash = NULL;
    char *colon = login ? strchr(login, ':') : NULL;
    struct digest digest;
    bool good;

    if (!colon || digest_of(login, strlen(login), &digest) < 0)
        return false;
    pthread_mutex_lock(&u->lock);
    if (refresh(u) < 0) { /* a file that is gone lets nobody in */
        pthread_mutex_unlock(&u->lock);
        return false;
    }
    good = is_remembered(u, &digest);
    if (!good)
        hash = find_hash(u, login, (size_t)(colon - login));
    pthread_mutex_unlock(&u->lock);
    if (good)
        return true;
    good = password_fits(colon + 1, hash ? hash : NOBODY) && hash;
    explicit_bzero(login, strlen(login));
    if (!good)
        return false;
    pthread_mutex_lock(&u->lock);
    u->remembered[u->turn++ % USERS_REMEMBERED] = digest;
    pthread_mutex_unlock(&u->lock);
    return true;
}
