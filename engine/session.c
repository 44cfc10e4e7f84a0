/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection to a process, beside its streams: how it ended, signals, the terminal's
 * size. Answers to session_kill and session_resize come in between and are passed over. */
#include "engine/internal.h"

#include "base/str.h"

struct session {
    int socket;
};

int session_begin(int socket, struct session **ret, struct wharf_error *e)
{
    struct session *s = malloc(sizeof(*s));

    if (!s) {
        fd_close(socket);
        return err_nomem(e);
    }
    s->socket = socket;
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

int engine_container_attach_begin(struct engine *en, struct principal who, const char *reference,
                                  const struct engine_attach *attach, struct session **ret_session,
                                  struct wharf_error *e)
{
    return err_unsupported(e, "attaching a connection is not supported yet");
}

int session_connect(struct session *s, int fd, const void *early, size_t early_len,
                    struct wharf_error *e)
{
    return err_unsupported(e, "attaching a connection is not supported yet");
}

bool session_has_terminal(const struct session *s)
{
    return false;
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
    fd_close(s->socket);
    free(s);
}
