/* SPDX-License-Identifier: Apache-2.0 */
/* Reading manifests and indexes. See document.h. */
#include "libimage/document.h"
#include "base/str.h"

#include <sys/utsname.h>

const char *json_text(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value))
        return "";
    return json_string_value(value);
}

bool media_is_index(const char *media_type)
{
    return streq(media_type, MEDIA_INDEX) || streq(media_type, MEDIA_LIST);
}

bool media_is_manifest(const char *media_type)
{
    return streq(media_type, MEDIA_MANIFEST) || streq(media_type, MEDIA_MANIFEST_V2);
}

/* Reads members that are strings into `out`, "" where missing. */
static int read_texts(json_t *object, const char *const keys[], const char **const out[],
                      const char *what, struct wharf_error *e)
{
    for (size_t i = 0; keys[i]; i++) {
        const char *text = json_text(object, keys[i]);

        if (!text)
            return err_invalid(e, "%s: member '%s' is not a string", what, keys[i]);
        *out[i] = text;
    }
    return 0;
}

static int descriptor_parse(struct descriptor *ret, json_t *j, const char *what,
                            struct wharf_error *e)
{
    json_t *platform = json_object_get(j, "platform"), *notes = json_object_get(j, "annotations");
    json_t *size = json_object_get(j, "size");
    struct descriptor d = { .json = j };
    const char *digest = json_text(j, "digest");
    int r;

    if (!json_is_object(j))
        return err_invalid(e, "%s: a descriptor is not an object", what);
    if (!digest || !*digest)
        return err_invalid(e, "%s: a descriptor has no digest", what);
    r = digest_parse(&d.digest, digest, what, e);
    if (r < 0)
        return r;
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return err_invalid(e, "%s: descriptor '%.80s' has no valid size", what, digest);
    d.size = json_integer_value(size);
    if ((platform && !json_is_object(platform)) || (notes && !json_is_object(notes)))
        return err_invalid(e, "%s: descriptor '%.80s': platform and annotations are objects", what,
                           digest);
    r = read_texts(j, (const char *[]){ "mediaType", NULL }, (const char **[]){ &d.media_type },
                   what, e);
    if (r == 0)
        r = read_texts(platform, (const char *[]){ "architecture", "os", "variant", NULL },
                       (const char **[]){ &d.architecture, &d.os, &d.variant }, what, e);
    if (r == 0)
        r = read_texts(notes, (const char *[]){ ANNOTATION_REF, ANNOTATION_NAME, NULL },
                       (const char **[]){ &d.ref_name, &d.image_name }, what, e);
    if (r == 0)
        *ret = d;
    return r;
}

/* Which kind it is, by members and by mediaType, which must not contradict each other. */
static int find_kind(struct document *d, const char *what, struct wharf_error *e)
{
    bool manifests = json_object_get(d->tree, "manifests");
    bool layers = json_object_get(d->tree, "layers") || json_object_get(d->tree, "config");

    d->media_type = json_text(d->tree, "mediaType");
    if (!d->media_type)
        return err_invalid(e, "%s: member 'mediaType' is not a string", what);
    if (json_object_get(d->tree, "fsLayers"))
        return err_unsupported(e, "%s: a schema 1 manifest; convert the image to schema 2", what);
    if (manifests && layers)
        return err_invalid(e, "%s: is a manifest and an index at the same time", what);
    if (!manifests && !layers)
        return err_invalid(e, "%s: is neither a manifest nor an index", what);
    d->kind = manifests ? DOCUMENT_INDEX : DOCUMENT_MANIFEST;
    if (manifests ? media_is_manifest(d->media_type) : media_is_index(d->media_type))
        return err_invalid(e, "%s: mediaType '%.100s' contradicts its members", what,
                           d->media_type);
    if (!*d->media_type)
        d->media_type = manifests ? MEDIA_INDEX : MEDIA_MANIFEST;
    if (json_integer_value(json_object_get(d->tree, "schemaVersion")) != 2)
        return err_invalid(e, "%s: schemaVersion is not 2", what);
    return 0;
}

static int parse_items(struct document *d, const char *what, struct wharf_error *e)
{
    bool manifest = d->kind == DOCUMENT_MANIFEST;
    json_t *list = json_object_get(d->tree, manifest ? "layers" : "manifests"), *item;
    size_t i;

    if (!json_is_array(list))
        return err_invalid(e, "%s: '%s' is not a list", what, manifest ? "layers" : "manifests");
    if (manifest && json_array_size(list) > IMAGE_LAYERS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "%s: %zu layers, the limit is %d", what,
                       json_array_size(list), IMAGE_LAYERS_MAX);
    d->items = calloc(json_array_size(list) + 1, sizeof(*d->items));
    if (!d->items)
        return err_nomem(e);
    json_array_foreach (list, i, item) {
        int r = descriptor_parse(&d->items[i], item, what, e);

        if (r < 0)
            return r;
        d->count++;
    }
    return manifest ? descriptor_parse(&d->config, json_object_get(d->tree, "config"), what, e) : 0;
}

int document_parse(struct document *ret, const char *text, size_t len, const char *what,
                   struct wharf_error *e)
{
    struct json_limits limits = { .size = IMAGE_INDEX_MAX, .depth = 32, .fold_case = true };
    struct document d = { 0 };
    int r = json_read(text, len, limits, what, &d.tree, e);

    if (r == 0 && !json_is_object(d.tree))
        r = err_invalid(e, "%s: is not an object", what);
    if (r == 0)
        r = find_kind(&d, what, e);
    if (r == 0)
        r = parse_items(&d, what, e);
    if (r < 0)
        document_done(&d);
    else
        *ret = d;
    return r;
}

void document_done(struct document *d)
{
    json_decref(d->tree);
    free(d->items);
    *d = (struct document){ 0 };
}

/* uname's machine -> GOARCH, and the variants that this kind of machine runs, best first. */
static const struct {
    const char *machine, *architecture;
    const char *variants[6];
} platforms[] = {
    { "x86_64", "amd64", { "v1", "" } },
    { "aarch64", "arm64", { "v8", "" } },
    { "armv7l", "arm", { "v7", "v6", "v5", "" } },
    { "armv6l", "arm", { "v6", "v5", "" } },
    { "i686", "386", { "" } },
    { "ppc64le", "ppc64le", { "power8", "" } },
    { "s390x", "s390x", { "" } },
    { "riscv64", "riscv64", { "rva20u64", "" } },
    { "loongarch64", "loong64", { "" } },
};

static size_t this_platform(void)
{
    struct utsname u;

    if (uname(&u) == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(platforms); i++) {
            if (streq(u.machine, platforms[i].machine))
                return i;
        }
    }
    return 0;
}

const char *platform_architecture(void)
{
    return platforms[this_platform()].architecture;
}

/* 0: does not fit; else the smaller the better. */
static size_t fits(const struct descriptor *d)
{
    size_t self = this_platform();

    if (!*d->architecture && !*d->os)
        return 1;
    if (!streq(d->architecture, platforms[self].architecture) || !streq(d->os, "linux"))
        return 0;
    for (size_t i = 0; platforms[self].variants[i]; i++) {
        if (streq(d->variant, platforms[self].variants[i]))
            return *d->variant ? i + 1 : 1;
    }
    return 0;
}

const struct descriptor *document_pick(const struct document *index)
{
    const struct descriptor *best = NULL;
    size_t rank = 0;

    for (size_t i = 0; i < index->count; i++) {
        const struct descriptor *d = &index->items[i];
        size_t f = media_is_index(d->media_type) || media_is_manifest(d->media_type) ? fits(d) : 0;

        if (f && (!best || f < rank)) {
            best = d;
            rank = f;
        }
    }
    return best;
}
