/* SPDX-License-Identifier: Apache-2.0 */
/* GET /images/json and the images of GET /system/df: the catalog in the Docker API's form. */
#include "libimage/catalog.h"
#include "libimage/json-image.h"
#include "base/fd.h"
#include "base/str.h"

json_t *names_json(char *const *names, bool short_form)
{
    json_t *list = json_array();

    for (; names && *names; names++) {
        struct image_reference ref;
        char text[IMAGE_REFERENCE_MAX];

        if (image_reference_parse(&ref, *names, NULL) < 0)
            continue;
        image_reference_format(&ref, short_form, text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *labels_json(const struct image *image)
{
    json_t *object = json_object();

    for (const struct image_pair *p = image->info.labels; p && p->key; p++)
        json_object_set_new(object, p->key, json_string(p->value));
    return object;
}

json_t *descriptor_json(const struct image *image)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", image->info.media_type, "digest",
                     image->digest.text, "size", (json_int_t)image->manifest_len);
}

int json_answer(json_t *tree, char **ret, struct wharf_error *e)
{
    char *text = tree ? json_write(tree, JSON_COMPACT) : NULL;

    json_decref(tree);
    if (!text)
        return err_nomem(e);
    *ret = text;
    return 0;
}

static bool blob_size(struct image_store *store, const struct digest *digest, int64_t *total)
{
    autoclose int fd = store_open_blob(store, -1, digest);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    *total += st.st_size;
    return true;
}

/* What of a manifest is here: all, or not; and how many bytes. */
static bool content_of(struct image_store *store, const struct digest *digest, int64_t *total)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    bool whole;

    if (store_read_blob(store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, NULL) < 0 ||
        document_parse(&d, text, len, digest->text, NULL) < 0)
        return false;
    *total += (int64_t)len;
    whole = d.kind == DOCUMENT_MANIFEST && blob_size(store, &d.config.digest, total);
    for (size_t i = 0; i < d.count && d.kind == DOCUMENT_MANIFEST; i++)
        whole &= blob_size(store, &d.items[i].digest, total);
    return whole;
}

static json_t *child_json(struct image_store *store, const struct catalog_item *item,
                          const struct descriptor *d)
{
    const char *kind =
        json_text(json_object_get(d->json, "annotations"), "vnd.docker.reference.type");
    const char *subject =
        json_text(json_object_get(d->json, "annotations"), "vnd.docker.reference.digest");
    bool ours = digest_equal(&d->digest, &item->image->digest);
    int64_t content = 0, unpacked = ours ? item->bytes : 0;
    bool whole = content_of(store, &d->digest, &content);
    json_t *child =
        json_pack("{s:s, s:O, s:b, s:{s:I, s:I}, s:s}", "ID", d->digest.text, "Descriptor", d->json,
                  "Available", whole, "Size", "Total", (json_int_t)(content + unpacked), "Content",
                  (json_int_t)content, "Kind",
                  kind && streq(kind, "attestation-manifest") ? "attestation" : "image");

    if (kind && streq(kind, "attestation-manifest"))
        json_object_set_new(child, "AttestationData", json_pack("{s:s}", "For", subject));
    else
        json_object_set_new(child, "ImageData",
                            json_pack("{s:{s:s, s:s, s:s}, s:[], s:{s:I}}", "Platform",
                                      "architecture", d->architecture, "os", d->os, "variant",
                                      d->variant, "Containers", "Size", "Unpacked",
                                      (json_int_t)unpacked));
    return child;
}

json_t *manifests_json(struct image_store *store, const struct catalog_item *item)
{
    json_t *list = json_array();

    for (char **top = item->tops; *top; top++) {
        autodocument struct document d = { 0 };
        autofree char *text = NULL;
        struct digest digest;
        size_t len;

        if (digest_parse(&digest, *top, "index.json", NULL) < 0 ||
            store_read_blob(store, -1, &digest, IMAGE_DOCUMENT_MAX, &text, &len, NULL) < 0 ||
            document_parse(&d, text, len, *top, NULL) < 0)
            continue;
        for (size_t i = 0; i < d.count && d.kind == DOCUMENT_INDEX; i++)
            json_array_append_new(list, child_json(store, item, &d.items[i]));
    }
    return list;
}

static json_t *item_json(struct image_store *store, const struct catalog_item *item,
                         const struct image_query *q)
{
    json_t *j = json_pack(
        "{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:o}", "Id", item->image->id.text,
        "ParentId", "", "RepoTags", names_json(item->tags, true), "RepoDigests",
        names_json(item->digests, true), "Created", (json_int_t)item->created, "Size",
        (json_int_t)item->bytes, "SharedSize", (json_int_t)(q->shared_size ? item->shared : -1),
        "Labels", labels_json(item->image), "Containers", (json_int_t)item->containers,
        "Descriptor", descriptor_json(item->image));

    if (j && q->manifests)
        json_object_set_new(j, "Manifests", manifests_json(store, item));
    return j;
}

static json_t *list_json(struct image_store *store, const struct catalog *c,
                         const struct image_query *q)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->count; i++) {
        if (!c->items[i].hidden)
            json_array_append_new(list, item_json(store, &c->items[i], q));
    }
    return list;
}

int image_list_json(struct image_store *store, const struct image_query *query, char **ret,
                    struct wharf_error *e)
{
    static const char *const known[] = { "before", "dangling",  "label", "label!",
                                         "since",  "reference", "until", NULL };
    struct image_query q = { 0 };
    autocatalog struct catalog c = { 0 };
    int r;

    if (query)
        memcpy(&q, query, MIN(query->size, sizeof(q)));
    r = catalog_read(&c, store, e);
    if (r == 0)
        r = catalog_filter(&c, store, q.filters, known, e);
    return r < 0 ? r : json_answer(list_json(store, &c, &q), ret, e);
}

int image_df_json(struct image_store *store, char **ret, struct wharf_error *e)
{
    struct image_query q = { .shared_size = 1 };
    autocatalog struct catalog c = { 0 };
    int r = catalog_read(&c, store, e);

    if (r < 0)
        return r;
    return json_answer(json_pack("{s:I, s:o}", "LayersSize", (json_int_t)c.bytes, "Images",
                                 list_json(store, &c, &q)),
                       ret, e);
}
