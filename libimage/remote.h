/* SPDX-License-Identifier: Apache-2.0 */
/* The modules wharf-remote.so, which needs libcurl, and wharf-registry.so, which needs
 * libmicrohttpd. See module.h. */
#ifndef LIBIMAGE_REMOTE_H
#define LIBIMAGE_REMOTE_H

#include "libimage/module.h"

struct remote_module {
    struct module_head head;
    int (*pull)(struct image_store *store, const char *reference,
                const struct image_remote_options *options, struct image **ret_image,
                struct wharf_error *e);
    int (*push)(struct image_store *store, const char *reference,
                const struct image_remote_options *options, struct wharf_error *e);
    int (*login)(const char *server, const struct image_remote_options *options,
                 char **ret_identity, struct wharf_error *e);
    int (*copy)(const char *source, const char *target, const struct image_remote_options *from,
                const struct image_remote_options *to, struct wharf_error *e);
    int (*distribution)(const char *reference, const struct image_remote_options *options,
                        char **ret_json, struct wharf_error *e);
};

struct registry_module {
    struct module_head head;
    int (*start)(struct image_registry **ret_registry, const struct image_registry_options *options,
                 struct wharf_error *e);
    unsigned (*port)(const struct image_registry *registry);
    void (*stop)(struct image_registry *registry);
};

#endif
