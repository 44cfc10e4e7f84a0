/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of the list of containers, by docker's names (docker-api 1.9). A name is a row: how its
 * values are checked, and whether one value fits an entry. Values of one name are alternatives,
 * those of `label` must all fit. Names and ids match as regular expressions. */
#include <regex.h>
#include <stdio.h>
#include <strings.h>
#include "base/str.h"
#include "engine/listing.h"

#define FILTER_VALUES_MAX 256

enum filter_kind {
    ANCESTOR,
    BEFORE,
    EXITED,
    EXPOSE,
    HEALTH,
    ID,
    IS_TASK,
    ISOLATION,
    LABEL,
    NAME,
    NETWORK,
    PUBLISH,
    SINCE,
    STATUS,
    VOLUME,
    FILTER_KINDS
};

struct value {
    enum filter_kind kind;
    char *text;
    regex_t regex; /* NAME, ID, NETWORK */
    bool has_regex;
    int64_t number, last; /* an exit code, a time, ports from..to */
    char protocol[8];
};
struct filter {
    struct value *values;
    size_t count;
};

static const struct {
    const char *name;
    bool stopped; /* asking for it shows stopped ones too */
} kinds[FILTER_KINDS] = {
    [ANCESTOR] = { "ancestor", false }, [BEFORE] = { "before", true },
    [EXITED] = { "exited", true },      [EXPOSE] = { "expose", false },
    [HEALTH] = { "health", false },     [ID] = { "id", false },
    [IS_TASK] = { "is-task", false },   [ISOLATION] = { "isolation", false },
    [LABEL] = { "label", false },       [NAME] = { "name", false },
    [NETWORK] = { "network", false },   [PUBLISH] = { "publish", false },
    [SINCE] = { "since", true },        [STATUS] = { "status", true },
    [VOLUME] = { "volume", false },
};

void filter_free(struct filter *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++) {
        free(f->values[i].text);
        if (f->values[i].has_regex)
            regfree(&f->values[i].regex);
    }
    free(f->values);
    free(f);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int check_word(const char *what, const char *text, const char *const *words,
                      struct wharf_error *e)
{
    for (; *words; words++) {
        if (streq(*words, text))
            return 0;
    }
    return err_invalid(e, "Unrecognised filter value for %s: %s", what, text);
}

/* "80", "80/udp", "8000-8010/tcp" */
static int read_ports(struct value *v, struct wharf_error *e)
{
    size_t len = strcspn(v->text, "/");
    autofree char *range = strndup(v->text, len);
    char *dash = range ? strchr(range, '-') : NULL;

    if (dash)
        *dash++ = '\0';
    if (!range || parse_i64(range, 0, 65535, &v->number) < 0 ||
        parse_i64(dash ? dash : range, v->number, 65535, &v->last) < 0)
        return err_invalid(e, "error while looking up for %s: invalid port '%s'",
                           kinds[v->kind].name, v->text);
    snprintf(v->protocol, sizeof(v->protocol), "%s", v->text[len] ? v->text + len + 1 : "tcp");
    return 0;
}

/* The age of the container that is named. */
static int read_age(struct engine *en, struct principal who, struct value *v, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    int code = container_find(en, who, v->text, &r, NULL, e);

    if (code == 0)
        v->number = r.created_ns;
    return code;
}

/* An image by any of its names becomes its id as well. */
static int read_ancestor(struct engine *en, struct principal who, struct value *v)
{
    struct image_store *images;
    struct image *image;

    if (engine_images(en, who, &images, NULL) == 0 &&
        image_open(images, v->text, &image, NULL) == 0) {
        char *id = strdup(image_info(image)->id);

        image_free(image);
        if (!id)
            return -ENOMEM;
        free(v->text);
        v->text = id;
    }
    return 0;
}

static int read_value(struct engine *en, struct principal who, struct value *v,
                      struct wharf_error *e)
{
    static const char *const states[] = { "created", "restarting", "running", "removing",
                                          "paused",  "exited",     "dead",    NULL };
    static const char *const healths[] = { "starting", "healthy", "unhealthy", "none", NULL };

    switch (v->kind) {
    case ANCESTOR:
        return read_ancestor(en, who, v) < 0 ? err_nomem(e) : 0;
    case BEFORE:
    case SINCE:
        return read_age(en, who, v, e);
    case EXITED:
        return parse_i64(v->text, INT32_MIN, INT32_MAX, &v->number) < 0
                   ? err_invalid(e, "invalid filter 'exited=%s'", v->text)
                   : 0;
    case EXPOSE:
    case PUBLISH:
        return read_ports(v, e);
    case STATUS:
        return check_word("status", v->text, states, e);
    case HEALTH:
        return check_word("health", v->text, healths, e);
    case ID:
    case NAME:
    case NETWORK:
        v->has_regex = regcomp(&v->regex, v->text, REG_EXTENDED | REG_NOSUB) == 0;
        return 0;
    default:
        return 0;
    }
}

static int read_kind(struct engine *en, struct principal who, enum filter_kind kind, json_t *values,
                     struct filter *f, struct wharf_error *e)
{
    json_t *value;
    size_t i;

    if (!json_is_array(values))
        return err_invalid(e, "invalid filter '%s': its values must be a list", kinds[kind].name);
    json_array_foreach (values, i, value) {
        if (!json_is_string(value))
            return err_invalid(e, "invalid filter '%s': a value is no text", kinds[kind].name);
        if (f->count == FILTER_VALUES_MAX)
            return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d filter values",
                           FILTER_VALUES_MAX);
        struct value *v = &f->values[f->count];
        *v = (struct value){ .kind = kind, .text = strdup(json_string_value(value)) };
        if (!v->text)
            return err_nomem(e);
        f->count++;
        int r = read_value(en, who, v, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int filter_parse(struct engine *en, struct principal who, const json_t *filters,
                 struct filter **ret, struct wharf_error *e)
{
    auto_of(filter_free) struct filter *f = calloc(1, sizeof(*f));
    const char *key;
    json_t *values;

    if (f && json_object_size(filters) > 0)
        f->values = calloc(FILTER_VALUES_MAX, sizeof(*f->values));
    if (!f || (json_object_size(filters) > 0 && !f->values))
        return err_nomem(e);
    json_object_foreach ((json_t *)filters, key, values) {
        size_t kind = 0;

        while (kind < FILTER_KINDS && !streq(kinds[kind].name, key))
            kind++;
        if (kind == FILTER_KINDS)
            return err_invalid(e, "invalid filter '%.64s'", key);
        int r = read_kind(en, who, (enum filter_kind)kind, values, f, e);
        if (r < 0)
            return r;
    }
    *ret = take_ptr(&f);
    return 0;
}

bool filter_shows_stopped(const struct filter *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (kinds[f->values[i].kind].stopped)
            return true;
    }
    return false;
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool matches_text(const struct value *v, const char *text)
{
    return streq(v->text, text) || (v->has_regex && regexec(&v->regex, text, 0, NULL, 0) == 0);
}

static bool matches_name(const struct value *v, const char *name)
{
    autofree char *slashed = str_format("/%s", name);

    return matches_text(v, name) || (slashed && matches_text(v, slashed));
}

static bool matches_label(const field_pairs *labels, const char *wanted)
{
    size_t key = strcspn(wanted, "=");

    for (size_t i = 0; i < labels->count; i++) {
        const struct field_pair *l = &labels->items[i];

        if (strncmp(l->key, wanted, key) == 0 && !l->key[key])
            return !wanted[key] || streq(l->value, wanted + key + 1);
    }
    return false;
}

static bool matches_port(const struct value *v, const field_strings *ports)
{
    for (size_t i = 0; i < ports->count; i++) {
        struct value port = { .kind = v->kind, .text = ports->items[i] };

        if (read_ports(&port, NULL) == 0 && streq(port.protocol, v->protocol) &&
            port.number <= v->last && port.last >= v->number)
            return true;
    }
    return false;
}

static bool matches_volume(const struct mounts *mounts, const char *wanted)
{
    for (size_t i = 0; i < mounts->list.count; i++) {
        const struct mount_point *m = &mounts->list.items[i];

        if (streq(m->destination, wanted) || streq_null(m->name, wanted) ||
            streq_null(m->source, wanted))
            return true;
    }
    return false;
}

static bool matches_network(const struct value *v, const field_strings *networks)
{
    for (size_t i = 0; i < networks->count; i++) {
        if (matches_text(v, networks->items[i]))
            return true;
    }
    return false;
}

static bool fits(const struct value *v, const struct entry *x)
{
    const struct record *r = &x->record;

    switch (v->kind) {
    case ANCESTOR:
        return streq(v->text, r->image_id) || streq(v->text, r->image);
    case BEFORE:
        return r->created_ns < v->number;
    case SINCE:
        return r->created_ns > v->number;
    case EXITED:
        return r->state == STATE_EXITED && r->exit_code == v->number;
    case EXPOSE:
        return matches_port(v, &x->exposed) || matches_port(v, &x->published);
    case PUBLISH:
        return matches_port(v, &x->published);
    case HEALTH:
        return streq(v->text, record_health(r));
    case ID:
        return matches_text(v, r->id);
    case IS_TASK:
        return strcasecmp(v->text, "false") == 0 || streq(v->text, "0");
    case ISOLATION:
        return streq(v->text, "default") || !*v->text;
    case LABEL:
        return matches_label(&x->labels, v->text);
    case NAME:
        return matches_name(v, r->name);
    case NETWORK:
        return matches_network(v, &x->networks);
    case STATUS:
        return streq(v->text, state_name((enum state)r->state));
    case VOLUME:
        return matches_volume(&x->mounts, v->text);
    default:
        return true;
    }
}

bool filter_matches(const struct filter *f, const struct entry *x)
{
    bool asked[FILTER_KINDS] = { false }, one[FILTER_KINDS] = { false };

    for (size_t i = 0; i < f->count; i++) {
        enum filter_kind kind = f->values[i].kind;
        bool fit = fits(&f->values[i], x);

        if (kind == LABEL && !fit)
            return false;
        asked[kind] = true;
        one[kind] |= fit;
    }
    for (size_t kind = 0; kind < FILTER_KINDS; kind++) {
        if (asked[kind] && !one[kind])
            return false;
    }
    return true;
}
