/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving: an archive that every reader understands. It is an OCI layout, whose `index.json` keeps
 * digests and names (podman, skopeo, umoci, docker since 25, wharf), and beside it `manifest.json`
 * and `repositories`, by which older docker finds the same blobs. [D] They go out as they are
 * stored, packed: loaders look at a layer's bytes, not at its name.
 */
#include "libimage/index.h"
#include "libimage/resolve.h"
#include "libimage/tarout.h"
#include "base/fd.h"
#include "base/str.h"

#include <sys/file.h>
#include <sys/stat.h>

struct save {
    struct image_store *store;
    struct image_save_options o;
    struct tarout out;
    const char *what; /* the blob at work */
    int64_t what_size;
    json_t *blobs;        /* digest -> size, in order */
    json_t *index;        /* index.json's list */
    json_t *manifests;    /* manifest.json, an entry an image id .. */
    json_t *by_id;        /* .. found by it */
    json_t *repositories; /* name -> tag -> top layer */
    int64_t created;
};

static int want_blob(struct save *s, const struct digest *digest, int64_t size)
{
    return json_object_set_new(s->blobs, digest->text, json_integer(size)) < 0 ? -ENOMEM : 0;
}

/* Everything below a manifest or index that is here; an index may lack other platforms. */
static int want_tree(struct save *s, const struct digest *digest, unsigned depth,
                     struct wharf_error *e)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    int r = store_read_blob(s->store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, e);

    if (r == 0)
        r = document_parse(&d, text, len, digest->text, e);
    if (r < 0 || depth >= IMAGE_INDEX_DEPTH_MAX)
        return r;
    r = want_blob(s, digest, (int64_t)len);
    if (r == 0 && d.kind == DOCUMENT_MANIFEST)
        r = want_blob(s, &d.config.digest, d.config.size);
    for (size_t i = 0; i < d.count && r == 0; i++) {
        autoclose int fd = -1;

        if (d.kind == DOCUMENT_MANIFEST) {
            r = want_blob(s, &d.items[i].digest, d.items[i].size);
            continue;
        }
        fd = store_open_blob(s->store, -1, &d.items[i].digest);
        if (fd >= 0)
            r = want_tree(s, &d.items[i].digest, depth + 1, e);
    }
    return r == -ENOMEM ? err_nomem(e) : r;
}

static json_t *member_name(const struct digest *digest)
{
    char path[DIGEST_PATH_MAX];
    autofree char *name = NULL;

    digest_path(digest, path);
    name = str_format("blobs/%s", path);
    return name ? json_string(name) : NULL;
}

/* The entry of manifest.json: an image once, with all its tags. */
static json_t *manifest_entry(struct save *s, const struct image *image)
{
    json_t *entry = json_object_get(s->by_id, image->id.text), *layers;

    if (entry)
        return entry;
    layers = json_array();
    for (size_t i = 0; i < image->info.layer_count; i++)
        json_array_append_new(layers, member_name(&image->blobs[i]));
    entry = json_pack("{s:o, s:[], s:o}", "Config", member_name(&image->id), "RepoTags", "Layers",
                      layers);
    if (!entry || json_object_set_new(s->by_id, image->id.text, entry) < 0 ||
        json_array_append(s->manifests, entry) < 0)
        return NULL;
    return entry;
}

static int add_tag(struct save *s, const struct image *image, const char *name)
{
    size_t n = image->info.layer_count;
    struct image_reference ref;
    char familiar[IMAGE_REFERENCE_MAX], *colon;
    json_t *tags;

    if (image_reference_parse(&ref, name, NULL) < 0)
        return -EINVAL;
    image_reference_format(&ref, 1, familiar);
    json_array_append_new(json_object_get(manifest_entry(s, image), "RepoTags"),
                          json_string(familiar));
    colon = strrchr(familiar, ':');
    *colon = 0;
    tags = json_object_get(s->repositories, familiar);
    if (!tags) {
        tags = json_object();
        if (json_object_set_new(s->repositories, familiar, tags) < 0)
            return -ENOMEM;
    }
    return json_object_set_new(
        tags, ref.tag, json_string(n ? digest_hex(&image->chains[n - 1]) : digest_hex(&image->id)));
}

/* An image under a name, or (NULL) under none. */
static int add_image(struct save *s, const struct image *image, const struct digest *top,
                     const char *media_type, const char *name, struct wharf_error *e)
{
    json_t *entry;
    struct stat st;
    autoclose int fd = store_open_blob(s->store, -1, top);
    int r = want_tree(s, top, 0, e);

    if (r < 0)
        return r;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(e, "cannot read blob '%s'", top->text);
    entry = json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", top->text, "size",
                      (json_int_t)st.st_size);
    if (entry && name)
        json_object_set_new(entry, "annotations",
                            json_pack("{s:s, s:s}", ANNOTATION_NAME, name, ANNOTATION_REF, name));
    if (!entry || json_array_append_new(s->index, entry) < 0 || !manifest_entry(s, image))
        return err_nomem(e);
    return name && add_tag(s, image, name) < 0 ? err_nomem(e) : 0;
}

static const char *media_type_of(const struct index_edit *x, const char *digest)
{
    json_t *entry;
    size_t i;

    json_array_foreach (x->list, i, entry) {
        if (streq(index_entry_digest(entry), digest))
            return json_text(entry, "mediaType");
    }
    return MEDIA_MANIFEST;
}

static int add_reference(struct save *s, const struct index_edit *x, const char *reference,
                         struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    struct resolved found = { 0 };
    int r = resolve(s->store, x, reference, &found, e);

    if (r < 0)
        return r;
    image = found.image;
    return add_image(s, image, &found.top, media_type_of(x, found.top.text),
                     found.name[0] ? found.name : NULL, e);
}

/* True if a repository is meant: no tag, no digest, and the store has names in it. */
static bool add_repository(struct save *s, const struct index_edit *x, const char *reference,
                           int *ret, struct wharf_error *e)
{
    struct image_reference wanted, ref;
    char name[IMAGE_REFERENCE_MAX];
    const char *last = strrchr(reference, '/');
    bool any = false;
    json_t *entry;
    size_t i;

    *ret = 0;
    if (strchr(last ? last : reference, ':') || strchr(reference, '@') ||
        image_reference_parse(&wanted, reference, NULL) < 0)
        return false;
    json_array_foreach (x->list, i, entry) {
        if (!index_entry_name(entry, name) || image_reference_parse(&ref, name, NULL) < 0 ||
            !streq(ref.domain, wanted.domain) || !streq(ref.path, wanted.path))
            continue;
        any = true;
        if (*ret == 0)
            *ret = add_reference(s, x, name, e);
    }
    return any;
}

/* ---- writing ---- */

static int on_step(struct tarout *out, int64_t done)
{
    struct save *s = out->arg;
    struct image_progress p = {
        .step = IMAGE_STEP_READ, .what = s->what, .done = done, .total = s->what_size
    };

    return s->o.progress && s->o.progress(&p, s->o.arg) ? -ECANCELED : 0;
}

static int write_json(struct save *s, const char *name, json_t *tree)
{
    autofree char *text = json_dumps(tree, JSON_COMPACT);

    return text ? tarout_text(&s->out, name, text, (int64_t)strlen(text), s->created) : -ENOMEM;
}

static int write_blobs(struct save *s, struct wharf_error *e)
{
    const char *text;
    json_t *size;
    int r = 0;

    json_object_foreach (s->blobs, text, size) {
        char path[DIGEST_PATH_MAX + 8] = "blobs/";
        autoclose int fd = -1;
        struct digest digest;

        if (digest_parse(&digest, text, "blob", e) < 0)
            return -EINVAL;
        fd = store_open_blob(s->store, -1, &digest);
        if (fd < 0)
            return err_code(e, fd, "blob '%s' is not in the store", text);
        digest_path(&digest, path + strlen("blobs/"));
        s->what = text;
        s->what_size = json_integer_value(size);
        r = tarout_file(&s->out, path, fd, s->what_size, s->created);
        if (r < 0)
            break;
    }
    return r;
}

static int write_all(struct save *s, struct wharf_error *e)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    autojson json_t *index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType",
                                       MEDIA_INDEX, "manifests", s->index);
    int r = index ? 0 : -ENOMEM;

    if (r == 0)
        r = tarout_text(&s->out, "oci-layout", layout, sizeof(layout) - 1, s->created);
    if (r == 0)
        r = write_json(s, "index.json", index);
    if (r == 0)
        r = write_json(s, "manifest.json", s->manifests);
    if (r == 0 && json_object_size(s->repositories))
        r = write_json(s, "repositories", s->repositories);
    if (r == 0)
        r = tarout_directory(&s->out, "blobs", s->created);
    if (r == 0)
        r = tarout_directory(&s->out, "blobs/sha256", s->created);
    if (r == 0)
        r = write_blobs(s, e);
    if (r == 0)
        r = tarout_end(&s->out);
    if (r == -ECANCELED)
        return err_set(e, r, WHARF_ERROR_CONFLICT, "saving: cancelled");
    return r < 0 && !(e && e->code) ? err_code(e, r, "cannot write the image archive") : r;
}

static int save(struct save *s, const char *const *references, struct wharf_error *e)
{
    autoclose int lease = store_lock(s->store, "lease", LOCK_SH); /* nothing is collected */
    autoindex struct index_edit x = { 0 };
    int r = lease < 0 ? err_code(e, lease, "cannot lock image store '%s'", s->store->path)
                      : index_read(&x, s->store, e);

    if (r == 0 && !*references)
        r = err_invalid(e, "no image to save");
    for (; *references && r == 0; references++) {
        if (!add_repository(s, &x, *references, &r, e))
            r = add_reference(s, &x, *references, e);
    }
    return r < 0 ? r : write_all(s, e);
}

int image_save(struct image_store *store, const char *const *references, int fd,
               const struct image_save_options *options, struct wharf_error *e)
{
    autojson json_t *blobs = json_object(), *index = json_array(), *manifests = json_array(),
                    *by_id = json_object(), *repositories = json_object();
    struct save s = { .store = store,
                      .out = { .fd = fd, .step = on_step },
                      .blobs = blobs,
                      .index = index,
                      .manifests = manifests,
                      .by_id = by_id,
                      .repositories = repositories };

    if (!blobs || !index || !manifests || !by_id || !repositories)
        return err_nomem(e);
    if (options)
        memcpy(&s.o, options, MIN(options->size, sizeof(s.o)));
    s.out.arg = &s;
    return save(&s, references, e);
}
