/* SPDX-License-Identifier: Apache-2.0 */
/* The table of wharf-image.so. */
#include "libimage/incoming.h"

extern const struct incoming wharf_module;

__attribute__((visibility("default"))) const struct incoming wharf_module = {
    .head = MODULE_HEAD,
    .load = image_load,
    .load_path = image_load_path,
    .import = image_import,
    .unpack = layers_unpack,
    .into = archive_into,
};
