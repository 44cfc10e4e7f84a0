/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a container after its creation, but its start: list, signals, rename, remove. */
#include "engine/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/mounts.h"
#include "engine/names.h"
#include "engine/network.h"

#define FILE_COPY_MAX (64u << 10)

/* ---- finding --------------------------------------------------------------------------------- */

int container_find(struct engine *en, struct principal who, const char *reference,
                   struct record *ret, int *ret_lock, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    int code = principal_check(en, who, e);

    if (code == 0)
        code = store_find(en->store, reference, who.uid, &r, e);
    if (code == 0 && ret_lock) {
        lock = lock_take(en->root_fd, r.id, LOCK_CHANGE, true);
        if (lock < 0)
            return err_code(e, lock, "cannot lock container %s", reference);
        struct record fresh = { 0 }; /* it may have changed while we waited */
        code = store_find(en->store, r.id, who.uid, &fresh, e);
        if (code == 0) {
            record_done(&r);
            r = fresh;
        }
    }
    if (code == 0)
        code = record_repair(en, &r, ret_lock != NULL, e);
    if (code == -ENOENT)
        return err_not_found(e, "No such container: %s", reference);
    if (code < 0)
        return code;
    *ret = r;
    memset(&r, 0, sizeof(r));
    if (ret_lock)
        *ret_lock = take_fd(&lock);
    return 0;
}

int engine_container_find(struct engine *en, struct principal who, const char *reference,
                          struct record *ret, struct wharf_error *e)
{
    return container_find(en, who, reference, ret, NULL, e);
}

struct listing {
    struct engine *en;
    int (*each)(void *user, struct record *r);
    void *user;
    struct wharf_error *e;
};

static int list_one(void *user, struct record *r)
{
    struct listing *l = user;
    int code = record_repair(l->en, r, false, l->e);

    if (code == -ENOENT)
        return 0;
    return code < 0 ? code : l->each(l->user, r);
}

int engine_container_list(struct engine *en, struct principal who,
                          int (*each)(void *user, struct record *r), void *user,
                          struct wharf_error *e)
{
    struct listing l = { en, each, user, e };
    int r = principal_check(en, who, e);

    return r < 0 ? r : store_each(en->store, who.uid, list_one, &l, e);
}

/* ---- signals and waiting --------------------------------------------------------------------- */

static void emit_kill(struct engine *en, const struct record *r, int signal)
{
    char text[16];
    const char *extra[] = { "signal", text, NULL };

    snprintf(text, sizeof(text), "%d", signal);
    engine_emit(en, r, "kill", extra);
}

/* Whether a signal means that it shall stay down, whatever its restart policy: as with dockerd, all
 * but those beside a stop signal of its own. */
static bool is_final(const struct record *r, int signal)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings s;

    if (!arena || signal == SIGKILL ||
        settings_read(r->settings, strlen(r->settings), arena, &s, NULL) < 0)
        return true;
    return !settings_text(s.stop_signal) || signal_parse(s.stop_signal, NULL) == signal;
}

int engine_container_kill(struct engine *en, struct principal who, const char *reference,
                          int signal, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message m = { .op = SHIM_KILL, .value = { signal } };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return err_wrap(e, code, "Cannot kill container: %s", reference);
    m.flags = is_final(&r, signal) ? SHIM_FINAL : 0;
    if (record_is_running(&r))
        emit_kill(en, &r, signal);
    code = record_is_running(&r) ? shim_ask(en, r.id, &m, e) : -ESRCH;
    if (code == -ESRCH)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT,
                       "Cannot kill container: %s: Container %s is not running", reference, r.id);
    return code;
}

/* The signal that stops it, and its patience: the settings' or docker's. */
static int stop_habits(const struct record *r, int *ret_signal, int64_t *timeout,
                       struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings settings;

    if (!arena)
        return err_nomem(e);
    int code = settings_read(r->settings, strlen(r->settings), arena, &settings, e);
    if (code < 0)
        return code;
    int signal = settings_text(settings.stop_signal) ? signal_parse(settings.stop_signal, NULL) : 0;
    *ret_signal = signal > 0 ? signal : SIGTERM;
    if (*timeout == -2)
        *timeout = settings.stop_timeout.set ? settings.stop_timeout.value : STOP_TIMEOUT_DEFAULT;
    return 0;
}

/* Signals and waits; with SIGKILL and a shim that does not answer the repair does the rest. */
static int kill_and_wait(struct engine *en, const struct record *r, int signal, int64_t timeout_ms)
{
    struct shim_message wait = { .op = SHIM_WAIT };
    struct shim_message kill = { .op = SHIM_KILL, .flags = SHIM_FINAL, .value = { signal } };
    autoclose int fd = shim_connect(en, r->id, NULL);
    int64_t code;

    emit_kill(en, r, signal);
    if (fd < 0 || shim_send(fd, &wait) < 0 || shim_send(fd, &kill) < 0)
        return 0;
    return shim_wait_end(fd, timeout_ms, &code);
}

int engine_container_stop(struct engine *en, struct principal who, const char *reference,
                          int64_t timeout, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    int signal = SIGTERM, code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0 || !record_is_running(&r))
        return MIN(code, 0);
    if (r.state == STATE_PAUSED) {
        struct shim_message resume = { .op = SHIM_RESUME };

        shim_ask(en, r.id, &resume, NULL);
    }
    code = stop_habits(&r, &signal, &timeout, e);
    if (code < 0)
        return code;
    if (kill_and_wait(en, &r, signal, timeout < 0 ? -1 : timeout * 1000) == -ETIMEDOUT)
        kill_and_wait(en, &r, SIGKILL, -1);
    code = engine_container_wait(en, who, r.id, WAIT_NOT_RUNNING, &r.exit_code, e);
    engine_emit(en, &r, "stop", NULL);
    return code == -ENOENT ? 0 : code; /* --rm: it went with its end */
}

int engine_container_restart(struct engine *en, struct principal who, const char *reference,
                             int64_t timeout, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code == 0 && r.auto_remove && record_is_running(&r))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "container %s is removed when it stops (--rm), so it cannot be restarted",
                       reference);
    if (code == 0 && record_is_running(&r))
        code = engine_container_stop(en, who, r.id, timeout, e);
    if (code == 0)
        code = engine_container_start(en, who, r.id, NULL, NULL, e);
    if (code == 0)
        engine_emit(en, &r, "restart", NULL);
    return code;
}

int engine_container_pause(struct engine *en, struct principal who, const char *reference,
                           bool pause, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    struct shim_message m = { .op = pause ? SHIM_PAUSE : SHIM_RESUME };
    int code = container_find(en, who, reference, &r, &lock, e);

    if (code < 0)
        return code;
    if (!record_is_running(&r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r.id);
    if (pause == (r.state == STATE_PAUSED))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "Container %s is %s paused", r.id,
                       pause ? "already" : "not");
    code = shim_ask(en, r.id, &m, e);
    r.state = pause ? STATE_PAUSED : STATE_RUNNING;
    if (code == 0)
        code = store_update(en->store, &r, e);
    if (code == 0)
        engine_emit(en, &r, pause ? "pause" : "unpause", NULL);
    return code;
}

/* ---- rename, remove -------------------------------------------------------------------------- */

int engine_container_rename(struct engine *en, struct principal who, const char *reference,
                            const char *name, struct wharf_error *e)
{
    autorecord struct record r = { 0 }, other = { 0 };
    autoclose int lock = -1;

    if (!*name || !*reference)
        return err_invalid(e, "Neither old nor new names may be empty");
    int code = name_check(name, e);

    if (code == 0)
        code = container_find(en, who, reference, &r, &lock, e);
    if (code < 0)
        return code;
    if (streq(r.name, name))
        return err_invalid(e, "Renaming a container with the same name as its current name");
    if (store_find(en->store, name, 0, &other, NULL) == 0 && streq(other.name, name))
        return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                       "Error when allocating new name: Conflict. The container name \"/%s\" is "
                       "already in use by container \"%s\". You "
                       "have to remove (or rename) that container to be able to reuse that name.",
                       name, other.id);
    autofree char *before = str_format("/%s", r.name);
    const char *extra[] = { "oldName", before, NULL };
    struct shim_message tell = { .op = SHIM_RENAME };
    free(r.name);
    r.name = strdup(name);
    code = r.name && before ? store_update(en->store, &r, e) : err_nomem(e);
    if (code == 0)
        code = record_network_rename(en, &r, e);
    if (code < 0)
        return code;
    snprintf(tell.text, sizeof(tell.text), "%s", name);
    if (record_is_running(&r)) /* for its events */
        shim_ask(en, r.id, &tell, NULL);
    engine_emit(en, &r, "rename", extra);
    return 0;
}

/* A shim that does not answer is the parent of the container's first process, which it has not
 * reaped: as long as its lock is held, neither pid can be another's. */
static void kill_silent_shim(struct engine *en, const struct record *r)
{
    autofree char *path = str_format("/proc/%lld/status", (long long)r->pid), *status = NULL;
    char *line = NULL;
    uint64_t parent;

    if (!lock_held(en->lock_file, r->id, LOCK_ALIVE) || !path)
        return;
    if (file_read(AT_FDCWD, path, FILE_COPY_MAX, &status) > 0)
        line = strstr(status, "\nPPid:\t");
    if (!line)
        return;
    line += strlen("\nPPid:\t");
    line[strcspn(line, "\n")] = '\0';
    if (parse_u64(line, 2, INT32_MAX, &parent) == 0)
        kill((pid_t)parent, SIGKILL);
}

int engine_container_remove(struct engine *en, struct principal who, const char *reference,
                            bool force, bool volumes, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    int code = container_find(en, who, reference, &r, &lock, e);

    if (code < 0)
        return code;
    if (record_is_running(&r) && !force)
        return err_set(
            e, -EBUSY, WHARF_ERROR_CONFLICT,
            "cannot remove container \"/%s\": container is %s: stop the container before "
            "removing or force remove",
            r.name, state_name((enum state)r.state));
    if (record_is_running(&r)) {
        struct shim_message resume = { .op = SHIM_RESUME };

        if (r.state == STATE_PAUSED) /* a frozen process does not die (cgroup-v1 freezer) */
            shim_ask(en, r.id, &resume, NULL);
        if (kill_and_wait(en, &r, SIGKILL, 10000) == -ETIMEDOUT)
            kill_silent_shim(en, &r);
    }
    if (volumes && settings_text(r.mounts)) {
        code = mounts_release(en, r.id, true, e);
        if (code < 0)
            return code;
    }
    return record_forget(en, &r, e);
}
