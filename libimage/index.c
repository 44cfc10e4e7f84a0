/* SPDX-License-Identifier: Apache-2.0 */
/* index.json. See index.h. */
#include "libimage/index.h"
#include "base/fd.h"
#include "base/str.h"

#include <sys/file.h>

int index_read(struct index_edit *x, struct image_store *store, struct wharf_error *e)
{
    autofree char *text = NULL;
    struct document check = { 0 };
    ssize_t n;
    int r;

    *x = (struct index_edit){ .store = store, .lock = -1 };
    n = file_read(store->root, "index.json", IMAGE_INDEX_MAX, &text);
    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s/index.json'", store->path);
    r = document_parse(&check, text, (size_t)n, "index.json", e);
    if (r == 0 && check.kind != DOCUMENT_INDEX)
        r = err_invalid(e, "'%s/index.json' is not an index", store->path);
    if (r == 0) {
        x->tree = json_incref(check.tree);
        x->list = json_object_get(x->tree, "manifests");
    }
    document_done(&check);
    return r;
}

int index_begin(struct index_edit *x, struct image_store *store, struct wharf_error *e)
{
    int lock = store_lock(store, "index", LOCK_EX), r;

    if (lock < 0)
        return err_code(e, lock, "cannot lock '%s/index.json'", store->path);
    r = index_read(x, store, e);
    x->lock = lock;
    return r;
}

int index_commit(struct index_edit *x, struct wharf_error *e)
{
    autofree char *text = NULL;
    int r;

    if (!x->changed)
        return 0;
    text = json_dumps(x->tree, JSON_COMPACT);
    if (!text)
        return err_nomem(e);
    if (strlen(text) > IMAGE_INDEX_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "'%s/index.json' would pass %d bytes",
                       x->store->path, IMAGE_INDEX_MAX);
    r = file_replace(x->store->root, "index.json", text, strlen(text), 0644, true);
    if (r < 0)
        return err_code(e, r, "cannot replace '%s/index.json'", x->store->path);
    if (fsync(x->store->root) < 0)
        return err_sys(e, "cannot write '%s' to disk", x->store->path);
    x->changed = false;
    return 0;
}

void index_end(struct index_edit *x)
{
    json_decref(x->tree);
    x->tree = NULL;
    if (x->store)
        x->lock = fd_close(x->lock);
    x->store = NULL;
}

bool index_entry_name(json_t *entry, char *name)
{
    json_t *notes = json_object_get(entry, "annotations");
    const char *keys[] = { ANNOTATION_NAME, ANNOTATION_REF };
    struct image_reference ref;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *text = json_text(notes, keys[i]);

        if (text && *text && image_reference_parse(&ref, text, NULL) == 0 && !ref.digest[0]) {
            image_reference_format(&ref, 0, name);
            return true;
        }
    }
    return false;
}

const char *index_entry_digest(json_t *entry)
{
    return json_string_value(json_object_get(entry, "digest"));
}

json_t *index_find_name(const struct index_edit *x, const char *name)
{
    char have[IMAGE_REFERENCE_MAX];
    json_t *entry;
    size_t i;

    json_array_foreach (x->list, i, entry) {
        if (index_entry_name(entry, have) && streq(have, name))
            return entry;
    }
    return NULL;
}

bool index_has_digest(const struct index_edit *x, const char *digest)
{
    json_t *entry;
    size_t i;

    json_array_foreach (x->list, i, entry) {
        if (streq(index_entry_digest(entry), digest))
            return true;
    }
    return false;
}

static void drop_annotations(json_t *entry)
{
    json_t *notes = json_object_get(entry, "annotations");

    json_object_del(notes, ANNOTATION_NAME);
    json_object_del(notes, ANNOTATION_REF);
    if (json_object_size(notes) == 0)
        json_object_del(entry, "annotations");
}

/* Takes a name away from whoever has it; the last entry of its manifest stays, without the name. */
static void take_name(struct index_edit *x, const char *name)
{
    json_t *entry = index_find_name(x, name), *other;
    size_t i;

    if (!entry)
        return;
    x->changed = true;
    drop_annotations(entry);
    json_array_foreach (x->list, i, other) {
        if (other != entry && streq(index_entry_digest(other), index_entry_digest(entry)))
            break;
    }
    if (i == json_array_size(x->list))
        return;
    json_array_foreach (x->list, i, other) {
        if (other == entry) {
            json_array_remove(x->list, i);
            return;
        }
    }
}

/* Entries without a name say nothing beside one with. */
static void drop_nameless(struct index_edit *x, const char *digest)
{
    char have[IMAGE_REFERENCE_MAX];

    for (size_t i = json_array_size(x->list); i-- > 0;) {
        json_t *entry = json_array_get(x->list, i);

        if (streq(index_entry_digest(entry), digest) && !index_entry_name(entry, have))
            json_array_remove(x->list, i);
    }
}

int index_put(struct index_edit *x, const char *media_type, const struct digest *digest,
              int64_t size, const char *name)
{
    json_t *entry = name ? index_find_name(x, name) : NULL, *added;

    if (entry ? streq(index_entry_digest(entry), digest->text)
              : !name && index_has_digest(x, digest->text))
        return 0;
    /* first of all: `media_type` may point into an entry that goes below */
    added = json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest->text, "size",
                      (json_int_t)size);
    if (added && name &&
        json_object_set_new(added, "annotations",
                            json_pack("{s:s, s:s}", ANNOTATION_REF, name, ANNOTATION_NAME, name)))
        return -ENOMEM;
    if (name) {
        take_name(x, name);
        drop_nameless(x, digest->text);
    }
    x->changed = true;
    return json_array_append_new(x->list, added) < 0 ? -ENOMEM : 0;
}

int index_drop(struct index_edit *x, const char *digest, const char *name)
{
    char have[IMAGE_REFERENCE_MAX];
    int gone = 0;

    for (size_t i = json_array_size(x->list); i-- > 0;) {
        json_t *entry = json_array_get(x->list, i);

        if (!streq(index_entry_digest(entry), digest) ||
            (name && !(index_entry_name(entry, have) && streq(have, name))))
            continue;
        json_array_remove(x->list, i);
        x->changed = true;
        gone++;
    }
    return gone;
}
