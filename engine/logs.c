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

/* ---- as docker's API sends them -------------------------------------------------------------- */

#define PIECE_MAX (128u << 10)

struct piece {
    const struct engine_log_form *form;
    size_t len;
    char data[PIECE_MAX];
};

static int piece_flush(struct piece *p)
{
    int r = p->len > 0 ? p->form->write(p->form->user, p->data, p->len) : 0;

    p->len = 0;
    return r;
}

static void piece_add(struct piece *p, const void *data, size_t len)
{
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

/* A stamp always has nine digits; the file's may have fewer. */
static size_t stamp(const struct log_record *record, char text[LOG_TIME_MAX])
{
    log_time(text, record->time_ns);
    return strlen(text);
}

static int add_record(void *user, const struct log_record *record)
{
    struct piece *p = user;
    char time[LOG_TIME_MAX];

    if (!record) {
        int r = piece_flush(p);
        return r == 0 ? p->form->write(p->form->user, "", 0) : r;
    }
    if (!p->form->streams[record->stream + 1])
        return 0;
    size_t time_len = p->form->timestamps ? stamp(record, time) : 0;
    size_t len = record->len + (time_len ? time_len + 1 : 0) + p->form->details;
    if (len + 8 > PIECE_MAX) /* LOG_RECORD_MAX, but no line of ours */
        return 0;
    if (p->len + len + 8 > PIECE_MAX) {
        int r = piece_flush(p);
        if (r != 0)
            return r;
    }
    const unsigned char head[8] = { (unsigned char)(record->stream + 1),
                                    0,
                                    0,
                                    0,
                                    (unsigned char)(len >> 24),
                                    (unsigned char)(len >> 16),
                                    (unsigned char)(len >> 8),
                                    (unsigned char)len };
    if (p->form->framed)
        piece_add(p, head, sizeof(head));
    if (time_len) {
        piece_add(p, time, time_len);
        piece_add(p, " ", 1);
    }
    if (p->form->details) /* an empty list of attributes still leaves the space (docker-api 3.4) */
        piece_add(p, " ", 1);
    piece_add(p, record->text, record->len);
    return 0;
}

int engine_container_log_stream(struct engine *en, struct principal who, const char *reference,
                                const struct engine_logs *logs, const struct engine_log_form *form,
                                struct wharf_error *e)
{
    struct piece *p = malloc(sizeof(*p));
    struct engine_logs ask = *logs;

    if (!p)
        return err_nomem(e);
    p->form = form;
    p->len = 0;
    ask.each = add_record;
    ask.user = p;
    int r = engine_container_logs(en, who, reference, &ask, e);
    if (r == 0)
        r = piece_flush(p);
    free(p);
    return r;
}
