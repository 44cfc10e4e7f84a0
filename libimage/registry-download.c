/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blobs of a pull. Each is hashed and written while it arrives, in one pass, and goes on by
 * Range where a connection was cut. It is written to layers/partial/DIGEST: a pull that broke off,
 * for whatever reason, leaves it there for the next one (collect.c forgets old ones), which hashes
 * what it finds and asks for the rest. Whoever fetches a blob holds its byte of the lock file
 * `fetch`: a second pull of the same blob waits for the first and finds it in the store.
 *
 * The trap: what an earlier pull left may be damaged (a power cut leaves holes). So a wrong digest
 * of a resumed blob is no lie of the registry yet: it is fetched once more, from the start.
 */
#include "libimage/registry-pull.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
    PULL_PARALLEL = 6, /* blobs at a time */
    PULL_TICK_MS = 200,
    PULL_LOCK_MS = 50,
    PULL_SETTLED = 1 << 20, /* so many bytes further, a failure is a new one */
};

/* What the registry sends is not what it should be. */
#define lie(d, ...) err_set(&(d)->x.error, -EBADMSG, WHARF_ERROR_CORRUPT, __VA_ARGS__)

static int store_fault(const struct download *d, int code, struct wharf_error *e)
{
    return err_code(e, code, "cannot write to image store '%s'", d->pull->store->path);
}

static int say(struct download *d, const char *status, int64_t done, int64_t total,
               struct wharf_error *e)
{
    return d->layer ? reporter_say(&d->pull->reporter, d->d->digest.text, status, done, total, e)
                    : 0;
}

/* ---- the file ---- */

static int partial_directory(struct image_store *store)
{
    int fd;

    if (mkdirat(store->private, "partial", 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(store->private, "partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int restart(struct download *d)
{
    d->have = d->told = d->settled = 0;
    d->resumed = false;
    growing_set(&d->file, d->fd, 0);
    hasher_done(&d->hasher);
    if (ftruncate(d->fd, 0) < 0 || lseek(d->fd, 0, SEEK_SET) < 0)
        return -errno;
    return hasher_init(&d->hasher, &d->d->digest);
}

/* Hashes what an earlier pull left. */
static int take_up(struct download *d)
{
    autofree char *block = malloc(STREAM_BLOCK);
    ssize_t n;

    if (!block)
        return -ENOMEM;
    while ((n = read(d->fd, block, STREAM_BLOCK)) > 0) {
        hasher_add(&d->hasher, block, (size_t)n);
        d->have += n;
    }
    d->resumed = d->have > 0; /* so nobody may read it before it is verified */
    d->settled = d->have;
    return n < 0 ? -errno : 0;
}

static int open_file(struct download *d)
{
    autoclose int dir = partial_directory(d->pull->store);
    struct stat st;
    int r;

    if (dir < 0)
        return dir;
    d->fd = openat(dir, d->d->digest.text, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (d->fd < 0 || fstat(d->fd, &st) < 0)
        return -errno;
    if (st.st_size > d->d->size)
        return restart(d);
    r = hasher_init(&d->hasher, &d->d->digest);
    return r < 0 ? r : take_up(d);
}

static void drop_file(struct download *d)
{
    autoclose int dir = partial_directory(d->pull->store);

    if (dir >= 0)
        unlinkat(dir, d->d->digest.text, 0);
}

static int keep_file(struct download *d)
{
    autoclose int dir = partial_directory(d->pull->store);

    if (dir < 0)
        return dir;
    return renameat(dir, d->d->digest.text, d->pull->in.dir, d->d->digest.text) < 0 ? -errno : 0;
}

/* ---- one download ---- */

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
    r = fd_write_all(d->fd, data, len);
    if (r < 0)
        return err_code(&x->error, r, "cannot write to the image store");
    hasher_add(&d->hasher, data, len);
    d->have += (int64_t)len;
    if (!d->resumed)
        growing_set(&d->file, d->fd, d->have);
    return 0;
}

static void download_done(struct download *d)
{
    if (d->state == RUNNING)
        curl_multi_remove_handle(d->pull->remote.multi, d->x.easy);
    if (d->fd >= 0 && d->state != DONE && (d->spoiled || d->have == 0))
        drop_file(d);
    exchange_close(&d->x);
    hasher_done(&d->hasher);
    d->fd = fd_close(d->fd);
    growing_done(&d->file);
}

/* All bytes are here: are they the blob? */
static int download_finish(struct download *d, struct wharf_error *e)
{
    struct pull *p = d->pull;
    struct digest found;
    int r = say(d, "Verifying Checksum", 0, 0, e);

    if (r < 0)
        return r;
    hasher_end(&d->hasher, &found);
    if (!digest_equal(&found, &d->d->digest)) {
        if (d->resumed) {
            d->state = WAITING;
            r = restart(d);
            return r < 0 ? store_fault(d, r, e) : 0;
        }
        d->spoiled = true;
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                       "'%s': registry '%s' sends blob '%s' with digest '%s'", p->reference,
                       p->remote.host, d->d->digest.text, found.text);
    }
    r = keep_file(d);
    if (r == 0)
        r = intake_want_blob(&p->in, &d->d->digest);
    if (r < 0)
        return store_fault(d, r, e);
    d->state = DONE;
    growing_set(&d->file, d->fd, d->have);
    growing_end(&d->file);
    r = say(d, "Download complete", 0, 0, e);
    return r < 0 ? r
                 : reporter_tell(&p->reporter, IMAGE_STEP_DOWNLOAD, d->d->digest.text, d->have,
                                 d->d->size, e);
}

static int download_start(struct download *d, struct wharf_error *e)
{
    struct remote *remote = &d->pull->remote;
    char path[REMOTE_URL_MAX];
    int r = d->fd < 0 ? open_file(d) : 0;

    if (r < 0)
        return store_fault(d, r, e);
    if (d->have == d->d->size)
        return download_finish(d, e);
    snprintf(path, sizeof(path), "blobs/%s", d->d->digest.text);
    exchange_close(&d->x);
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

/* It failed for good. */
static int give_up(struct download *d, bool cut, struct wharf_error *e)
{
    struct pull *p = d->pull;

    d->spoiled = d->x.fault < 0;
    if (cut)
        return err_set(e, -ENODATA, WHARF_ERROR_UNAVAILABLE,
                       "'%s': registry '%s' ends blob '%s' after %lld of %lld bytes", p->reference,
                       p->remote.host, d->d->digest.text, (long long)d->have,
                       (long long)d->d->size);
    return err_wrap(e, exchange_error(&d->x, p->remote.host, d->d->digest.text, e), "'%s'",
                    p->reference);
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
        int r = restart(d);

        retry = true;
        if (r < 0)
            return store_fault(d, r, e);
    }
    if (d->have - d->settled >= PULL_SETTLED) {
        d->settled = d->have;
        d->tries = 0;
        d->authorized = false; /* a token may end in the middle of a long pull */
    }
    if (!retry || ++d->tries >= HTTP_TRIES)
        return give_up(d, success, e);
    d->not_before = now_ms() + exchange_backoff_ms(&d->x, d->tries - 1);
    return 0;
}

/* ---- all of them ---- */

static int report(struct downloads *l, struct wharf_error *e)
{
    for (size_t i = 0; i < l->count; i++) {
        struct download *d = &l->list[i];
        int r;

        /* also where nothing came: a stalled pull can be cancelled */
        if (d->state != RUNNING && d->have == d->told)
            continue;
        d->told = d->have;
        r = reporter_tell(&d->pull->reporter, IMAGE_STEP_DOWNLOAD, d->d->digest.text, d->have,
                          d->d->size, e);
        if (r == 0)
            r = say(d, "Downloading", d->have, d->d->size, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Starts what may start; *ret_left: how many are not done. */
static int start_some(struct downloads *l, size_t *ret_left, struct wharf_error *e)
{
    size_t running = 0;
    int64_t now = now_ms();

    for (size_t i = 0; i < l->count; i++)
        running += l->list[i].state == RUNNING;
    for (size_t i = 0; i < l->count; i++) {
        struct download *d = &l->list[i];

        if (d->state == WAITING && running < PULL_PARALLEL && d->not_before <= now) {
            int r = download_start(d, e);

            if (r < 0)
                return r;
            running += d->state == RUNNING;
        }
    }
    *ret_left = 0;
    for (size_t i = 0; i < l->count; i++)
        *ret_left += l->list[i].state != DONE;
    return 0;
}

static int take_messages(struct pull *p, struct wharf_error *e)
{
    int messages, r = 0;
    CURLMsg *m;

    while (r == 0 && (m = curl_multi_info_read(p->remote.multi, &messages))) {
        struct exchange *x = NULL;

        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
        r = download_ended(x->arg, m->data.result, e);
    }
    return r;
}

int downloads_run(struct downloads *l, struct pull *p, struct wharf_error *e)
{
    int64_t reported = now_ms();
    size_t left = 1;
    int running, r;

    for (;;) {
        r = start_some(l, &left, e);
        if (r < 0 || left == 0)
            return r;
        if (curl_multi_perform(p->remote.multi, &running) != CURLM_OK)
            return err_nomem(e);
        r = take_messages(p, e);
        if (r == 0 && now_ms() - reported >= PULL_TICK_MS) {
            reported = now_ms();
            r = report(l, e);
        }
        if (r < 0)
            return r;
        if (atomic_load(&l->stop))
            return -ECANCELED;
        curl_multi_poll(p->remote.multi, NULL, 0, running ? PULL_TICK_MS : 20, NULL);
    }
}

void downloads_fail(struct downloads *l, int fault)
{
    for (size_t i = 0; i < l->count; i++)
        growing_fail(&l->list[i].file, fault);
}

void downloads_done(struct downloads *l)
{
    for (size_t i = 0; i < l->count; i++)
        download_done(&l->list[i]);
    free(l->list);
    l->list = NULL;
    l->count = 0;
}

/* ---- which ---- */

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

/* Waits until nobody else fetches the blob; whoever does may cancel meanwhile. */
static int lock_blob(struct pull *p, const struct descriptor *d, struct wharf_error *e)
{
    for (;;) {
        int r = store_lock_content(p->store, "fetch", &d->digest, false, &p->in.fetching);

        if (r != -EWOULDBLOCK)
            return r < 0 ? err_code(e, r, "cannot lock image store '%s'", p->store->path) : 0;
        r = reporter_tell(&p->reporter, IMAGE_STEP_DOWNLOAD, d->digest.text, 0, d->size, e);
        if (r < 0)
            return r;
        usleep(PULL_LOCK_MS * 1000);
    }
}

static int by_digest(const void *a, const void *b)
{
    const struct descriptor *const *x = a, *const *y = b;

    return strcmp((*x)->digest.text, (*y)->digest.text);
}

/* Everybody locks in the order of digests, all before the first download: nobody waits in a circle.
 */
static int lock_blobs(struct pull *p, const struct descriptor **list, size_t count,
                      struct wharf_error *e)
{
    int r = 0;

    if (count > 1)
        qsort(list, count, sizeof(*list), by_digest);
    for (size_t i = 0; i < count && r == 0; i++) {
        if (!have_blob(p, list[i]))
            r = lock_blob(p, list[i], e);
    }
    return r;
}

static void add(struct downloads *l, struct pull *p, const struct descriptor *d, bool layer)
{
    struct download *new = &l->list[l->count++];

    *new = (struct download){ .pull = p, .d = d, .fd = -1, .url = foreign_url(d), .layer = layer };
    growing_init(&new->file);
}

static bool is_planned(const struct downloads *l, const struct descriptor *d)
{
    for (size_t i = 0; i < l->count; i++) {
        if (digest_equal(&l->list[i].d->digest, &d->digest))
            return true;
    }
    return false;
}

int downloads_plan(struct downloads *l, struct pull *p, const struct document *manifest,
                   bool layers, struct wharf_error *e)
{
    const struct descriptor *items = layers ? manifest->items : &manifest->config;
    size_t count = layers ? manifest->count : 1;
    autofree const struct descriptor **wanted = calloc(count + 1, sizeof(*wanted));
    int r = 0;

    *l = (struct downloads){ .list = calloc(count + 1, sizeof(*l->list)) };
    if (!wanted || !l->list)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++)
        wanted[i] = &items[i];
    r = lock_blobs(p, wanted, count, e);
    for (size_t i = 0; i < count && r == 0; i++) {
        if (have_blob(p, &items[i]))
            r = intake_want_blob(&p->in, &items[i].digest) < 0 ? err_nomem(e) : 0;
        else if (!is_planned(l, &items[i]))
            add(l, p, &items[i], layers);
    }
    return r;
}
