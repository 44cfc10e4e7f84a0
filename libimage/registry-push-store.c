/* SPDX-License-Identifier: Apache-2.0 */
/* A push out of a store. */
#include "libimage/index.h"
#include "libimage/registry-push.h"
#include "libimage/resolve.h"
#include "base/str.h"

struct store_source {
    struct push_source base;
    struct image_store *store;
    struct index_edit index;
    const struct image_reference *target;
};

static int read_document(struct push_source *self, const struct digest *digest, char **ret,
                         size_t *ret_len, struct wharf_error *e)
{
    struct store_source *s = (struct store_source *)self;

    return store_read_blob(s->store, -1, digest, IMAGE_DOCUMENT_MAX, ret, ret_len, e);
}

static int open_blob(struct push_source *self, const struct descriptor *d, struct wharf_error *e)
{
    struct store_source *s = (struct store_source *)self;
    int fd = store_open_blob(s->store, -1, &d->digest);

    return fd < 0 ? err_code(e, fd, "blob '%s' is not in the store", d->digest.text) : fd;
}

static bool manifest_has(struct store_source *s, const char *digest, const struct digest *blob)
{
    auto_of(image_free) struct image *image = NULL;
    struct digest top;
    bool found = false;

    if (digest_parse(&top, digest, "index.json", NULL) < 0 ||
        opened_read(s->store, -1, &top, &image, NULL) < 0)
        return false;
    for (size_t i = 0; i < image->info.layer_count && !found; i++)
        found = digest_equal(&image->blobs[i], blob);
    return found;
}

/* By what our names say: another image of ours in the same registry. */
static bool find_lender(struct push_source *self, const struct digest *blob,
                        char from[IMAGE_NAME_MAX + 1])
{
    struct store_source *s = (struct store_source *)self;
    char name[IMAGE_REFERENCE_MAX];
    struct image_reference ref;
    json_t *entry;
    size_t i;

    json_array_foreach (s->index.list, i, entry) {
        if (!index_entry_name(entry, name) || image_reference_parse(&ref, name, NULL) < 0 ||
            !streq(ref.domain, s->target->domain) || streq(ref.path, s->target->path) ||
            !manifest_has(s, index_entry_digest(entry), blob))
            continue;
        memcpy(from, ref.path, sizeof(ref.path));
        return true;
    }
    return false;
}

/* True if all children of an index, or the index' own manifest, are in the store. */
static bool is_whole(struct image_store *store, const struct digest *digest)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    bool whole = true;
    size_t len;

    if (store_read_blob(store, -1, digest, IMAGE_DOCUMENT_MAX, &text, &len, NULL) < 0 ||
        document_parse(&d, text, len, digest->text, NULL) < 0)
        return false;
    for (size_t i = 0; d.kind == DOCUMENT_INDEX && i < d.count && whole; i++) {
        int fd = store_open_blob(store, -1, &d.items[i].digest);

        whole = fd >= 0;
        fd_close(fd);
    }
    return whole;
}

static int find_image(struct store_source *s, const char *reference, struct digest *ret,
                      struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;
    struct resolved found = { 0 };
    int r = resolve(s->store, &s->index, reference, &found, e);

    if (r == -ENOENT)
        return err_not_found(e, "An image does not exist locally with the tag: %s", reference);
    if (r < 0)
        return r;
    image = found.image;
    *ret = is_whole(s->store, &found.top) ? found.top : image->digest;
    return 0;
}

static int push_one(struct store_source *s, const char *reference,
                    const struct image_remote_options *options, struct wharf_error *e)
{
    struct push p = { .source = &s->base };
    struct digest top;
    int r = find_image(s, reference, &top, e);

    if (r == 0)
        r = push_init(&p, reference, options, e);
    s->target = &p.ref;
    if (r == 0)
        r = push_all(&p, &top, e);
    push_done(&p);
    return r;
}

/* Every name that the store has in the repository of `reference`. */
static int push_names(struct store_source *s, const char *reference,
                      const struct image_remote_options *options, struct wharf_error *e)
{
    struct image_reference wanted, ref;
    char name[IMAGE_REFERENCE_MAX];
    json_t *entry;
    size_t i, count = 0;
    int r = image_reference_parse(&wanted, reference, e);

    json_array_foreach (s->index.list, i, entry) {
        if (r < 0 || !index_entry_name(entry, name) ||
            image_reference_parse(&ref, name, NULL) < 0 || !streq(ref.domain, wanted.domain) ||
            !streq(ref.path, wanted.path))
            continue;
        count++;
        r = push_one(s, name, options, e);
    }
    if (r == 0 && count == 0)
        return err_not_found(e, "An image does not exist locally with the tag: %s", reference);
    return r;
}

int image_push(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct wharf_error *e)
{
    struct store_source s = { .base = { read_document, open_blob, find_lender }, .store = store };
    struct image_remote_options o = { 0 };
    int r = index_read(&s.index, store, e);

    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    if (r == 0)
        r = o.all_tags ? push_names(&s, reference, options, e)
                       : push_one(&s, reference, options, e);
    index_end(&s.index);
    return r;
}
