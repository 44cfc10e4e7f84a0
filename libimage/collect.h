/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collection: what neither index.json nor a root refers to is deleted. It runs only while nobody
 * holds the lease, so nothing can be on its way in. When somebody does, the file `layers/wanted`
 * stays behind and the last intake collects when it ends.
 */
#ifndef LIBIMAGE_COLLECT_H
#define LIBIMAGE_COLLECT_H

#include "libimage/store.h"

void collect_if_wanted(struct image_store *store);

#endif
