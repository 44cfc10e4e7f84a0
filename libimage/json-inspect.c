/* SPDX-License-Identifier: Apache-2.0 */
/* GET /images/{name}/json and /history: one image in the Docker API's form. */
#include "libimage/json-image.h"
#include "base/buf.h"
#include "base/str.h"

#define NEVER "0001-01-01T00:00:00Z"

static json_t *config_tree(const struct image *image)
{
    struct json_limits limits = { .size = IMAGE_DOCUMENT_MAX, .depth = 64 };
    json_t *tree = NULL;

    json_read(image->config, image->config_len, limits, image->id.text, &tree, NULL);
    return tree;
}

static json_t *text_json(json_t *object, const char *key)
{
    const char *text = json_text(object, key);

    return json_string(text ? text : "");
}

/* The configuration's own member, without what is null. */
static json_t *settings_json(json_t *config)
{
    json_t *all = json_object(), *value;
    const char *key;

    json_object_foreach (json_object_get(config, "config"), key, value) {
        if (!json_is_null(value))
            json_object_set(all, key, value);
    }
    return all;
}

/* Where the unpacked layers are, as the overlay driver of dockerd tells it. */
static json_t *driver_json(struct image_store *store, const struct image *image)
{
    autobuf struct buf lower = BUF(1 << 20);
    autofree char *upper = NULL;
    size_t n = image->info.layer_count;
    json_t *data = json_object();

    for (size_t i = n; i-- > 0;) {
        const char *hex = digest_hex(&image->chains[i]);

        if (i + 1 == n)
            upper = str_format("%s/layers/sha256/%s/fs", store->path, hex);
        else
            buf_printf(&lower, "%s%s/layers/sha256/%s/fs", lower.len ? ":" : "", store->path, hex);
    }
    if (lower.data)
        json_object_set_new(data, "LowerDir", json_string(lower.data));
    if (upper)
        json_object_set_new(data, "UpperDir", json_string(upper));
    return json_pack("{s:s, s:o}", "Name", "overlay2", "Data", data);
}

static json_t *layers_json(const struct image *image)
{
    json_t *list = json_array();

    for (size_t i = 0; i < image->info.layer_count; i++)
        json_array_append_new(list, json_string(image->diffs[i].text));
    return json_pack("{s:s, s:o}", "Type", "layers", "Layers", list);
}

/* An empty comment gives way to that of the last step, as with dockerd. */
static json_t *comment_json(json_t *config)
{
    json_t *history = json_object_get(config, "history");
    const char *comment = json_text(config, "comment");
    size_t n = json_array_size(history);

    if (n > 0 && (!comment || !*comment))
        return text_json(json_array_get(history, n - 1), "comment");
    return json_string(comment ? comment : "");
}

static json_t *inspect_json(struct image_store *store, const struct catalog_item *item)
{
    const struct image *image = item->image;
    const struct image_info *f = &image->info;
    autojson json_t *config = config_tree(image);
    json_t *j = json_pack(
        "{s:s, s:o, s:o, s:s, s:o, s:s, s:o, s:s, s:o, s:s, s:s, s:I, s:o, s:o, s:{s:s}, s:o}",
        "Id", image->id.text, "RepoTags", names_json(item->tags, true), "RepoDigests",
        names_json(item->digests, true), "Parent", "", "Comment", comment_json(config), "Created",
        *f->created ? f->created : NEVER, "DockerVersion", text_json(config, "docker_version"),
        "Author", f->author, "Config", settings_json(config), "Architecture", f->architecture, "Os",
        f->os, "Size", (json_int_t)item->bytes, "GraphDriver", driver_json(store, image), "RootFS",
        layers_json(image), "Metadata", "LastTagTime", NEVER, "Descriptor", descriptor_json(image));

    if (j && *f->variant)
        json_object_set_new(j, "Variant", json_string(f->variant));
    if (j && *f->os_version)
        json_object_set_new(j, "OsVersion", json_string(f->os_version));
    return j;
}

static int find(struct catalog *c, struct image_store *store, const char *reference,
                const struct catalog_item **ret, struct wharf_error *e)
{
    struct wharf_error reason = { 0 };
    int r = catalog_read(c, store, e);

    if (r < 0)
        return r;
    *ret = catalog_find(c, store, reference, &reason);
    if (*ret)
        return 0;
    if (e)
        *e = reason;
    return -reason.code;
}

int image_inspect_json(struct image_store *store, const char *reference, char **ret,
                       struct wharf_error *e)
{
    const struct catalog_item *item;
    autocatalog struct catalog c = { 0 };
    int r = find(&c, store, reference, &item, e);

    return r < 0 ? r : json_answer(inspect_json(store, item), ret, e);
}

static json_t *step_json(json_t *step, int64_t size)
{
    const char *created = json_text(step, "created");
    int64_t at = 0;

    if (created)
        time_parse(created, &at);
    return json_pack("{s:s, s:I, s:o, s:n, s:I, s:o}", "Id", "<missing>", "Created", (json_int_t)at,
                     "CreatedBy", text_json(step, "created_by"), "Tags", "Size", (json_int_t)size,
                     "Comment", text_json(step, "comment"));
}

/* Newest first. Steps that made no layer have no size; layers without a step get an empty one. */
static json_t *history_json(struct image_store *store, const struct catalog_item *item)
{
    const struct image *image = item->image;
    autojson json_t *config = config_tree(image);
    json_t *history = json_object_get(config, "history"), *list = json_array(), *step, *first;
    size_t layer = 0, i;

    json_array_foreach (history, i, step) {
        bool empty =
            json_is_true(json_object_get(step, "empty_layer")) || layer >= image->info.layer_count;
        int64_t size = empty ? 0 : MAX(layer_bytes(store, &image->chains[layer]), 0);

        layer += !empty;
        json_array_insert_new(list, 0, step_json(step, size));
    }
    for (; layer < image->info.layer_count; layer++)
        json_array_insert_new(list, 0,
                              step_json(NULL, MAX(layer_bytes(store, &image->chains[layer]), 0)));
    first = json_array_get(list, 0);
    if (first) {
        json_object_set_new(first, "Id", json_string(image->id.text));
        if (item->tags)
            json_object_set_new(first, "Tags", names_json(item->tags, true));
    }
    return list;
}

int image_history_json(struct image_store *store, const char *reference, char **ret,
                       struct wharf_error *e)
{
    const struct catalog_item *item;
    autocatalog struct catalog c = { 0 };
    int r = find(&c, store, reference, &item, e);

    return r < 0 ? r : json_answer(history_json(store, item), ret, e);
}
