/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces that several answers in the Docker API's form have. */
#ifndef LIBIMAGE_JSON_IMAGE_H
#define LIBIMAGE_JSON_IMAGE_H

#include "libimage/catalog.h"

json_t *names_json(char *const *names, bool short_form);
json_t *labels_json(const struct image *image);
json_t *descriptor_json(const struct image *image);
/* The children of the indexes that lead to an image; empty where none does. */
json_t *manifests_json(struct image_store *store, const struct catalog_item *item);

/* Takes the tree over and writes it. */
int json_answer(json_t *tree, char **ret, struct wharf_error *e);

#endif
