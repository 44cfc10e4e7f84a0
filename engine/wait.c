/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a container's end. Its shim tells: nobody polls, and a thousand waiters cost nothing
 * until their own container ends. Who waits for the end of a run that is still to come waits at the
 * shim that will run it, which is made for that; who waits for a removal watches the container's
 * directory. Whatever is heard is only the reason to look at the record again.
 */
#include "engine/internal.h"

#include <poll.h>
#include <sys/inotify.h>
#include "base/fd.h"
#include "base/str.h"

int engine_wait_parse(const char *text, enum engine_wait_condition *ret, struct wharf_error *e)
{
    static const char *const names[] = { [WAIT_NOT_RUNNING] = "not-running",
                                         [WAIT_NEXT_EXIT] = "next-exit",
                                         [WAIT_REMOVED] = "removed" };

    if (!text || !*text) {
        *ret = WAIT_NOT_RUNNING;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(text, names[i])) {
            *ret = (enum engine_wait_condition)i;
            return 0;
        }
    }
    return err_invalid(e, "invalid condition: \"%s\"", text);
}

/* Waits until the shim has told of the end or is gone: 1 with its code, 0 gone, -ETIMEDOUT. */
int shim_wait_end(int socket, int64_t timeout_ms, int64_t *ret_code)
{
    int64_t deadline = timeout_ms < 0 ? -1 : time_now_ns() / 1000000 + timeout_ms;

    for (;;) {
        struct pollfd p = { socket, POLLIN, 0 };
        struct shim_message m;
        int64_t left = deadline < 0 ? -1 : MAX(deadline - time_now_ns() / 1000000, (int64_t)0);
        int n = poll(&p, 1, (int)MIN(left, (int64_t)INT32_MAX));

        if (n == 0)
            return -ETIMEDOUT;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || shim_receive(socket, &m) <= 0)
            return 0;
        shim_message_done(&m);
        if (m.op == SHIM_EXITED) {
            *ret_code = m.value[0];
            return 1;
        }
    }
}

struct engine_wait {
    struct engine *engine;
    struct principal who;
    enum engine_wait_condition condition;
    char id[ID_LENGTH + 1];
    int64_t generation; /* of the start before the one whose end counts */
    int fd;             /* the shim, or what tells that the container's files go */
    bool watches;       /* the latter */
    bool locked;        /* the next look is under the change lock */
    bool heard, over;
    int64_t code;
};

static void wait_forget(struct engine_wait *w)
{
    w->fd = fd_close(w->fd);
    w->watches = false;
}

/* 1: registered with its shim. 0: that one is just going, look again. */
static int wait_for_shim(struct engine_wait *w, const struct record *r)
{
    struct shim_message m = { .op = SHIM_WAIT };

    w->fd = shim_waiting(w->engine, r, NULL);
    if (w->fd >= 0 && shim_call(w->fd, &m, NULL, NULL) == 0)
        return 1;
    wait_forget(w);
    poll(NULL, 0, 5);
    return 0;
}

/* 1: whatever is removed from its directory will be heard. */
static int wait_for_removal(struct engine_wait *w, struct wharf_error *e)
{
    autofree char *path = str_format("%s/%s/%s", w->engine->root, CONTAINERS_DIR, w->id);

    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (!path || w->fd < 0)
        return err_sys(e, "cannot wait for the removal of container %s", w->id);
    if (inotify_add_watch(w->fd, path, IN_DELETE | IN_DELETE_SELF) < 0) {
        wait_forget(w);
        return errno == ENOENT ? 0 : err_sys(e, "cannot watch '%s'", path);
    }
    w->watches = true;
    return 1;
}

/* It does not run, or its record is gone. Has what is waited for happened? */
static bool is_over(const struct engine_wait *w, const struct record *r)
{
    switch (w->condition) {
    case WAIT_NOT_RUNNING:
        return true;
    case WAIT_NEXT_EXIT:
        return w->heard || (r->state == STATE_EXITED && r->generation > w->generation);
    default:
        return false;
    }
}

/* ---- one that is gone already ---- */

/* Who starts a container with --rm and then waits for it must not need to be faster than the
 * container is: for so long its exit code can still be had by its full id. */
#define GONE_NS (60 * INT64_C(1000000000))

static int gone_each(void *user, const struct event *event)
{
    int64_t *code = user;
    const char *text =
        event ? json_string_value(json_object_get(event->attributes, EVENT_EXIT_CODE)) : NULL;

    if (text && streq(event->action, "destroy"))
        parse_i64(text, 0, INT32_MAX, code);
    return 0;
}

/* 2 with the code of a container that removed itself lately; or -ENOENT, and `e` as it was. */
static int wait_gone(struct engine *en, struct principal who, const char *id, int64_t *ret_code)
{
    autojson json_t *filters = json_pack("{s:[s]}", "container", id);
    autoclose int lock = strlen(id) == ID_LENGTH ? lock_take(en->root_fd, id, LOCK_CHANGE, true)
                                                 : -1; /* who removes it has said so to the end */
    int64_t now = time_now_ns(), code = -1;
    const struct engine_events ask = { now - GONE_NS,     now,          filters, .gone_fd = -1,
                                       .each = gone_each, .user = &code };

    if (lock < 0 || !filters || engine_events(en, who, &ask, NULL) < 0 || code < 0)
        return -ENOENT;
    *ret_code = code;
    return 2;
}

/* One look: 2 with the code: it is so. 1: registered. 0: look again. */
static int wait_look(struct engine_wait *w, const char *reference, int64_t *ret_code,
                     struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    autoclose int lock = -1;
    bool first = !w->id[0], removed = w->condition == WAIT_REMOVED;
    int code = container_find(w->engine, w->who, reference, &r, w->locked ? &lock : NULL, e);

    if (code == -ENOENT && !first && (removed || w->heard)) { /* --rm: it went with its end */
        *ret_code = w->code;
        return 2;
    }
    if (code == -ENOENT && first && w->condition != WAIT_NEXT_EXIT)
        return wait_gone(w->engine, w->who, reference, ret_code);
    if (code < 0)
        return code;
    if (first) {
        memcpy(w->id, r.id, sizeof(w->id));
        w->generation = record_is_running(&r) ? r.generation - 1 : r.generation;
    }
    if (!record_is_running(&r)) {
        w->code = w->heard ? w->code : r.exit_code;
        if (is_over(w, &r)) {
            *ret_code = w->code;
            return 2;
        }
        if (removed && (!r.auto_remove || w->heard))
            return wait_for_removal(w, e);
        if (!w->locked) { /* its shim is made now: by us alone */
            w->locked = true;
            return 0;
        }
    } else if (w->heard && w->condition != WAIT_REMOVED) {
        *ret_code = w->code; /* it was run again meanwhile */
        return 2;
    }
    w->locked = false;
    return wait_for_shim(w, &r);
}

static int wait_register(struct engine_wait *w, const char *reference, int64_t *ret_code,
                         struct wharf_error *e)
{
    int r;

    do
        r = wait_look(w, w->id[0] ? w->id : reference, ret_code, e);
    while (r == 0);
    return r;
}

int engine_wait_begin(struct engine *en, struct principal who, const char *reference,
                      enum engine_wait_condition condition, struct engine_wait **ret,
                      struct wharf_error *e)
{
    auto_of(engine_wait_end) struct engine_wait *w = calloc(1, sizeof(*w));

    if (!w)
        return err_nomem(e);
    *w = (struct engine_wait){ .engine = en, .who = who, .condition = condition, .fd = -1 };
    int r = wait_register(w, reference, &w->code, e);
    if (r < 0)
        return r;
    w->over = r == 2;
    *ret = take_ptr(&w);
    return 0;
}

int engine_wait_fd(const struct engine_wait *w)
{
    return w->fd;
}

/* What came through the descriptor: whether it is time to look again. */
static bool wait_heard(struct engine_wait *w)
{
    struct pollfd p = { w->fd, POLLIN, 0 };
    struct shim_message m;
    char events[4096];

    if (poll(&p, 1, 0) <= 0)
        return false;
    if (w->watches) {
        ssize_t n = read(w->fd, events, sizeof(events));

        w->locked = true; /* who removes it holds the lock to the end */
        return n > 0;
    }
    if (shim_receive(w->fd, &m) <= 0)
        return true;
    shim_message_done(&m);
    if (m.op != SHIM_EXITED)
        return false;
    w->heard = true;
    w->code = m.value[0];
    return true;
}

int engine_wait_next(struct engine_wait *w, int64_t *ret_code, struct wharf_error *e)
{
    if (!w->over) {
        if (!wait_heard(w))
            return 0;
        wait_forget(w);
        int r = wait_register(w, w->id, &w->code, e);
        if (r < 0)
            return r;
        w->over = r == 2;
    }
    if (w->over)
        *ret_code = w->code;
    return w->over;
}

void engine_wait_end(struct engine_wait *w)
{
    if (!w)
        return;
    fd_close(w->fd);
    free(w);
}

int engine_container_wait(struct engine *en, struct principal who, const char *reference,
                          enum engine_wait_condition condition, int64_t *ret_code,
                          struct wharf_error *e)
{
    auto_of(engine_wait_end) struct engine_wait *w = NULL;
    int r = engine_wait_begin(en, who, reference, condition, &w, e);

    while (r == 0 && (r = engine_wait_next(w, ret_code, e)) == 0) {
        struct pollfd p = { w->fd, POLLIN, 0 };

        poll(&p, 1, -1);
    }
    return MIN(r, 0);
}
