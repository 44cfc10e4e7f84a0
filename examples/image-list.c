/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-list STORE [tag IMAGE NAME | remove IMAGE | collect]: shows the images of a store, after
 * changing them. Built against image.h and libimage alone.
 */
#include <stdio.h>
#include <string.h>
#include "image.h"

static int show(const struct image *image, void *arg)
{
    const struct image_info *info = image_info(image);

    (void)arg;
    printf("%s", info->id);
    for (char **name = info->names; *name; name++)
        printf(" %s", *name);
    printf("\n");
    return 0;
}

static int change(struct image_store *store, int argc, char **argv, struct wharf_error *e)
{
    if (argc == 5 && strcmp(argv[2], "tag") == 0)
        return image_tag(store, argv[3], argv[4], e);
    if (argc == 4 && strcmp(argv[2], "remove") == 0)
        return image_remove(store, argv[3], NULL, e);
    if (argc == 3 && strcmp(argv[2], "collect") == 0)
        return image_collect(store, 1, NULL, e);
    return 0;
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct image_store *store;
    int r;

    if (argc < 2) {
        fprintf(stderr, "usage: %s STORE [tag IMAGE NAME | remove IMAGE | collect]\n", argv[0]);
        return 2;
    }
    r = image_store_open(&store, argv[1], NULL, &e);
    if (r == 0) {
        r = change(store, argc, argv, &e);
        if (r >= 0)
            r = image_list(store, show, NULL, &e);
        image_store_free(store);
    }
    if (r < 0)
        fprintf(stderr, "error: %s\n", e.message);
    return r < 0 ? wharf_error_exit(&e) : 0;
}
