/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder as a module (`wharf-build.so`; libimage/module.h says why). Link light.c for the
 * functions of build.h that load it, or the library for those that are in it.
 */
#ifndef LIBIMAGE_BUILD_MODULE_H
#define LIBIMAGE_BUILD_MODULE_H

#include "libimage/build/build.h"
#include "libimage/module.h"

#define BUILD_MODULE "wharf-build.so"

struct build_module {
    struct module_head head;
    size_t options_size;
    int (*run)(struct image_store *store, int context, const struct build_options *options,
               struct image **ret_image, struct wharf_error *e);
    int (*prune)(struct image_store *store, const struct build_prune_options *options,
                 int64_t *ret_bytes, struct wharf_error *e);
    void (*collect)(struct image_store *store, int64_t keep);
};

#endif
