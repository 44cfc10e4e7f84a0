/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as a person sees it: an image once, by its id, with every name and digest that leads to
 * it, what it takes on disk and how many containers use it. (index.json has an entry a name, and
 * the same configuration may stand in several manifests.) It is a snapshot; the documents in the
 * Docker API's forms are written from it.
 */
#ifndef LIBIMAGE_CATALOG_H
#define LIBIMAGE_CATALOG_H

#include "libimage/index.h"
#include "libimage/opened.h"

struct catalog_item {
    struct image *image;
    char **tops;           /* digests in index.json that lead to it */
    char **tags;           /* full names */
    char **digests;        /* docker.io/library/busybox@sha256:.. */
    int64_t created;       /* seconds since 1970; 0: not said */
    int64_t bytes, shared; /* of its unpacked layers; of those that another image has too */
    size_t containers;
    bool hidden; /* by a filter */
};

struct catalog {
    struct catalog_item *items; /* newest first */
    size_t count;
    int64_t bytes; /* of all unpacked layers of all images, each once */
};

int catalog_read(struct catalog *c, struct image_store *store, struct wharf_error *e);
void catalog_done(struct catalog *c);
#define autocatalog __attribute__((cleanup(catalog_done)))

/* The image that `reference` finds, or NULL with -ENOENT, "No such image: ..". */
const struct catalog_item *catalog_find(const struct catalog *c, struct image_store *store,
                                        const char *reference, struct wharf_error *e);

/* Hides what the API's filter document does not let through. `known`: names of the filters that the
 * operation takes, ended by NULL. -EINVAL. */
int catalog_filter(struct catalog *c, struct image_store *store, const char *filters,
                   const char *const *known, struct wharf_error *e);
/* True if a filter names `value`, in either form; `given` (may be NULL): the filter is there. */
int filter_has(const char *filters, const char *name, const char *value, bool *given);

/* Unpacked bytes of a layer, from its layer.json; -1: it is not unpacked. */
int64_t layer_bytes(struct image_store *store, const struct digest *chain);
/* RFC 3339 to seconds since 1970. -EINVAL. */
int time_parse(const char *text, int64_t *ret);

#endif
