/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importing a root file system: the one place where a layer comes with nothing to check it against,
 * so one pass does all: the bytes are hashed and kept as the blob, decoded, hashed again for the
 * diff id, and unpacked. A tar that was cut is told by its missing end.
 */
#include "libimage/changes.h"
#include "libimage/index.h"
#include "libimage/layer.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>

struct import {
    struct image_import_options o;
    struct reporter reporter;
    struct intake in;
    struct layer layer;
    struct image *base; /* NULL: none */
    struct digest blob;
    int64_t blob_size;
    const char *compression;
    char name[IMAGE_REFERENCE_MAX]; /* empty: none */
};

static int take_layer(struct import *i, struct feed *feed, struct wharf_error *e)
{
    int r = layer_fill(&i->layer, &i->in, feed, e);

    if (r < 0)
        return r;
    if (!tap_ended_with_zeros(&feed->plain))
        return err_set(e, -ENODATA, WHARF_ERROR_CORRUPT, "'%s': tar archive is cut short",
                       feed->o.what);
    hasher_end(&feed->raw.hasher, &i->blob);
    i->blob_size = feed->raw.bytes;
    i->compression = decoder_name(feed->decoder);
    return 0;
}

static int read_layer(struct import *i, int fd, struct wharf_error *e)
{
    char part[INTAKE_NAME_MAX];
    autoclose int copy = intake_create(&i->in, part, e);
    struct image_store *store = i->in.store;
    struct file_source file;
    autofeed struct feed feed = { 0 };
    struct feed_options options = {
        .what = "root file system",
        .limits = &store->limits,
        .bytes_max = store->limits.layer_bytes,
        .bytes_name = "layer_bytes",
        .copy = copy,
        .hash = true,
        .reporter = &i->reporter,
        .step = IMAGE_STEP_UNPACK,
        .total = -1,
    };
    int r;

    if (copy < 0)
        return copy;
    r = file_source_init(&file, fd, options.what, e);
    if (r == 0)
        r = feed_open(&feed, &file.base, options, e);
    if (r == 0)
        r = take_layer(i, &feed, e);
    file_source_done(&file);
    if (r == 0 &&
        (intake_name_blob(&i->in, part, &i->blob) < 0 || intake_want_blob(&i->in, &i->blob) < 0))
        r = err_sys(e, "cannot write to image store '%s'", store->path);
    /* what lies on others is unpacked when it is first used, and its chain is known */
    if (r == 0 && !i->base && !store_has_layer(store, i->layer.diff.text))
        r = layer_place(&i->layer, &i->in, NULL, 0, &i->layer.diff, e);
    return r;
}

static void format_time(int64_t seconds, char text[32])
{
    time_t at = seconds ? (time_t)seconds : time(NULL);
    struct tm tm;

    gmtime_r(&at, &tm);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* A member of a document of the base image; NULL without one. */
static json_t *base_list(const struct import *i, bool manifest, const char *outer, const char *name)
{
    size_t len;
    const char *text = !i->base   ? "{}"
                       : manifest ? image_manifest(i->base, &len)
                                  : image_config(i->base, &len);
    autojson json_t *document = json_loads(text, 0, NULL);
    json_t *at = outer ? json_object_get(document, outer) : document;
    json_t *list = json_object_get(at, name);

    return json_is_array(list) ? json_incref(list) : json_array();
}

static json_t *history_entry(const struct import *i, const char *created)
{
    const char *comment = i->o.comment ? i->o.comment : i->base ? "" : "imported";
    json_t *entry = json_pack("{s:s}", "created", created);

    if (i->o.created_by)
        json_object_set_new(entry, "created_by", json_string(i->o.created_by));
    if (i->o.author)
        json_object_set_new(entry, "author", json_string(i->o.author));
    if (*comment)
        json_object_set_new(entry, "comment", json_string(comment));
    return entry;
}

static json_t *given_config(const struct import *i, struct wharf_error *e)
{
    json_t *config = NULL;

    if (!i->o.config)
        return json_object();
    if (json_read(i->o.config, strlen(i->o.config), JSON_LIMITS, "config", &config, e) < 0)
        return NULL;
    return config;
}

static int make_config(struct import *i, json_t **ret, struct wharf_error *e)
{
    const char *machine = i->o.architecture ? i->o.architecture : platform_architecture();
    json_t *diff_ids = base_list(i, false, "rootfs", "diff_ids");
    json_t *history = base_list(i, false, NULL, "history"), *config = given_config(i, e);
    autojson json_t *top = NULL;
    char created[32];
    int r = 0;

    format_time(i->o.created, created);
    json_array_append_new(diff_ids, json_string(i->layer.diff.text));
    json_array_append_new(history, history_entry(i, created));
    top = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:o}, s:o}", "created", created, "architecture",
                    machine, "os", "linux", "config", config, "rootfs", "type", "layers",
                    "diff_ids", diff_ids, "history", history);
    if (!top)
        return e && e->code ? -e->code
                            : err_invalid(e, "comment, author or architecture is not UTF-8");
    if (i->o.author)
        json_object_set_new(top, "author", json_string(i->o.author));
    if (i->o.variant)
        json_object_set_new(top, "variant", json_string(i->o.variant));
    for (const char *const *c = i->o.changes; c && *c && r == 0; c++)
        r = change_apply(json_object_get(top, "config"), *c, e);
    if (r == 0)
        *ret = json_incref(top);
    return r;
}

static int add_json(struct import *i, json_t *j, struct digest *ret, int64_t *ret_size,
                    struct wharf_error *e)
{
    autofree char *text = json_dumps(j, JSON_COMPACT);

    if (!text)
        return err_nomem(e);
    *ret_size = (int64_t)strlen(text);
    return intake_add_blob(&i->in, text, strlen(text), ret, e);
}

static int add_documents(struct import *i, struct digest *ret, int64_t *ret_size,
                         struct wharf_error *e)
{
    autojson json_t *config = NULL, *manifest = NULL;
    autofree char *layer_type = NULL;
    struct digest id;
    int64_t size;
    int r = make_config(i, &config, e);

    if (r == 0)
        r = add_json(i, config, &id, &size, e);
    if (r < 0)
        return r;
    layer_type = str_format("%s%s%s", MEDIA_LAYER, *i->compression ? "+" : "", i->compression);
    if (!layer_type)
        return err_nomem(e);
    json_t *layers = base_list(i, true, NULL, "layers");
    json_array_append_new(layers, json_pack("{s:s, s:s, s:I}", "mediaType", layer_type, "digest",
                                            i->blob.text, "size", (json_int_t)i->blob_size));
    manifest = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "mediaType",
                         MEDIA_MANIFEST, "config", "mediaType", MEDIA_CONFIG, "digest", id.text,
                         "size", (json_int_t)size, "layers", layers);
    return manifest ? add_json(i, manifest, ret, ret_size, e) : err_nomem(e);
}

static int name_image(struct import *i, const struct digest *digest, int64_t size,
                      struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    int r = index_begin(&x, i->in.store, e);

    if (r < 0)
        return r;
    if (index_put(&x, MEDIA_MANIFEST, digest, size, i->name[0] ? i->name : NULL) < 0)
        return err_nomem(e);
    return index_commit(&x, e);
}

static int open_new(struct import *i, const struct digest *digest, struct image **ret,
                    struct wharf_error *e)
{
    char *names[] = { i->name[0] ? i->name : NULL, NULL };
    auto_of(image_free) struct image *image = NULL;
    int r = opened_read(i->in.store, -1, digest, &image, e);

    if (r == 0 && opened_set_names(image, names) < 0)
        r = err_nomem(e);
    if (r == 0)
        *ret = take_ptr(&image);
    return r;
}

static int import(struct import *i, int fd, struct image **ret, struct wharf_error *e)
{
    struct digest digest;
    int64_t size;
    int r = read_layer(i, fd, e);

    if (r == 0)
        r = add_documents(i, &digest, &size, e);
    if (r == 0)
        r = reporter_tell(&i->reporter, IMAGE_STEP_COMMIT, digest.text, 0, -1, e);
    if (r == 0)
        r = intake_publish(&i->in, e);
    if (r == 0)
        r = name_image(i, &digest, size, e);
    return r < 0 || !ret ? r : open_new(i, &digest, ret, e);
}

int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 struct image **ret, struct wharf_error *e)
{
    struct import i = { .reporter.lock = PTHREAD_MUTEX_INITIALIZER };
    struct image_reference ref;
    int r = 0;

    if (options)
        memcpy(&i.o, options, MIN(options->size, sizeof(i.o)));
    if (i.o.name)
        r = image_reference_parse(&ref, i.o.name, e);
    if (r < 0)
        return r;
    if (i.o.name && ref.digest[0])
        return err_invalid(e, "'%s' carries a digest: it cannot be a new name", i.o.name);
    if (i.o.name)
        image_reference_format(&ref, 0, i.name);
    i.reporter.progress = i.o.progress;
    i.reporter.arg = i.o.arg;
    layer_init(&i.layer);
    r = intake_begin(&i.in, store, e); /* from now on nothing is collected */
    if (r == 0 && i.o.base)
        r = image_open(store, i.o.base, &i.base, e);
    if (r == 0)
        r = import(&i, fd, ret, e);
    image_free(i.base);
    layer_done(&i.layer);
    intake_end(&i.in);
    return r;
}
