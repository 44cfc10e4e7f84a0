/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads: a session is a file in the repository's _uploads, its state the file's length. Chunks
 * are taken in order only; a wrong one changes nothing. Two requests on one session exclude each
 * other by flock. (distribution-spec, "Pushing blobs".)
 */
#include "libimage/registry-call.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

static void tell_upload(struct registry_call *c)
{
    reply_header(c, "Location: /v2/%s/blobs/uploads/%s", c->name, c->upload);
    reply_header(c, "Range: 0-%lld", (long long)MAX(c->at - 1, 0));
    reply_header(c, "Docker-Upload-UUID: %s", c->upload);
}

static void open_upload(struct registry_call *c)
{
    struct stat st;

    snprintf(c->upload, sizeof(c->upload), "%.36s", c->part);
    c->dir = registry_open_dir(c->r, c->name, "uploads", false);
    if (c->dir >= 0 && strlen(c->part) == 32 && strspn(c->part, "0123456789abcdef") == 32)
        c->fd = openat(c->dir, c->upload, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (c->fd < 0) {
        reply_error(c, 404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        return;
    }
    if (flock(c->fd, LOCK_EX | LOCK_NB) < 0)
        reply_error(c, 409, "BLOB_UPLOAD_INVALID", "another request works on this upload");
    else if (fstat(c->fd, &st) == 0)
        c->before = c->at = st.st_size;
}

static void new_upload(struct registry_call *c)
{
    unsigned char random[16];

    registry_expire_uploads(c->r, c->name);
    c->dir = registry_open_dir(c->r, c->name, "uploads", true);
    if (c->dir < 0 || getrandom(random, sizeof(random), 0) != sizeof(random)) {
        reply_errno(c, c->dir);
        return;
    }
    hex_encode(random, sizeof(random), c->upload);
    c->fd = openat(c->dir, c->upload, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (c->fd < 0)
        reply_errno(c, -errno);
}

static void hash_from_start(struct registry_call *c)
{
    if (!c->reply.status && c->at == 0 && hasher_init(&c->hasher, &c->digest) < 0)
        reply_errno(c, -ENOMEM);
}

/* Takes digest= of the query; false: it is not there. */
static bool query_digest(struct registry_call *c)
{
    autofree char *text = call_parameter(c, "digest", 0);

    return text && call_digest(c, text);
}

static bool try_mount(struct registry_call *c)
{
    autofree char *digest = call_parameter(c, "mount", 0), *from = call_parameter(c, "from", 0);

    if (!digest || digest_parse(&c->digest, digest, "", NULL) < 0)
        return false;
    if (!from)
        return registry_mount_any(c->r, c->name, &c->digest) == 0;
    return registry_name_valid(from) && registry_mount(c->r, from, c->name, &c->digest) == 0;
}

static void blob_created(struct registry_call *c)
{
    reply_header(c, "Location: /v2/%s/blobs/%s", c->name, c->digest.text);
    reply_header(c, "Docker-Content-Digest: %s", c->digest.text);
    reply_status(c, 201);
}

void post_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    autofree char *digest = call_parameter(c, "digest", 0), *algorithm = NULL;

    (void)q;
    algorithm = call_parameter(c, "digest-algorithm", 0);
    if (algorithm && !streq(algorithm, "sha256") && !streq(algorithm, "sha512"))
        reply_error(c, 400, "DIGEST_INVALID", "algorithms are sha256 and sha512");
    if (digest && !call_digest(c, digest))
        return;
    if (c->reply.status)
        return;
    if (try_mount(c)) {
        blob_created(c);
        return;
    }
    new_upload(c);
    if (digest)
        hash_from_start(c);
}

/* A chunk begins where the upload ends, or is refused before a byte of it is taken. */
static bool check_range(struct registry_call *c, const struct registry_request *q)
{
    const char *range = q->header(q->arg, "Content-Range");
    const char *length = q->header(q->arg, "Content-Length");
    autofree char *copy = NULL;
    char *dash;
    uint64_t a, b, n;

    if (!range)
        return true;
    if (str_after(range, "bytes "))
        range += strlen("bytes ");
    copy = strndup(range, strcspn(range, "/"));
    dash = copy ? strchr(copy, '-') : NULL;
    if (dash)
        *dash = 0;
    if (!dash || parse_u64(copy, 0, INT64_MAX, &a) < 0 ||
        parse_u64(dash + 1, 0, INT64_MAX - 1, &b) < 0 || (int64_t)a != c->at || b + 1 < a ||
        (length && (parse_u64(length, 0, INT64_MAX, &n) < 0 || n != b - a + 1))) {
        tell_upload(c);
        reply_error(c, 416, "BLOB_UPLOAD_INVALID", "the chunk does not continue the upload");
        return false;
    }
    return true;
}

void patch_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    open_upload(c);
    if (!c->reply.status)
        check_range(c, q);
}

void put_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    open_upload(c);
    if (c->reply.status)
        return;
    if (!query_digest(c)) {
        reply_error(c, 400, "DIGEST_INVALID", "the upload's end needs digest=");
        return;
    }
    if (check_range(c, q))
        hash_from_start(c);
}

static int hash_file(struct registry_call *c)
{
    autofree char *block = malloc(256 << 10);
    int64_t at = 0;
    ssize_t n;
    int r = block ? hasher_init(&c->hasher, &c->digest) : -ENOMEM;

    while (r == 0 && (n = pread(c->fd, block, 256 << 10, at)) != 0) {
        if (n < 0)
            return -errno;
        hasher_add(&c->hasher, block, (size_t)n);
        at += n;
    }
    return r;
}

/* All bytes are here: they become the blob, or what this request brought is taken back. */
static void finish_upload(struct registry_call *c)
{
    struct digest found;
    int r = c->hasher.on ? 0 : hash_file(c);

    if (r < 0) {
        reply_errno(c, r);
        return;
    }
    hasher_end(&c->hasher, &found);
    if (!digest_equal(&found, &c->digest)) {
        if (ftruncate(c->fd, c->before) < 0)
            unlinkat(c->dir, c->upload, 0);
        reply_error(c, 400, "DIGEST_INVALID", "the content has another digest");
        return;
    }
    r = fdatasync(c->fd) < 0 ? -errno : 0;
    if (r == 0)
        r = registry_adopt(c->r, c->dir, c->upload, c->name, "blobs", &c->digest);
    if (r < 0)
        reply_errno(c, r);
    else
        blob_created(c);
}

void post_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    if (*c->digest.text && c->hasher.on) {
        finish_upload(c);
        if (c->reply.status != 201)
            unlinkat(c->dir, c->upload, 0);
        return;
    }
    tell_upload(c);
    reply_header(c, "OCI-Chunk-Min-Length: %d", REGISTRY_CHUNK_MIN);
    reply_status(c, 202);
}

void patch_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    tell_upload(c);
    reply_status(c, 202);
}

void put_upload(struct registry_call *c)
{
    if (!c->reply.status)
        finish_upload(c);
}

void get_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    (void)q;
    open_upload(c);
}

void get_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    tell_upload(c);
    reply_status(c, 204);
}

void delete_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    unlinkat(c->dir, c->upload, 0);
    reply_status(c, 204);
}
