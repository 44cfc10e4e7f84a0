/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry on a directory: the OCI distribution-spec 1.1 as a request handler that knows no HTTP
 * server. A binding (registry-daemon.c is the one for libmicrohttpd) makes a request of what it
 * read, feeds the body as it comes, and sends the reply.
 *
 *     ROOT/blobs/ALG/HEX                      every content once: the pool, shared with an image
 *                                             store in the same directory
 *     ROOT/registry/NAME/_blobs/DIGEST        hard links: what a repository has
 *     ROOT/registry/NAME/_manifests/DIGEST    the same for manifests
 *     ROOT/registry/NAME/_types/DIGEST        the Content-Type that a manifest was pushed with
 *     ROOT/registry/NAME/_tags/TAG            text: a digest
 *     ROOT/registry/NAME/_referrers/D/DIGEST  a descriptor, as the referrers API lists it
 *     ROOT/registry/NAME/_uploads/ID          an upload in progress
 *
 * A component of a repository's name never begins with '_', so nothing clashes. The link count of
 * the file system is the reference count: a mount is link(2), a deletion unlink(2), and collection
 * in the store takes the pool's name away without harming a repository. Content is written aside,
 * verified, synced, then linked: a kill leaves an upload that can be resumed, never half a blob.
 *
 * A handle may be used by any number of threads; a call belongs to one. Two requests on one upload
 * exclude each other by flock.
 */
#ifndef LIBIMAGE_REGISTRY_SERVER_H
#define LIBIMAGE_REGISTRY_SERVER_H

#include "base/buf.h"
#include "base/err.h"
#include "libimage/digest.h"

enum {
    REGISTRY_MANIFEST_MAX = 8 << 20, /* bytes; the specification asks for 4 MiB */
    REGISTRY_TARGET_MAX = 8192,      /* bytes of a request target */
    REGISTRY_PAGE_MAX = 10000,       /* entries of one page of tags, referrers, catalog */
    REGISTRY_TAGS_MAX = 32,          /* tag= parameters of one PUT */
    REGISTRY_CHUNK_MIN = 1,          /* OCI-Chunk-Min-Length */
};

struct registry;
int registry_open(struct registry **ret, const char *root, struct wharf_error *e);
void registry_free(struct registry *r);
DEFINE_AUTO(struct registry, registry_free)
/* Whether nothing may change, and after how many idle seconds an upload is forgotten (0: never). */
void registry_set_policy(struct registry *r, bool read_only, int64_t upload_seconds);

struct registry_request {
    const char *method, *target; /* target as sent: path?query, percent-encoded */
    const char *(*header)(void *arg, const char *name); /* NULL: not there */
    void *arg;
};

struct registry_reply {
    int status;
    struct buf headers; /* NAME: VALUE, each ended by NUL */
    /* The body: `text`, or `length` bytes of `fd` from `offset`. To a HEAD only its length. */
    struct buf text;
    int fd;
    int64_t offset, length;
};

struct registry_call;
/* Looks at the head of a request. NULL: out of memory. */
struct registry_call *registry_begin(struct registry *r, const struct registry_request *request);
/* A piece of its body; what a refused request sends is ignored. */
void registry_body(struct registry_call *c, const void *data, size_t len);
/* The body ended: acts, and gives the reply, which lives as long as the call. */
struct registry_reply *registry_end(struct registry_call *c);
/* Also of a call whose body never ended. */
void registry_call_free(struct registry_call *c);

#endif
