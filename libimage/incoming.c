/* SPDX-License-Identifier: Apache-2.0 */
/* The same functions for a program without them: found in the module, which the program's run path
 * leads to. The loader keeps one copy and counts; it is never given back. */
#include "libimage/incoming.h"

#include <dlfcn.h>

static const struct incoming expected = { INCOMING_HEAD };

static const struct incoming *open_module(struct wharf_error *e)
{
    void *module = dlopen(INCOMING_MODULE, RTLD_NOW | RTLD_LOCAL);
    const struct incoming *found = module ? dlsym(module, INCOMING_SYMBOL) : NULL;

    if (!found) {
        err_unsupported(e, "cannot read archives: %.300s", dlerror());
        return NULL;
    }
    if (strcmp(found->version, expected.version) != 0 || found->store_size != expected.store_size ||
        found->intake_size != expected.intake_size || found->image_size != expected.image_size) {
        err_unsupported(e, "cannot read archives: '" INCOMING_MODULE
                           "' is of another build: install both together");
        return NULL;
    }
    return found;
}

int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct wharf_error *e)
{
    const struct incoming *m = open_module(e);

    return m ? m->load(store, fd, options, e) : -EOPNOTSUPP;
}

int image_load_path(struct image_store *store, const char *path,
                    const struct image_load_options *options, struct wharf_error *e)
{
    const struct incoming *m = open_module(e);

    return m ? m->load_path(store, path, options, e) : -EOPNOTSUPP;
}

int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 struct image **ret_image, struct wharf_error *e)
{
    const struct incoming *m = open_module(e);

    return m ? m->import(store, fd, options, ret_image, e) : -EOPNOTSUPP;
}

int layers_unpack(struct intake *in, const struct image *image, struct reporter *reporter,
                  struct wharf_error *e)
{
    const struct incoming *m = open_module(e);

    return m ? m->unpack(in, image, reporter, e) : -EOPNOTSUPP;
}
