/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs the archive reader and the decompressors: everything that comes into a store. It can
 * be linked with the rest, as any program that uses the library does, or stand in a module of its
 * own (`wharf-image.so`) that is loaded when the first archive or packed layer comes: a command
 * that only reads the store would pay four milliseconds at every start for libraries it never
 * calls.
 *
 * Both halves are built from one tree and share struct image_store and struct intake; the trap is a
 * module of another build, which the version and the sizes in the table give away.
 */
#ifndef LIBIMAGE_INCOMING_H
#define LIBIMAGE_INCOMING_H

#include "libimage/layer.h"

#define INCOMING_MODULE "wharf-image.so"
#define INCOMING_SYMBOL "image_incoming"

struct incoming {
    const char *version;
    size_t store_size, intake_size, image_size;
    int (*load)(struct image_store *store, int fd, const struct image_load_options *options,
                struct wharf_error *e);
    int (*load_path)(struct image_store *store, const char *path,
                     const struct image_load_options *options, struct wharf_error *e);
    int (*import)(struct image_store *store, int fd, const struct image_import_options *options,
                  struct image **ret_image, struct wharf_error *e);
    int (*unpack)(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e);
};
#define INCOMING_HEAD                                                                              \
    .version = WHARF_VERSION, .store_size = sizeof(struct image_store),                            \
    .intake_size = sizeof(struct intake), .image_size = sizeof(struct image)

#endif
