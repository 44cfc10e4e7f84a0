/* SPDX-License-Identifier: Apache-2.0 */
/* chan dial: sends lines, and prints the answers to calls. */
#include "cmd/chan/dial.h"

#include <fcntl.h>
#include <time.h>
#include "base/err.h"
#include "base/macros.h"
#include "cmd/chan/command.h"
#include "cmd/chan/line.h"

/* Puts the line's value, the descriptor and the return channel into one message. */
static int build(const struct settings *s, struct chan_msg *m, struct chan_rx **ret,
                 struct wharf_error *e)
{
    struct chan_msg *line = chan_msg_new();
    struct chan_value v, at;
    bool map;
    int r = line ? line_read(line, e) : err_nomem(e);

    if (r <= 0) {
        chan_msg_free(line);
        return r;
    }
    v = chan_root(line);
    map = chan_kind_of(v) == CHAN_MAP;
    at = chan_first(v);
    if (!s->call && !s->fd_key) {
        chan_put_value(m, v);
    } else {
        /* what is no map goes under "value" */
        chan_put_map(m, (unsigned)(map ? chan_count(v) : 1) + s->call + !!s->fd_key);
        if (!map) {
            chan_put_str(m, "value");
            chan_put_value(m, v);
        }
        for (size_t i = 0; map && i < chan_count(v) * 2; i++, at = chan_next(at))
            chan_put_value(m, at);
    }
    if (s->fd_key) {
        int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);

        chan_put_str(m, s->fd_key);
        if (fd < 0 || chan_put_fd(m, fd, CHAN_READ | CHAN_WRITE) < 0)
            r = err_sys(e, "cannot pass descriptor %d", s->fd);
    }
    if (s->call) {
        chan_put_str(m, "ret");
        chan_put_return(m, ret);
    }
    chan_msg_free(line);
    return r;
}

static int send_lines(const struct settings *s, struct chan_tx *tx, struct wharf_error *e)
{
    struct chan_msg *m = chan_msg_new();
    struct chan_rx *ret = NULL;
    int r;

    while ((r = build(s, m, &ret, e)) > 0) {
        r = chan_send(tx, m, settings_deadline(s), e);
        if (r == 0 && s->call)
            r = chan_recv(ret, m, settings_deadline(s), e);
        if (r < 0)
            break;
        if (s->call)
            line_print(chan_root(m));
        chan_rx_unref(take_ptr(&ret));
        chan_msg_clear(m);
    }
    chan_rx_unref(ret);
    chan_msg_free(m);
    return r;
}

/* A server may start after its clients do: its socket is not there yet, or a dead one's still
 * is. */
int dial_session(const struct settings *s, struct chan_session **ret, struct wharf_error *e)
{
    const struct timespec pause = { 0, 20000000 };
    chan_time end = chan_after_ms(s->wait_ms);
    int r;

    while ((r = chan_dial(s->arguments[0], &s->options, settings_deadline(s), ret, e)) < 0) {
        if ((r != -ENOENT && r != -ECONNREFUSED) || chan_after_ms(0) >= end)
            return r;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int dial_channel(const struct settings *s, struct chan_session **ret, struct chan_tx **ret_tx,
                 struct wharf_error *e)
{
    int r = dial_session(s, ret, e);

    if (r < 0)
        return r;
    r = chan_open(*ret, ret_tx, e);
    if (r < 0)
        chan_session_unref(*ret);
    return r;
}

int command_dial(const struct settings *s)
{
    struct wharf_error e = { 0 };
    struct chan_session *session;
    struct chan_tx *tx;
    int r = dial_channel(s, &session, &tx, &e);

    if (r < 0)
        return settings_fail(&e);
    r = send_lines(s, tx, &e);
    chan_tx_unref(tx);
    if (r == 0)
        r = chan_session_shutdown(session, settings_deadline(s), &e);
    chan_session_unref(session);
    return r < 0 ? settings_fail(&e) : 0;
}
