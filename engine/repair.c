/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings a record and the world together. A record says CREATING, STARTING, RUNNING, PAUSED or
 * REMOVING only while somebody works or a shim lives; when neither is so, whoever had it in hand
 * was killed, and the rule for that state is carried out by whoever looks next:
 *
 *     CREATING, REMOVING   removed
 *     STARTING             runs, if its shim was told to start; else as it was before
 *     RUNNING, PAUSED      exited: as the shim wrote it down, or 137 when it could not; with --rm
 * removed
 *
 * A shim that was killed leaves its container's processes: they are killed here, with their cgroup.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/join.h"
#include "engine/mounts.h"
#include "engine/network.h"

bool record_is_running(const struct record *r)
{
    return r->state == STATE_RUNNING || r->state == STATE_PAUSED || r->state == STATE_RESTARTING;
}

int container_directory(struct engine *en, const char *id)
{
    int fd = openat(en->containers_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

void container_sweep(struct engine *en, const char *id)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    autofree char *state = str_format("%s/%s", en->run, STATE_DIR);
    struct container_engine *engine = NULL;
    struct container *c = NULL;
    autobuf struct buf endpoint = BUF(8192);

    options.root = state;
    if (!state || container_engine_open(&engine, &options, NULL) < 0)
        return;
    if (container_open(engine, id, &c, NULL) == 0) {
        container_delete(c, 1, NULL);
        container_close(c);
    }
    container_engine_forget(engine, id, NULL);
    container_engine_close(engine);
    shim_endpoint(en, id, &endpoint);
    if (!endpoint.error)
        unlink(endpoint.data);
}

/* Whoever finds the record in this state, with nobody at work, removes it: no need to say so. */
static bool ends_removed(const struct record *r)
{
    return r->state == STATE_CREATING || r->state == STATE_REMOVING ||
           (r->auto_remove && r->state != STATE_CREATED && r->state != STATE_EXITED);
}

/* `extra`: attributes of its "destroy" event. */
static int forget(struct engine *en, struct record *r, const char *const *extra,
                  struct wharf_error *e)
{
    struct image_store *images;
    bool was_made = r->state != STATE_CREATING; /* else nobody was told of it */
    int code = 0;

    if (!ends_removed(r)) {
        r->state = STATE_REMOVING;
        code = store_update(en->store, r, e);
    }
    if (code < 0)
        return code;
    if (lock_held(en->lock_file, r->id, LOCK_ALIVE)) { /* one that waits for a start, at most */
        struct shim_message quit = { .op = SHIM_QUIT };

        shim_ask(en, r->id, &quit, NULL);
    }
    container_sweep(en, r->id);
    join_forget(en, r->id);
    code = record_network_leave(en, r, e);
    if (code < 0)
        return code;
    if (settings_text(r->mounts) || r->state == STATE_CREATING)
        code = mounts_release(en, r->id, r->auto_remove || r->state == STATE_CREATING, e);
    if (code < 0)
        return code;
    code = path_remove_tree(en->containers_fd, r->id);
    if (code < 0)
        return err_code(e, code, "cannot remove the files of container %s", r->id);
    code = engine_images(en, (struct principal){ 0 }, &images, e);
    if (code == 0)
        code = image_root_release(images, r->id, e);
    if (code == 0)
        code = store_delete(en->store, r->id, e);
    if (code == 0 && was_made)
        engine_emit(en, r, "destroy", extra);
    return code;
}

int record_forget(struct engine *en, struct record *r, struct wharf_error *e)
{
    return forget(en, r, NULL, e);
}

/* The start `r->generation` is over: how? */
static void read_exit(struct engine *en, struct record *r)
{
    autoclose int dir = container_directory(en, r->id);
    struct shim_exit status;

    r->exit_code = 128 + SIGKILL;
    r->finished_ns = time_now_ns();
    if (dir >= 0 && shim_exit_read(dir, &status) == 0 &&
        status.generation == (uint64_t)r->generation) {
        r->exit_code = status.code;
        r->finished_ns = status.finished_ns;
        r->oom_killed = status.oom_killed;
    } else {
        container_sweep(en, r->id);
    }
    r->state = STATE_EXITED;
    r->pid = 0;
}

/* With --rm its end is told once more, for who asks for it when it is gone: wait.c. */
static int repair_removed(struct engine *en, struct record *r, struct wharf_error *e)
{
    struct record end = *r;
    char text[16];
    const char *extra[] = { EVENT_EXIT_CODE, text, NULL };

    read_exit(en, &end);
    snprintf(text, sizeof(text), "%d", (int)end.exit_code);
    int code = forget(en, r, extra, e);
    return code < 0 ? code : -ENOENT;
}

static int repair_ended(struct engine *en, struct record *r, struct wharf_error *e)
{
    if (r->auto_remove)
        return repair_removed(en, r, e);
    read_exit(en, r);
    record_network_stop(en, r, NULL); /* what fails here, the next start or the removal does */
    return store_update(en->store, r, e);
}

/* Whether its shim was told to start; one that was not is told to go, and gone when this returns:
 * an order that is still on its way must not find it. */
static bool shim_has_started(struct engine *en, const struct record *r, struct shim_message *answer)
{
    struct shim_message ask = { .op = SHIM_STATE }, quit = { .op = SHIM_QUIT };
    autoclose int fd =
        lock_held(en->lock_file, r->id, LOCK_ALIVE) ? shim_connect(en, r->id, NULL) : -1;

    if (fd < 0)
        return false;
    if (shim_call(fd, &ask, answer, NULL) == 0 && answer->value[0] > 0)
        return true;
    if (shim_call(fd, &quit, NULL, NULL) == 0) {
        fd_close(lock_take(en->root_fd, r->id, LOCK_ALIVE, true));
        return false;
    }
    return shim_call(fd, &ask, answer, NULL) == 0 && answer->value[0] > 0;
}

/* Killed between writing STARTING and writing RUNNING. */
static int repair_starting(struct engine *en, struct record *r, struct wharf_error *e)
{
    autoclose int dir = container_directory(en, r->id);
    struct shim_message answer;
    struct shim_exit status;

    if (shim_has_started(en, r, &answer)) {
        r->state = STATE_RUNNING;
        r->pid = answer.value[0];
        r->started_ns = time_now_ns();
        return store_update(en->store, r, e);
    }
    if (dir >= 0 && shim_exit_read(dir, &status) == 0 &&
        status.generation == (uint64_t)r->generation) {
        r->started_ns = status.finished_ns;
        return repair_ended(en, r, e);
    }
    container_sweep(en, r->id);
    if (r->auto_remove) {
        int code = record_forget(en, r, e);
        return code < 0 ? code : -ENOENT;
    }
    record_network_stop(en, r, NULL);
    r->state = r->started_ns ? STATE_EXITED : STATE_CREATED;
    return store_update(en->store, r, e);
}

static bool is_settled(struct engine *en, const struct record *r)
{
    if (r->state == STATE_CREATED || r->state == STATE_EXITED)
        return true;
    return record_is_running(r) && lock_held(en->lock_file, r->id, LOCK_ALIVE);
}

static int repair_locked(struct engine *en, struct record *r, struct wharf_error *e)
{
    switch (r->state) {
    case STATE_CREATING:
    case STATE_REMOVING: {
        int code = record_forget(en, r, e);
        return code < 0 ? code : -ENOENT;
    }
    case STATE_STARTING:
        return repair_starting(en, r, e);
    default:
        return repair_ended(en, r, e);
    }
}

/* A shim that restarts its container or checks its health says what is true now; the others have no
 * such file, and the record is right. */
void record_read_state(struct engine *en, struct record *r)
{
    char path[ID_LENGTH + sizeof(SHIM_STATE_FILE) + 2];
    struct shim_state s;

    if (!record_is_running(r))
        return;
    snprintf(path, sizeof(path), "%s/" SHIM_STATE_FILE, r->id);
    if (shim_state_read(en->containers_fd, path, &s) < 0 || s.generation != (uint64_t)r->generation)
        return;
    r->restarts = s.restarts;
    r->health = s.health;
    if (s.restarts > 0 || s.phase == PHASE_RESTARTING) {
        r->pid = s.pid;
        r->started_ns = s.started_ns;
        r->finished_ns = s.finished_ns;
        r->exit_code = s.code;
    }
    if (s.phase == PHASE_RESTARTING)
        r->state = STATE_RESTARTING;
}

static int repair(struct engine *en, struct record *r, bool locked, struct wharf_error *e)
{
    struct record fresh = { 0 };

    if (is_settled(en, r))
        return 0;
    if (locked)
        return repair_locked(en, r, e);
    autoclose int lock = lock_take(en->root_fd, r->id, LOCK_CHANGE, false);
    if (lock == -EAGAIN) /* somebody is at it: what is being made is not there yet */
        return r->state == STATE_CREATING ? -ENOENT : 0;
    if (lock < 0)
        return err_code(e, lock, "cannot lock container %s", r->id);
    int code = store_find(en->store, r->id, 0, &fresh, e);
    if (code < 0)
        return code;
    record_done(r);
    *r = fresh;
    return is_settled(en, r) ? 0 : repair_locked(en, r, e);
}

int record_repair(struct engine *en, struct record *r, bool locked, struct wharf_error *e)
{
    int code = repair(en, r, locked, e);

    if (code == 0)
        record_read_state(en, r);
    return code;
}
