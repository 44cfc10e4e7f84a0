/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One repository of one registry, seen from here: where it is, by which scheme, and with which
 * Authorization. (OCI distribution-spec 1.1.)
 *
 * The client is a library of its own, `libimage-remote`, beside libimage: libcurl brings some
 * thirty shared libraries, which would cost every start of a program that only runs containers. Who
 * pulls links it; `wharf`, which must start quickly, spawns a program that does. dlopen would hide
 * the same cost behind an interface that no compiler checks.
 */
#ifndef LIBIMAGE_REGISTRY_CLIENT_H
#define LIBIMAGE_REGISTRY_CLIENT_H

#include "libimage/auth.h"
#include "libimage/document.h"

enum { REMOTE_URL_MAX = 4096 };

struct remote {
    char host[IMAGE_NAME_MAX + 1]; /* as messages name it */
    char repository[IMAGE_NAME_MAX + 1];
    char base[REMOTE_URL_MAX]; /* SCHEME://HOST, no slash behind */
    bool plain_allowed;        /* by plain HTTP, where TLS is not spoken */
    char ca_file[512];
    struct http_trust trust;
    struct auth auth;
    CURLM *multi;
};

/* `mirror`: base URL of another server of the same repository; NULL: the registry itself.
 * `scope`: the actions that tokens are asked for, NULL: what challenges say. */
int remote_init(struct remote *r, const struct image_reference *ref, const char *mirror,
                const char *scope, const struct image_remote_options *options,
                struct wharf_error *e);
/* The same repository with connections of its own, for another thread. */
int remote_clone(struct remote *r, const struct remote *from, struct wharf_error *e);
void remote_done(struct remote *r);
#define autoremote __attribute__((cleanup(remote_done)))

/* Opens an exchange with BASE/v2/REPOSITORY/PATH, or with `path` itself when it is a URL. */
int remote_open(struct remote *r, struct exchange *x, const char *method, const char *path,
                size_t body_max);
/* Runs it with the Authorization of the moment: answers challenges, falls back to plain HTTP where
 * it is allowed, tries again what may go away. 0: an answer is there, of whatever status. */
int remote_run(struct remote *r, struct exchange *x, const char *object, struct wharf_error *e);
/* A manifest or index by `what`, a tag or digest; `wanted`: the digest it must have, or "". */
int remote_document(struct remote *r, const struct image_reference *ref, const char *what,
                    const char *wanted, char **ret, size_t *ret_len, struct digest *ret_digest,
                    struct wharf_error *e);
/* The child of an index for OS/ARCHITECTURE[/VARIANT], NULL: for this machine. */
const struct descriptor *platform_pick(const struct document *index, const char *platform);
/* Every tag of a repository, over all pages of the list; at most `max`. */
int remote_tags(const struct image_reference *ref, const struct image_remote_options *options,
                char ***ret, size_t max, struct wharf_error *e);
/* A Location or Link of an answer, relative or not, as a URL of REMOTE_URL_MAX bytes. -EINVAL. */
int remote_resolve(struct exchange *x, const char *text, char url[REMOTE_URL_MAX]);
/* Adds the Authorization header, if `url` is on the registry's own host. */
int remote_authorize(struct remote *r, struct exchange *x);

#endif
