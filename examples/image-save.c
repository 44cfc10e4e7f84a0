/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-save STORE REFERENCE... > ARCHIVE: writes images as an archive that docker, podman, skopeo
 * and umoci read. Built against image.h and libimage alone.
 */
#include <stdio.h>
#include <unistd.h>
#include "image.h"

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct image_store *store = NULL;
    int r;

    if (argc < 3 || isatty(STDOUT_FILENO)) {
        fprintf(stderr, "usage: %s STORE REFERENCE... > ARCHIVE\n", argv[0]);
        return 2;
    }
    r = image_store_open(&store, argv[1], NULL, &e);
    if (r == 0)
        r = image_save(store, (const char *const *)argv + 2, STDOUT_FILENO, NULL, &e);
    if (r < 0)
        fprintf(stderr, "error: %s\n", e.message);
    image_store_free(store);
    return r < 0 ? wharf_error_exit(&e) : 0;
}
