/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-load STORE ARCHIVE..: loads images and says what they run; with `-i NAME` before an archive
 * it imports a root file system under that name instead. Built against image.h and libimage alone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "image.h"

static void show(const struct image *image, void *arg)
{
    const struct image_info *info = image_info(image);

    (void)arg;
    printf("%s %s layers=%zu cmd=%s\n", info->id, info->names[0] ? info->names[0] : "<none>",
           info->layer_count, info->cmd[0] ? info->cmd[0] : "");
}

static int import(struct image_store *store, const char *name, const char *path,
                  struct wharf_error *e)
{
    const char *changes[] = { "CMD [\"/bin/sh\"]", NULL };
    struct image_import_options options = { .size = sizeof(options), .name = name };
    struct image *image;
    int fd = open(path, O_RDONLY | O_CLOEXEC), r;

    options.changes = changes;
    r = image_import(store, fd, &options, &image, e);
    close(fd);
    if (r == 0) {
        show(image, NULL);
        image_free(image);
    }
    return r;
}

int main(int argc, char **argv)
{
    struct image_load_options options = { .size = sizeof(options), .loaded = show };
    struct wharf_error e = { 0 };
    struct image_store *store;
    int r;

    if (argc < 3) {
        fprintf(stderr, "usage: %s STORE [-i NAME] ARCHIVE..\n", argv[0]);
        return 2;
    }
    r = image_store_open(&store, argv[1], NULL, &e);
    for (int i = 2; r >= 0 && i < argc; i++) {
        if (strcmp(argv[i], "-i") == 0 && i + 2 < argc) {
            r = import(store, argv[i + 1], argv[i + 2], &e);
            i += 2;
        } else {
            r = image_load_path(store, argv[i], &options, &e);
        }
    }
    if (r < 0) {
        fprintf(stderr, "error: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    image_store_free(store);
    return 0;
}
