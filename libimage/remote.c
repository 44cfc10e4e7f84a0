/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of wharf-remote.so and wharf-registry.so for a program without them. */
#include "libimage/remote.h"

static const struct remote_module *remote(struct wharf_error *e)
{
    return module_open(REMOTE_MODULE, "talk to registries", e);
}

int image_pull(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct image **ret_image,
               struct wharf_error *e)
{
    const struct remote_module *m = remote(e);

    return m ? m->pull(store, reference, options, ret_image, e) : -EOPNOTSUPP;
}

int image_push(struct image_store *store, const char *reference,
               const struct image_remote_options *options, struct wharf_error *e)
{
    const struct remote_module *m = remote(e);

    return m ? m->push(store, reference, options, e) : -EOPNOTSUPP;
}

int image_login(const char *server, const struct image_remote_options *options, char **ret_identity,
                struct wharf_error *e)
{
    const struct remote_module *m = remote(e);

    return m ? m->login(server, options, ret_identity, e) : -EOPNOTSUPP;
}

int image_copy(const char *source, const char *target, const struct image_remote_options *from,
               const struct image_remote_options *to, struct wharf_error *e)
{
    const struct remote_module *m = remote(e);

    return m ? m->copy(source, target, from, to, e) : -EOPNOTSUPP;
}

int image_distribution_json(const char *reference, const struct image_remote_options *options,
                            char **ret_json, struct wharf_error *e)
{
    const struct remote_module *m = remote(e);

    return m ? m->distribution(reference, options, ret_json, e) : -EOPNOTSUPP;
}

int image_registry_serve(struct image_registry **ret, const struct image_registry_options *options,
                         struct wharf_error *e)
{
    const struct registry_module *m = module_open(REGISTRY_MODULE, "serve a registry", e);

    return m ? m->start(ret, options, e) : -EOPNOTSUPP;
}

unsigned image_registry_port(const struct image_registry *registry)
{
    const struct registry_module *m = module_open(REGISTRY_MODULE, "", NULL);

    return m ? m->port(registry) : 0;
}

void image_registry_stop(struct image_registry *registry)
{
    const struct registry_module *m = registry ? module_open(REGISTRY_MODULE, "", NULL) : NULL;

    if (m)
        m->stop(registry);
}
