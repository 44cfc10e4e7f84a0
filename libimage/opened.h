/* SPDX-License-Identifier: Apache-2.0 */
/* An opened image: manifest and configuration, read, checked against each other, and parsed into
 * one arena. [I manifest, config] */
#ifndef LIBIMAGE_OPENED_H
#define LIBIMAGE_OPENED_H

#include "base/arena.h"
#include "libimage/store.h"

struct image {
    struct image_info info;
    struct arena *arena;
    char *config, *manifest;
    size_t config_len, manifest_len;
    struct digest id, digest; /* of configuration and manifest */
    struct digest *blobs, *diffs, *chains;
};

/* Reads the image of a manifest or index, from the staging directory too. `names`: none yet. */
int opened_read(struct image_store *store, int staging, const struct digest *digest,
                struct image **ret, struct wharf_error *e);
/* Fills in the names that index.json has for it (`index_digests`: the manifest, or the index that
 * led to it). */
int opened_set_names(struct image *image, char *const *names);
DEFINE_AUTO(struct image, image_free)

/* Parses a configuration alone (the fuzz target's door): fills image->info from image->config. */
int opened_parse_config(struct image *image, const char *what, struct wharf_error *e);

#endif
