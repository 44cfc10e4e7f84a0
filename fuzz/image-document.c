/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: manifests, indexes and image configurations, each reader on the same bytes. */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include "libimage/document.h"
#include "libimage/opened.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_of(image_free) struct image *image = calloc(1, sizeof(*image));
    struct document d = { 0 };
    struct wharf_error e = { 0 };

    if (document_parse(&d, (const char *)data, size, "input", &e) == 0) {
        document_pick(&d);
        document_done(&d);
    } else {
        assert(e.message[0]);
    }
    if (!image || !(image->arena = arena_new(32 << 20)) || !(image->config = malloc(size + 1)))
        return 0;
    memcpy(image->config, data, size);
    image->config[size] = 0;
    image->config_len = size;
    e = (struct wharf_error){ 0 };
    if (opened_parse_config(image, "input", &e) < 0)
        assert(e.message[0]);
    return 0;
}
