/* SPDX-License-Identifier: Apache-2.0 */
/* The table of wharf-build.so. */
#include "libimage/build/module.h"

extern const struct build_module wharf_module;

__attribute__((visibility("default"))) const struct build_module wharf_module = {
    .head = MODULE_HEAD,
    .options_size = sizeof(struct build_options),
    .run = build_run,
    .prune = build_prune,
    .collect = build_collect,
};
