/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as config.json: parse refuses or accepts; what is accepted is written, and what was
 * written parses again to the same text. */
#include "libcontainer/config/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct container_spec *spec = NULL, *again = NULL;
    autofree char *first = NULL, *second = NULL;

    if (container_spec_parse(&spec, (const char *)data, size, NULL) < 0)
        return 0;
    check(container_spec_write(spec, &first, NULL) == 0);
    check(container_spec_parse(&again, first, strlen(first), NULL) == 0);
    check(container_spec_write(again, &second, NULL) == 0);
    check(strcmp(first, second) == 0);
    container_spec_free(spec);
    container_spec_free(again);
    return 0;
}
