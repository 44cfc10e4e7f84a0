/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a build that succeeded: configuration and manifest, everything durable at once, then
 * the names, then the records of the cache. When all of it was there already, nothing is written
 * and nothing synced: that is a build out of the cache.
 */
#include <strings.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/work.h"
#include "libimage/index.h"
#include "libimage/opened.h"

struct documents {
    struct digest config, manifest;
    int64_t manifest_size;
};

static json_t *descriptor(const char *type, const char *digest, int64_t size)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)size);
}

/* A blob that the store has is not written again. */
static int add_blob(struct job *job, const char *text, struct digest *ret, struct wharf_error *e)
{
    autoclose int there = -1;

    if (digest_of(text, strlen(text), ret) < 0)
        return err_nomem(e);
    there = store_open_blob(job->store, -1, ret);
    return there >= 0 ? 0 : intake_add_blob(&job->intake, text, strlen(text), ret, e);
}

static int make_documents(struct job *job, const struct state *st, struct documents *ret,
                          struct wharf_error *e)
{
    autofree char *config = state_config_text(st), *text = NULL;
    autojson json_t *layers = json_array(), *manifest = NULL;
    int r;

    if (!config || !layers)
        return err_invalid(e, "the image's configuration is not UTF-8");
    r = add_blob(job, config, &ret->config, e);
    for (size_t i = 0; i < st->layers.count && r == 0; i++) {
        const struct layer_ref *l = &st->layers.items[i];

        if (json_array_append_new(layers, descriptor(l->media_type, l->blob.text, l->size)) < 0)
            r = err_nomem(e);
    }
    if (r < 0)
        return r;
    manifest = json_pack(
        "{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType", MEDIA_MANIFEST, "config",
        descriptor(MEDIA_CONFIG, ret->config.text, (int64_t)strlen(config)), "layers", layers);
    text = manifest ? json_write(manifest, JSON_COMPACT) : NULL;
    if (!text)
        return err_nomem(e);
    ret->manifest_size = (int64_t)strlen(text);
    return add_blob(job, text, &ret->manifest, e);
}

/* The layers of the image are to be in the store, unpacked or not, whoever runs it. */
static int check_layers(struct job *job, const struct state *st, struct wharf_error *e)
{
    if (st->layers.count == 0)
        return err_invalid(e, "No image was generated. Is your Dockerfile empty?");
    for (size_t i = 0; i < st->layers.count; i++) {
        autoclose int blob =
            store_open_blob(job->store, job->intake.dir, &st->layers.items[i].blob);

        if (blob < 0)
            return err_code(e, blob, "layer '%s' is not in the store",
                            st->layers.items[i].blob.text);
    }
    return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool has_name(const struct index_edit *x, const char *name, const struct digest *digest)
{
    json_t *entry = index_find_name(x, name);

    return entry && streq(index_entry_digest(entry), digest->text);
}

static int full_name(const char *tag, char *ret, struct wharf_error *e)
{
    struct image_reference ref;
    int r = image_reference_parse(&ref, tag, e);

    if (r == 0 && ref.digest[0])
        r = err_invalid(e, "'%.200s' carries a digest: it cannot be a new name", tag);
    if (r == 0)
        image_reference_format(&ref, 0, ret);
    return r;
}

static int put_names(struct job *job, struct index_edit *x, const struct documents *d,
                     struct wharf_error *e)
{
    int r = 0;

    for (const char *const *tag = job->o.tags; tag && *tag && r == 0; tag++) {
        char name[IMAGE_REFERENCE_MAX];

        r = full_name(*tag, name, e);
        if (r == 0 && !has_name(x, name, &d->manifest))
            r = index_put(x, MEDIA_MANIFEST, &d->manifest, d->manifest_size, name) < 0
                    ? err_nomem(e)
                    : 0;
    }
    if (r == 0 && !index_has_digest(x, d->manifest.text))
        r = index_put(x, MEDIA_MANIFEST, &d->manifest, d->manifest_size, NULL) < 0 ? err_nomem(e)
                                                                                   : 0;
    return r;
}

static int name_image(struct job *job, const struct documents *d, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    int r = index_begin(&x, job->store, e);

    if (r == 0)
        r = put_names(job, &x, d, e);
    return r < 0 ? r : index_commit(&x, e);
}

static void tell_names(struct job *job)
{
    for (const char *const *tag = job->o.tags; tag && *tag; tag++) {
        struct image_reference ref;
        char name[IMAGE_REFERENCE_MAX];

        if (image_reference_parse(&ref, *tag, NULL) < 0)
            continue;
        image_reference_format(&ref, 1, name);
        job_tell(job, (struct build_event){ .type = BUILD_EVENT_TAGGED, .text = name });
    }
}

/* FROM alone is its image. */
static int base_documents(struct job *job, const char *id, struct documents *ret,
                          struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    size_t len;
    int r = image_open(job->store, id, &image, e);

    if (r < 0)
        return r;
    image_manifest(image, &len);
    ret->manifest_size = (int64_t)len;
    ret->config = image->id;
    return digest_parse(&ret->manifest, image_info(image)->digest, "manifest", e);
}

int job_finish(struct job *job, struct image **ret, struct wharf_error *e)
{
    const struct state *st = &job->stages[job->target].state;
    struct documents d;
    int r = check_layers(job, st, e);

    if (r == 0)
        r = st->id[0] ? base_documents(job, st->id, &d, e) : make_documents(job, st, &d, e);
    if (r == 0 && (job->intake.blobs || job->intake.layers)) {
        job_tell(job, (struct build_event){ .type = BUILD_EVENT_EXPORT, .id = d.config.text });
        r = intake_publish(&job->intake, e);
    }
    if (r == 0)
        r = name_image(job, &d, e);
    if (r == 0)
        r = cache_write(job, e);
    if (r < 0)
        return r;
    job_tell(job, (struct build_event){ .type = BUILD_EVENT_BUILT, .id = d.config.text });
    tell_names(job);
    return ret ? image_open(job->store, d.manifest.text, ret, e) : 0;
}
