/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as the Docker API shows them, its filters, and prune, which is a filtered removal. */
#include "volume/internal.h"

#include <stdio.h>
#include <time.h>
#include "base/str.h"

/* "2026-11-23T19:39:34Z", as docker has it for volumes: whole seconds */
static json_t *time_json(int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char text[32];
    struct tm tm;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
    return json_string(text);
}

static json_t *or_null(json_t *object)
{
    return json_object_size(object) > 0 ? json_incref(object) : json_null();
}

json_t *volume_json(const struct volume *v, bool usage)
{
    json_t *all =
        json_pack("{s:o s:s s:o s:s s:s s:o s:s}", "CreatedAt", time_json(v->created_ns), "Driver",
                  "local", "Labels", or_null(v->labels), "Mountpoint", v->mountpoint, "Name",
                  v->name, "Options", or_null(v->options), "Scope", "local");

    if (all && usage)
        json_object_set_new(
            all, "UsageData",
            json_pack("{s:I s:i}", "RefCount", (json_int_t)v->use_count, "Size", -1));
    return all;
}

/* ---- filters --------------------------------------------------------------------------------- */

static bool is_true(const char *text)
{
    return streq(text, "1") || streq(text, "true") || streq(text, "True") || streq(text, "TRUE");
}

enum filter_kind { DANGLING, DRIVER, LABEL, NOT_LABEL, NAME, ALL };
static const struct {
    const char *name;
    enum filter_kind kind;
    bool list, prune;
    bool every; /* all values must fit, not one of them */
} filters[] = {
    { "dangling", DANGLING, true, false, false }, { "driver", DRIVER, true, false, false },
    { "label", LABEL, true, true, true },         { "label!", NOT_LABEL, false, true, true },
    { "name", NAME, true, false, false },         { "all", ALL, false, true, false },
};

static bool value_fits(enum filter_kind kind, const struct volume *v, const char *value)
{
    switch (kind) {
    case DANGLING:
        return is_true(value) == (v->use_count == 0);
    case DRIVER:
        return streq(value, "local");
    case LABEL:
        return json_has_pair(v->labels, value);
    case NOT_LABEL:
        return !json_has_pair(v->labels, value);
    case NAME:
        return strstr(v->name, value) != NULL;
    default:
        return true;
    }
}

static int check_filters(const json_t *asked, bool prune, struct wharf_error *e)
{
    const char *key;
    json_t *values;

    json_object_foreach ((json_t *)asked, key, values) {
        size_t i = 0;

        while (i < ARRAY_SIZE(filters) &&
               !((prune ? filters[i].prune : filters[i].list) && streq(filters[i].name, key)))
            i++;
        if (i == ARRAY_SIZE(filters))
            return err_invalid(e, "invalid filter '%.64s'", key);
    }
    return 0;
}

static bool fits(const json_t *asked, const struct volume *v)
{
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        json_t *values = json_object_get(asked, filters[i].name), *value;
        bool one = false, every = true;
        size_t n;

        json_array_foreach (values, n, value) {
            bool fit =
                json_is_string(value) && value_fits(filters[i].kind, v, json_string_value(value));
            one |= fit;
            every &= fit;
        }
        if (json_array_size(values) > 0 && !(filters[i].every ? every : one))
            return false;
    }
    return true;
}

/* ---- list and prune -------------------------------------------------------------------------- */

struct walk {
    struct volume_store *store;
    const json_t *filters;
    json_t *list;
    bool usage;
};

static int list_one(void *user, const struct volume *v)
{
    struct walk *w = user;

    if (!fits(w->filters, v))
        return 0;
    json_t *one = volume_json(v, w->usage);
    if (one && w->usage)
        json_object_set_new(json_object_get(one, "UsageData"), "Size",
                            json_integer(directory_size(w->store, v->name)));
    return json_array_append_new(w->list, one) < 0 ? -ENOMEM : 0;
}

int volume_list_json(struct volume_store *s, int64_t owner, const json_t *asked, bool usage,
                     json_t **ret, struct wharf_error *e)
{
    autojson json_t *list = json_array();
    struct walk w = { s, asked, list, usage };
    int r = check_filters(asked, false, e);

    if (r == 0)
        r = volume_each(s, owner, list_one, &w, e);
    if (r < 0)
        return r == -ENOMEM ? err_nomem(e) : r;
    *ret = json_pack("{s:O s:n}", "Volumes", list, "Warnings");
    return *ret ? 0 : err_nomem(e);
}

static int prune_one(void *user, const struct volume *v)
{
    struct walk *w = user;
    json_t *all = json_array_get(json_object_get(w->filters, "all"), 0);
    bool named = json_is_string(all) && is_true(json_string_value(all));

    if (v->use_count > 0 || !(named || volume_is_anonymous(v)) || !fits(w->filters, v))
        return 0;
    return json_array_append_new(w->list, json_string(v->name)) < 0 ? -ENOMEM : 0;
}

int volume_prune_json(struct volume_store *s, int64_t owner, const json_t *asked, json_t **ret,
                      struct wharf_error *e)
{
    autojson json_t *candidates = json_array(), *deleted = json_array();
    struct walk w = { s, asked, candidates, false };
    int64_t freed = 0;
    json_t *name;
    size_t i;
    int r = check_filters(asked, true, e);

    directory_sweep(s);
    if (r == 0)
        r = volume_each(s, owner, prune_one, &w, e);
    if (r < 0)
        return r == -ENOMEM ? err_nomem(e) : r;
    json_array_foreach (candidates, i, name) {
        int64_t size = directory_size(s, json_string_value(name));

        /* somebody may have begun to use it: then it stays */
        if (volume_remove(s, owner, json_string_value(name), false, NULL) < 0)
            continue;
        freed += size;
        json_array_append(deleted, name);
    }
    *ret = json_pack("{s:O s:I}", "VolumesDeleted", deleted, "SpaceReclaimed", (json_int_t)freed);
    return *ret ? 0 : err_nomem(e);
}
