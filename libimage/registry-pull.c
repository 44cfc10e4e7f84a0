/* SPDX-License-Identifier: Apache-2.0 */
/* A pull from end to end: mirrors in turn, then the registry itself; then all is published as a
 * load is. See registry-pull.h. */
#include "libimage/registry-pull.h"
#include "base/str.h"

enum { TAGS_MAX = 100000 };

static int greet(struct pull *p, struct wharf_error *e)
{
    autofree char *status = str_format("Pulling from %s", p->ref.path);

    if (p->greeted)
        return 0;
    p->greeted = true;
    return reporter_say(&p->reporter, p->ref.digest[0] ? p->reference : p->ref.tag, status, 0, 0,
                        e);
}

static int pull_config(struct pull *p, const struct document *manifest, struct wharf_error *e)
{
    struct downloads config;
    int r = downloads_plan(&config, p, manifest, false, e);

    if (r == 0)
        r = downloads_run(&config, p, e);
    downloads_done(&config);
    return r;
}

static int fetch_from(struct pull *p, const char *mirror, struct wharf_error *e)
{
    autodocument struct document manifest = { 0 };
    int r = remote_init(&p->remote, &p->ref, mirror, NULL, &p->options, e);

    if (r == 0)
        r = pull_manifest(p, &manifest, e);
    if (r == 0)
        r = greet(p, e);
    if (r == 0)
        r = pull_config(p, &manifest, e);
    if (r == 0)
        r = pull_layers(p, &manifest, e);
    remote_done(&p->remote);
    return r;
}

static int fetch(struct pull *p, struct wharf_error *e)
{
    const char *const *mirrors = streq(p->ref.domain, "docker.io") ? p->options.mirrors : NULL;

    for (; mirrors && *mirrors; mirrors++) {
        int r = fetch_from(p, *mirrors, e);

        /* another server makes no room on this disk */
        if (r == 0 || r == -ECANCELED || r == -ENOSPC || r == -EDQUOT)
            return r;
    }
    return fetch_from(p, NULL, e);
}

/* The last two lines of docker's stream. */
static int conclude(struct pull *p, bool fresh, struct wharf_error *e)
{
    autofree char *digest = str_format("Digest: %s", p->top.text), *status = NULL;
    char name[IMAGE_REFERENCE_MAX];
    int r;

    image_reference_format(&p->ref, 1, name);
    status = str_format("Status: %s for %s",
                        fresh ? "Downloaded newer image" : "Image is up to date", name);
    if (!digest || !status)
        return err_nomem(e);
    r = reporter_say(&p->reporter, NULL, digest, 0, 0, e);
    return r < 0 ? r : reporter_say(&p->reporter, NULL, status, 0, 0, e);
}

static int name_image(struct pull *p, bool named, bool *ret_fresh, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    char name[IMAGE_REFERENCE_MAX];
    json_t *before;
    int r = index_begin(&x, p->store, e);

    if (r < 0)
        return r;
    image_reference_format(&p->ref, 0, name);
    before = named ? index_find_name(&x, name) : NULL;
    *ret_fresh = named ? !before || !streq(index_entry_digest(before), p->top.text)
                       : !index_has_digest(&x, p->top.text);
    if (index_put(&x, p->media_type, &p->top, p->top_size, named ? name : NULL) < 0)
        return err_nomem(e);
    return index_commit(&x, e);
}

static int commit(struct pull *p, struct image **ret, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    char name[IMAGE_REFERENCE_MAX];
    char *names[] = { name, NULL };
    bool named = !p->ref.digest[0], fresh;
    int r = opened_read(p->store, p->in.dir, &p->manifest, &image, e);

    if (r == 0)
        r = reporter_tell(&p->reporter, IMAGE_STEP_COMMIT, p->reference, 0, -1, e);
    if (r == 0)
        r = intake_publish(&p->in, e);
    if (r == 0)
        r = name_image(p, named, &fresh, e);
    image_reference_format(&p->ref, 0, name);
    if (r == 0 && named && opened_set_names(image, names) < 0)
        r = err_nomem(e);
    if (r == 0)
        conclude(p, fresh, NULL); /* it is there: too late to cancel */
    if (r == 0 && ret)
        *ret = take_ptr(&image);
    return r;
}

static int pull_one(struct image_store *store, const char *reference,
                    const struct image_reference *ref, const struct image_remote_options *options,
                    struct image **ret_image, struct wharf_error *e)
{
    struct pull p = { .reference = reference, .ref = *ref, .store = store, .options = *options };
    int r;

    p.reporter = (struct reporter){ .progress = options->progress,
                                    .arg = options->arg,
                                    .tell = options->tell,
                                    .tell_arg = options->tell_arg,
                                    .unpacking = options->tell ? "Extracting" : NULL,
                                    .unpacked = options->tell ? "Pull complete" : NULL };
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

/* Every tag that the repository has. */
static int pull_all(struct image_store *store, struct image_reference *ref,
                    const struct image_remote_options *options, struct wharf_error *e)
{
    autostrv char **tags = NULL;
    int r = remote_tags(ref, options, &tags, TAGS_MAX, e);

    for (char **tag = tags; r == 0 && tag && *tag; tag++) {
        char name[IMAGE_REFERENCE_MAX];

        snprintf(ref->tag, sizeof(ref->tag), "%s", *tag);
        image_reference_format(ref, 1, name);
        r = pull_one(store, name, ref, options, NULL, e);
    }
    return r;
}

int image_pull(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct image **ret_image,
               struct wharf_error *e)
{
    struct image_remote_options o = { 0 };
    struct image_reference ref;
    int r = image_reference_parse(&ref, reference, e);

    if (r < 0)
        return r;
    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    if (o.all_tags)
        return pull_all(store, &ref, &o, e);
    return pull_one(store, reference, &ref, &o, ret_image, e);
}
