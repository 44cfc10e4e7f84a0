/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push at work: bytes go from a source, which is a store or, for a copy, another registry, into
 * one repository. First what a manifest names, then the manifest, the tag last; so a registry never
 * shows an image that is not whole. Blobs go side by side, each worker with connections of its own.
 */
#ifndef LIBIMAGE_REGISTRY_PUSH_H
#define LIBIMAGE_REGISTRY_PUSH_H

#include "libimage/feed.h"
#include "libimage/registry-client.h"

struct push;
struct push_source {
    /* A manifest or index, checked by its digest. */
    int (*read)(struct push_source *self, const struct digest *digest, char **ret, size_t *ret_len,
                struct wharf_error *e);
    /* A blob, whole and checked, to read from offset 0; called in several threads. */
    int (*open)(struct push_source *self, const struct descriptor *d, struct wharf_error *e);
    /* A repository of the same registry that should have the blob; false: none is known. */
    bool (*lender)(struct push_source *self, const struct digest *blob,
                   char from[IMAGE_NAME_MAX + 1]);
};

struct push {
    const char *reference;
    struct image_reference ref;
    struct image_remote_options options;
    struct push_source *source;
    struct reporter reporter;
    struct remote remote;
};
/* Takes reference, target and options; ends with push_done. */
int push_init(struct push *p, const char *reference, const struct image_remote_options *options,
              struct wharf_error *e);
void push_done(struct push *p);

/* All below `digest` and the document itself, under the reference's tag (or its digest). */
int push_all(struct push *p, const struct digest *digest, struct wharf_error *e);

/* One blob by way of `remote`. `label`: the digest that people are told. */
int push_blob(struct push *p, struct remote *remote, const struct descriptor *d, const char *label,
              struct wharf_error *e);

#endif
