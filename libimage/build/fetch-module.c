/* SPDX-License-Identifier: Apache-2.0 */
/* The table of wharf-fetch.so. */
#include "libimage/build/fetch.h"

extern const struct fetch_module wharf_module;

__attribute__((visibility("default"))) const struct fetch_module wharf_module = {
    .head = MODULE_HEAD,
    .fetch = fetch_url,
};
