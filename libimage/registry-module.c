/* SPDX-License-Identifier: Apache-2.0 */
/* The table of wharf-registry.so. */
#include "libimage/remote.h"

extern const struct registry_module wharf_module;

__attribute__((visibility("default"))) const struct registry_module wharf_module = {
    .head = MODULE_HEAD,
    .start = image_registry_serve,
    .port = image_registry_port,
    .stop = image_registry_stop,
};
