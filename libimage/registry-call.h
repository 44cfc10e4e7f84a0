/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at the registry, while it is worked on: what it asks for, the reply as far as it is
 * made, and the pieces that every noun uses. The functions named in the table of registry-server.c
 * stand here too, each with the number that distribution-spec gives its endpoint.
 */
#ifndef LIBIMAGE_REGISTRY_CALL_H
#define LIBIMAGE_REGISTRY_CALL_H

#include "base/json.h"
#include "libimage/registry-files.h"

enum registry_noun { ROOT, CATALOG, BLOB, MANIFEST, UPLOADS, UPLOAD, TAGS, REFERRERS, NOTHING };

struct registry_call {
    struct registry *r;
    const struct registry_row *row;
    struct registry_reply reply;
    enum registry_noun what;
    bool head;
    char name[IMAGE_NAME_MAX + 1], part[IMAGE_DIGEST_MAX + 1];
    char *target, *query; /* ours, path decoded in place */
    struct digest digest; /* of part, or of the query's digest= */
    struct buf body;      /* of a manifest */
    char *type;           /* Content-Type without parameters */
    /* an upload at work */
    int dir, fd;
    char upload[40];
    int64_t before, at;
    struct hasher hasher; /* running if this request brings the whole blob */
    int fault;
};

struct registry_row {
    enum registry_noun what;
    const char *method;
    void (*begin)(struct registry_call *c, const struct registry_request *q); /* may be NULL */
    void (*end)(struct registry_call *c);                                     /* may be NULL */
};

/* ---- replies ---- */

void reply_header(struct registry_call *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The first error of a call is its reply; codes are those of the specification. */
void reply_error(struct registry_call *c, int status, const char *code, const char *message);
void reply_errno(struct registry_call *c, int code);
/* Unless there is an error. */
void reply_status(struct registry_call *c, int status);
/* Takes `fd` over. `range`: of the request, or NULL. */
void reply_file(struct registry_call *c, int fd, const char *type, const char *range);

/* ---- requests ---- */

/* %XX in place; false: malformed, or a NUL. */
bool percent_decode(char *text);
/* The `at`th value of a parameter, decoded, a new string; NULL: not there. */
char *call_parameter(const struct registry_call *c, const char *name, size_t at);
/* Sets c->digest; false: it is none, and the reply says so. */
bool call_digest(struct registry_call *c, const char *text);
/* A member's text; "" for anything else. */
const char *json_member_text(json_t *object, const char *key);
/* The list of a subject's referrers, as a kind of entry. */
void referrers_kind(const char *subject, char kind[IMAGE_DIGEST_MAX + 16]);

/* ---- blobs: end-2, end-10 ---- */
void get_blob(struct registry_call *c, const struct registry_request *q);
void delete_blob(struct registry_call *c);
/* ---- manifests: end-3, end-7, end-9 ---- */
void get_manifest(struct registry_call *c, const struct registry_request *q);
void put_manifest_begin(struct registry_call *c, const struct registry_request *q);
void put_manifest(struct registry_call *c);
void delete_manifest(struct registry_call *c);
/* ---- uploads: end-4, end-5, end-6, end-11, end-13, end-14 ---- */
void post_upload_begin(struct registry_call *c, const struct registry_request *q);
void post_upload(struct registry_call *c);
void patch_upload_begin(struct registry_call *c, const struct registry_request *q);
void patch_upload(struct registry_call *c);
void put_upload_begin(struct registry_call *c, const struct registry_request *q);
void put_upload(struct registry_call *c);
void get_upload_begin(struct registry_call *c, const struct registry_request *q);
void get_upload(struct registry_call *c);
void delete_upload(struct registry_call *c);
/* ---- lists: end-8, end-12, catalog ---- */
void get_tags(struct registry_call *c);
void get_catalog(struct registry_call *c);
void get_referrers(struct registry_call *c);

#endif
