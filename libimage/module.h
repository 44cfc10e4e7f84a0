/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of image.h that stand in modules. A program that starts often links `image_light`: it
 * reads the store itself, and what needs libarchive, libcurl or libmicrohttpd is loaded by the
 * first call that wants it. A command that never does would pay several milliseconds at every start
 * for libraries that it does not use.
 *
 *     wharf-image.so      incoming.h: what comes into a store
 *     wharf-remote.so     remote.h: pull, push and the rest that talks to registries
 *     wharf-registry.so   remote.h: serving a registry
 *
 * All are built from one tree and share struct image_store and struct intake; the trap is a module
 * of another build, which the version and the sizes in its head give away. The loader keeps one
 * copy and counts; it is never given back.
 */
#ifndef LIBIMAGE_MODULE_H
#define LIBIMAGE_MODULE_H

#include "base/err.h"
#include "libimage/opened.h"

/* Every module's one symbol is a table that begins so. */
struct module_head {
    const char *version;
    size_t store_size, intake_size, image_size;
};
#define MODULE_HEAD                                                                                \
    {                                                                                              \
        .version = WHARF_VERSION, .store_size = sizeof(struct image_store),                        \
        .intake_size = sizeof(struct intake), .image_size = sizeof(struct image)                   \
    }

#define IMAGE_MODULE    "wharf-image.so"
#define REMOTE_MODULE   "wharf-remote.so"
#define REGISTRY_MODULE "wharf-registry.so"
#define MODULE_SYMBOL   "wharf_module"

/* The table of a module; NULL with -EOPNOTSUPP in `e`, which says that one cannot `purpose`. */
const void *module_open(const char *file, const char *purpose, struct wharf_error *e);

#endif
