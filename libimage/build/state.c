/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of layers and the state of a stage: copying, freeing, writing out. */
#include "base/str.h"
#include "libimage/build/work.h"

int layer_stack_push(struct layer_stack *s, const struct layer_ref *layer, struct wharf_error *e)
{
    struct layer_ref *items;

    if (s->count >= IMAGE_LAYERS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "the image would have more than %d layers",
                       IMAGE_LAYERS_MAX);
    items = realloc(s->items, (s->count + 1) * sizeof(*items));
    if (!items)
        return err_nomem(e);
    s->items = items;
    items[s->count++] = *layer;
    return 0;
}

int layer_stack_copy(const struct layer_stack *s, struct layer_stack *ret, struct wharf_error *e)
{
    struct layer_ref *items = NULL;

    if (s->count > 0) {
        items = calloc(s->count, sizeof(*items));
        if (!items)
            return err_nomem(e);
        memcpy(items, s->items, s->count * sizeof(*items));
    }
    *ret = (struct layer_stack){ items, s->count };
    return 0;
}

void layer_stack_done(struct layer_stack *s)
{
    free(s->items);
    *s = (struct layer_stack){ 0 };
}

const char *layer_stack_chain(const struct layer_stack *s)
{
    return s->count ? s->items[s->count - 1].chain.text : "";
}

int state_copy(const struct state *s, struct state *ret, struct wharf_error *e)
{
    struct state copy = *s;
    int r;

    copy.image = json_deep_copy(s->image);
    copy.config = json_deep_copy(s->config);
    copy.history = json_deep_copy(s->history);
    copy.layers = (struct layer_stack){ 0 };
    r = layer_stack_copy(&s->layers, &copy.layers, e);
    if (r == 0 && (!copy.image || !copy.config || !copy.history))
        r = err_nomem(e);
    if (r < 0)
        state_done(&copy);
    else
        *ret = copy;
    return r;
}

void state_done(struct state *s)
{
    json_decref(s->image);
    json_decref(s->config);
    json_decref(s->history);
    layer_stack_done(&s->layers);
    *s = (struct state){ 0 };
}

/* Members sorted: the same state gives the same bytes, and so the same id. */
char *state_config_text(const struct state *s)
{
    autojson json_t *top = json_copy(s->image), *list = json_array();
    bool fine = top && list;

    for (size_t i = 0; fine && i < s->layers.count; i++)
        fine = json_array_append_new(list, json_string(s->layers.items[i].diff.text)) == 0;
    if (!fine || json_object_set(top, "config", s->config) < 0 ||
        json_object_set(top, "history", s->history) < 0 ||
        json_object_set_new(top, "created", json_string(s->created)) < 0 ||
        json_object_set_new(top, "rootfs",
                            json_pack("{s:s, s:O}", "type", "layers", "diff_ids", list)) < 0)
        return NULL;
    return json_write(top, JSON_COMPACT | JSON_SORT_KEYS);
}
