/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shim knows beyond the record, and what happens after the machine's own restart: then no
 * shim is left to carry out the policies, so the daemon runs what they ask for when it begins.
 */
#include "engine/internal.h"

#include "base/fd.h"
#include "base/str.h"

/* What its last shim wrote of the end. A killed one did not, but where its policy had it write its
 * state: that is true up to the kill. */
static struct shim_exit last_exit(struct engine *en, const struct record *r)
{
    autoclose int dir = container_directory(en, r->id);
    struct shim_exit status;
    struct shim_state state;

    if (dir >= 0 && shim_exit_read(dir, &status) == 0 &&
        status.generation == (uint64_t)r->generation)
        return status;
    if (dir >= 0 && shim_state_read(dir, SHIM_STATE_FILE, &state) == 0 &&
        state.generation == (uint64_t)r->generation)
        return (struct shim_exit){ .restarts = state.restarts };
    return (struct shim_exit){ 0 };
}

int64_t record_restarts(struct engine *en, const struct record *r)
{
    return record_is_running(r) ? r->restarts : last_exit(en, r).restarts;
}

static bool wants_start(struct engine *en, const struct record *r)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings s;
    struct shim_exit last;

    if (r->state != STATE_EXITED || !arena ||
        settings_read(r->settings, strlen(r->settings), arena, &s, NULL) < 0)
        return false;
    last = last_exit(en, r);
    switch (restart_policy(s.host)) {
    case POLICY_ALWAYS:
        return true;
    case POLICY_UNLESS_STOPPED:
        return !last.manual;
    case POLICY_ON_FAILURE:
        return r->exit_code != 0 && !last.manual &&
               (s.host->restart.maximum_retries == 0 ||
                last.restarts < s.host->restart.maximum_retries);
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
