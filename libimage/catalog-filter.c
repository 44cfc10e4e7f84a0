/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of the Docker API over the catalog: values of one name are alternatives (labels: all must
 * hold), names add up. `label!` means: none of these. */
#include "libimage/catalog.h"
#include "base/str.h"

#include <fnmatch.h>
#include <time.h>

enum { FILTER_VALUES_MAX = 256 };

struct filter_run {
    struct image_store *store;
    int64_t before, since; /* times of the images that `before` and `since` name */
    int64_t until;
};

/* The values of a filter as strings, whichever form: ["v"] or {"v":true}. */
static int values_of(json_t *filters, const char *name, const char *values[FILTER_VALUES_MAX])
{
    json_t *set = json_object_get(filters, name), *item;
    const char *key;
    int n = 0;
    size_t i;

    json_array_foreach (set, i, item) {
        if (n < FILTER_VALUES_MAX && json_is_string(item))
            values[n++] = json_string_value(item);
    }
    json_object_foreach (set, key, item) {
        if (n < FILTER_VALUES_MAX && json_is_true(item))
            values[n++] = key;
    }
    return n;
}

static int read_filters(const char *text, json_t **ret, struct wharf_error *e)
{
    int r = json_read(text, strlen(text), JSON_LIMITS, "filters", ret, e);

    if (r == 0 && !json_is_object(*ret))
        return err_invalid(e, "filters: is not an object");
    return r;
}

int filter_has(const char *filters, const char *name, const char *value, bool *given)
{
    autojson json_t *tree = NULL;
    const char *values[FILTER_VALUES_MAX];
    int n, found = 0;

    if (given)
        *given = false;
    if (!filters || !*filters || read_filters(filters, &tree, NULL) < 0)
        return 0;
    n = values_of(tree, name, values);
    if (given)
        *given = n > 0;
    for (int i = 0; i < n; i++)
        found |= streq(values[i], value);
    return found;
}

static bool is_true(const char *text)
{
    return streq(text, "1") || strcasecmp(text, "true") == 0 || streq(text, "t");
}

static bool has_label(const struct image *image, const char *wanted)
{
    const char *value = strchr(wanted, '=');
    size_t len = value ? (size_t)(value - wanted) : strlen(wanted);

    for (const struct image_pair *p = image->info.labels; p && p->key; p++) {
        if (strncmp(p->key, wanted, len) == 0 && !p->key[len] &&
            (!value || streq(p->value, value + 1)))
            return true;
    }
    return false;
}

/* A pattern meets the short or the full name, with its tag or without. */
static bool name_matches(const char *full, const char *pattern)
{
    struct image_reference ref;
    char text[IMAGE_REFERENCE_MAX];

    if (image_reference_parse(&ref, full, NULL) < 0)
        return false;
    for (int form = 0; form < 2; form++) {
        char *colon;

        image_reference_format(&ref, form, text);
        if (fnmatch(pattern, text, FNM_PATHNAME) == 0)
            return true;
        colon = strrchr(text, ':');
        if (colon && !strchr(colon, '/'))
            *colon = 0;
        if (fnmatch(pattern, text, FNM_PATHNAME) == 0)
            return true;
    }
    return false;
}

static bool any_matches(const char *name, const char *const *patterns, int count)
{
    for (int i = 0; i < count; i++) {
        if (name_matches(name, patterns[i]))
            return true;
    }
    return false;
}

/* True if a kept name is of the same repository as `digest`, REPOSITORY@DIGEST. */
static bool has_repository(char *const *tags, const char *digest)
{
    size_t len = strcspn(digest, "@");

    for (; tags && *tags; tags++) {
        if (strncmp(*tags, digest, len) == 0 && (*tags)[len] == ':')
            return true;
    }
    return false;
}

/* Keeps the names that match, and the digests that stand for one of them; no name left: hidden. */
static void filter_names(struct catalog_item *item, const char *const *patterns, int count)
{
    char **lists[] = { item->tags, item->digests };

    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        char **kept = lists[l];

        for (char **name = lists[l]; name && *name; name++) {
            if (any_matches(*name, patterns, count) ||
                (lists[l] == item->digests && has_repository(item->tags, *name)))
                *kept++ = *name;
            else
                free(*name);
        }
        if (kept)
            *kept = NULL;
    }
    item->hidden |= !item->tags || !item->tags[0];
}

static bool passes(const struct filter_run *f, json_t *filters, const struct catalog_item *item)
{
    const char *values[FILTER_VALUES_MAX];
    int n = values_of(filters, "dangling", values);
    bool dangling = !item->tags;

    if (n > 0 && is_true(values[0]) != dangling)
        return false;
    n = values_of(filters, "label", values);
    for (int i = 0; i < n; i++) {
        if (!has_label(item->image, values[i]))
            return false;
    }
    n = values_of(filters, "label!", values);
    for (int i = 0; i < n; i++) {
        if (has_label(item->image, values[i]))
            return false;
    }
    return item->created < f->before && item->created > f->since && item->created < f->until;
}

/* A time, seconds since 1970, or how long ago: 10m, 1h30m. */
static int parse_until(const char *text, int64_t *ret, struct wharf_error *e)
{
    int64_t ago = 0;
    const char *p = text;

    if (time_parse(text, ret) == 0 || parse_i64(text, 0, INT64_MAX / 2, ret) == 0)
        return 0;
    while (*p) {
        static const char units[] = "smhd";
        static const int64_t seconds[] = { 1, 60, 3600, 86400 };
        size_t digits = strspn(p, "0123456789");
        autofree char *number = strndup(p, digits);
        const char *unit = p[digits] ? strchr(units, p[digits]) : NULL;
        uint64_t n;

        if (!number || !unit || parse_u64(number, 0, 1000000000, &n) < 0)
            return err_invalid(e, "until: '%.100s' is neither a time nor a duration", text);
        ago += (int64_t)n * seconds[unit - units];
        p += digits + 1;
    }
    *ret = (int64_t)time(NULL) - ago;
    return 0;
}

static int check_known(json_t *filters, const char *const *known, struct wharf_error *e)
{
    const char *name;
    json_t *value;

    json_object_foreach (filters, name, value) {
        const char *const *k = known;

        while (*k && !streq(*k, name))
            k++;
        if (!*k)
            return err_invalid(e, "invalid filter '%.100s'", name);
    }
    return 0;
}

/* The times that `before`, `since` and `until` mean: the widest of several. */
static int read_times(struct filter_run *f, const struct catalog *c, json_t *filters,
                      struct wharf_error *e)
{
    const struct {
        const char *name;
        int64_t *at;
    } images[] = { { "before", &f->before }, { "since", &f->since } };
    const char *values[FILTER_VALUES_MAX];
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        const struct catalog_item *item;

        if (values_of(filters, images[i].name, values) == 0)
            continue;
        item = catalog_find(c, f->store, values[0], e);
        if (!item)
            return -ENOENT;
        *images[i].at = item->created;
    }
    if (values_of(filters, "until", values) > 0)
        r = parse_until(values[0], &f->until, e);
    return r;
}

int catalog_filter(struct catalog *c, struct image_store *store, const char *filters,
                   const char *const *known, struct wharf_error *e)
{
    struct filter_run f = {
        .store = store, .before = INT64_MAX, .since = INT64_MIN, .until = INT64_MAX
    };
    autojson json_t *tree = NULL;
    const char *values[FILTER_VALUES_MAX];
    int r, n;

    if (!filters || !*filters)
        return 0;
    r = read_filters(filters, &tree, e);
    if (r == 0)
        r = check_known(tree, known, e);
    if (r == 0)
        r = read_times(&f, c, tree, e);
    if (r < 0)
        return r;
    n = values_of(tree, "reference", values);
    for (size_t i = 0; i < c->count; i++) {
        c->items[i].hidden |= !passes(&f, tree, &c->items[i]);
        if (n > 0)
            filter_names(&c->items[i], values, n);
    }
    return 0;
}
