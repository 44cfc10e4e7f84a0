/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-root STORE IMAGE NAME DIRECTORY TARGET: makes the root of a container named NAME, its
 * writable part in DIRECTORY, and mounts it at TARGET. `image-root STORE -r NAME` releases it.
 * Built against image.h and libimage alone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/mount.h>
#include "image.h"

static int mount_root(struct image_store *store, char **argv, struct wharf_error *e)
{
    /* IMAGE_ROOT=copy: without overlayfs */
    const char *kind = getenv("IMAGE_ROOT");
    struct image_root_options options = { .size = sizeof(options) };
    int dir = open(argv[4], O_RDONLY | O_DIRECTORY | O_CLOEXEC), mount = -1, r;
    struct image_root *root = NULL;
    struct image *image = NULL;

    if (kind && strcmp(kind, "copy") == 0)
        options.kind = IMAGE_ROOT_COPY;
    r = image_open(store, argv[2], &image, e);
    if (r == 0)
        r = image_root_prepare(store, image, argv[3], dir, &options, &root, e);
    if (r == 0)
        r = mount = image_root_mount(root, e);
    if (mount >= 0 &&
        syscall(SYS_move_mount, mount, "", AT_FDCWD, argv[5], MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        perror(argv[5]);
        r = -1;
    }
    if (mount >= 0)
        close(mount);
    close(dir);
    image_root_free(root);
    image_free(image);
    return r;
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct image_store *store;
    int r;

    if (argc != 6 && !(argc == 4 && strcmp(argv[2], "-r") == 0)) {
        fprintf(stderr, "usage: %s STORE IMAGE NAME DIRECTORY TARGET | STORE -r NAME\n", argv[0]);
        return 2;
    }
    r = image_store_open(&store, argv[1], NULL, &e);
    if (r == 0) {
        r = argc == 4 ? image_root_release(store, argv[3], &e) : mount_root(store, argv, &e);
        image_store_free(store);
    }
    if (r < 0 && e.code)
        fprintf(stderr, "error: %s\n", e.message);
    return r < 0 ? 1 : 0;
}
