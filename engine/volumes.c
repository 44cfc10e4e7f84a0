/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes for whoever asks this engine: the library's calls, after a look at who that is. */
#include "engine/internal.h"
#include "volume/volume.h"

static int open_for(struct engine *en, struct principal who, struct volume_store **ret,
                    struct wharf_error *e)
{
    int r = principal_check(en, who, e);

    return r < 0 ? r : engine_volumes(en, ret, e);
}

int engine_volume_create(struct engine *en, struct principal who, const struct volume_spec *spec,
                         json_t **ret, struct wharf_error *e)
{
    struct volume_spec own = *spec;
    struct volume_store *volumes;
    struct volume v;
    int r = open_for(en, who, &volumes, e);

    own.owner = who.uid;
    if (r == 0)
        r = volume_create(volumes, &own, &v, NULL, e);
    if (r < 0)
        return r;
    *ret = volume_json(&v, false);
    volume_done(&v);
    return *ret ? 0 : err_nomem(e);
}

int engine_volume_inspect(struct engine *en, struct principal who, const char *name, json_t **ret,
                          struct wharf_error *e)
{
    struct volume_store *volumes;
    struct volume v;
    int r = open_for(en, who, &volumes, e);

    if (r == 0)
        r = volume_find(volumes, who.uid, name, &v, e);
    if (r < 0)
        return r;
    *ret = volume_json(&v, false);
    volume_done(&v);
    return *ret ? 0 : err_nomem(e);
}

int engine_volume_list(struct engine *en, struct principal who, const json_t *filters, json_t **ret,
                       struct wharf_error *e)
{
    struct volume_store *volumes;
    int r = open_for(en, who, &volumes, e);

    return r < 0 ? r : volume_list_json(volumes, who.uid, filters, false, ret, e);
}

int engine_volume_remove(struct engine *en, struct principal who, const char *name, bool force,
                         struct wharf_error *e)
{
    struct volume_store *volumes;
    int r = open_for(en, who, &volumes, e);

    return r < 0 ? r : volume_remove(volumes, who.uid, name, force, e);
}

int engine_volume_prune(struct engine *en, struct principal who, const json_t *filters,
                        json_t **ret, struct wharf_error *e)
{
    struct volume_store *volumes;
    int r = open_for(en, who, &volumes, e);

    return r < 0 ? r : volume_prune_json(volumes, who.uid, filters, ret, e);
}
