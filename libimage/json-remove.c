/* SPDX-License-Identifier: Apache-2.0 */
/* DELETE /images/{name} and POST /images/prune: what went, as the Docker API tells it. */
#include "libimage/json-image.h"
#include "base/str.h"

static void tell(enum image_removed what, const char *text, void *arg)
{
    json_t *list = arg;
    struct image_reference ref;
    char name[IMAGE_REFERENCE_MAX];

    if (what == IMAGE_DELETED || image_reference_parse(&ref, text, NULL) < 0)
        snprintf(name, sizeof(name), "%s", text);
    else
        image_reference_format(&ref, 1, name);
    json_array_append_new(list,
                          json_pack("{s:s}", what == IMAGE_DELETED ? "Deleted" : "Untagged", name));
}

int image_remove_json(struct image_store *store, const char *reference, int force, char **ret,
                      struct wharf_error *e)
{
    json_t *list = json_array();
    struct image_remove_options options = {
        .size = sizeof(options), .force = force, .removed = tell, .arg = list
    };
    int r = list ? image_remove(store, reference, &options, e) : err_nomem(e);

    if (r == 0)
        return json_answer(list, ret, e);
    json_decref(list);
    return r;
}

/* Takes the entries of what nobody uses out of index.json. What a container that starts meanwhile
 * needs is kept by its root. */
static int drop_unused(struct image_store *store, struct catalog *c, bool dangling, json_t *list,
                       struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    int r = index_begin(&x, store, e);

    for (size_t i = 0; r == 0 && i < c->count; i++) {
        const struct catalog_item *item = &c->items[i];

        if (item->hidden || item->containers || (dangling && item->tags))
            continue;
        for (char **tag = item->tags; tag && *tag; tag++)
            tell(IMAGE_UNTAGGED, *tag, list);
        for (char **top = item->tops; *top; top++)
            index_drop(&x, *top, NULL);
        tell(IMAGE_DELETED, item->image->id.text, list);
    }
    return r < 0 ? r : index_commit(&x, e);
}

int image_prune_json(struct image_store *store, const char *filters, char **ret,
                     struct wharf_error *e)
{
    static const char *const known[] = { "dangling", "label", "label!", "until", NULL };
    autojson json_t *list = json_array(), *rest = NULL;
    autocatalog struct catalog c = { 0 };
    bool all = filter_has(filters, "dangling", "false", NULL) ||
               filter_has(filters, "dangling", "0", NULL);
    autofree char *others = NULL;
    int64_t freed = 0;
    int r = list ? catalog_read(&c, store, e) : err_nomem(e);

    /* `dangling` means something else here than in a list: false is "all that nobody uses" */
    if (r == 0 && all &&
        json_read(filters, strlen(filters), JSON_LIMITS, "filters", &rest, e) == 0) {
        json_object_del(rest, "dangling");
        others = json_write(rest, JSON_COMPACT);
        filters = others;
    }
    if (r == 0)
        r = catalog_filter(&c, store, filters, known, e);
    if (r == 0)
        r = drop_unused(store, &c, !all, list, e);
    if (r == 0)
        r = image_collect(store, 0, &freed, e);
    if (r < 0 && r != -EAGAIN) /* somebody loads: it is collected when that ends */
        return r;
    return json_answer(
        json_pack("{s:O, s:I}", "ImagesDeleted", list, "SpaceReclaimed", (json_int_t)freed), ret,
        e);
}
