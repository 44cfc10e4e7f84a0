/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushing: first what a manifest names, then the manifest, the tag last; so a registry never shows
 * an image that is not whole. A blob costs one HEAD when it is there, one POST when another of our
 * images in the same registry lends it (mount), and POST and PUT when its bytes must go. A registry
 * (or a proxy before it) that refuses so large a body gets chunks.
 */
#include "libimage/registry-client.h"
#include "libimage/feed.h"
#include "libimage/index.h"
#include "libimage/resolve.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
    PUSH_CHUNK = 16 << 20,    /* bytes; more if the registry says OCI-Chunk-Min-Length .. */
    PUSH_CHUNK_MAX = 1 << 30, /* .. up to this */
    PUSH_REPORT = 4 << 20,
};

struct push {
    const char *reference;
    struct image_reference ref;
    struct image_remote_options options;
    struct image_store *store;
    struct reporter reporter;
    struct remote remote;
    struct index_edit index;
};

struct upload {
    struct push *push;
    const struct descriptor *d;
    int64_t told;
};

static int failed(struct push *p, struct exchange *x, const char *what, struct wharf_error *e)
{
    int r = exchange_error(x, p->remote.host, what, e);

    return err_wrap(e, r, "'%s'", p->reference);
}

static int on_tick(struct exchange *x)
{
    struct upload *u = x->arg;
    int64_t done = x->start + x->sent;

    if (done - u->told < PUSH_REPORT && done < u->d->size)
        return 0;
    u->told = done;
    return reporter_tell(&u->push->reporter, IMAGE_STEP_UPLOAD, u->d->digest.text, done, u->d->size,
                         &x->error);
}

/* ---- blobs ---- */

/* 1: the registry has it. */
static int blob_exists(struct push *p, const struct descriptor *d, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16];
    int r;

    snprintf(path, sizeof(path), "blobs/%s", d->digest.text);
    r = remote_open(&p->remote, &x, "HEAD", path, HTTP_ERROR_BODY_MAX);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r < 0)
        return r;
    if (exchange_status(&x) == 200)
        return 1;
    return exchange_status(&x) == 404 ? 0 : failed(p, &x, d->digest.text, e);
}

static bool manifest_has(struct push *p, const char *digest, const struct digest *blob)
{
    auto_of(image_free) struct image *image = NULL;
    struct digest top;
    bool found = false;

    if (digest_parse(&top, digest, "index.json", NULL) < 0 ||
        opened_read(p->store, -1, &top, &image, NULL) < 0)
        return false;
    for (size_t i = 0; i < image->info.layer_count && !found; i++)
        found = digest_equal(&image->blobs[i], blob);
    return found;
}

/* Another repository of the registry that should have the blob, by what our names say. */
static bool find_lender(struct push *p, const struct digest *blob, char from[IMAGE_NAME_MAX + 1])
{
    char name[IMAGE_REFERENCE_MAX];
    struct image_reference ref;
    json_t *entry;
    size_t i;

    json_array_foreach (p->index.list, i, entry) {
        if (!index_entry_name(entry, name) || image_reference_parse(&ref, name, NULL) < 0 ||
            !streq(ref.domain, p->ref.domain) || streq(ref.path, p->ref.path) ||
            !manifest_has(p, index_entry_digest(entry), blob))
            continue;
        memcpy(from, ref.path, sizeof(ref.path));
        return true;
    }
    return false;
}

/* Opens an upload session, or mounts. 1: the blob is there; 0: `location` and `chunk` are set. */
static int begin_upload(struct push *p, const struct descriptor *d, char location[REMOTE_URL_MAX],
                        int64_t *chunk, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[2 * IMAGE_NAME_MAX + IMAGE_DIGEST_MAX] = "blobs/uploads/";
    char from[IMAGE_NAME_MAX + 1];
    uint64_t least = 0;
    const char *text;
    int r;

    if (find_lender(p, &d->digest, from))
        snprintf(path, sizeof(path), "blobs/uploads/?mount=%s&from=%s", d->digest.text, from);
    r = remote_open(&p->remote, &x, "POST", path, HTTP_ERROR_BODY_MAX);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    exchange_send(&x, "", 0);
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r < 0)
        return r;
    if (exchange_status(&x) == 201)
        return 1;
    text = exchange_value(&x, "location", 0);
    if (exchange_status(&x) != 202 || !text)
        return failed(p, &x, d->digest.text, e);
    if (remote_resolve(&x, text, location) < 0)
        r = err_invalid(e, "'%s': registry '%s' names an unusable Location '%.100s'", p->reference,
                        p->remote.host, text);
    text = exchange_value(&x, "oci-chunk-min-length", 0);
    if (text && parse_u64(text, 1, PUSH_CHUNK_MAX, &least) == 0)
        *chunk = MAX(*chunk, (int64_t)least);
    return r;
}

/* One PATCH or PUT with a part of the blob. */
static int send_part(struct upload *u, const char *method, char *location, bool last, int fd,
                     int64_t start, int64_t length, bool ranged, struct exchange *x,
                     struct wharf_error *e)
{
    struct push *p = u->push;
    char url[REMOTE_URL_MAX + IMAGE_DIGEST_MAX + 16];
    int r;

    snprintf(url, sizeof(url), "%s%s%s", location,
             !last                   ? ""
             : strchr(location, '?') ? "&digest="
                                     : "?digest=",
             last ? u->d->digest.text : "");
    r = remote_open(&p->remote, x, method, url, HTTP_ERROR_BODY_MAX);
    if (r == 0)
        r = exchange_header(x, "Content-Type: application/octet-stream");
    if (r == 0 && ranged)
        r = exchange_header(x, "Content-Range: %lld-%lld", (long long)start,
                            (long long)(start + length - 1));
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    exchange_send_file(x, fd, start, length);
    x->arg = u;
    x->tick = on_tick;
    return remote_run(&p->remote, x, p->reference, e);
}

static int send_chunks(struct upload *u, char *location, int64_t chunk, int fd,
                       struct wharf_error *e)
{
    for (int64_t at = 0; at < u->d->size;) {
        autoexchange struct exchange x = { 0 };
        int64_t n = MIN(chunk, u->d->size - at);
        const char *next;
        int r = send_part(u, "PATCH", location, false, fd, at, n, true, &x, e);

        if (r < 0)
            return r;
        next = exchange_value(&x, "location", 0);
        if (exchange_status(&x) != 202)
            return failed(u->push, &x, u->d->digest.text, e);
        if (next && (str_after(next, "http") || *next == '/'))
            snprintf(location, REMOTE_URL_MAX, "%s", next);
        at += n;
    }
    return 0;
}

static int push_blob(struct push *p, const struct descriptor *d, struct wharf_error *e)
{
    struct upload u = { .push = p, .d = d };
    autoexchange struct exchange x = { 0 }, end = { 0 };
    autoclose int fd = -1;
    char location[REMOTE_URL_MAX];
    int64_t chunk = PUSH_CHUNK;
    int r = blob_exists(p, d, e);

    if (r != 0)
        return r < 0 ? r : 0;
    fd = store_open_blob(p->store, -1, &d->digest);
    if (fd < 0)
        return err_code(e, fd, "'%s': blob '%s' is not in the store", p->reference, d->digest.text);
    r = begin_upload(p, d, location, &chunk, e);
    if (r != 0)
        return r < 0 ? r : 0;
    r = send_part(&u, "PUT", location, true, fd, 0, d->size, false, &x, e);
    if (r < 0 || exchange_status(&x) == 201)
        return r;
    if (exchange_status(&x) != 413 && exchange_status(&x) != 404)
        return failed(p, &x, d->digest.text, e);
    /* too large for one body: in pieces, in a session of its own */
    r = begin_upload(p, d, location, &chunk, e);
    if (r == 0)
        r = send_chunks(&u, location, chunk, fd, e);
    if (r == 0)
        r = send_part(&u, "PUT", location, true, fd, 0, 0, false, &end, e);
    if (r < 0)
        return r;
    return exchange_status(&end) == 201 ? 0 : failed(p, &end, d->digest.text, e);
}

/* ---- manifests ---- */

static int put_manifest(struct push *p, const char *as, const char *media_type, const char *text,
                        size_t len, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + IMAGE_TAG_MAX + 16];
    int r;

    snprintf(path, sizeof(path), "manifests/%s", as);
    r = remote_open(&p->remote, &x, "PUT", path, HTTP_ERROR_BODY_MAX);
    if (r == 0)
        r = exchange_header(&x, "Content-Type: %s", media_type);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    exchange_send(&x, text, len);
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r == 0 && exchange_status(&x) != 201)
        r = failed(p, &x, "manifest", e);
    return r;
}

/* `as`: the tag, or NULL for the digest. */
static int push_tree(struct push *p, const struct digest *digest, const char *as, unsigned depth,
                     struct wharf_error *e)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    int r;

    if (depth >= IMAGE_INDEX_DEPTH_MAX)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "'%s': indexes nested deeper than %d",
                       p->reference, IMAGE_INDEX_DEPTH_MAX);
    r = store_read_blob(p->store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, e);
    if (r == 0)
        r = document_parse(&d, text, len, digest->text, e);
    if (r == 0 && d.kind == DOCUMENT_MANIFEST)
        r = push_blob(p, &d.config, e);
    for (size_t i = 0; i < d.count && r == 0; i++)
        r = d.kind == DOCUMENT_INDEX ? push_tree(p, &d.items[i].digest, NULL, depth + 1, e)
                                     : push_blob(p, &d.items[i], e);
    return r < 0 ? r : put_manifest(p, as ? as : digest->text, d.media_type, text, len, e);
}

/* True if all children of an index, or the index' own manifest, are in the store. */
static bool is_whole(struct push *p, const struct digest *digest)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    bool whole = true;
    size_t len;

    if (store_read_blob(p->store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, NULL) < 0 ||
        document_parse(&d, text, len, digest->text, NULL) < 0)
        return false;
    for (size_t i = 0; d.kind == DOCUMENT_INDEX && i < d.count && whole; i++) {
        int fd = store_open_blob(p->store, -1, &d.items[i].digest);

        whole = fd >= 0;
        fd_close(fd);
    }
    return whole;
}

static int push(struct push *p, struct wharf_error *e)
{
    struct resolved found = { 0 };
    auto_of(image_free) struct image *image = NULL;
    int r = index_read(&p->index, p->store, e);

    if (r == 0)
        r = resolve(p->store, &p->index, p->reference, &found, e);
    if (r == 0)
        r = remote_init(&p->remote, &p->ref, NULL, "pull,push", &p->options, e);
    image = found.image;
    if (r < 0)
        return r;
    return push_tree(p, is_whole(p, &found.top) ? &found.top : &image->digest,
                     p->ref.digest[0] ? NULL : p->ref.tag, 0, e);
}

int image_push(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct wharf_error *e)
{
    struct push p = { .reference = reference, .store = store };
    int r = image_reference_parse(&p.ref, reference, e);

    if (r < 0)
        return r;
    if (options)
        memcpy(&p.options, options, MIN(options->size, sizeof(p.options)));
    p.reporter.progress = p.options.progress;
    p.reporter.arg = p.options.arg;
    pthread_mutex_init(&p.reporter.lock, NULL);
    r = push(&p, e);
    remote_done(&p.remote);
    index_end(&p.index);
    pthread_mutex_destroy(&p.reporter.lock);
    return r;
}
