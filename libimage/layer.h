/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers on disk: layers/sha256/HEX/fs is the tree in overlayfs form, HEX the hex of its chain id,
 * beside it layer.json {diff_id, bytes, entries}. Layers are unpacked apart from each other,
 * several at a time; then, base first, each is given what it takes from the layers below and its
 * name. Of two processes that come to the same layer the second waits for the first (`unpack`
 * in store.h) and takes what it made; an import, whose layer nobody knows yet, may do it twice.
 */
#ifndef LIBIMAGE_LAYER_H
#define LIBIMAGE_LAYER_H

#include "libimage/extract.h"
#include "libimage/feed.h"
#include "libimage/opened.h"

struct layer {
    char name[INTAKE_NAME_MAX]; /* directory in the intake */
    int dir, fs;
    struct extract extract;
    struct digest diff;
};
void layer_init(struct layer *l);
void layer_done(struct layer *l);

/* Makes the directory and unpacks what the feed has. */
int layer_fill(struct layer *l, struct intake *in, struct feed *feed, struct wharf_error *e);
/* Gives it its place in a chain: attributes from the layers below, its name in the intake. `lower`:
 * chain ids of the layers below, base first. */
int layer_place(struct layer *l, struct intake *in, const struct digest *lower, size_t lower_count,
                const struct digest *chain, struct wharf_error *e);

/* Where the packed bytes of an image's layers come from while they are not in the store yet. */
struct layer_supply {
    /* A source for layer `at`, which layer_supply.close gives back; called in several threads. */
    int (*open)(struct layer_supply *self, size_t at, struct source **ret, struct wharf_error *e);
    void (*close)(struct layer_supply *self, struct source *source);
};

/* Unpacks the layers of an image that the store lacks; the caller publishes. 1 if there were any.
 */
int layers_unpack_from(struct intake *in, const struct image *image, struct layer_supply *supply,
                       struct reporter *reporter, struct wharf_error *e);
/* The same from blobs in the store or the intake. */
int layers_unpack(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e);

#endif
