/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the whole way of an archive. The bytes are loaded as an image archive and imported
 * as a root file system, into a store with small limits below a temporary directory; whatever they
 * are, nothing may appear beside the store, and what failed must leave no blob and no layer.
 */
#undef NDEBUG /* a fuzz target is its assertions, in every build */
#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
#include "base/fd.h"
#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct image_store *store, const uint8_t *data, size_t size, int as_image)
{
    struct image_import_options import = { .size = sizeof(import), .created = 1 };
    struct wharf_error e = { 0 };
    int fd = memfd_create("input", MFD_CLOEXEC), r;

    if (fd < 0 || fd_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        abort();
    r = as_image ? image_load(store, fd, NULL, &e) : image_import(store, fd, &import, NULL, &e);
    if (r < 0)
        assert(e.message[0]);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_store_options options = { .size = sizeof(options), .threads = 1 };
    char directory[] = "/tmp/image-fuzz.XXXXXX", root[64];
    struct image_store *store;

    options.limits = (struct image_limits){
        .layer_bytes = 1 << 20, .layer_entries = 256, .layer_devices = 4, .archive_bytes = 4 << 20
    };
    options.devices = IMAGE_DEVICES_SKIP;
    if (!mkdtemp(directory))
        return 0;
    snprintf(root, sizeof(root), "%s/store", directory);
    if (image_store_open(&store, root, &options, NULL) == 0) {
        feed(store, data, size, 1);
        feed(store, data, size, 0);
        image_store_free(store);
    }
    path_remove_tree(AT_FDCWD, root);
    assert(rmdir(directory) == 0);
    return 0;
}
