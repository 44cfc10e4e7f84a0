/* SPDX-License-Identifier: Apache-2.0 */
/* Which root uses which image: a file per root in layers/roots, text: the digest of the manifest.
 */
#ifndef LIBIMAGE_ROOTS_H
#define LIBIMAGE_ROOTS_H

#include "libimage/store.h"

/* True if a root uses the manifest; its name goes to `user` (IMAGE_TAG_MAX + 1 bytes, may be NULL).
 */
bool roots_use(struct image_store *store, const char *digest, char *user);
bool roots_name_valid(const char *name);
/* -ENOENT: nobody has that name. */
int roots_get(struct image_store *store, const char *name, struct digest *ret);
/* -EEXIST: the name is taken for another image. `durable`: also after a power cut. */
int roots_put(struct image_store *store, const char *name, const struct digest *digest,
              bool durable, struct wharf_error *e);

#endif
