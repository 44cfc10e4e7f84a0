/* SPDX-License-Identifier: Apache-2.0 */
/* Finding images by what a person types. See resolve.c. */
#ifndef LIBIMAGE_RESOLVE_H
#define LIBIMAGE_RESOLVE_H

#include "libimage/index.h"
#include "libimage/opened.h"

struct resolved {
    struct image *image; /* the caller frees it */
    struct digest top;   /* what index.json names: the manifest, or an index that led to it */
    char name[IMAGE_REFERENCE_MAX]; /* the full name it was found by; empty: by digest or id */
};

int resolve(struct image_store *store, const struct index_edit *x, const char *text,
            struct resolved *ret, struct wharf_error *e);
/* The full names of what index.json calls `digest`. */
int resolve_names(const struct index_edit *x, const char *digest, char ***ret);

#endif
