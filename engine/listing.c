/* SPDX-License-Identifier: Apache-2.0 */
/* See listing.h. */
#include "engine/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/network.h"

#define ENTRY_TEXT_MAX (1u << 20)

struct listing {
    pthread_mutex_t lock;
    int64_t stamp; /* of the database when `first` was right */
    struct entry *first;
};

static void entry_free(struct entry *x)
{
    if (!x)
        return;
    record_done(&x->record);
    arena_free(x->arena);
    free(x->head);
    free(x->tail);
    free(x);
}

void listing_free(struct listing *l)
{
    if (!l)
        return;
    for (struct entry *x = l->first, *next; x; x = next) {
        next = x->next;
        entry_free(x);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int listing_of(struct engine *en, struct listing **ret, struct wharf_error *e)
{
    pthread_mutex_lock(&en->opening);
    if (!en->listing) {
        en->listing = calloc(1, sizeof(*en->listing));
        if (en->listing)
            pthread_mutex_init(&en->listing->lock, NULL);
    }
    *ret = en->listing;
    pthread_mutex_unlock(&en->opening);
    return *ret ? 0 : err_nomem(e);
}

/* ---- status ---------------------------------------------------------------------------------- */

void status_text(const struct record *r, int64_t now, char *text, size_t size)
{
    static const char *const healths[] = { [HEALTH_NONE] = "",
                                           [HEALTH_STARTING] = " (health: starting)",
                                           [HEALTH_HEALTHY] = " (healthy)",
                                           [HEALTH_UNHEALTHY] = " (unhealthy)" };
    const char *health = (size_t)r->health < ARRAY_SIZE(healths) ? healths[r->health] : "";
    char time[64];

    if (r->state == STATE_RUNNING || r->state == STATE_PAUSED) {
        duration_text((now - r->started_ns) / 1000000000, time, sizeof(time));
        snprintf(text, size, "Up %s%s", time, r->state == STATE_PAUSED ? " (Paused)" : health);
    } else if (r->state == STATE_EXITED || r->state == STATE_RESTARTING) {
        duration_text((now - r->finished_ns) / 1000000000, time, sizeof(time));
        snprintf(text, size, "%s (%" PRId64 ") %s ago",
                 r->state == STATE_EXITED ? "Exited" : "Restarting", r->exit_code, time);
    } else {
        snprintf(text, size, "%s", r->state == STATE_REMOVING ? "Removal In Progress" : "Created");
    }
}

/* ---- entries --------------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, "\"%s\":", key);
    buf_json(b, value ? value : "", value ? strlen(value) : 0);
}

static void put_json(struct buf *b, const char *key, json_t *value /* taken */)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

    buf_printf(b, ",\"%s\":%s", key, text ? text : "null");
    free(text);
    json_decref(value);
}

static void write_head(const struct record *r, struct buf *b)
{
    buf_printf(b, "{\"Id\":\"%s\",\"Names\":[\"/%s\"],", r->id, r->name);
    put_text(b, "Image", r->image);
    buf_char(b, ',');
    put_text(b, "ImageID", r->image_id);
    buf_char(b, ',');
    put_text(b, "Command", r->command);
    buf_printf(b, ",\"Created\":%" PRId64, r->created_ns / 1000000000);
}

static json_t *labels_json(const field_pairs *labels)
{
    json_t *object = json_object();

    for (size_t i = 0; i < labels->count; i++)
        json_object_set_new(object, labels->items[i].key, json_string(labels->items[i].value));
    return object;
}

static void write_tail(struct engine *en, const struct record *r, const struct settings *s,
                       const struct entry *x, json_t *networks, struct buf *b)
{
    const char *mode = settings_text(s->host->network_mode) ? s->host->network_mode : "default";
    json_t *host = json_pack("{s:s}", "NetworkMode", mode);

    if (s->host->annotations.count > 0)
        json_object_set_new(host, "Annotations", labels_json(&s->host->annotations));
    put_json(b, "Labels", labels_json(&s->labels));
    put_json(b, "HostConfig", host);
    put_json(b, "NetworkSettings", json_pack("{s:O}", "Networks", networks));
    put_json(b, "Ports", engine_container_ports(en, r));
    put_json(b, "Mounts", mounts_json(&x->mounts));
}

/* Names and ids of its networks. */
static int keep_networks(struct entry *x, json_t *networks)
{
    const char *key;
    json_t *endpoint;

    x->networks.items =
        arena_array(x->arena, 2 * json_object_size(networks) + 1, sizeof(*x->networks.items));
    if (!x->networks.items)
        return -ENOMEM;
    json_object_foreach (networks, key, endpoint) {
        const char *id = json_string_value(json_object_get(endpoint, "NetworkID"));

        x->networks.items[x->networks.count++] = arena_str(x->arena, key);
        x->networks.items[x->networks.count++] = arena_str(x->arena, id ? id : "");
        if (!x->networks.items[x->networks.count - 1] || !x->networks.items[x->networks.count - 2])
            return -ENOMEM;
    }
    return 0;
}

static int keep_for_filters(struct entry *x, const struct settings *s, json_t *networks)
{
    const struct settings_host *h = s->host;

    x->watched = s->health != NULL || restart_policy(h) != POLICY_NO;
    x->labels = s->labels;
    x->exposed = s->exposed_ports;
    x->published.items = arena_array(x->arena, h->port_bindings.count + 1, sizeof(char *));
    if (!x->published.items)
        return -ENOMEM;
    for (size_t i = 0; i < h->port_bindings.count; i++)
        x->published.items[x->published.count++] = h->port_bindings.items[i].port;
    return keep_networks(x, networks);
}

/* Takes the record's strings. */
static int entry_new(struct engine *en, struct record *r, struct entry **ret, struct wharf_error *e)
{
    struct buf head = BUF(ENTRY_TEXT_MAX), tail = BUF(ENTRY_TEXT_MAX);
    struct entry *x = calloc(1, sizeof(*x));
    struct settings s;
    int code;

    if (x)
        x->arena = arena_new(SETTINGS_ARENA_MAX);
    if (!x || !x->arena) {
        entry_free(x);
        return err_nomem(e);
    }
    x->record = *r;
    *r = (struct record){ 0 };
    r = &x->record;
    code = settings_read(r->settings, strlen(r->settings), x->arena, &s, e);
    if (code == 0)
        code = mounts_read(r->mounts, x->arena, &x->mounts, e);
    autojson json_t *network = code == 0 ? record_network_json(en, r, &s) : NULL;
    json_t *networks = json_object_get(network, "Networks");
    if (code == 0 && keep_for_filters(x, &s, networks) < 0)
        code = err_nomem(e);
    if (code == 0) {
        write_head(r, &head);
        write_tail(en, r, &s, x, networks, &tail);
        x->head = buf_take(&head);
        x->tail = buf_take(&tail);
        if (!x->head || !x->tail)
            code = err_nomem(e);
    }
    free(r->settings);
    free(r->mounts);
    r->settings = r->mounts = NULL;
    if (code < 0)
        entry_free(x);
    else
        *ret = x;
    return code;
}

/* ---- keeping up ------------------------------------------------------------------------------ */

struct refresh {
    struct engine *en;
    struct entry *old, *first, **last;
    struct wharf_error *e;
};

/* The old entry of this id, if it is of this revision; those before it are of removed ones, or were
 * made later: both lists are in the same order. */
static struct entry *take_old(struct refresh *f, const char *id, int64_t revision)
{
    for (struct entry **at = &f->old; *at; at = &(*at)->next) {
        struct entry *x = *at;

        if (!streq(x->record.id, id))
            continue;
        *at = x->next;
        x->next = NULL;
        if (x->record.revision == revision)
            return x;
        entry_free(x);
        break;
    }
    return NULL;
}

static int refresh_one(void *user, const char *id, int64_t revision)
{
    struct refresh *f = user;
    struct entry *x = take_old(f, id, revision);

    if (!x) {
        autorecord struct record r = { 0 };
        int code = store_find(f->en->store, id, 0, &r, NULL);

        if (code == -ENOENT)
            return 0; /* removed meanwhile */
        code = code < 0 ? err_code(f->e, code, "cannot read container %s", id)
                        : entry_new(f->en, &r, &x, f->e);
        if (code < 0)
            return code;
    }
    *f->last = x;
    f->last = &x->next;
    return 0;
}

static int refresh(struct engine *en, struct listing *l, struct wharf_error *e)
{
    int64_t stamp = store_stamp(en->store);
    struct refresh f = { en, l->first, NULL, &f.first, e };

    if (stamp != 0 && stamp == l->stamp)
        return 0;
    int r = store_each_revision(en->store, refresh_one, &f, e);
    for (struct entry *x = f.old, *next; x; x = next) {
        next = x->next;
        entry_free(x);
    }
    l->first = f.first;
    l->stamp = r == 0 ? stamp : 0;
    return r;
}

static bool is_settled(struct engine *en, const struct record *r)
{
    if (record_is_running(r))
        return lock_held(en->lock_file, r->id, LOCK_ALIVE);
    return r->state == STATE_CREATED || r->state == STATE_EXITED;
}

/* Repairs whose shim is gone; 1 when something was changed. */
static int settle(struct engine *en, struct listing *l)
{
    int changed = 0;

    for (const struct entry *x = l->first; x; x = x->next) {
        autorecord struct record r = { 0 };

        if (is_settled(en, &x->record) || store_find(en->store, x->record.id, 0, &r, NULL) < 0)
            continue;
        int64_t before = r.state;
        int code = record_repair(en, &r, false, NULL);
        changed |= code == -ENOENT || (code == 0 && r.state != before);
    }
    return changed;
}

/* ---- the list -------------------------------------------------------------------------------- */

static void put_sizes(struct engine *en, const struct record *r, struct buf *b)
{
    int64_t own = 0, all = 0;

    if (container_sizes(en, r->id, &own, &all) == 0)
        buf_printf(b, ",\"SizeRw\":%" PRId64 ",\"SizeRootFs\":%" PRId64, own, all);
}

static void put_entry(struct engine *en, const struct entry *x, bool size, int64_t now,
                      struct buf *b)
{
    char status[128];

    status_text(&x->record, now, status, sizeof(status));
    buf_str(b, b->data && b->len > 1 ? "," : "");
    buf_str(b, x->head);
    buf_printf(b, ",\"State\":\"%s\",\"Status\":\"%s\"", state_name((enum state)x->record.state),
               status);
    if (size)
        put_sizes(en, &x->record, b);
    buf_str(b, x->tail);
    buf_char(b, '}');
}

static bool is_shown(const struct entry *x, struct principal who, const struct engine_list *ask,
                     const struct filter *f)
{
    bool stopped_too = ask->all || ask->limit > 0 || filter_shows_stopped(f);
    int64_t state = x->record.state;

    if (state == STATE_CREATING || (who.uid != 0 && x->record.owner != who.uid))
        return false;
    return (stopped_too || record_is_running(&x->record)) && filter_matches(f, x);
}

int engine_container_list_json(struct engine *en, struct principal who,
                               const struct engine_list *ask, struct buf *ret,
                               struct wharf_error *e)
{
    auto_of(filter_free) struct filter *filter = NULL;
    struct listing *l;
    int64_t left = ask->limit > 0 ? ask->limit : INT64_MAX, now = time_now_ns();
    int r = principal_check(en, who, e);

    if (r == 0)
        r = filter_parse(en, who, ask->filters, &filter, e);
    if (r == 0)
        r = listing_of(en, &l, e);
    if (r < 0)
        return r;
    pthread_mutex_lock(&l->lock);
    r = refresh(en, l, e);
    if (r == 0 && settle(en, l))
        r = refresh(en, l, e);
    buf_char(ret, '[');
    for (const struct entry *x = l->first; r == 0 && x && left > 0; x = x->next) {
        struct entry view = *x;

        if (x->watched)
            record_read_state(en, &view.record);
        if (is_shown(&view, who, ask, filter)) {
            put_entry(en, &view, ask->size, now, ret);
            left--;
        }
    }
    pthread_mutex_unlock(&l->lock);
    buf_char(ret, ']');
    return r < 0 ? r : ret->error ? err_code(e, ret->error, "the list is too long") : 0;
}
