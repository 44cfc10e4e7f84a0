/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.json: which manifests are images, and their names. An entry is a descriptor; a named one
 * has its full name in both annotations (skopeo and umoci look for the first, containerd for the
 * second), a nameless one (dangling, or loaded without a name) has none. A manifest with three
 * names has three entries. Entries and members that other programs wrote are kept.
 */
#ifndef LIBIMAGE_INDEX_H
#define LIBIMAGE_INDEX_H

#include "libimage/store.h"

struct index_edit {
    struct image_store *store;
    int lock; /* -1: only reading */
    json_t *tree, *list;
    bool changed;
};

int index_read(struct index_edit *x, struct image_store *store, struct wharf_error *e);
int index_begin(struct index_edit *x, struct image_store *store, struct wharf_error *e);
/* Replaces the file if something changed. */
int index_commit(struct index_edit *x, struct wharf_error *e);
/* Gives up what was not committed; takes a zeroed one. */
void index_end(struct index_edit *x);
#define autoindex __attribute__((cleanup(index_end)))

/* The name of an entry in full; false: it has none. `name` holds IMAGE_REFERENCE_MAX bytes. */
bool index_entry_name(json_t *entry, char *name);
const char *index_entry_digest(json_t *entry);
/* The entry with this full name, or NULL. */
json_t *index_find_name(const struct index_edit *x, const char *name);
bool index_has_digest(const struct index_edit *x, const char *digest);

/* Names a manifest (NULL: an entry without a name, unless it has one). Who had the name before
 * keeps an entry without one. */
int index_put(struct index_edit *x, const char *media_type, const struct digest *digest,
              int64_t size, const char *name);
/* Removes one name, or (NULL) all entries of the digest. Returns how many entries went. */
int index_drop(struct index_edit *x, const char *digest, const char *name);

#endif
