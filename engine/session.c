/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection to a process, beside its streams: how it ended, signals, the terminal's
 * size. Answers to session_kill and session_resize come in between and are passed over. */
#include "engine/internal.h"

#include <sys/mman.h>
#include "base/fd.h"
#include "base/str.h"

int session_begin(int socket, struct session **ret, struct wharf_error *e)
{
    struct session *s = malloc(sizeof(*s));

    if (!s) {
        fd_close(socket);
        return err_nomem(e);
    }
    *s = (struct session){ .socket = socket };
    *ret = s;
    return 0;
}

void streams_fill(const struct engine_streams *streams, struct shim_message *m)
{
    for (int i = 0; streams && i < 3; i++) {
        if (streams->fd[i] >= 0) {
            m->flags |= SHIM_STDIN << i;
            m->fds[m->fd_count++] = streams->fd[i];
        }
    }
    snprintf(m->text, sizeof(m->text), "%s",
             streams && streams->detach_keys ? streams->detach_keys : "");
}

/* "ctrl-p,ctrl-q" or letters, to the bytes that a terminal sends. */
int detach_keys_parse(const char *text, char ret[DETACH_KEYS_MAX], struct wharf_error *e)
{
    size_t count = 0;

    for (const char *p = text && *text ? text : "ctrl-p,ctrl-q"; *p;) {
        size_t n = strcspn(p, ",");
        const char *key = n == 6 ? str_after(p, "ctrl-") : NULL;

        if (count == DETACH_KEYS_MAX - 1 || !(n == 1 || (key && *key >= '@' && *key <= 'z')))
            return err_invalid(e, "Invalid detach keys (%s) provided", text);
        ret[count++] = (char)(key ? *key & 0x1f : *p);
        p += n + (p[n] == ',');
    }
    ret[count] = '\0';
    return 0;
}

/* ---- on descriptors -------------------------------------------------------------------------- */

int engine_container_attach(struct engine *en, struct principal who, const char *reference,
                            const struct engine_streams *streams, struct session **ret_session,
                            struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message attach = { .op = SHIM_ATTACH };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!record_is_running(&r))
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "You cannot attach to a stopped container, start it first");
    autoclose int fd = shim_connect(en, r.id, e);
    streams_fill(streams, &attach);
    code = fd < 0 ? fd : shim_call(fd, &attach, NULL, e);
    if (code < 0)
        return code;
    engine_emit(en, &r, "attach", NULL);
    return session_begin(take_fd(&fd), ret_session, e);
}

/* ---- on a client's socket -------------------------------------------------------------------- */

/* A connection to the shim of a container in whatever state: one that does not run gets its shim
 * now. */
static int attachable(struct engine *en, struct principal who, const char *reference,
                      struct record *ret, struct wharf_error *e)
{
    autoclose int lock = -1;
    int code = container_find(en, who, reference, ret, NULL, e);

    if (code < 0)
        return code;
    if (ret->state == STATE_PAUSED)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "Container %s is paused, unpause the container before attach", ret->id);
    if (!record_is_running(ret)) { /* once more, with nobody beside us who starts it */
        struct record fresh = { 0 };

        code = container_find(en, who, ret->id, &fresh, &lock, e);
        if (code < 0)
            return code;
        record_done(ret);
        *ret = fresh;
    }
    return shim_waiting(en, ret, e);
}

int shim_waiting(struct engine *en, const struct record *r, struct wharf_error *e)
{
    pid_t pid;

    if (record_is_running(r))
        return shim_connect(en, r->id, e);
    autoclose int dir = container_directory(en, r->id);
    return dir < 0 ? err_code(e, dir, "cannot open the directory of container %s", r->id)
                   : shim_ready(en, r->id, dir, &pid, e);
}

static uint32_t stream_flags(const bool streams[3])
{
    return (streams[0] ? SHIM_STDIN : 0) | (streams[1] ? SHIM_STDOUT : 0) |
           (streams[2] ? SHIM_STDERR : 0);
}

static int fill_attach(const struct record *r, const struct engine_attach *ask,
                       struct shim_message *m, struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    enum log_driver driver = LOG_DRIVER_JSON;
    struct settings s;
    int code = arena ? settings_read(r->settings, strlen(r->settings), arena, &s, e) : err_nomem(e);

    if (code == 0 && ask->logs)
        code = log_driver_parse(s.host, &driver, e);
    if (code < 0)
        return code;
    if (ask->logs && driver == LOG_DRIVER_NONE)
        return err_unsupported(e, "configured logging driver does not support reading");
    m->op = SHIM_ATTACH;
    m->flags = SHIM_HOLD | stream_flags(ask->streams);
    if (!s.open_stdin)
        m->flags &= ~(uint32_t)SHIM_STDIN;
    m->flags |= (s.tty ? SHIM_TTY : 0) | (ask->raw ? SHIM_RAW : 0);
    if (ask->logs || !ask->stream)
        m->flags |= SHIM_LOGS | (ask->stream ? 0 : SHIM_LOGS_ONLY);
    m->value[0] = ask->logs ? (int64_t)driver : LOG_DRIVER_NONE;
    snprintf(m->text, sizeof(m->text), "%s", ask->detach_keys ? ask->detach_keys : "");
    return 0;
}

int engine_container_attach_begin(struct engine *en, struct principal who, const char *reference,
                                  const struct engine_attach *attach, struct session **ret_session,
                                  struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct shim_message m = { 0 };
    autoclose int fd = attachable(en, who, reference, &r, e);
    int code = fd < 0 ? fd : fill_attach(&r, attach, &m, e);

    if (code == 0)
        code = shim_call(fd, &m, NULL, e);
    if (code == 0)
        code = session_begin(take_fd(&fd), ret_session, e);
    if (code < 0)
        return code;
    (*ret_session)->terminal = (m.flags & SHIM_TTY) != 0;
    engine_emit(en, &r, "attach", NULL);
    return 0;
}

static int early_memory(const void *early, size_t len, struct wharf_error *e)
{
    autoclose int memory = memfd_create("wharf-early", MFD_CLOEXEC);
    int r = memory < 0 ? -errno : fd_write_all(memory, early, len);

    return r < 0 ? err_code(e, r, "cannot hand over what the client sent") : take_fd(&memory);
}

int session_connect(struct session *s, int fd, const void *early, size_t early_len,
                    struct wharf_error *e)
{
    struct shim_message attach = { .op = SHIM_CONNECT }, *m = s->exec ? &s->exec->start : &attach;
    autoclose int memory = early_len > 0 ? early_memory(early, early_len, e) : -1;

    if (early_len > 0 && memory < 0)
        return memory;
    size_t own = m->fd_count; /* the rest stays whose it is */
    m->fds[m->fd_count++] = fd;
    if (memory >= 0)
        m->fds[m->fd_count++] = memory;
    int r = s->exec ? exec_connect(s->exec, s->socket, fd, e) : shim_call(s->socket, m, NULL, e);
    m->fd_count = own;
    return r;
}

bool session_has_terminal(const struct session *s)
{
    return s->terminal;
}

int engine_container_resize(struct engine *en, struct principal who, const char *reference,
                            uint64_t rows, uint64_t columns, struct wharf_error *e)
{
    struct shim_message m = { .op = SHIM_RESIZE, .value = { (int64_t)rows, (int64_t)columns } };
    autorecord struct record r = { 0 };
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code < 0)
        return code;
    if (!record_is_running(&r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r.id);
    return shim_ask(en, r.id, &m, e);
}

int session_fd(const struct session *s)
{
    return s->socket;
}

int session_next(struct session *s, enum session_event *ret, int64_t *ret_code)
{
    struct shim_message m;
    int r = shim_receive(s->socket, &m);

    *ret = SESSION_NOTHING;
    if (r == -EAGAIN)
        return 0;
    if (r <= 0) {
        *ret = SESSION_LOST;
        return 0;
    }
    if (m.op == SHIM_EXITED) {
        *ret = SESSION_EXITED;
        *ret_code = m.value[0];
    } else if (m.op == SHIM_DETACHED) {
        *ret = SESSION_DETACHED;
    }
    shim_message_done(&m);
    return 0;
}

void session_kill(struct session *s, int signal)
{
    struct shim_message m = { .op = SHIM_KILL, .value = { signal } };

    shim_send(s->socket, &m);
}

void session_resize(struct session *s, uint64_t rows, uint64_t columns)
{
    struct shim_message m = { .op = SHIM_RESIZE, .value = { (int64_t)rows, (int64_t)columns } };

    shim_send(s->socket, &m);
}

void session_close(struct session *s)
{
    if (!s)
        return;
    exec_begun_free(s->exec);
    fd_close(s->socket);
    free(s);
}
