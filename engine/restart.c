/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shim knows beyond the record, and what happens after the machine's own restart: then no
 * shim is left to carry out the policies, so the daemon runs what they ask for when it begins.
 */
#include "engine/internal.h"

#include "base/fd.h"
#include "base/str.h"

static bool was_stopped(struct engine *en, const struct record *r)
{
    autoclose int dir = container_directory(en, r->id);
    struct shim_exit status;

    return dir >= 0 && shim_exit_read(dir, &status) == 0 &&
           status.generation == (uint64_t)r->generation && status.manual;
}

static bool wants_start(struct engine *en, const struct record *r)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings s;

    if (r->state != STATE_EXITED || !arena ||
        settings_read(r->settings, strlen(r->settings), arena, &s, NULL) < 0)
        return false;
    switch (restart_policy(s.host)) {
    case POLICY_ALWAYS:
        return true;
    case POLICY_UNLESS_STOPPED:
        return !was_stopped(en, r);
    case POLICY_ON_FAILURE:
        return r->exit_code != 0 && !was_stopped(en, r);
    default:
        return false;
    }
}

struct due {
    struct engine *en;
    char **ids;
};

static int collect(void *user, struct record *r)
{
    struct due *due = user;

    return wants_start(due->en, r) ? strv_add(&due->ids, r->id) : 0;
}

int engine_restart_all(struct engine *en, struct wharf_error *e)
{
    struct due due = { .en = en };
    int r = engine_container_list(en, (struct principal){ 0 }, collect, &due, e), count = 0;

    /* one that cannot be started has its reason in its record */
    for (char **id = due.ids; r == 0 && id && *id; id++)
        count += engine_container_start(en, (struct principal){ 0 }, *id, NULL, NULL, NULL) == 0;
    strv_free(due.ids);
    return r < 0 ? r : count;
}
