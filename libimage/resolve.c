/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a person types to an image: names first, then digests, then ids. An id is not in
 * index.json, so looking for one opens every image: their number is small, their documents too.
 */
#include "libimage/resolve.h"
#include "base/str.h"

enum { ID_PREFIX_MIN = 3 };

int resolve_names(const struct index_edit *x, const char *digest, char ***ret)
{
    char name[IMAGE_REFERENCE_MAX];
    autostrv char **names = NULL;
    json_t *entry;
    size_t i;

    json_array_foreach (x->list, i, entry) {
        if (streq(index_entry_digest(entry), digest) && index_entry_name(entry, name) &&
            strv_add(&names, name) < 0)
            return -ENOMEM;
    }
    *ret = take_ptr(&names);
    return 0;
}

static int open_entry(struct image_store *store, const struct index_edit *x, const char *text,
                      struct resolved *ret, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    autostrv char **names = NULL;
    struct digest digest;
    int r = digest_parse(&digest, text, "index.json", e);

    if (r == 0)
        r = opened_read(store, -1, &digest, &image, e);
    if (r < 0)
        return r;
    if (resolve_names(x, text, &names) < 0 || opened_set_names(image, names) < 0)
        return err_nomem(e);
    ret->top = digest;
    ret->image = take_ptr(&image);
    return 0;
}

static bool id_matches(const char *id, const char *prefix, size_t len)
{
    return strncmp(id + strlen("sha256:"), prefix, len) == 0;
}

/* By digest of a manifest or index, or by id: unique among the ids. */
static int find_id(struct image_store *store, const struct index_edit *x, const char *text,
                   struct resolved *ret, struct wharf_error *e)
{
    const char *hex = str_after(text, "sha256:");
    auto_of(image_free) struct image *found = NULL;
    struct digest top = { "" };
    json_t *entry;
    size_t i, len;

    hex = hex ? hex : text;
    len = strlen(hex);
    if (len < ID_PREFIX_MIN || len > 64 || strspn(hex, "0123456789abcdef") != len)
        return -ENOENT;
    json_array_foreach (x->list, i, entry) {
        struct resolved one = { 0 };

        if (open_entry(store, x, index_entry_digest(entry), &one, NULL) < 0)
            continue; /* a damaged image must not hide the others */
        if (!id_matches(one.image->id.text, hex, len) &&
            !(len == 64 &&
              (streq(one.top.text + 7, hex) || streq(one.image->digest.text + 7, hex)))) {
            image_free(one.image);
            continue;
        }
        if (found && !digest_equal(&found->id, &one.image->id)) {
            image_free(one.image);
            return err_set(e, -ENOTUNIQ, WHARF_ERROR_CONFLICT,
                           "'%s' is the beginning of several image ids", text);
        }
        image_free(found);
        found = one.image;
        top = one.top;
    }
    if (!found)
        return -ENOENT;
    ret->top = top;
    ret->image = take_ptr(&found);
    return 0;
}

/* The entry of NAME, or of NAME@DIGEST: any entry of the repository with that digest. */
static json_t *find_name(const struct index_edit *x, struct image_reference *ref)
{
    char name[IMAGE_REFERENCE_MAX];
    struct image_reference have;
    json_t *entry;
    size_t i;

    if (!ref->digest[0]) {
        image_reference_format(ref, 0, name);
        return index_find_name(x, name);
    }
    json_array_foreach (x->list, i, entry) {
        if (streq(index_entry_digest(entry), ref->digest) && index_entry_name(entry, name) &&
            image_reference_parse(&have, name, NULL) == 0 && streq(have.domain, ref->domain) &&
            streq(have.path, ref->path))
            return entry;
    }
    return NULL;
}

int resolve(struct image_store *store, const struct index_edit *x, const char *text,
            struct resolved *ret, struct wharf_error *e)
{
    struct image_reference ref;
    struct wharf_error reason = { 0 };
    char familiar[IMAGE_REFERENCE_MAX];
    json_t *entry = NULL;
    int named, r;

    named = image_reference_parse(&ref, text, &reason);
    if (named == 0 && (entry = find_name(x, &ref))) {
        r = open_entry(store, x, index_entry_digest(entry), ret, e);
        if (r == 0 && !ref.digest[0])
            image_reference_format(&ref, 0, ret->name);
        return r;
    }
    r = find_id(store, x, text, ret, e);
    if (r != -ENOENT)
        return r;
    if (named < 0 && !str_after(text, "sha256:") &&
        strspn(text, "0123456789abcdef") != strlen(text)) {
        if (e)
            *e = reason;
        return named;
    }
    if (named < 0)
        return err_not_found(e, "No such image: %s", text);
    image_reference_format(&ref, 1, familiar);
    return err_not_found(e, "No such image: %s", familiar); /* clients look for these words */
}

int image_open(struct image_store *store, const char *reference, struct image **ret,
               struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    struct resolved found = { 0 };
    int r = index_read(&x, store, e);

    if (r == 0)
        r = resolve(store, &x, reference, &found, e);
    if (r == 0)
        *ret = found.image;
    return r;
}

int image_list(struct image_store *store, image_visit visit, void *arg, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    int r = index_read(&x, store, e), count = 0;

    for (size_t i = r < 0 ? 0 : json_array_size(x.list); i-- > 0;) {
        const char *digest = index_entry_digest(json_array_get(x.list, i));
        struct resolved one = { 0 };
        bool seen = false;

        for (size_t later = i + 1; later < json_array_size(x.list) && !seen; later++)
            seen = streq(index_entry_digest(json_array_get(x.list, later)), digest);
        if (seen || open_entry(store, &x, digest, &one, NULL) < 0)
            continue;
        count++;
        r = visit(one.image, arg);
        image_free(one.image);
        if (r != 0)
            break;
    }
    return r < 0 ? r : count;
}

static int64_t entry_size(const struct index_edit *x, const char *digest, const char **ret_type)
{
    json_t *entry;
    size_t i;

    json_array_foreach (x->list, i, entry) {
        if (streq(index_entry_digest(entry), digest)) {
            *ret_type = json_text(entry, "mediaType");
            return json_integer_value(json_object_get(entry, "size"));
        }
    }
    return 0;
}

int image_tag(struct image_store *store, const char *reference, const char *name,
              struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    autoindex struct index_edit x = { 0 };
    struct resolved found = { 0 };
    struct image_reference ref;
    char full[IMAGE_REFERENCE_MAX];
    const char *type = "";
    int64_t size;
    int r = image_reference_parse(&ref, name, e);

    if (r < 0)
        return r;
    if (ref.digest[0])
        return err_invalid(e, "'%s' carries a digest: it cannot be a new name", name);
    image_reference_format(&ref, 0, full);
    r = index_begin(&x, store, e);
    if (r == 0)
        r = resolve(store, &x, reference, &found, e);
    if (r < 0)
        return r;
    image = found.image;
    size = entry_size(&x, found.top.text, &type);
    if (index_put(&x, type, &found.top, size, full) < 0)
        return err_nomem(e);
    return index_commit(&x, e);
}
