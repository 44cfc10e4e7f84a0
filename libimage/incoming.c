/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of wharf-image.so for a program without them. */
#include "libimage/incoming.h"

static const struct incoming *incoming(struct wharf_error *e)
{
    return module_open(IMAGE_MODULE, "read archives", e);
}

int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct wharf_error *e)
{
    const struct incoming *m = incoming(e);

    return m ? m->load(store, fd, options, e) : -EOPNOTSUPP;
}

int image_load_path(struct image_store *store, const char *path,
                    const struct image_load_options *options, struct wharf_error *e)
{
    const struct incoming *m = incoming(e);

    return m ? m->load_path(store, path, options, e) : -EOPNOTSUPP;
}

int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 struct image **ret_image, struct wharf_error *e)
{
    const struct incoming *m = incoming(e);

    return m ? m->import(store, fd, options, ret_image, e) : -EOPNOTSUPP;
}

int layers_unpack(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e)
{
    const struct incoming *m = incoming(e);

    return m ? m->unpack(in, image, reporter, e) : -EOPNOTSUPP;
}

int archive_into(const struct into *ask, struct wharf_error *e)
{
    const struct incoming *m = incoming(e);

    return m ? m->into(ask, e) : -EOPNOTSUPP;
}
