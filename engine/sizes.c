/* SPDX-License-Identifier: Apache-2.0 */
/* What containers take on the disk. An unpacked layer never changes, so it is counted once. */
#include "engine/internal.h"

#include <fcntl.h>
#include "base/fd.h"
#include "base/str.h"

int container_sizes(struct engine *en, const char *id, int64_t *ret_own, int64_t *ret_all)
{
    autoclose int dir = container_directory(en, id);
    struct image_store *images;
    struct image_root *root;
    int r = dir < 0 ? dir : engine_images(en, (struct principal){ 0 }, &images, NULL);

    if (r == 0)
        r = image_root_open(images, id, dir, &root, NULL);
    if (r < 0)
        return r;
    const struct image_root_info *info = image_root_info(root);
    int64_t own = path_tree_size(info->kind == IMAGE_ROOT_COPY ? info->copy : info->upper);
    int64_t all = own;
    for (size_t i = 0; i < info->lower_count; i++)
        all += path_tree_size(info->lower[i]);
    image_root_free(root);
    *ret_own = own;
    *ret_all = all;
    return 0;
}
