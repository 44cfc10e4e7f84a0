/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry's requests: a target is taken apart once into {what, repository, last part}; each
 * (what, method) has a row with the function that looks at the head and the one that acts at the
 * end. (OCI distribution-spec 1.1; "end-N" are its endpoint numbers.)
 */
#include "libimage/registry-files.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "libimage/document.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

enum what { ROOT, CATALOG, BLOB, MANIFEST, UPLOADS, UPLOAD, TAGS, REFERRERS, NOTHING };

struct registry_call {
    struct registry *r;
    const struct row *row;
    struct registry_reply reply;
    enum what what;
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

struct row {
    enum what what;
    const char *method;
    void (*begin)(struct registry_call *c, const struct registry_request *q); /* may be NULL */
    void (*end)(struct registry_call *c);
};

/* ---- replies ---- */

static void __attribute__((format(printf, 2, 3)))
add_header(struct registry_call *c, const char *format, ...)
{
    char *text;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    buf_add(&c->reply.headers, text, (size_t)n + 1);
    free(text);
}

static void fail(struct registry_call *c, int status, const char *code, const char *message)
{
    if (c->reply.status)
        return; /* the first fault is told */
    c->reply.status = status;
    buf_reset(&c->reply.text);
    buf_printf(&c->reply.text,
               "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\",\"detail\":null}]}\n", code,
               message);
    add_header(c, "Content-Type: application/json");
}

static void fail_errno(struct registry_call *c, int code)
{
    fail(c, code == -ENOSPC ? 507 : 500, "UNKNOWN",
         code == -ENOSPC ? "the registry's disk is full" : "the registry's disk fails");
}

static void accept_call(struct registry_call *c, int status)
{
    if (!c->reply.status)
        c->reply.status = status;
}

/* ---- queries ---- */

static int hex_digit(char ch)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = ch ? strchr(digits, ch) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

/* %XX in place; false: malformed, or a NUL. */
static bool decode(char *s)
{
    char *to = s;

    for (; *s; s++) {
        int high, low;

        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        high = hex_digit(s[1]);
        low = high < 0 ? -1 : hex_digit(s[2]);
        if (low < 0 || high + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        s += 2;
    }
    *to = 0;
    return true;
}

/* The `at`th value of a parameter, decoded, a new string; NULL: not there. */
static char *parameter(const struct registry_call *c, const char *name, size_t at)
{
    size_t len = strlen(name);

    for (const char *p = c->query; p && *p;) {
        size_t n = strcspn(p, "&");

        if (n > len && strncmp(p, name, len) == 0 && p[len] == '=' && at-- == 0) {
            char *value = strndup(p + len + 1, n - len - 1);

            if (value && decode(value))
                return value;
            free(value);
            return NULL;
        }
        p += n + (p[n] == '&');
    }
    return NULL;
}

/* ---- blobs and manifests out: end-2, end-3 ---- */

enum range { RANGE_NONE, RANGE_PART, RANGE_BAD };

/* RFC 9110, 14: one range is served; several, or another unit, are as good as none. */
static enum range parse_range(const char *text, int64_t size, int64_t *offset, int64_t *length)
{
    const char *p = text ? str_after(text, "bytes=") : NULL;
    autofree char *first = NULL;
    const char *dash = p ? strchr(p, '-') : NULL;
    uint64_t a = 0, b = INT64_MAX;

    if (!dash || strchr(p, ','))
        return RANGE_NONE;
    first = strndup(p, (size_t)(dash - p));
    if (!first || (dash[1] && parse_u64(dash + 1, 0, INT64_MAX, &b) < 0))
        return RANGE_NONE;
    if (dash == p) { /* the last b bytes */
        if (!dash[1])
            return RANGE_NONE;
        if (b == 0 || size == 0)
            return RANGE_BAD;
        *length = MIN((int64_t)b, size);
        *offset = size - *length;
        return RANGE_PART;
    }
    if (parse_u64(first, 0, INT64_MAX, &a) < 0 || b < a)
        return RANGE_NONE;
    if ((int64_t)a >= size)
        return RANGE_BAD;
    *offset = (int64_t)a;
    *length = MIN((int64_t)b, size - 1) - *offset + 1;
    return RANGE_PART;
}

static void serve_file(struct registry_call *c, int fd, const char *type, const char *range)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        fail_errno(c, -errno);
        fd_close(fd);
        return;
    }
    c->reply.fd = fd;
    c->reply.length = st.st_size;
    c->reply.status = 200;
    add_header(c, "Docker-Content-Digest: %s", c->digest.text);
    add_header(c, "ETag: \"%s\"", c->digest.text);
    switch (parse_range(range, st.st_size, &c->reply.offset, &c->reply.length)) {
    case RANGE_NONE:
        break;
    case RANGE_PART:
        c->reply.status = 206;
        add_header(c, "Content-Range: bytes %lld-%lld/%lld", (long long)c->reply.offset,
                   (long long)(c->reply.offset + c->reply.length - 1), (long long)st.st_size);
        break;
    case RANGE_BAD:
        c->reply.status = 0;
        c->reply.fd = fd_close(c->reply.fd);
        add_header(c, "Content-Range: bytes */%lld", (long long)st.st_size);
        fail(c, 416, "SIZE_INVALID", "the range lies behind the end");
        return;
    }
    add_header(c, "Content-Type: %s", type);
}

static bool need_digest(struct registry_call *c, const char *text)
{
    if (digest_parse(&c->digest, text, "", NULL) == 0)
        return true;
    fail(c, 400, "DIGEST_INVALID", "not a digest of sha256 or sha512");
    return false;
}

static void get_blob(struct registry_call *c, const struct registry_request *q)
{
    const char *range = q->header(q->arg, "Range"), *condition = q->header(q->arg, "If-Range");
    int fd;

    if (!need_digest(c, c->part))
        return;
    fd = registry_open_entry(c->r, c->name, "blobs", c->part);
    if (fd < 0) {
        fail(c, 404, "BLOB_UNKNOWN", "the repository does not have this blob");
        return;
    }
    if (condition && !strstr(condition, c->part))
        range = NULL;
    add_header(c, "Accept-Ranges: bytes");
    serve_file(c, fd, "application/octet-stream", c->head ? NULL : range);
}

/* The digest that a manifest's reference stands for. */
static bool resolve_reference(struct registry_call *c)
{
    autofree char *text = NULL;

    if (strchr(c->part, ':'))
        return need_digest(c, c->part);
    if (!registry_tag_valid(c->part)) {
        fail(c, 400, "MANIFEST_INVALID", "not a tag");
        return false;
    }
    if (registry_read(c->r, c->name, "tags", c->part, IMAGE_DIGEST_MAX, &text) >= 0 &&
        digest_valid(text))
        return need_digest(c, text);
    fail(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this tag");
    return false;
}

static void get_manifest(struct registry_call *c, const struct registry_request *q)
{
    autofree char *type = NULL;
    int fd;

    (void)q;
    if (!resolve_reference(c))
        return;
    fd = registry_open_entry(c->r, c->name, "manifests", c->digest.text);
    if (fd < 0 || registry_read(c->r, c->name, "types", c->digest.text, 256, &type) < 0) {
        fd_close(fd);
        fail(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this manifest");
        return;
    }
    serve_file(c, fd, type, NULL);
}

/* ---- manifests in: end-7 ---- */

static void put_manifest_begin(struct registry_call *c, const struct registry_request *q)
{
    const char *type = q->header(q->arg, "Content-Type");
    const char *length = q->header(q->arg, "Content-Length");
    uint64_t n;

    if (strchr(c->part, ':') ? !need_digest(c, c->part) : !registry_tag_valid(c->part))
        fail(c, 400, "MANIFEST_INVALID", "not a tag or digest");
    if (length && (parse_u64(length, 0, INT64_MAX, &n) < 0 || n > REGISTRY_MANIFEST_MAX))
        fail(c, 413, "SIZE_INVALID", "a manifest has at most 8 MiB");
    c->type = strndup(type ? type : "", type ? MIN(strcspn(type, "; \t"), 255u) : 0);
    c->body = BUF(REGISTRY_MANIFEST_MAX);
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* Blobs that a registry does not hold are named by `urls` or by their type. */
static bool is_elsewhere(json_t *descriptor)
{
    const char *type = text_of(descriptor, "mediaType");

    return json_array_size(json_object_get(descriptor, "urls")) || strstr(type, ".foreign.") ||
           strstr(type, "nondistributable");
}

static bool check_blob(struct registry_call *c, json_t *descriptor)
{
    const char *digest = text_of(descriptor, "digest");

    if (!json_is_object(descriptor) || !*digest) {
        fail(c, 400, "MANIFEST_INVALID", "a descriptor has no digest");
        return false;
    }
    if (is_elsewhere(descriptor) || !digest_valid(digest) ||
        registry_has(c->r, c->name, "blobs", digest))
        return true;
    fail(c, 404, "MANIFEST_BLOB_UNKNOWN", "the repository lacks a blob that the manifest names");
    return false;
}

/* A document of a family that we know must be one thing; an unknown one is bytes to us. */
static bool check_manifest(struct registry_call *c, json_t *j)
{
    const char *type = text_of(j, "mediaType");
    json_t *layers = json_object_get(j, "layers"), *list = json_object_get(j, "manifests"), *item;
    size_t i;

    if (!json_is_object(j)) {
        fail(c, 400, "MANIFEST_INVALID", "a manifest is a JSON object");
        return false;
    }
    if (!*c->type) {
        free(c->type);
        c->type = strdup(*type ? type : list ? MEDIA_INDEX : MEDIA_MANIFEST);
    }
    if (!c->type || (*type && !streq(type, c->type))) {
        fail(c, 400, "MANIFEST_INVALID", "mediaType and Content-Type differ");
        return false;
    }
    if ((layers && list) || (list && media_is_manifest(c->type)) ||
        (layers && media_is_index(c->type))) {
        fail(c, 400, "MANIFEST_INVALID", "a manifest and an index at the same time");
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

static void referrers_kind(const char *subject, char kind[IMAGE_DIGEST_MAX + 16])
{
    snprintf(kind, IMAGE_DIGEST_MAX + 16, "referrers/%s", subject);
}

/* Notes the manifest with its subject, which need not be there. */
static int add_referrer(struct registry_call *c, json_t *j)
{
    json_t *notes = json_object_get(j, "annotations");
    const char *subject = text_of(json_object_get(j, "subject"), "digest");
    const char *artifact = text_of(j, "artifactType");
    char kind[IMAGE_DIGEST_MAX + 16];
    autojson json_t *d = NULL;
    autofree char *text = NULL;

    if (!digest_valid(subject))
        return 0;
    if (!*artifact)
        artifact = text_of(json_object_get(j, "config"), "mediaType");
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
    add_header(c, "OCI-Subject: %s", subject);
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
        autofree char *tag = parameter(c, "tag", i);

        if (!tag)
            break;
        buf_printf(&names, "%s%s", i ? ", " : "", tag);
        r = registry_write(c->r, c->name, "tags", tag, c->digest.text, strlen(c->digest.text));
    }
    if (r == 0 && names.len)
        add_header(c, "OCI-Tag: %s", names.data);
    return r;
}

static bool check_tags(struct registry_call *c)
{
    for (size_t i = 0;; i++) {
        autofree char *tag = parameter(c, "tag", i);

        if (!tag)
            return true;
        if (i >= REGISTRY_TAGS_MAX)
            fail(c, 414, "UNSUPPORTED", "too many tags in one request");
        else if (!registry_tag_valid(tag))
            fail(c, 400, "MANIFEST_INVALID", "not a tag");
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

static void put_manifest(struct registry_call *c)
{
    struct json_limits limits = { .size = REGISTRY_MANIFEST_MAX, .depth = 64 };
    autojson json_t *j = NULL;
    struct digest found;
    struct hasher h = { 0 };
    int r;

    if (c->body.error == -EFBIG)
        fail(c, 413, "SIZE_INVALID", "a manifest has at most 8 MiB");
    if (c->body.len == 0 || json_read(c->body.data, c->body.len, limits, "", &j, NULL) < 0)
        fail(c, 400, "MANIFEST_INVALID", "a manifest is a JSON document");
    if (c->reply.status || !c->type || !check_tags(c))
        return;
    if (hasher_init(&h, *c->digest.text ? &c->digest : NULL) == 0) {
        hasher_add(&h, c->body.data, c->body.len);
        hasher_end(&h, &found);
    }
    hasher_done(&h);
    if (*c->digest.text && !digest_equal(&found, &c->digest)) {
        fail(c, 400, "DIGEST_INVALID", "the manifest has another digest");
        return;
    }
    c->digest = found;
    if (!check_manifest(c, j))
        return;
    r = store_manifest(c, j);
    if (r < 0) {
        fail_errno(c, r);
        return;
    }
    add_header(c, "Location: /v2/%s/manifests/%s", c->name, c->digest.text);
    add_header(c, "Docker-Content-Digest: %s", c->digest.text);
    accept_call(c, 201);
}

/* ---- deletion: end-9, end-10 ---- */

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
    subject = text_of(json_object_get(j, "subject"), "digest");
    if (!digest_valid(subject))
        return;
    referrers_kind(subject, kind);
    registry_remove(c->r, c->name, kind, c->digest.text);
}

static void delete_manifest(struct registry_call *c)
{
    autostrv char **tags = NULL;

    if (c->reply.status || !resolve_reference(c))
        return;
    if (!strchr(c->part, ':')) {
        registry_remove(c->r, c->name, "tags", c->part);
        accept_call(c, 202);
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
        fail(c, 404, "MANIFEST_UNKNOWN", "the repository does not have this manifest");
    registry_remove(c->r, c->name, "types", c->digest.text);
    accept_call(c, 202);
}

static void delete_blob(struct registry_call *c)
{
    if (c->reply.status || !need_digest(c, c->part))
        return;
    if (registry_drop(c->r, c->name, "blobs", &c->digest) < 0)
        fail(c, 404, "BLOB_UNKNOWN", "the repository does not have this blob");
    accept_call(c, 202);
}

/* ---- uploads: end-4, 5, 6, 11, 13, 14 ---- */

static void tell_upload(struct registry_call *c)
{
    add_header(c, "Location: /v2/%s/blobs/uploads/%s", c->name, c->upload);
    add_header(c, "Range: 0-%lld", (long long)MAX(c->at - 1, 0));
    add_header(c, "Docker-Upload-UUID: %s", c->upload);
}

static void open_upload(struct registry_call *c)
{
    struct stat st;

    snprintf(c->upload, sizeof(c->upload), "%.36s", c->part);
    c->dir = registry_open_dir(c->r, c->name, "uploads", false);
    if (c->dir >= 0 && strlen(c->part) == 32 && strspn(c->part, "0123456789abcdef") == 32)
        c->fd = openat(c->dir, c->upload, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (c->fd < 0) {
        fail(c, 404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        return;
    }
    if (flock(c->fd, LOCK_EX | LOCK_NB) < 0)
        fail(c, 409, "BLOB_UPLOAD_INVALID", "another request works on this upload");
    else if (fstat(c->fd, &st) == 0)
        c->before = c->at = st.st_size;
}

static void new_upload(struct registry_call *c)
{
    unsigned char random[16];

    c->dir = registry_open_dir(c->r, c->name, "uploads", true);
    if (c->dir < 0 || getrandom(random, sizeof(random), 0) != sizeof(random)) {
        fail_errno(c, c->dir);
        return;
    }
    hex_encode(random, sizeof(random), c->upload);
    c->fd = openat(c->dir, c->upload, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (c->fd < 0)
        fail_errno(c, -errno);
}

static void hash_from_start(struct registry_call *c)
{
    if (!c->reply.status && c->at == 0 && hasher_init(&c->hasher, &c->digest) < 0)
        fail_errno(c, -ENOMEM);
}

/* Takes digest= of the query; false: it is not there. */
static bool query_digest(struct registry_call *c)
{
    autofree char *text = parameter(c, "digest", 0);

    return text && need_digest(c, text);
}

static bool try_mount(struct registry_call *c)
{
    autofree char *digest = parameter(c, "mount", 0), *from = parameter(c, "from", 0);

    return digest && from && registry_name_valid(from) &&
           digest_parse(&c->digest, digest, "", NULL) == 0 &&
           registry_mount(c->r, from, c->name, &c->digest) == 0;
}

static void blob_created(struct registry_call *c)
{
    add_header(c, "Location: /v2/%s/blobs/%s", c->name, c->digest.text);
    add_header(c, "Docker-Content-Digest: %s", c->digest.text);
    accept_call(c, 201);
}

static void post_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    autofree char *digest = parameter(c, "digest", 0), *algorithm = NULL;

    (void)q;
    algorithm = parameter(c, "digest-algorithm", 0);
    if (algorithm && !streq(algorithm, "sha256") && !streq(algorithm, "sha512"))
        fail(c, 400, "DIGEST_INVALID", "algorithms are sha256 and sha512");
    if (digest && !need_digest(c, digest))
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
        fail(c, 416, "BLOB_UPLOAD_INVALID", "the chunk does not continue the upload");
        return false;
    }
    return true;
}

static void patch_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    open_upload(c);
    if (!c->reply.status)
        check_range(c, q);
}

static void put_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    open_upload(c);
    if (c->reply.status)
        return;
    if (!query_digest(c)) {
        fail(c, 400, "DIGEST_INVALID", "the upload's end needs digest=");
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
        fail_errno(c, r);
        return;
    }
    hasher_end(&c->hasher, &found);
    if (!digest_equal(&found, &c->digest)) {
        if (ftruncate(c->fd, c->before) < 0)
            unlinkat(c->dir, c->upload, 0);
        fail(c, 400, "DIGEST_INVALID", "the content has another digest");
        return;
    }
    r = fdatasync(c->fd) < 0 ? -errno : 0;
    if (r == 0)
        r = registry_adopt(c->r, c->dir, c->upload, c->name, "blobs", &c->digest);
    if (r < 0)
        fail_errno(c, r);
    else
        blob_created(c);
}

static void post_upload(struct registry_call *c)
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
    add_header(c, "OCI-Chunk-Min-Length: %d", REGISTRY_CHUNK_MIN);
    accept_call(c, 202);
}

static void patch_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    tell_upload(c);
    accept_call(c, 202);
}

static void put_upload(struct registry_call *c)
{
    if (!c->reply.status)
        finish_upload(c);
}

static void get_upload_begin(struct registry_call *c, const struct registry_request *q)
{
    (void)q;
    open_upload(c);
}

static void get_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    tell_upload(c);
    accept_call(c, 204);
}

static void delete_upload(struct registry_call *c)
{
    if (c->reply.status)
        return;
    unlinkat(c->dir, c->upload, 0);
    accept_call(c, 204);
}

/* ---- lists: end-8, end-12, catalog ---- */

/* Cuts a sorted list to the page that n= and last= ask for, and links to the next one. */
static size_t page(struct registry_call *c, char **list, const char *path, size_t *ret_start)
{
    autofree char *n = parameter(c, "n", 0), *last = parameter(c, "last", 0);
    size_t count = strv_count((const char *const *)list), start = 0;
    uint64_t limit = REGISTRY_PAGE_MAX;

    if (n && parse_u64(n, 0, INT64_MAX, &limit) < 0) {
        fail(c, 400, "UNSUPPORTED", "n is a number");
        return 0;
    }
    limit = MIN(limit, (uint64_t)REGISTRY_PAGE_MAX);
    while (last && start < count && strcmp(list[start], last) <= 0)
        start++;
    *ret_start = start;
    if (limit == 0 || count - start <= limit)
        return limit == 0 ? 0 : count - start;
    add_header(c, "Link: <%s?n=%llu&last=%s>; rel=\"next\"", path, (unsigned long long)limit,
               list[start + limit - 1]);
    return (size_t)limit;
}

static void add_list(struct registry_call *c, char **list, size_t start, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_str(&c->reply.text, i ? "," : "");
        buf_json(&c->reply.text, list[start + i], strlen(list[start + i]));
    }
    buf_str(&c->reply.text, "]}\n");
    add_header(c, "Content-Type: application/json");
    accept_call(c, 200);
}

static bool repository_exists(struct registry_call *c)
{
    int fd = path_open_plain(c->r->repositories, c->name, O_RDONLY | O_DIRECTORY, 0);
    int own = fd < 0 ? -1 : registry_open_dir(c->r, c->name, "manifests", false);
    int coming = own >= 0 ? -1 : fd < 0 ? -1 : registry_open_dir(c->r, c->name, "uploads", false);

    fd_close(fd);
    fd_close(own);
    fd_close(coming);
    return own >= 0 || coming >= 0;
}

static void get_tags(struct registry_call *c)
{
    autostrv char **list = NULL;
    char path[IMAGE_NAME_MAX + 32];
    size_t start = 0, count;

    if (!repository_exists(c)) {
        fail(c, 404, "NAME_UNKNOWN", "no such repository");
        return;
    }
    registry_list(c->r, c->name, "tags", &list);
    snprintf(path, sizeof(path), "/v2/%s/tags/list", c->name);
    count = page(c, list, path, &start);
    if (c->reply.status)
        return;
    buf_printf(&c->reply.text, "{\"name\":\"%s\",\"tags\":[", c->name);
    add_list(c, list, start, count);
}

static void get_catalog(struct registry_call *c)
{
    autostrv char **list = NULL;
    size_t start = 0, count;
    int r = registry_catalog(c->r, &list);

    if (r < 0) {
        fail_errno(c, r);
        return;
    }
    count = page(c, list, "/v2/_catalog", &start);
    if (c->reply.status)
        return;
    buf_str(&c->reply.text, "{\"repositories\":[");
    add_list(c, list, start, count);
}

static bool is_of_type(const char *text, size_t len, const char *type)
{
    autojson json_t *j = NULL;

    return json_read(text, len, JSON_LIMITS, "", &j, NULL) == 0 &&
           streq(text_of(j, "artifactType"), type);
}

static void get_referrers(struct registry_call *c)
{
    autofree char *type = parameter(c, "artifactType", 0);
    autostrv char **list = NULL;
    char kind[IMAGE_DIGEST_MAX + 16], path[IMAGE_NAME_MAX + IMAGE_DIGEST_MAX + 32];
    size_t start = 0, count, told = 0;

    if (c->reply.status || !need_digest(c, c->part))
        return;
    referrers_kind(c->part, kind);
    registry_list(c->r, c->name, kind, &list);
    snprintf(path, sizeof(path), "/v2/%s/referrers/%s", c->name, c->part);
    count = page(c, list, path, &start);
    if (c->reply.status)
        return;
    buf_str(&c->reply.text,
            "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_INDEX "\",\"manifests\":[");
    for (size_t i = 0; i < count; i++) {
        autofree char *text = NULL;
        ssize_t n =
            registry_read(c->r, c->name, kind, list[start + i], REGISTRY_MANIFEST_MAX, &text);

        if (n < 0 || (type && !is_of_type(text, (size_t)n, type)))
            continue;
        buf_str(&c->reply.text, told++ ? "," : "");
        buf_add(&c->reply.text, text, (size_t)n);
    }
    buf_str(&c->reply.text, "]}");
    if (type)
        add_header(c, "OCI-Filters-Applied: artifactType");
    add_header(c, "Content-Type: " MEDIA_INDEX);
    accept_call(c, 200);
}

static void get_root(struct registry_call *c)
{
    buf_str(&c->reply.text, "{}\n");
    add_header(c, "Content-Type: application/json");
    accept_call(c, 200);
}

/* ---- the table ---- */

static const struct row rows[] = {
    { ROOT, "GET", NULL, get_root },
    { CATALOG, "GET", NULL, get_catalog },
    { BLOB, "GET", get_blob, NULL },
    { BLOB, "DELETE", NULL, delete_blob },
    { MANIFEST, "GET", get_manifest, NULL },
    { MANIFEST, "PUT", put_manifest_begin, put_manifest },
    { MANIFEST, "DELETE", NULL, delete_manifest },
    { UPLOADS, "POST", post_upload_begin, post_upload },
    { UPLOAD, "PATCH", patch_upload_begin, patch_upload },
    { UPLOAD, "PUT", put_upload_begin, put_upload },
    { UPLOAD, "GET", get_upload_begin, get_upload },
    { UPLOAD, "DELETE", get_upload_begin, delete_upload },
    { TAGS, "GET", NULL, get_tags },
    { REFERRERS, "GET", NULL, get_referrers },
};

/* Takes the last part of a path off. */
static const char *cut(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash)
        return "";
    *slash = 0;
    return slash + 1;
}

static bool take_suffix(char *path, const char *suffix)
{
    if (!str_ends(path, suffix) || strlen(path) <= strlen(suffix))
        return false;
    path[strlen(path) - strlen(suffix)] = 0;
    return true;
}

/* From the right, since a repository may be called `a/blobs/b`. */
static enum what parse_path(struct registry_call *c, char *path)
{
    static const struct {
        const char *suffix;
        enum what what;
    } kinds[] = { { "/blobs/uploads", UPLOAD },
                  { "/blobs", BLOB },
                  { "/manifests", MANIFEST },
                  { "/referrers", REFERRERS } };
    const char *part;

    if (streq(path, "") || streq(path, "/"))
        return ROOT;
    if (streq(path, "/_catalog"))
        return CATALOG;
    if (take_suffix(path, "/blobs/uploads/") || take_suffix(path, "/blobs/uploads"))
        return UPLOADS;
    if (take_suffix(path, "/tags/list"))
        return TAGS;
    part = cut(path);
    if (strlen(part) >= sizeof(c->part))
        part = "?"; /* neither a digest nor a tag */
    snprintf(c->part, sizeof(c->part), "%s", part);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (take_suffix(path, kinds[i].suffix))
            return kinds[i].what;
    }
    return NOTHING;
}

static void find_row(struct registry_call *c, const struct registry_request *q)
{
    const char *method = c->head ? "GET" : q->method;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].what == c->what && streq(rows[i].method, method))
            c->row = &rows[i];
    }
    if (!c->row)
        fail(c, c->what == NOTHING ? 404 : 405, "UNSUPPORTED", "no such operation");
}

struct registry_call *registry_begin(struct registry *r, const struct registry_request *q)
{
    struct registry_call *c = calloc(1, sizeof(*c));
    const char *rest = str_after(q->target, "/v2");
    char *mark;

    if (!c)
        return NULL;
    c->r = r;
    c->dir = c->fd = c->reply.fd = -1;
    c->what = NOTHING;
    c->head = streq(q->method, "HEAD");
    c->reply.headers = BUF(64 << 10);
    c->reply.text = BUF(64 << 20);
    add_header(c, "Docker-Distribution-Api-Version: registry/2.0");
    c->target = strdup(rest && strlen(rest) < REGISTRY_TARGET_MAX ? rest : "?");
    if (!c->target) {
        registry_call_free(c);
        return NULL;
    }
    mark = strchr(c->target, '?');
    if (mark) {
        *mark = 0;
        c->query = mark + 1;
    }
    if (rest && strchr("/?", *rest) && decode(c->target))
        c->what = parse_path(c, c->target);
    if (c->what >= BLOB && c->what != NOTHING) {
        if (*c->target == '/' && registry_name_valid(c->target + 1))
            snprintf(c->name, sizeof(c->name), "%s", c->target + 1);
        else
            fail(c, 400, "NAME_INVALID", "not a name of a repository");
    }
    if (!c->reply.status)
        find_row(c, q);
    if (!c->reply.status && c->row->begin)
        c->row->begin(c, q);
    return c;
}

void registry_body(struct registry_call *c, const void *data, size_t len)
{
    int r;

    if (c->reply.status || c->fault)
        return;
    if (c->what == MANIFEST) {
        buf_add(&c->body, data, len);
        return;
    }
    if (c->fd < 0 || (c->what == UPLOADS && !c->hasher.on))
        return;
    if (c->hasher.on)
        hasher_add(&c->hasher, data, len);
    r = fd_write_all(c->fd, data, len);
    if (r < 0) {
        c->fault = r;
        fail_errno(c, r);
        return;
    }
    c->at += (int64_t)len;
}

struct registry_reply *registry_end(struct registry_call *c)
{
    if (c->row && c->row->end && !c->reply.status)
        c->row->end(c);
    c->fd = fd_close(c->fd); /* and its lock: the answer may be followed by the next chunk */
    if (c->reply.fd < 0)
        c->reply.length = (int64_t)c->reply.text.len;
    if (!c->reply.status || c->reply.text.error)
        c->reply.status = 500;
    return &c->reply;
}

void registry_call_free(struct registry_call *c)
{
    if (!c)
        return;
    fd_close(c->dir);
    fd_close(c->fd);
    fd_close(c->reply.fd);
    hasher_done(&c->hasher);
    buf_done(&c->body);
    buf_done(&c->reply.headers);
    buf_done(&c->reply.text);
    free(c->type);
    free(c->target);
    free(c);
}
