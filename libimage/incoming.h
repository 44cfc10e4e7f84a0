/* SPDX-License-Identifier: Apache-2.0 */
/* The module wharf-image.so: what needs the archive reader and the decompressors. See module.h. */
#ifndef LIBIMAGE_INCOMING_H
#define LIBIMAGE_INCOMING_H

#include "libimage/into.h"
#include "libimage/layer.h"
#include "libimage/module.h"

struct incoming {
    struct module_head head;
    int (*load)(struct image_store *store, int fd, const struct image_load_options *options,
                struct wharf_error *e);
    int (*load_path)(struct image_store *store, const char *path,
                     const struct image_load_options *options, struct wharf_error *e);
    int (*import)(struct image_store *store, int fd, const struct image_import_options *options,
                  struct image **ret_image, struct wharf_error *e);
    int (*unpack)(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e);
    int (*into)(const struct into *ask, struct wharf_error *e);
};

#endif
