/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking layers. See layer.h. */
#include "libimage/layer.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <sys/file.h>

void layer_init(struct layer *l)
{
    *l = (struct layer){ .dir = -1, .fs = -1 };
    extract_init(&l->extract, -1, "");
}

void layer_done(struct layer *l)
{
    extract_done(&l->extract);
    l->dir = fd_close(l->dir);
    l->fs = fd_close(l->fs);
}

static int make_directories(struct layer *l, struct intake *in, struct wharf_error *e)
{
    snprintf(l->name, sizeof(l->name), "part-%u", atomic_fetch_add(&in->serial, 1));
    if (mkdirat(in->dir, l->name, 0700) < 0)
        return err_sys(e, "cannot make a directory in image store '%s'", in->store->path);
    l->dir = openat(in->dir, l->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->dir < 0 || mkdirat(l->dir, "fs", 0755) < 0)
        return err_sys(e, "cannot make a directory in image store '%s'", in->store->path);
    l->fs = openat(l->dir, "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->fs < 0 || fchmod(l->fs, 0755) < 0)
        return err_sys(e, "cannot open a directory in image store '%s'", in->store->path);
    return 0;
}

int layer_fill(struct layer *l, struct intake *in, struct feed *feed, struct wharf_error *e)
{
    int r = make_directories(l, in, e);

    if (r < 0)
        return r;
    l->extract.root = l->fs;
    l->extract.what = feed->o.what;
    l->extract.limits = in->store->limits;
    l->extract.devices = in->store->devices;
    if (in->store->user_xattr)
        l->extract.xattr_opaque = "user.overlay.opaque";
    r = extract_all(&l->extract, &feed->tar, e);
    if (r == 0)
        r = feed_finish(feed, e);
    if (r == 0)
        hasher_end(&feed->plain.hasher, &l->diff);
    return r;
}

static int settle(struct layer *l, struct intake *in, const struct digest *lower, size_t count,
                  struct wharf_error *e)
{
    int fds[IMAGE_LAYERS_MAX] = { 0 }, r = 0;
    size_t opened = 0;

    /* top first, as overlayfs looks */
    for (; opened < count && r == 0; opened++) {
        fds[opened] = layer_open_tree(in->store, in, lower[count - 1 - opened].text);
        if (fds[opened] < 0)
            r = err_code(e, fds[opened], "cannot open layer '%s'", lower[count - 1 - opened].text);
    }
    if (r == 0)
        r = extract_settle(&l->extract, fds, count, e);
    while (opened-- > 0)
        fd_close(fds[opened]);
    return r;
}

int layer_place(struct layer *l, struct intake *in, const struct digest *lower, size_t lower_count,
                const struct digest *chain, struct wharf_error *e)
{
    char to[IMAGE_DIGEST_MAX + 8], meta[512];
    int r = settle(l, in, lower, lower_count, e);

    if (r < 0)
        return r;
    snprintf(meta, sizeof(meta), "{\"diff_id\":\"%s\",\"bytes\":%lld,\"entries\":%lld}\n",
             l->diff.text, (long long)l->extract.bytes, (long long)l->extract.entries);
    r = file_replace(l->dir, "layer.json", meta, strlen(meta), 0600, false);
    snprintf(to, sizeof(to), "layer-%s", digest_hex(chain));
    if (r == 0 && renameat(in->dir, l->name, in->dir, to) < 0)
        r = -errno;
    if (r == 0)
        r = intake_want_layer(in, digest_hex(chain));
    return r < 0 ? err_code(e, r, "cannot write layer '%s'", chain->text) : 0;
}

static int unpack_source(struct layer *l, struct intake *in, const struct image *image, size_t at,
                         struct source *source, struct reporter *reporter, struct wharf_error *e)
{
    const struct digest *blob = &image->blobs[at];
    autofeed struct feed feed = { 0 };
    struct feed_options options = {
        .what = blob->text,
        .limits = &in->store->limits,
        .bytes_max = in->store->limits.layer_bytes,
        .bytes_name = "layer_bytes",
        .copy = -1,
        .hash = true,
        .reporter = reporter,
        .step = IMAGE_STEP_UNPACK,
        .total = image->info.layer_sizes[at],
    };
    int r = feed_open(&feed, source, options, e);

    if (r == 0)
        r = layer_fill(l, in, &feed, e);
    if (r == 0 && !digest_equal(&l->diff, &image->diffs[at]))
        r = err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT,
                    "layer '%s' unpacks to diff id '%s', but the configuration says '%s'",
                    blob->text, l->diff.text, image->diffs[at].text);
    return r;
}

static int unpack_blob(struct layer *l, struct intake *in, const struct image *image, size_t at,
                       struct reporter *reporter, struct wharf_error *e)
{
    const struct digest *blob = &image->blobs[at];
    autoclose int fd = store_open_blob(in->store, in->dir, blob);
    struct file_source file;
    int r;

    if (fd < 0)
        return err_code(e, fd, "layer '%s' is not in the store", blob->text);
    r = file_source_init(&file, fd, blob->text, e);
    if (r == 0)
        r = unpack_source(l, in, image, at, &file.base, reporter, e);
    file_source_done(&file);
    return r;
}

/* Layers being unpacked by several threads. */
struct crew {
    struct intake *in;
    const struct image *image;
    struct layer_supply *supply; /* NULL: the store */
    struct reporter *reporter;
    struct layer *layers; /* by position in the image */
    bool *missing;
    atomic_size_t next;
    atomic_int result; /* the first failure */
    pthread_mutex_t lock;
    struct wharf_error *e;
};

static int unpack_one(struct crew *c, size_t at, struct wharf_error *e)
{
    const char *blob = c->image->blobs[at].text;
    struct source *source;
    int r;

    if (c->supply) {
        r = c->supply->open(c->supply, at, &source, e);
        if (r < 0)
            return r;
        r = unpack_source(&c->layers[at], c->in, c->image, at, source, c->reporter, e);
        c->supply->close(c->supply, source);
    } else {
        r = unpack_blob(&c->layers[at], c->in, c->image, at, c->reporter, e);
    }
    if (r == 0 && c->reporter && c->reporter->unpacked)
        r = reporter_say(c->reporter, blob, c->reporter->unpacked, 0, 0, e);
    return r;
}

static void *work(void *arg)
{
    struct crew *c = arg;
    size_t at;

    while ((at = atomic_fetch_add(&c->next, 1)) < c->image->info.layer_count) {
        struct wharf_error fault = { 0 };
        int r;

        if (!c->missing[at] || atomic_load(&c->result) < 0)
            continue;
        r = unpack_one(c, at, &fault);
        if (r == 0)
            continue;
        pthread_mutex_lock(&c->lock);
        if (atomic_load(&c->result) == 0) {
            atomic_store(&c->result, r);
            if (c->e)
                *c->e = fault;
        }
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
}

static void run_crew(struct crew *c, size_t hands)
{
    pthread_t threads[8];
    size_t n = 0;

    while (n + 1 < hands && n < ARRAY_SIZE(threads) &&
           pthread_create(&threads[n], NULL, work, c) == 0)
        n++;
    work(c);
    while (n-- > 0)
        pthread_join(threads[n], NULL);
}

static bool is_staged(const struct intake *in, const struct digest *chain)
{
    char name[IMAGE_DIGEST_MAX + 8];

    snprintf(name, sizeof(name), "layer-%s", digest_hex(chain));
    return faccessat(in->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_missing(const struct intake *in, const struct digest *chain)
{
    return !store_has_layer(in->store, chain->text) && !is_staged(in, chain);
}

static int unpack_missing(struct crew *c, size_t count, struct wharf_error *e)
{
    const struct image *image = c->image;
    int r;

    run_crew(c, MIN(count, (size_t)c->in->store->threads));
    r = atomic_load(&c->result);
    for (size_t i = 0; i < image->info.layer_count && r == 0; i++) {
        /* the same layer twice in a row has two chain ids, so each is placed once */
        if (c->missing[i])
            r = layer_place(&c->layers[i], c->in, image->chains, i, &image->chains[i], e);
    }
    return r;
}

/* Waits until nobody else unpacks the layer; the lock is held until the intake ends. Everybody
 * takes them base first, and a chain id stands for all layers below, so nobody waits in a circle.
 */
static int wait_for_others(struct intake *in, const struct digest *chain, struct wharf_error *e)
{
    int r = store_lock_content(in->store, "unpack", chain, true, &in->unpacking);

    return r < 0 ? err_code(e, r, "cannot lock image store '%s'", in->store->path) : 0;
}

int layers_unpack_from(struct intake *in, const struct image *image, struct layer_supply *supply,
                       struct reporter *reporter, struct wharf_error *e)
{
    size_t n = image->info.layer_count, count = 0;
    autofree struct layer *layers = calloc(n + 1, sizeof(*layers));
    autofree bool *missing = calloc(n + 1, sizeof(*missing));
    struct crew crew = { .in = in,
                         .image = image,
                         .supply = supply,
                         .reporter = reporter,
                         .layers = layers,
                         .missing = missing,
                         .e = e,
                         .lock = PTHREAD_MUTEX_INITIALIZER };
    int r = 0;

    if (!layers || !missing)
        return err_nomem(e);
    for (size_t i = 0; i < n; i++)
        layer_init(&layers[i]);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (!is_missing(in, &image->chains[i]))
            continue;
        r = wait_for_others(in, &image->chains[i], e);
        missing[i] = r == 0 && is_missing(in, &image->chains[i]);
        count += missing[i];
    }
    if (r == 0 && count > 0)
        r = unpack_missing(&crew, count, e);
    for (size_t i = 0; i < n; i++)
        layer_done(&layers[i]);
    return r < 0 ? r : count > 0;
}

int layers_unpack(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e)
{
    return layers_unpack_from(in, image, NULL, reporter, e);
}
