/* SPDX-License-Identifier: Apache-2.0 */
/* Loading modules, along the program's run path. See module.h. */
#include "libimage/module.h"
#include "base/str.h"

#include <dlfcn.h>

const void *module_open(const char *file, const char *purpose, struct wharf_error *e)
{
    static const struct module_head expected = MODULE_HEAD;
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const struct module_head *found = module ? dlsym(module, MODULE_SYMBOL) : NULL;

    if (!found) {
        err_unsupported(e, "cannot %s: %.300s", purpose, dlerror());
        return NULL;
    }
    if (!streq(found->version, expected.version) || found->store_size != expected.store_size ||
        found->intake_size != expected.intake_size || found->image_size != expected.image_size) {
        err_unsupported(e, "cannot %s: '%s' is of another build: install both together", purpose,
                        file);
        return NULL;
    }
    return found;
}
