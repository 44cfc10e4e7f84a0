/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the catalog. See catalog.h. */
#include "libimage/catalog.h"
#include "libimage/resolve.h"
#include "base/fd.h"
#include "base/str.h"

#include <stdio.h>
#include <time.h>

int time_parse(const char *text, int64_t *ret)
{
    struct tm tm = { 0 };
    int at = 0, hours = 0, minutes = 0;
    char sign = 'Z';

    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &at) != 6)
        return -EINVAL;
    text += at;
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    if (!strchr("Zz", *text) && sscanf(text, "%c%2d:%2d", &sign, &hours, &minutes) != 3)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *ret = (int64_t)timegm(&tm) - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

int64_t layer_bytes(struct image_store *store, const struct digest *chain)
{
    char path[IMAGE_DIGEST_MAX + 16];
    autofree char *text = NULL;
    autojson json_t *j = NULL;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/layer.json", digest_hex(chain));
    n = file_read(store->layers, path, 4096, &text);
    if (n < 0 || json_read(text, (size_t)n, JSON_LIMITS, path, &j, NULL) < 0)
        return -1;
    return json_integer_value(json_object_get(j, "bytes"));
}

static void item_done(struct catalog_item *i)
{
    image_free(i->image);
    strv_free(i->tops);
    strv_free(i->tags);
    strv_free(i->digests);
}

void catalog_done(struct catalog *c)
{
    for (size_t i = 0; i < c->count; i++)
        item_done(&c->items[i]);
    free(c->items);
    *c = (struct catalog){ 0 };
}

static bool list_has(char *const *list, const char *text)
{
    for (; list && *list; list++) {
        if (streq(*list, text))
            return true;
    }
    return false;
}

static int add_once(char ***list, const char *text)
{
    return list_has(*list, text) ? 0 : strv_add(list, text);
}

/* Finds the item of an entry of index.json, or makes it. NULL in *ret: the image is damaged, or not
 * for this machine. */
static int item_of(struct catalog *c, struct image_store *store, const char *top,
                   struct catalog_item **ret)
{
    auto_of(image_free) struct image *image = NULL;
    struct catalog_item *grown;
    struct digest digest;

    *ret = NULL;
    for (size_t i = 0; i < c->count; i++) {
        if (list_has(c->items[i].tops, top)) {
            *ret = &c->items[i];
            return 0;
        }
    }
    if (digest_parse(&digest, top, "index.json", NULL) < 0 ||
        opened_read(store, -1, &digest, &image, NULL) < 0)
        return 0;
    for (size_t i = 0; i < c->count && !*ret; i++) {
        if (digest_equal(&c->items[i].image->id, &image->id))
            *ret = &c->items[i];
    }
    if (!*ret) {
        grown = reallocarray(c->items, c->count + 1, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        c->items = grown;
        *ret = &grown[c->count++];
        **ret = (struct catalog_item){ .image = take_ptr(&image) };
        time_parse((*ret)->image->info.created, &(*ret)->created);
    }
    return strv_add(&(*ret)->tops, top);
}

static int add_entry(struct catalog *c, struct image_store *store, json_t *entry)
{
    const char *top = index_entry_digest(entry);
    char name[IMAGE_REFERENCE_MAX], *colon;
    autofree char *digest = NULL;
    struct catalog_item *item;
    int r = item_of(c, store, top, &item);

    if (r < 0 || !item || !index_entry_name(entry, name))
        return r;
    r = add_once(&item->tags, name);
    colon = strrchr(name, ':');
    digest = str_format("%.*s@%s", (int)(colon - name), name, top);
    return r < 0 ? r : digest ? add_once(&item->digests, digest) : -ENOMEM;
}

static int count_root(const char *name, const char *digest, void *arg)
{
    struct catalog *c = arg;

    (void)name;
    for (size_t i = 0; i < c->count; i++) {
        struct catalog_item *item = &c->items[i];

        item->containers += streq(item->image->digest.text, digest) || list_has(item->tops, digest);
    }
    return 0;
}

/* A layer's bytes count once in the catalog, and as shared in every image if a second has it. */
static int add_sizes(struct catalog *c, struct image_store *store)
{
    autojson json_t *first =
        json_object(); /* chain id -> the image that had it first, -1: shared */

    for (size_t i = 0; first && i < c->count; i++) {
        const struct image *image = c->items[i].image;

        for (size_t k = 0; k < image->info.layer_count; k++) {
            const char *chain = image->chains[k].text;
            int64_t bytes = MAX(layer_bytes(store, &image->chains[k]), 0);
            json_t *before = json_object_get(first, chain);
            json_int_t owner = before ? json_integer_value(before) : (json_int_t)i;

            c->items[i].bytes += bytes;
            if (!before)
                c->bytes += bytes;
            if (before && owner != (json_int_t)i)
                c->items[i].shared += bytes;
            if (before && owner >= 0 && owner != (json_int_t)i) {
                c->items[owner].shared += bytes;
                owner = -1;
            }
            if (json_object_set_new(first, chain, json_integer(owner)) < 0)
                return -ENOMEM;
        }
    }
    return first ? 0 : -ENOMEM;
}

static int newer(const void *a, const void *b)
{
    const struct catalog_item *x = a, *y = b;

    if (x->created != y->created)
        return x->created < y->created ? 1 : -1;
    return strcmp(x->image->id.text, y->image->id.text);
}

int catalog_read(struct catalog *c, struct image_store *store, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    json_t *entry;
    size_t i;
    int r = index_read(&x, store, e);

    *c = (struct catalog){ 0 };
    if (r < 0)
        return r;
    json_array_foreach (x.list, i, entry) {
        r = add_entry(c, store, entry);
        if (r < 0)
            return err_nomem(e);
    }
    if (c->count > 1)
        qsort(c->items, c->count, sizeof(*c->items), newer);
    if (add_sizes(c, store) < 0)
        return err_nomem(e);
    r = image_root_list(store, count_root, c, e);
    return MIN(r, 0);
}

const struct catalog_item *catalog_find(const struct catalog *c, struct image_store *store,
                                        const char *reference, struct wharf_error *e)
{
    auto_of(image_free) struct image *image = NULL;

    if (image_open(store, reference, &image, e) < 0)
        return NULL;
    for (size_t i = 0; i < c->count; i++) {
        if (digest_equal(&c->items[i].image->id, &image->id))
            return &c->items[i];
    }
    err_not_found(e, "No such image: %s", reference);
    return NULL;
}
