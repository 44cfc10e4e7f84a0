/* SPDX-License-Identifier: Apache-2.0 */
/* The module's one symbol. See incoming.h. */
#include "libimage/incoming.h"

extern const struct incoming image_incoming;

__attribute__((visibility("default"))) const struct incoming image_incoming = {
    INCOMING_HEAD,          .load = image_load,      .load_path = image_load_path,
    .import = image_import, .unpack = layers_unpack,
};
