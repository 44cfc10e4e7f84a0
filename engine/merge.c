/* SPDX-License-Identifier: Apache-2.0 */
/* See merge.h; docker's rules (runconfig.Merge). Lists of the image are copied into the arena: the
 * image is freed before the settings are written. */
#include "engine/merge.h"

#include <limits.h>
#include <stdio.h>
#include "base/str.h"

#define SHM_DEFAULT (64 << 20)

static const char *copy(struct arena *arena, const char *text, bool *failed)
{
    char *made = arena_str(arena, text);

    *failed |= !made;
    return made;
}

static void merge_text(char **own, const char *image, struct arena *arena, bool *failed)
{
    if (!settings_text(*own) && *image)
        *own = (char *)copy(arena, image, failed);
}

static field_strings copy_list(char *const *list, struct arena *arena, bool *failed)
{
    field_strings made = { NULL, strv_count((const char *const *)list) };

    made.items = arena_array(arena, made.count + 1, sizeof(*made.items));
    for (size_t i = 0; made.items && i < made.count; i++)
        made.items[i] = (char *)copy(arena, list[i], failed);
    *failed |= !made.items;
    return made;
}

/* Equal up to the first `end` character: the name in "NAME=VALUE", all of it with NUL. */
static bool same_key(const char *a, const char *b, char end)
{
    size_t n = 0;

    while (a[n] && a[n] != end && a[n] == b[n])
        n++;
    return (!a[n] || a[n] == end) && (!b[n] || b[n] == end);
}

/* The user's, then those of the image's that have another key. */
static void merge_list(field_strings *own, char *const *image, char key_end, struct arena *arena,
                       bool *failed)
{
    size_t more = strv_count((const char *const *)image), count = own->count;
    char **items = arena_array(arena, count + more + 1, sizeof(*items));

    *failed |= !items;
    if (!items || more == 0)
        return;
    if (count > 0)
        memcpy(items, own->items, count * sizeof(*items));
    for (size_t i = 0; i < more; i++) {
        size_t at = 0;

        while (at < own->count && !same_key(own->items[at], image[i], key_end))
            at++;
        if (at == own->count)
            items[count++] = (char *)copy(arena, image[i], failed);
    }
    *own = (field_strings){ items, count };
}

static void merge_labels(field_pairs *own, const struct image_pair *image, struct arena *arena,
                         bool *failed)
{
    size_t more = 0, count = own->count;

    while (image[more].key)
        more++;
    struct field_pair *items = arena_array(arena, count + more + 1, sizeof(*items));
    *failed |= !items;
    if (!items || more == 0)
        return;
    if (count > 0)
        memcpy(items, own->items, count * sizeof(*items));
    for (; image->key; image++) {
        size_t at = 0;

        while (at < own->count && !streq(own->items[at].key, image->key))
            at++;
        if (at == own->count)
            items[count++] = (struct field_pair){ (char *)copy(arena, image->key, failed),
                                                  (char *)copy(arena, image->value, failed) };
    }
    *own = (field_pairs){ items, count };
}

/* An entrypoint of one's own puts the image's arguments away; one "" clears the image's. */
static void merge_command(struct settings *s, const struct image_info *image, struct arena *arena,
                          bool *failed)
{
    if (s->entrypoint.count == 0) {
        if (s->cmd.count == 0)
            s->cmd = copy_list(image->cmd, arena, failed);
        s->entrypoint = copy_list(image->entrypoint, arena, failed);
    } else if (s->entrypoint.count == 1 && !s->entrypoint.items[0][0]) {
        s->entrypoint.count = 0;
    }
}

static void merge_health(struct settings *s, const struct image_healthcheck *image,
                         struct arena *arena, bool *failed)
{
    struct settings_health *own;

    if (!image)
        return;
    own = arena_alloc(arena, sizeof(*own));
    *failed |= !own;
    if (!own)
        return;
    if (s->health)
        *own = *s->health;
    if (own->test.count == 0 && image->test)
        own->test = copy_list(image->test, arena, failed);
    own->interval = own->interval ? own->interval : image->interval_ns;
    own->timeout = own->timeout ? own->timeout : image->timeout_ns;
    own->start_period = own->start_period ? own->start_period : image->start_period_ns;
    own->start_interval = own->start_interval ? own->start_interval : image->start_interval_ns;
    own->retries = own->retries ? own->retries : image->retries;
    s->health = own;
}

int settings_merge(struct settings *s, const struct image_info *image, struct arena *arena,
                   struct wharf_error *e)
{
    bool failed = false;

    merge_text(&s->user, image->user, arena, &failed);
    merge_text(&s->working_dir, image->working_dir, arena, &failed);
    merge_text(&s->stop_signal, image->stop_signal, arena, &failed);
    merge_list(&s->env, image->env, '=', arena, &failed);
    merge_list(&s->exposed_ports, image->exposed_ports, '\0', arena, &failed);
    merge_list(&s->volumes, image->volumes, '\0', arena, &failed);
    merge_labels(&s->labels, image->labels, arena, &failed);
    merge_command(s, image, arena, &failed);
    merge_health(s, image->healthcheck, arena, &failed);
    if (s->shell.count == 0)
        s->shell = copy_list(image->shell, arena, &failed);
    return failed ? err_nomem(e) : 0;
}

/* ---- defaults -------------------------------------------------------------------------------- */

static void set_default(char **own, const char *value)
{
    if (!settings_text(*own))
        *own = (char *)value;
}

/* Whether the kernel counts swap: without it a limit for both cannot be set. */
static bool swap_is_counted(void)
{
    return access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0 ||
           access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
}

static int default_hostname(struct settings *s, const char *id, struct arena *arena,
                            struct wharf_error *e)
{
    const struct settings_host *h = s->host;
    bool hosts = (h->network_mode && streq(h->network_mode, "host")) ||
                 (h->uts_mode && streq(h->uts_mode, "host"));
    char name[HOST_NAME_MAX + 1] = "";

    if (settings_text(s->hostname))
        return 0;
    if (!hosts || gethostname(name, sizeof(name) - 1) < 0)
        snprintf(name, sizeof(name), "%.12s", id);
    s->hostname = arena_str(arena, name);
    return s->hostname ? 0 : err_nomem(e);
}

int settings_defaults(struct settings *s, const char *id, struct arena *arena,
                      struct wharf_error *e)
{
    struct settings_host *h = s->host;
    struct settings_log *log = arena_alloc(arena, sizeof(*log));

    if (!log)
        return err_nomem(e);
    if (h->log)
        *log = *h->log;
    set_default(&log->type, "json-file");
    h->log = log;
    if (s->network_disabled)
        h->network_mode = (char *)"none";
    set_default(&h->network_mode, "default");
    set_default(&h->ipc_mode, "private");
    set_default(&h->cgroupns_mode, h->privileged ? "host" : "private");
    set_default(&h->restart.name, "no");
    set_default(&h->runtime, "wharf");
    if (!h->shm_size)
        h->shm_size = SHM_DEFAULT;
    if (h->memory > 0 && h->memory_swap == 0 && swap_is_counted())
        h->memory_swap = 2 * h->memory;
    return default_hostname(s, id, arena, e);
}
