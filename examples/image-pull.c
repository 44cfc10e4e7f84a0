/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-pull STORE REFERENCE [PLATFORM]: pulls an image and says what it is; image-push, the same
 * program under its other name, pushes one. CA=FILE, INSECURE=HOST:PORT, MIRROR=URL,
 * MIRROR2=URL and REGISTRY_AUTH in the environment tell whom to trust and who we are; CANCEL is a
 * user who loses patience. Built against image.h, libimage and libimage-remote alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "image.h"

static int show_progress(const struct image_progress *p, void *arg)
{
    (void)arg;
    if (p->step == IMAGE_STEP_DOWNLOAD || p->step == IMAGE_STEP_UPLOAD)
        fprintf(stderr, "%.19s %lld/%lld\n", p->what, (long long)p->done, (long long)p->total);
    return getenv("CANCEL") != NULL;
}

int main(int argc, char **argv)
{
    struct image_remote_options options = { .size = sizeof(options), .progress = show_progress };
    const char *insecure[] = { getenv("INSECURE"), NULL };
    const char *mirrors[] = { getenv("MIRROR"), getenv("MIRROR2"), NULL };
    struct wharf_error e = { 0 };
    struct image_store *store = NULL;
    struct image *image = NULL;
    int push = strstr(argv[0], "image-push") != NULL, r;

    if (argc < 3) {
        fprintf(stderr, "usage: %s STORE REFERENCE [PLATFORM]\n", argv[0]);
        return 2;
    }
    options.insecure = insecure;
    options.ca_file = getenv("CA");
    options.registry_auth = getenv("REGISTRY_AUTH");
    options.mirrors = getenv("MIRROR") ? mirrors : NULL;
    options.platform = argc > 3 ? argv[3] : NULL;
    r = image_store_open(&store, argv[1], NULL, &e);
    if (r == 0 && push)
        r = image_push(store, argv[2], &options, &e);
    else if (r == 0)
        r = image_pull(store, argv[2], &options, &image, &e);
    if (r < 0)
        fprintf(stderr, "error: %s\n", e.message);
    else if (image)
        printf("%s %s\n", image_info(image)->id, image_info(image)->digest);
    image_free(image);
    image_store_free(store);
    return r < 0 ? wharf_error_exit(&e) : 0;
}
