/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of wharf-build.so and wharf-fetch.so for a program without them. */
#include "libimage/build/fetch.h"
#include "libimage/build/module.h"

static const struct build_module *builder(struct wharf_error *e)
{
    const struct build_module *m = module_open(BUILD_MODULE, "build", e);

    if (!m || m->options_size == sizeof(struct build_options))
        return m;
    err_unsupported(e,
                    "cannot build: '" BUILD_MODULE "' is of another build: install both together");
    return NULL;
}

int build_run(struct image_store *store, int context, const struct build_options *options,
              struct image **ret_image, struct wharf_error *e)
{
    const struct build_module *m = builder(e);

    return m ? m->run(store, context, options, ret_image, e) : -EOPNOTSUPP;
}

int build_prune(struct image_store *store, const struct build_prune_options *options,
                int64_t *ret_bytes, struct wharf_error *e)
{
    const struct build_module *m = builder(e);

    return m ? m->prune(store, options, ret_bytes, e) : -EOPNOTSUPP;
}

void build_collect(struct image_store *store, int64_t keep)
{
    const struct build_module *m = builder(NULL);

    if (m)
        m->collect(store, keep);
}

int fetch_url(const char *url, int fd, struct build_fetched *ret, struct wharf_error *e)
{
    const struct fetch_module *m = module_open(FETCH_MODULE, "download", e);

    return m ? m->fetch(url, fd, ret, e) : -EOPNOTSUPP;
}
