/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs, read from the files. To follow is to wait for two things at once: the directory changes
 * (inotify: the file grew or was rotated), or the shim hangs up (the container ended: read what is
 * left, then stop). No polling.
 */
#include "engine/internal.h"

#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include "base/fd.h"
#include "base/str.h"

/* Gives out what there is. 0: all read; non-zero: stop with that. *ret_past: `until` is behind us.
 */
static int give_out(struct log_reader *reader, const struct engine_logs *logs, bool *ret_past)
{
    struct log_record record;
    int r;

    while ((r = log_reader_next(reader, &record)) == 1) {
        if (logs->until_ns && record.time_ns > logs->until_ns) {
            *ret_past = true;
            break;
        }
        if (record.time_ns < logs->since_ns)
            continue;
        int stop = logs->each(logs->user, &record);
        if (stop != 0)
            return stop;
    }
    return r < 0 ? r : logs->each(logs->user, NULL);
}

static void drop_events(int watch)
{
    char events[4096];

    while (read(watch, events, sizeof(events)) > 0)
        ;
}

static int follow(struct log_reader *reader, int watch, int shim, const struct engine_logs *logs)
{
    struct pollfd p[] = { { watch, POLLIN, 0 }, { shim, POLLIN, 0 } };
    bool past = false, ended = shim < 0;

    for (;;) {
        int r = give_out(reader, logs, &past);

        if (r != 0 || past || ended)
            return r;
        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return -errno;
        ended = p[1].revents != 0; /* a connection that asks nothing hears nothing but the end */
        drop_events(watch);
    }
}

int engine_container_logs(struct engine *en, struct principal who, const char *reference,
                          const struct engine_logs *logs, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    char name[80], path[64];
    struct log_reader *reader = NULL;
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    autoclose int dir = container_directory(en, r.id);
    autoclose int shim = logs->follow && record_is_running(&r) ? shim_connect(en, r.id, NULL) : -1;
    autoclose int watch = logs->follow ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    if (logs->follow &&
        (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0))
        return err_sys(e, "cannot watch the log of container %s", r.id);
    snprintf(name, sizeof(name), "%s-json.log", r.id);
    code = dir < 0 ? dir : log_reader_open(&reader, dir, name, LOG_DRIVER_JSON, logs->tail);
    if (code < 0)
        return err_code(e, code, "cannot read the log of container %s", r.id);
    bool past = false;
    code = logs->follow ? follow(reader, watch, shim, logs) : give_out(reader, logs, &past);
    log_reader_close(reader);
    return code;
}

int engine_container_log_stream(struct engine *en, struct principal who, const char *reference,
                                const struct engine_logs *logs, const struct engine_log_form *form,
                                struct wharf_error *e)
{
    return err_unsupported(e, "streaming logs is not supported yet");
}
