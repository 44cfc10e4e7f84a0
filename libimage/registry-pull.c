/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling. Documents first: the manifest, or the index and the one manifest of it that fits, each
 * checked by digest before it is read. Then all blobs that the store lacks, side by side on one
 * multi handle: each is hashed and written while it arrives, in one pass, and goes on by Range
 * where a connection was cut. At last the image is unpacked and published as a loaded one is.
 *
 * What an endpoint may do to us is bounded: a document by IMAGE_DOCUMENT_MAX, a blob by the size in
 * its descriptor (the byte behind it ends the transfer), redirects, headers and tries by the limits
 * of registry-http.h. Blobs that one mirror gave are kept when the next endpoint takes over: they
 * were verified, whoever served them.
 */
#include "libimage/registry-client.h"
#include "libimage/index.h"
#include "libimage/layer.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
    PULL_PARALLEL = 6, /* blobs at a time */
    PULL_TICK_MS = 200,
};

static const char *const accepted[] = {
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    MEDIA_LIST,
    MEDIA_MANIFEST_V2,
    MEDIA_DOCKER "distribution.manifest.v1+prettyjws",
    MEDIA_DOCKER "distribution.manifest.v1+json",
};

struct pull {
    const char *reference; /* as the caller wrote it */
    struct image_reference ref;
    struct image_remote_options options;
    struct image_store *store;
    struct intake in;
    struct reporter reporter;
    struct remote remote;
    /* what index.json will name, and the image */
    char media_type[96];
    struct digest top, manifest;
    int64_t top_size;
};

/* ---- documents ---- */

static int keep_document(struct pull *p, const struct digest *d, const char *text, size_t len,
                         struct wharf_error *e)
{
    char name[INTAKE_NAME_MAX];
    autoclose int fd = intake_create(&p->in, name, e);
    int r;

    if (fd < 0)
        return fd;
    r = fd_write_all(fd, text, len);
    if (r == 0)
        r = intake_name_blob(&p->in, name, d);
    if (r == 0)
        r = intake_want_blob(&p->in, d);
    return r < 0 ? err_code(e, r, "cannot write to image store '%s'", p->store->path) : 0;
}

static int hash_like(const struct digest *like, const void *data, size_t len, struct digest *ret)
{
    struct hasher h = { 0 };
    int r = hasher_init(&h, like);

    if (r == 0) {
        hasher_add(&h, data, len);
        hasher_end(&h, ret);
    }
    hasher_done(&h);
    return r;
}

/* The digest that a document must have: asked for, or promised by the header; else what it has. */
static int check_document(struct pull *p, struct exchange *x, const char *wanted,
                          struct digest *ret, struct wharf_error *e)
{
    const char *promised = exchange_value(x, "docker-content-digest", 0);
    struct digest expected = { "" };

    if (!*wanted && promised && digest_valid(promised))
        wanted = promised;
    snprintf(expected.text, sizeof(expected.text), "%s", wanted);
    if (hash_like(*wanted ? &expected : NULL, x->body.data ? x->body.data : "", x->body.len, ret))
        return err_nomem(e);
    if (*wanted && !digest_equal(ret, &expected))
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "'%s': registry '%s' sends a manifest with digest '%s' where '%s' is due",
                       p->reference, p->remote.host, ret->text, expected.text);
    return 0;
}

/* Fetches a manifest or index by tag or digest, unless the store has it. */
static int get_document(struct pull *p, const char *what, const char *wanted, char **ret,
                        size_t *ret_len, struct digest *ret_digest, struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + 16];
    int r;

    if (*wanted) {
        snprintf(ret_digest->text, sizeof(ret_digest->text), "%s", wanted);
        if (store_read_blob(p->store, p->in.dir, ret_digest, IMAGE_DOCUMENT_MAX, ret, ret_len,
                            NULL) == 0)
            return intake_want_blob(&p->in, ret_digest) < 0 ? err_nomem(e) : 0;
    }
    snprintf(path, sizeof(path), "manifests/%s", what);
    r = remote_open(&p->remote, &x, NULL, path, IMAGE_DOCUMENT_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(accepted) && r == 0; i++)
        r = exchange_header(&x, "Accept: %s", accepted[i]);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r == 0 && exchange_status(&x) != 200)
        r = exchange_error(&x, p->remote.host, p->reference, e);
    if (r == 0)
        r = check_document(p, &x, wanted, ret_digest, e);
    if (r == 0)
        r = keep_document(p, ret_digest, x.body.data ? x.body.data : "", x.body.len, e);
    if (r < 0)
        return r;
    *ret_len = x.body.len;
    *ret = buf_take(&x.body);
    return *ret ? 0 : err_nomem(e);
}

/* The child of an index that was asked for, or that fits this machine. */
static const struct descriptor *pick(const struct pull *p, const struct document *index)
{
    char have[256];

    if (!p->options.platform)
        return document_pick(index);
    for (size_t i = 0; i < index->count; i++) {
        const struct descriptor *d = &index->items[i];
        bool arm64 = streq(d->architecture, "arm64") && streq(d->variant, "v8");

        snprintf(have, sizeof(have), "%s/%s%s%s", d->os, d->architecture, *d->variant ? "/" : "",
                 d->variant);
        if (streq(have, p->options.platform))
            return d;
        snprintf(have, sizeof(have), "%s/%s", d->os, d->architecture);
        if ((!*d->variant || arm64) && streq(have, p->options.platform))
            return d;
    }
    return NULL;
}

/* From what the reference names down to a manifest. */
static int find_manifest(struct pull *p, struct document *ret, struct wharf_error *e)
{
    const char *what = p->ref.digest[0] ? p->ref.digest : p->ref.tag;
    char wanted[IMAGE_DIGEST_MAX];

    snprintf(wanted, sizeof(wanted), "%s", p->ref.digest);
    for (unsigned depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        autodocument struct document d = { 0 };
        autofree char *text = NULL;
        const struct descriptor *child;
        size_t len = 0;
        int r = get_document(p, what, wanted, &text, &len, &p->manifest, e);

        if (r < 0)
            return r;
        r = document_parse(&d, text, len, p->manifest.text, e);
        if (r < 0)
            return err_wrap(e, r, "'%s': registry '%s' sends no good manifest", p->reference,
                            p->remote.host);
        /* a platform that is not ours: the index would later lead to another image */
        if (depth == 0 || p->options.platform) {
            p->top = p->manifest;
            p->top_size = (int64_t)len;
            snprintf(p->media_type, sizeof(p->media_type), "%s", d.media_type);
        }
        if (d.kind == DOCUMENT_MANIFEST) {
            *ret = d;
            d = (struct document){ 0 };
            return 0;
        }
        child = pick(p, &d);
        if (!child)
            return err_not_found(e, "'%s': registry '%s' has it for other platforms only, not '%s'",
                                 p->reference, p->remote.host,
                                 p->options.platform ? p->options.platform
                                                     : platform_architecture());
        snprintf(wanted, sizeof(wanted), "%s", child->digest.text);
        what = wanted;
    }
    return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "'%s': indexes nested deeper than %d",
                   p->reference, IMAGE_INDEX_DEPTH_MAX);
}

/* ---- blobs ---- */

struct download {
    struct pull *pull;
    const struct descriptor *d;
    const char *url; /* of a foreign layer; NULL: the repository's */
    struct exchange x;
    struct hasher hasher;
    char name[INTAKE_NAME_MAX];
    int fd;
    int64_t have, told;
    unsigned tries;
    int64_t not_before; /* now_ms */
    bool looked;        /* at the answer's head */
    bool authorized;    /* a challenge was answered */
    enum { WAITING, RUNNING, DONE } state;
};

/* What the registry sends is not what it should be. */
#define lie(d, ...) err_set(&(d)->x.error, -EBADMSG, WHARF_ERROR_CORRUPT, __VA_ARGS__)

static int restart(struct download *d)
{
    d->have = d->told = 0;
    hasher_done(&d->hasher);
    if (ftruncate(d->fd, 0) < 0 || lseek(d->fd, 0, SEEK_SET) < 0)
        return -errno;
    return hasher_init(&d->hasher, &d->d->digest);
}

/* The first byte of an answer: is it where we are, and as long as it should be? */
static int look(struct download *d)
{
    const char *range = exchange_value(&d->x, "content-range", 0);
    const char *packed = exchange_value(&d->x, "content-encoding", 0);
    curl_off_t length = -1;
    long long first = -1;

    d->looked = true;
    if (exchange_status(&d->x) == 206) {
        if (!range || sscanf(range, "bytes %lld-", &first) != 1 || first != d->have)
            return lie(d, "continues at byte %lld where %lld was asked for", (long long)first,
                       (long long)d->have);
    } else if (d->have > 0) {
        int r = restart(d); /* ranges are not supported: from the start again */

        if (r < 0)
            return err_code(&d->x.error, r, "cannot write to the image store");
    }
    curl_easy_getinfo(d->x.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (!packed && length >= 0 && length + d->have != d->d->size)
        return lie(d, "announces %lld bytes where %lld are due", (long long)length,
                   (long long)(d->d->size - d->have));
    return 0;
}

static int take_bytes(struct exchange *x, const void *data, size_t len)
{
    struct download *d = x->arg;
    int r = d->looked ? 0 : look(d);

    if (r < 0)
        return r;
    if (d->have + (int64_t)len > d->d->size)
        return lie(d, "sends more than the %lld bytes that are due", (long long)d->d->size);
    hasher_add(&d->hasher, data, len);
    r = fd_write_all(d->fd, data, len);
    if (r < 0)
        return err_code(&x->error, r, "cannot write to the image store");
    d->have += (int64_t)len;
    return 0;
}

static void download_done(struct download *d)
{
    if (d->state == RUNNING)
        curl_multi_remove_handle(d->pull->remote.multi, d->x.easy);
    exchange_close(&d->x);
    hasher_done(&d->hasher);
    d->fd = fd_close(d->fd);
}

static int download_start(struct download *d, struct wharf_error *e)
{
    struct remote *remote = &d->pull->remote;
    char path[REMOTE_URL_MAX];
    int r = 0;

    if (d->fd < 0) {
        d->fd = intake_create(&d->pull->in, d->name, e);
        if (d->fd < 0)
            return d->fd;
        r = hasher_init(&d->hasher, &d->d->digest);
    }
    snprintf(path, sizeof(path), "blobs/%s", d->d->digest.text);
    exchange_close(&d->x);
    if (r == 0)
        r = remote_open(remote, &d->x, NULL, d->url ? d->url : path, HTTP_ERROR_BODY_MAX);
    if (r == 0)
        r = remote_authorize(remote, &d->x);
    if (r == 0 && d->have > 0)
        r = exchange_header(&d->x, "Range: bytes=%lld-", (long long)d->have);
    if (r < 0)
        return err_code(e, r, "blob '%s'", d->d->digest.text);
    d->x.sink = take_bytes;
    d->x.arg = d;
    d->looked = false;
    d->state = RUNNING;
    return curl_multi_add_handle(remote->multi, d->x.easy) == CURLM_OK ? 0 : err_nomem(e);
}

/* All bytes are here: are they the blob? */
static int download_finish(struct download *d, struct wharf_error *e)
{
    struct digest found;
    int r;

    hasher_end(&d->hasher, &found);
    if (!digest_equal(&found, &d->d->digest))
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "'%s': registry '%s' sends blob '%s' with digest '%s'", d->pull->reference,
                       d->pull->remote.host, d->d->digest.text, found.text);
    r = intake_name_blob(&d->pull->in, d->name, &d->d->digest);
    if (r == 0)
        r = intake_want_blob(&d->pull->in, &d->d->digest);
    if (r < 0)
        return err_code(e, r, "cannot write to image store '%s'", d->pull->store->path);
    d->state = DONE;
    download_done(d);
    return reporter_tell(&d->pull->reporter, IMAGE_STEP_DOWNLOAD, d->d->digest.text, d->have,
                         d->d->size, e);
}

/* An exchange ended: the blob is whole, or is tried again, or all is lost. */
static int download_ended(struct download *d, CURLcode result, struct wharf_error *e)
{
    struct pull *p = d->pull;
    long status = exchange_status(&d->x);
    bool success = result == CURLE_OK && status >= 200 && status < 300;
    bool retry;

    curl_multi_remove_handle(p->remote.multi, d->x.easy);
    d->state = WAITING;
    d->x.result = result;
    if (success && d->have == d->d->size)
        return download_finish(d, e);
    if (result == CURLE_OK && status == 401 && !d->authorized && !d->url) {
        int r = auth_answer(&p->remote.auth, &d->x, e);

        d->authorized = true;
        return r < 0 ? err_wrap(e, r, "'%s'", p->reference) : 0;
    }
    retry = success || exchange_may_retry(&d->x);
    if (status == 416 && d->have > 0) {
        retry = true;
        if (restart(d) < 0)
            return err_sys(e, "cannot write to image store '%s'", p->store->path);
    }
    if (!retry || ++d->tries >= HTTP_TRIES) {
        if (success)
            return err_set(e, -ENODATA, WHARF_ERROR_UNAVAILABLE,
                           "'%s': registry '%s' ends blob '%s' after %lld of %lld bytes",
                           p->reference, p->remote.host, d->d->digest.text, (long long)d->have,
                           (long long)d->d->size);
        return err_wrap(e, exchange_error(&d->x, p->remote.host, d->d->digest.text, e), "'%s'",
                        p->reference);
    }
    d->not_before = now_ms() + exchange_backoff_ms(&d->x, d->tries - 1);
    return 0;
}

static int report(struct download *list, size_t count, struct wharf_error *e)
{
    for (size_t i = 0; i < count; i++) {
        struct download *d = &list[i];
        int r;

        /* also where nothing came: a stalled pull can be cancelled */
        if (d->state != RUNNING && d->have == d->told)
            continue;
        d->told = d->have;
        r = reporter_tell(&d->pull->reporter, IMAGE_STEP_DOWNLOAD, d->d->digest.text, d->have,
                          d->d->size, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Starts what may start; *ret_left: how many are not done. */
static int start_some(struct download *list, size_t count, size_t *ret_left, struct wharf_error *e)
{
    size_t running = 0, left = 0;
    int64_t now = now_ms();

    for (size_t i = 0; i < count; i++)
        running += list[i].state == RUNNING;
    for (size_t i = 0; i < count; i++) {
        left += list[i].state != DONE;
        if (list[i].state == WAITING && running < PULL_PARALLEL && list[i].not_before <= now) {
            int r = download_start(&list[i], e);

            if (r < 0)
                return r;
            running++;
        }
    }
    *ret_left = left;
    return 0;
}

static int run_downloads(struct pull *p, struct download *list, size_t count, struct wharf_error *e)
{
    int64_t reported = now_ms();

    for (;;) {
        int running, messages, r;
        size_t left;
        CURLMsg *m;

        r = start_some(list, count, &left, e);
        if (r < 0 || left == 0)
            return r;
        if (curl_multi_perform(p->remote.multi, &running) != CURLM_OK)
            return err_nomem(e);
        while ((m = curl_multi_info_read(p->remote.multi, &messages))) {
            struct exchange *x = NULL;

            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
            r = download_ended(x->arg, m->data.result, e);
            if (r < 0)
                return r;
        }
        if (now_ms() - reported >= PULL_TICK_MS) {
            reported = now_ms();
            r = report(list, count, e);
            if (r < 0)
                return r;
        }
        curl_multi_poll(p->remote.multi, NULL, 0, running ? PULL_TICK_MS : 20, NULL);
    }
}

static bool have_blob(struct pull *p, const struct descriptor *d)
{
    autoclose int fd = store_open_blob(p->store, p->in.dir, &d->digest);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_size == d->size;
}

/* Layers that registries do not hold are fetched from where their descriptor says. */
static const char *foreign_url(const struct descriptor *d)
{
    bool foreign = strstr(d->media_type, ".foreign.") || strstr(d->media_type, "nondistributable");
    const char *url = json_string_value(json_array_get(json_object_get(d->json, "urls"), 0));

    return foreign && url && str_after(url, "https://") ? url : NULL;
}

static int get_blobs(struct pull *p, const struct document *manifest, struct wharf_error *e)
{
    autofree struct download *list = calloc(manifest->count + 1, sizeof(*list));
    size_t count = 0;
    int r = 0;

    if (!list)
        return err_nomem(e);
    for (size_t i = 0; i <= manifest->count && r == 0; i++) {
        const struct descriptor *d = i ? &manifest->items[i - 1] : &manifest->config;
        bool twice = false;

        for (size_t k = 0; k < count && !twice; k++)
            twice = digest_equal(&list[k].d->digest, &d->digest);
        if (have_blob(p, d))
            r = intake_want_blob(&p->in, &d->digest) < 0 ? err_nomem(e) : 0;
        else if (!twice)
            list[count++] = (struct download){ .pull = p, .d = d, .fd = -1, .url = foreign_url(d) };
    }
    if (r == 0)
        r = run_downloads(p, list, count, e);
    for (size_t i = 0; i < count; i++)
        download_done(&list[i]);
    return r;
}

/* ---- the whole ---- */

static int fetch_from(struct pull *p, const char *mirror, struct wharf_error *e)
{
    autodocument struct document manifest = { 0 };
    int r = remote_init(&p->remote, &p->ref, mirror, NULL, &p->options, e);

    if (r == 0)
        r = find_manifest(p, &manifest, e);
    if (r == 0)
        r = get_blobs(p, &manifest, e);
    remote_done(&p->remote);
    return r;
}

static int fetch(struct pull *p, struct wharf_error *e)
{
    const char *const *mirrors = streq(p->ref.domain, "docker.io") ? p->options.mirrors : NULL;

    for (; mirrors && *mirrors; mirrors++) {
        int r = fetch_from(p, *mirrors, e);

        if (r == 0 || r == -ECANCELED)
            return r;
    }
    return fetch_from(p, NULL, e);
}

static int commit(struct pull *p, struct image **ret, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    autoindex struct index_edit x = { 0 };
    char name[IMAGE_REFERENCE_MAX];
    char *names[] = { name, NULL };
    bool named = !p->ref.digest[0];
    int r = opened_read(p->store, p->in.dir, &p->manifest, &image, e);

    if (r == 0 && !p->options.keep_packed)
        r = layers_unpack(&p->in, image, &p->reporter, e);
    if (r >= 0)
        r = reporter_tell(&p->reporter, IMAGE_STEP_COMMIT, p->reference, 0, -1, e);
    if (r == 0)
        r = intake_publish(&p->in, e);
    if (r == 0)
        r = index_begin(&x, p->store, e);
    if (r < 0)
        return r;
    image_reference_format(&p->ref, 0, name);
    if (index_put(&x, p->media_type, &p->top, p->top_size, named ? name : NULL) < 0)
        return err_nomem(e);
    r = index_commit(&x, e);
    if (r == 0 && named && opened_set_names(image, names) < 0)
        r = err_nomem(e);
    if (r == 0 && ret)
        *ret = take_ptr(&image);
    return r;
}

int image_pull(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct image **ret_image,
               struct wharf_error *e)
{
    struct pull p = { .reference = reference, .store = store, .remote = { .base = "" } };
    int r = image_reference_parse(&p.ref, reference, e);

    if (r < 0)
        return r;
    if (options)
        memcpy(&p.options, options, MIN(options->size, sizeof(p.options)));
    p.reporter.progress = p.options.progress;
    p.reporter.arg = p.options.arg;
    pthread_mutex_init(&p.reporter.lock, NULL);
    r = intake_begin(&p.in, store, e);
    if (r == 0)
        r = fetch(&p, e);
    if (r == 0)
        r = commit(&p, ret_image, e);
    intake_end(&p.in);
    pthread_mutex_destroy(&p.reporter.lock);
    return r;
}
