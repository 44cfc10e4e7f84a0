/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests: bytes exactly as they were pushed, under their digest and under tags. What is checked
 * is what another repository's reader would stumble over: that the blobs are there, and that the
 * document cannot be taken for two kinds. Types that we do not know are bytes to us.
 */
#include "libimage/registry-call.h"
#include "base/fd.h"
#include "base/str.h"
#include "libimage/document.h"

#include <fcntl.h>
#include <sys/random.h>

/* The digest that a manifest's reference stands for. */
static bool resolve_reference(struct registry_call *c)
{
    autofree char *text = NULL;

    if (strchr(c->part, ':'))
        return call_digest(c, c->part);
    if (!registry_tag_valid(c->part)) {
        reply_error(c, 400, "MANIFEST_INVALID", "not a tag");
        return false;
    }
    if (registry_read(c->r, c->name, "tags", c->part, IMAGE_DIGEST_MAX, &text) >= 0 &&
        digest_valid(text))
        return call_digest(c, text);
    reply_error(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this tag");
    return false;
}

void get_manifest(struct registry_call *c, const struct registry_request *q)
{
    autofree char *type = NULL;
    int fd;

    (void)q;
    if (!resolve_reference(c))
        return;
    fd = registry_open_entry(c->r, c->name, "manifests", c->digest.text);
    if (fd < 0 || registry_read(c->r, c->name, "types", c->digest.text, 256, &type) < 0) {
        fd_close(fd);
        reply_error(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this manifest");
        return;
    }
    reply_file(c, fd, type, NULL);
}

void put_manifest_begin(struct registry_call *c, const struct registry_request *q)
{
    const char *type = q->header(q->arg, "Content-Type");
    const char *length = q->header(q->arg, "Content-Length");
    uint64_t n;

    if (strchr(c->part, ':') ? !call_digest(c, c->part) : !registry_tag_valid(c->part))
        reply_error(c, 400, "MANIFEST_INVALID", "not a tag or digest");
    if (length && (parse_u64(length, 0, INT64_MAX, &n) < 0 || n > REGISTRY_MANIFEST_MAX))
        reply_error(c, 413, "SIZE_INVALID", "a manifest has at most 8 MiB");
    c->type = strndup(type ? type : "", type ? MIN(strcspn(type, "; \t"), 255u) : 0);
    c->body = BUF(REGISTRY_MANIFEST_MAX);
}

/* Blobs that a registry does not hold are named by `urls` or by their type. */
static bool is_elsewhere(json_t *descriptor)
{
    const char *type = json_member_text(descriptor, "mediaType");

    return json_array_size(json_object_get(descriptor, "urls")) || strstr(type, ".foreign.") ||
           strstr(type, "nondistributable");
}

static bool check_blob(struct registry_call *c, json_t *descriptor)
{
    const char *digest = json_member_text(descriptor, "digest");

    if (!json_is_object(descriptor) || !*digest) {
        reply_error(c, 400, "MANIFEST_INVALID", "a descriptor has no digest");
        return false;
    }
    if (is_elsewhere(descriptor) || !digest_valid(digest) ||
        registry_has(c->r, c->name, "blobs", digest))
        return true;
    reply_error(c, 404, "MANIFEST_BLOB_UNKNOWN",
                "the repository lacks a blob that the manifest names");
    return false;
}

/* A document of a family that we know must be one thing; an unknown one is bytes to us. */
static bool check_manifest(struct registry_call *c, json_t *j)
{
    const char *type = json_member_text(j, "mediaType");
    json_t *layers = json_object_get(j, "layers"), *list = json_object_get(j, "manifests"), *item;
    size_t i;

    if (!json_is_object(j)) {
        reply_error(c, 400, "MANIFEST_INVALID", "a manifest is a JSON object");
        return false;
    }
    if (!*c->type) {
        free(c->type);
        c->type = strdup(*type ? type : list ? MEDIA_INDEX : MEDIA_MANIFEST);
    }
    if (!c->type || (*type && !streq(type, c->type))) {
        reply_error(c, 400, "MANIFEST_INVALID", "mediaType and Content-Type differ");
        return false;
    }
    if ((layers && list) || (list && media_is_manifest(c->type)) ||
        (layers && media_is_index(c->type))) {
        reply_error(c, 400, "MANIFEST_INVALID", "a manifest and an index at the same time");
        return false;
    }
    if (media_is_manifest(c->type) && !check_blob(c, json_object_get(j, "config")))
        return false;
    json_array_foreach (media_is_manifest(c->type) ? layers : NULL, i, item) {
        if (!check_blob(c, item))
            return false;
    }
    return true;
}

/* Notes the manifest with its subject, which need not be there. */
static int add_referrer(struct registry_call *c, json_t *j)
{
    json_t *notes = json_object_get(j, "annotations");
    const char *subject = json_member_text(json_object_get(j, "subject"), "digest");
    const char *artifact = json_member_text(j, "artifactType");
    char kind[IMAGE_DIGEST_MAX + 16];
    autojson json_t *d = NULL;
    autofree char *text = NULL;

    if (!digest_valid(subject))
        return 0;
    if (!*artifact)
        artifact = json_member_text(json_object_get(j, "config"), "mediaType");
    d = json_pack("{s:s, s:s, s:I}", "mediaType", c->type, "digest", c->digest.text, "size",
                  (json_int_t)c->body.len);
    if (d && *artifact)
        json_object_set_new(d, "artifactType", json_string(artifact));
    if (d && json_is_object(notes))
        json_object_set(d, "annotations", notes);
    text = d ? json_dumps(d, JSON_COMPACT) : NULL;
    if (!text)
        return -ENOMEM;
    referrers_kind(subject, kind);
    reply_header(c, "OCI-Subject: %s", subject);
    return registry_write(c->r, c->name, kind, c->digest.text, text, strlen(text));
}

/* The tags of the request: the reference itself, or tag= parameters beside a digest. */
static int set_tags(struct registry_call *c)
{
    autobuf struct buf names = BUF(REGISTRY_TARGET_MAX);
    int r = 0;

    if (!strchr(c->part, ':'))
        return registry_write(c->r, c->name, "tags", c->part, c->digest.text,
                              strlen(c->digest.text));
    for (size_t i = 0; r == 0; i++) {
        autofree char *tag = call_parameter(c, "tag", i);

        if (!tag)
            break;
        buf_printf(&names, "%s%s", i ? ", " : "", tag);
        r = registry_write(c->r, c->name, "tags", tag, c->digest.text, strlen(c->digest.text));
    }
    if (r == 0 && names.len)
        reply_header(c, "OCI-Tag: %s", names.data);
    return r;
}

static bool check_tags(struct registry_call *c)
{
    for (size_t i = 0;; i++) {
        autofree char *tag = call_parameter(c, "tag", i);

        if (!tag)
            return true;
        if (i >= REGISTRY_TAGS_MAX)
            reply_error(c, 414, "UNSUPPORTED", "too many tags in one request");
        else if (!registry_tag_valid(tag))
            reply_error(c, 400, "MANIFEST_INVALID", "not a tag");
        if (c->reply.status)
            return false;
    }
}

static int store_manifest(struct registry_call *c, json_t *j)
{
    char name[40];
    autoclose int dir = registry_open_dir(c->r, c->name, "uploads", true), fd = -1;
    uint64_t random = 0;
    int r;

    if (dir < 0 || getrandom(&random, sizeof(random), 0) != sizeof(random))
        return dir < 0 ? dir : -EIO;
    snprintf(name, sizeof(name), "manifest-%016llx", (unsigned long long)random);
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, c->body.data, c->body.len);
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    if (r == 0) /* the type first: a manifest is never without */
        r = registry_write(c->r, c->name, "types", c->digest.text, c->type, strlen(c->type));
    if (r == 0)
        r = add_referrer(c, j);
    if (r == 0)
        r = registry_adopt(c->r, dir, name, c->name, "manifests", &c->digest);
    else
        unlinkat(dir, name, 0);
    return r < 0 ? r : set_tags(c);
}

void put_manifest(struct registry_call *c)
{
    struct json_limits limits = { .size = REGISTRY_MANIFEST_MAX, .depth = 64 };
    autojson json_t *j = NULL;
    struct digest found;
    struct hasher h = { 0 };
    int r;

    if (c->body.error == -EFBIG)
        reply_error(c, 413, "SIZE_INVALID", "a manifest has at most 8 MiB");
    if (c->body.len == 0 || json_read(c->body.data, c->body.len, limits, "", &j, NULL) < 0)
        reply_error(c, 400, "MANIFEST_INVALID", "a manifest is a JSON document");
    if (c->reply.status || !c->type || !check_tags(c))
        return;
    if (hasher_init(&h, *c->digest.text ? &c->digest : NULL) == 0) {
        hasher_add(&h, c->body.data, c->body.len);
        hasher_end(&h, &found);
    }
    hasher_done(&h);
    if (*c->digest.text && !digest_equal(&found, &c->digest)) {
        reply_error(c, 400, "DIGEST_INVALID", "the manifest has another digest");
        return;
    }
    c->digest = found;
    if (!check_manifest(c, j))
        return;
    r = store_manifest(c, j);
    if (r < 0) {
        reply_errno(c, r);
        return;
    }
    reply_header(c, "Location: /v2/%s/manifests/%s", c->name, c->digest.text);
    reply_header(c, "Docker-Content-Digest: %s", c->digest.text);
    reply_status(c, 201);
}

static void forget_referrer(struct registry_call *c)
{
    struct json_limits limits = { .size = REGISTRY_MANIFEST_MAX, .depth = 64 };
    char kind[IMAGE_DIGEST_MAX + 16];
    autofree char *text = NULL;
    autojson json_t *j = NULL;
    const char *subject;
    ssize_t n =
        registry_read(c->r, c->name, "manifests", c->digest.text, REGISTRY_MANIFEST_MAX, &text);

    if (n < 0 || json_read(text, (size_t)n, limits, "", &j, NULL) < 0)
        return;
    subject = json_member_text(json_object_get(j, "subject"), "digest");
    if (!digest_valid(subject))
        return;
    referrers_kind(subject, kind);
    registry_remove(c->r, c->name, kind, c->digest.text);
}

void delete_manifest(struct registry_call *c)
{
    autostrv char **tags = NULL;

    if (c->reply.status || !resolve_reference(c))
        return;
    if (!strchr(c->part, ':')) {
        registry_remove(c->r, c->name, "tags", c->part);
        reply_status(c, 202);
        return;
    }
    forget_referrer(c);
    registry_list(c->r, c->name, "tags", &tags);
    for (char **t = tags; t && *t; t++) {
        autofree char *text = NULL;

        if (registry_read(c->r, c->name, "tags", *t, IMAGE_DIGEST_MAX, &text) >= 0 &&
            streq(text, c->part))
            registry_remove(c->r, c->name, "tags", *t);
    }
    if (registry_drop(c->r, c->name, "manifests", &c->digest) < 0)
        reply_error(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this manifest");
    registry_remove(c->r, c->name, "types", c->digest.text);
    reply_status(c, 202);
}
