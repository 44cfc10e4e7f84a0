/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of a pull: this thread downloads, others unpack what is there so far (growing.h). When
 * one side fails the other is told, and the error of who failed first is the pull's.
 */
#include "libimage/registry-pull.h"

struct unpacking {
    struct layer_supply supply;
    struct pull *pull;
    struct image *image;
    struct downloads downloads;
    pthread_t thread;
    int result;
    struct wharf_error error;
};

/* A layer that is on its way, or one that the store has packed. */
struct layer_input {
    union {
        struct source base;
        struct growing_source growing;
        struct file_source file;
    };
    int fd; /* of the store's; -1: it is on its way */
};

static int open_layer(struct layer_supply *self, size_t at, struct source **ret,
                      struct wharf_error *e)
{
    struct unpacking *u = (struct unpacking *)self;
    const struct digest *digest = &u->image->blobs[at];
    autofree struct layer_input *in = calloc(1, sizeof(*in));
    int r = in ? 0 : err_nomem(e);

    if (r < 0)
        return r;
    in->fd = -1;
    for (size_t i = 0; i < u->downloads.count; i++) {
        struct download *d = &u->downloads.list[i];

        if (!digest_equal(&d->d->digest, digest))
            continue;
        r = growing_source_init(&in->growing, &d->file, e);
        if (r == 0)
            *ret = &take_ptr(&in)->base;
        return r;
    }
    in->fd = store_open_blob(u->pull->store, u->pull->in.dir, digest);
    if (in->fd < 0)
        return err_code(e, in->fd, "layer '%s' is not in the store", digest->text);
    r = file_source_init(&in->file, in->fd, digest->text, e);
    if (r < 0)
        fd_close(in->fd);
    else
        *ret = &take_ptr(&in)->base;
    return r;
}

static void close_layer(struct layer_supply *self, struct source *source)
{
    struct layer_input *in = (struct layer_input *)source;

    (void)self;
    if (in->fd < 0)
        growing_source_done(&in->growing);
    else
        file_source_done(&in->file);
    fd_close(in->fd);
    free(in);
}

static void *unpack(void *arg)
{
    struct unpacking *u = arg;
    struct pull *p = u->pull;

    u->result = layers_unpack_from(&p->in, u->image, &u->supply, &p->reporter, &u->error);
    if (u->result < 0) {
        atomic_store(&u->downloads.stop, u->result);
        curl_multi_wakeup(p->remote.multi);
    }
    return NULL;
}

/* What docker tells of each layer before the first byte. */
static int announce(struct pull *p, const struct unpacking *u, struct wharf_error *e)
{
    const struct image *image = u->image;
    size_t coming = 0;
    int r = 0;

    for (size_t i = 0; i < image->info.layer_count && r == 0; i++) {
        const char *status = "Pulling fs layer";
        bool here = true;

        for (size_t k = 0; k < u->downloads.count && here; k++)
            here = !digest_equal(&u->downloads.list[k].d->digest, &image->blobs[i]);
        if (here && (p->options.keep_packed || store_has_layer(p->store, image->chains[i].text)))
            status = "Already exists";
        coming += !here;
        r = reporter_say(&p->reporter, image->blobs[i].text, status, 0, 0, e);
        if (r == 0 && coming > 3 && !here)
            r = reporter_say(&p->reporter, image->blobs[i].text, "Waiting", 0, 0, e);
    }
    return r;
}

static int run(struct unpacking *u, struct wharf_error *e)
{
    struct pull *p = u->pull;
    struct wharf_error fault = { 0 };
    int r;

    if (p->options.keep_packed)
        return downloads_run(&u->downloads, p, e);
    if (pthread_create(&u->thread, NULL, unpack, u) != 0)
        return err_nomem(e);
    r = downloads_run(&u->downloads, p, &fault);
    if (r < 0)
        downloads_fail(&u->downloads, r);
    pthread_join(u->thread, NULL);
    /* whoever stopped the other has the reason */
    if (atomic_load(&u->downloads.stop) && (r == 0 || !fault.code)) {
        r = u->result;
        fault = u->error;
    }
    if (r < 0 && e)
        *e = fault;
    return r;
}

int pull_layers(struct pull *p, const struct document *manifest, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    struct unpacking u = { .supply = { open_layer, close_layer }, .pull = p };
    int r = opened_read(p->store, p->in.dir, &p->manifest, &image, e);

    u.image = image;
    if (r == 0)
        r = downloads_plan(&u.downloads, p, manifest, true, e);
    if (r == 0)
        r = announce(p, &u, e);
    if (r == 0)
        r = run(&u, e);
    downloads_done(&u.downloads);
    return r;
}
