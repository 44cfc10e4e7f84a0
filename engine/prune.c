/* SPDX-License-Identifier: Apache-2.0 */
/* What may go and what takes space: prune of containers, df of all. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "engine/mounts.h"

/* ---- prune ----------------------------------------------------------------------------------- */

struct prune {
    const json_t *filters;
    json_t *ids;
    int64_t until; /* created before; 0: any */
};

static bool labels_fit(const struct prune *p, const struct record *r)
{
    autojson json_t *settings = json_loads(r->settings, 0, NULL);
    json_t *labels = json_object_get(settings, "Labels"), *value;
    size_t i;

    json_array_foreach (json_object_get(p->filters, "label"), i, value) {
        if (!json_is_string(value) || !json_has_pair(labels, json_string_value(value)))
            return false;
    }
    json_array_foreach (json_object_get(p->filters, "label!"), i, value) {
        if (json_is_string(value) && json_has_pair(labels, json_string_value(value)))
            return false;
    }
    return true;
}

static int prune_one(void *user, struct record *r)
{
    struct prune *p = user;

    if ((r->state != STATE_EXITED && r->state != STATE_CREATED) ||
        (p->until && r->created_ns >= p->until) || !labels_fit(p, r))
        return 0;
    return json_array_append_new(p->ids, json_string(r->id)) < 0 ? -ENOMEM : 0;
}

static int read_filters(struct prune *p, struct wharf_error *e)
{
    json_t *until = json_array_get(json_object_get(p->filters, "until"), 0), *values;
    const char *key;

    json_object_foreach ((json_t *)p->filters, key, values) {
        if (!streq(key, "until") && !streq(key, "label") && !streq(key, "label!"))
            return err_invalid(e, "invalid filter '%.64s'", key);
    }
    if (!until)
        return 0;
    return api_time_parse(json_string_value(until), &p->until, e);
}

int engine_container_prune(struct engine *en, struct principal who, const json_t *filters,
                           json_t **ret, struct wharf_error *e)
{
    autojson json_t *ids = json_array(), *deleted = json_array();
    struct prune p = { filters, ids, 0 };
    int64_t freed = 0, own, all;
    json_t *id;
    size_t i;
    int r = read_filters(&p, e);

    if (r == 0)
        r = engine_container_list(en, who, prune_one, &p, e);
    if (r < 0)
        return r == -ENOMEM ? err_nomem(e) : r;
    json_array_foreach (ids, i, id) {
        bool sized = container_sizes(en, json_string_value(id), &own, &all) == 0;

        /* one that was started meanwhile stays */
        if (engine_container_remove(en, who, json_string_value(id), false, false, NULL) < 0)
            continue;
        freed += sized ? own : 0;
        json_array_append(deleted, id);
    }
    *ret =
        json_pack("{s:O s:I}", "ContainersDeleted", deleted, "SpaceReclaimed", (json_int_t)freed);
    return *ret ? 0 : err_nomem(e);
}

/* ---- df -------------------------------------------------------------------------------------- */

static bool is_wanted(const json_t *types, const char *type)
{
    json_t *value;
    size_t i;

    if (json_array_size(types) == 0)
        return true;
    json_array_foreach (types, i, value) {
        if (json_is_string(value) && streq(json_string_value(value), type))
            return true;
    }
    return false;
}

static int check_types(const json_t *types, struct wharf_error *e)
{
    static const char *const known[] = { "container", "image", "volume", "build-cache" };
    json_t *value;
    size_t i;

    json_array_foreach (types, i, value) {
        const char *text = json_string_value(value);
        size_t n = 0;

        while (n < ARRAY_SIZE(known) && !(text && streq(known[n], text)))
            n++;
        if (n == ARRAY_SIZE(known))
            return err_invalid(e, "unknown object type: %s", text ? text : "");
    }
    return 0;
}

static int add_images(struct engine *en, struct principal who, json_t *all, struct wharf_error *e)
{
    autofree char *text = NULL;
    struct image_store *images;
    int r = engine_images(en, who, &images, e);

    if (r == 0)
        r = image_df_json(images, &text, e);
    if (r < 0)
        return r;
    autojson json_t *part = json_loads(text, 0, NULL);
    return json_object_update(all, part) < 0 ? err_nomem(e) : 0;
}

static int add_containers(struct engine *en, struct principal who, json_t *all,
                          struct wharf_error *e)
{
    autobuf struct buf text = BUF(64u << 20);
    struct engine_list ask = { .all = true, .size = true };
    int r = engine_container_list_json(en, who, &ask, &text, e);

    if (r < 0)
        return r;
    json_t *list = json_loadb(text.data, text.len, 0, NULL);
    return json_object_set_new(all, "Containers", list) < 0 ? err_nomem(e) : 0;
}

static int add_volumes(struct engine *en, struct principal who, json_t *all, struct wharf_error *e)
{
    autojson json_t *list = NULL;
    struct volume_store *volumes;
    int r = engine_volumes(en, &volumes, e);

    if (r == 0)
        r = volume_list_json(volumes, who.uid, NULL, true, &list, e);
    if (r < 0)
        return r;
    return json_object_set(all, "Volumes", json_object_get(list, "Volumes")) < 0 ? err_nomem(e) : 0;
}

int engine_df(struct engine *en, struct principal who, const json_t *types, json_t **ret,
              struct wharf_error *e)
{
    static const struct {
        const char *type;
        int (*add)(struct engine *en, struct principal who, json_t *all, struct wharf_error *e);
    } parts[] = { { "image", add_images },
                  { "container", add_containers },
                  { "volume", add_volumes } };
    autojson json_t *all = json_pack("{s:i s:n s:n s:n s:[] s:i}", "LayersSize", 0, "Images",
                                     "Containers", "Volumes", "BuildCache", "BuilderSize", 0);
    int r = principal_check(en, who, e);

    if (r == 0)
        r = check_types(types, e);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++) {
        if (is_wanted(types, parts[i].type))
            r = parts[i].add(en, who, all, e);
    }
    if (r == 0)
        *ret = json_incref(all);
    return r;
}
