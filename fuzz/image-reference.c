/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: references. What parses must format to a text that parses to the same. */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_reference a = { 0 }, b = { 0 };
    struct wharf_error e = { 0 };
    char text[1024], full[IMAGE_REFERENCE_MAX];

    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (image_reference_parse(&a, text, &e) < 0) {
        assert(e.message[0]);
        return 0;
    }
    for (int short_form = 0; short_form < 2; short_form++) {
        image_reference_format(&a, short_form, full);
        assert(image_reference_parse(&b, full, &e) == 0 || short_form);
        if (!short_form)
            assert(memcmp(&a, &b, sizeof(a)) == 0);
    }
    return 0;
}
