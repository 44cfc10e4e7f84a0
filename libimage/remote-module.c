/* SPDX-License-Identifier: Apache-2.0 */
/* The table of wharf-remote.so. */
#include "libimage/remote.h"

extern const struct remote_module wharf_module;

__attribute__((visibility("default"))) const struct remote_module wharf_module = {
    .head = MODULE_HEAD,
    .pull = image_pull,
    .push = image_push,
    .login = image_login,
    .copy = image_copy,
    .distribution = image_distribution_json,
};
