/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: what comes through a shim's socket and its memfd. A packet that decodes must encode
 * to the same bytes; a configuration that decodes points into its own text. */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <string.h>
#include "engine/shim-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shim_message m = { 0 };
    struct shim_config config;
    char packet[SHIM_PACKET_MAX];

    if (shim_message_decode(data, size, &m) == 0) {
        assert(strlen(m.text) + 32 == size);
        assert(shim_message_encode(&m, packet) == size);
        assert(memcmp(packet + 4, data + 4, 20) == 0); /* flags and values */
    }
    autofree char *text = malloc(size + 1);
    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (shim_config_decode(text, size, &config) == 0) {
        assert(config.state_root > text && config.state_root < text + size);
        assert(config.spec + config.spec_len == text + size);
    }
    return 0;
}
