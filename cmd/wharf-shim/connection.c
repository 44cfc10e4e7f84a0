/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One who asks. A connection's descriptors came from its client: copying to and from them must
 * never block the shim, yet setting O_NONBLOCK on them would change the client's own terminal or
 * pipe. So a terminal or pipe is opened anew through /proc/self/fd, which gives an open file
 * description of our own; a socket is written with MSG_DONTWAIT; a plain file never blocks for
 * long.
 *
 * A connection that is to be closed is marked, and freed by the sweep behind each round of the
 * loop: events of the same round may still point into it.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/fd.h"

static void connection_close(struct connection *c)
{
    c->closing = true;
}

/* ---- output: process -> client --------------------------------------------------------------- */

static ssize_t sink_write(struct sink *sink, const char *data, size_t len)
{
    for (;;) {
        ssize_t n = sink->socket ? send(sink->source.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(sink->source.fd, data, len);

        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static void sink_drop(struct shim *shim, struct sink *sink)
{
    source_close(shim, &sink->source);
    free(sink->pending);
    sink->pending = NULL;
}

/* Writes what the client takes; the rest is kept and holds the stream up. */
static void sink_add(struct shim *shim, struct sink *sink, const char *data, size_t len)
{
    ssize_t n = sink_write(sink, data, len);

    if (n < 0) { /* the client closed it: the container goes on without */
        sink_drop(shim, sink);
        return;
    }
    if ((size_t)n == len)
        return;
    sink->pending_len = len - (size_t)n;
    sink->pending_at = 0;
    sink->pending = malloc(sink->pending_len);
    if (!sink->pending || source_watch(shim, &sink->source, EPOLLOUT) < 0) {
        sink_drop(shim, sink);
        return;
    }
    memcpy(sink->pending, data + n, sink->pending_len);
}

static void sink_ready(struct shim *shim, struct connection *c, struct sink *sink)
{
    ssize_t n =
        sink_write(sink, sink->pending + sink->pending_at, sink->pending_len - sink->pending_at);

    if (n < 0) {
        sink_drop(shim, sink);
    } else {
        sink->pending_at += (size_t)n;
        if (sink->pending_at < sink->pending_len)
            return;
        source_watch(shim, &sink->source, 0);
        free(sink->pending);
        sink->pending = NULL;
    }
    if (c->process)
        process_flow(shim, c->process);
}

static struct connection *connection_of_sink(struct source *s, int stream)
{
    return (struct connection *)((char *)s - offsetof(struct connection, sink) -
                                 (size_t)stream * sizeof(struct sink));
}

static void sink0_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct connection *c = connection_of_sink(s, 0);

    sink_ready(shim, c, &c->sink[0]);
}

static void sink1_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct connection *c = connection_of_sink(s, 1);

    sink_ready(shim, c, &c->sink[1]);
}

void connection_output(struct shim *shim, struct process *p, int stream, const char *data,
                       size_t len)
{
    for (struct connection *c = shim->connections; c; c = c->next) {
        if (c->process == p && c->sink[stream].source.fd >= 0)
            sink_add(shim, &c->sink[stream], data, len);
    }
}

bool connection_is_full(struct shim *shim, struct process *p, int stream)
{
    for (struct connection *c = shim->connections; c; c = c->next) {
        if (c->process == p && c->sink[stream].pending)
            return true;
    }
    return false;
}

/* ---- input: client -> process ---------------------------------------------------------------- */

static void input_end(struct shim *shim, struct connection *c)
{
    source_close(shim, &c->in);
    c->in_plain = false;
    if (c->process && c->process->one_input && !c->process->tty)
        source_close(shim, &c->process->in);
}

/* How many bytes may go on; fewer than `len` when the detach keys are complete in them. */
static size_t scan_keys(struct connection *c, const char *data, size_t len, bool *ret_detach)
{
    for (size_t i = 0; i < len && c->key_count > 0; i++) {
        if (data[i] == c->keys[c->keys_seen])
            c->keys_seen++;
        else
            c->keys_seen = data[i] == c->keys[0];
        if (c->keys_seen == c->key_count) {
            *ret_detach = true;
            return i + 1 >= c->key_count ? i + 1 - c->key_count : 0;
        }
    }
    return len;
}

static void detach(struct shim *shim, struct connection *c)
{
    struct process *p = c->process;
    struct shim_message m = { .op = SHIM_DETACHED };

    source_close(shim, &c->in);
    sink_drop(shim, &c->sink[0]);
    sink_drop(shim, &c->sink[1]);
    c->process = NULL;
    shim_send(c->socket.fd, &m);
    process_flow(shim, p);
}

/* Passes on what is in c->input. False: the process takes no more now. */
static bool input_push(struct shim *shim, struct connection *c)
{
    struct process *p = c->process;

    while (c->input_at < c->input_len) {
        ssize_t n =
            p->in.fd < 0 ? -1 : write(p->in.fd, c->input + c->input_at, c->input_len - c->input_at);

        if (n < 0 && p->in.fd >= 0 && errno == EINTR)
            continue;
        if (n < 0 && p->in.fd >= 0 && errno == EAGAIN) {
            p->input_full = true;
            source_watch(shim, &c->in, 0);
            source_watch(shim, &p->in, EPOLLOUT);
            return false;
        }
        if (n < 0) { /* the process closed its stdin */
            c->input_len = c->input_at = 0;
            input_end(shim, c);
            return false;
        }
        c->input_at += (size_t)n;
    }
    c->input_len = c->input_at = 0;
    return true;
}

/* One turn: false when there is nothing more to do for now. */
static bool input_turn(struct shim *shim, struct connection *c)
{
    bool keys = false;

    if (!c->process || !c->process->handle || !input_push(shim, c))
        return false;
    ssize_t n = read(c->in.fd, c->input, sizeof(c->input));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        input_end(shim, c);
        return false;
    }
    c->input_len = scan_keys(c, c->input, (size_t)n, &keys);
    bool more = input_push(shim, c);
    if (keys) {
        detach(shim, c);
        return false;
    }
    return more;
}

static void input_ready(struct shim *shim, struct source *s, uint32_t events)
{
    input_turn(shim, (struct connection *)((char *)s - offsetof(struct connection, in)));
}

void connection_input_flow(struct shim *shim, struct process *p)
{
    for (struct connection *c = shim->connections; c; c = c->next) {
        if (c->process != p || c->in.fd < 0)
            continue;
        if (!c->in_plain && source_watch(shim, &c->in, EPOLLIN) == -EPERM)
            c->in_plain = true;
        while (c->in_plain && input_turn(shim, c))
            ;
    }
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* An open file description of our own of a terminal or pipe; anything else as it is. Takes `fd`. */
static int reopen(int fd, int access)
{
    char path[32];
    struct stat st;

    if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return fd;
    fd_close(fd);
    return own;
}

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The descriptors from `at` on, one for each stream of `flags`; those that the process got itself
 * are gone from the message. */
static void attach(struct shim *shim, struct connection *c, struct process *p,
                   struct shim_message *m, size_t at, uint32_t flags)
{
    c->process = p;
    for (int i = 0; i < 3; i++) {
        if (!(flags & SHIM_STDIN << i))
            continue;
        int fd = shim_message_take_fd(m, at++);
        if (fd < 0)
            continue;
        if (i == 0) {
            c->in.fd = is_socket(fd) ? fd : reopen(fd, O_RDONLY);
            if (is_socket(fd)) /* reading a socket must not block either */
                fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            continue;
        }
        c->sink[i - 1].socket = is_socket(fd);
        c->sink[i - 1].source.fd = reopen(fd, O_WRONLY);
    }
    c->key_count = strlen(m->text);
    if (c->key_count > sizeof(c->keys) || !p->tty)
        c->key_count = 0;
    memcpy(c->keys, m->text, c->key_count);
    if (p->handle)
        connection_input_flow(shim, p);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int do_attach(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    if (c->process)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "this connection has a session");
    if (!shim->started) /* process_start_init sets the rest */
        shim->init.tty = shim->config.tty;
    attach(shim, c, &shim->init, m, 0, m->flags);
    return 0;
}

static int do_start(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    if (shim->started)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "the container was started before");
    int r = process_start_init(shim, e);
    if (r < 0) {
        connection_close(c);
        return r;
    }
    shim->started = true;
    answer->value[0] = container_process_pid(shim->init.handle);
    connection_input_flow(shim, &shim->init);
    return 0;
}

static int do_exec(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    uint32_t flags = m->flags;

    if (!shim->started)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "container is not running");
    if (c->process)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "this connection has a session");
    int r = process_start_exec(shim, c, m, e);
    if (r < 0)
        return r;
    answer->value[0] = container_process_pid(c->process->handle);
    attach(shim, c, c->process, m, 1, flags);
    return 0;
}

static int do_kill(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    if (m->value[0] < 1 || m->value[0] > 64)
        return err_invalid(e, "Invalid signal: %lld", (long long)m->value[0]);
    if (!shim->started)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container is not running");
    if (c->process && c->process != &shim->init)
        return container_process_kill(c->process->handle, (int)m->value[0], e);
    return container_kill(shim->container, (int)m->value[0], m->flags & SHIM_ALL ? 1 : 0, e);
}

static int do_resize(struct shim *shim, struct connection *c, struct shim_message *m,
                     struct shim_message *answer, struct wharf_error *e)
{
    process_resize(c->process ? c->process : &shim->init, (uint64_t)m->value[0],
                   (uint64_t)m->value[1]);
    return 0;
}

static int do_pause(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    if (!shim->started)
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container is not running");
    return m->op == SHIM_PAUSE ? container_pause(shim->container, e)
                               : container_resume(shim->container, e);
}

static int do_wait(struct shim *shim, struct connection *c, struct shim_message *m,
                   struct shim_message *answer, struct wharf_error *e)
{
    c->waits = true;
    return 0;
}

static int do_state(struct shim *shim, struct connection *c, struct shim_message *m,
                    struct shim_message *answer, struct wharf_error *e)
{
    answer->value[0] = shim->started ? container_process_pid(shim->init.handle) : 0;
    return 0;
}

static const struct {
    uint32_t op;
    int (*run)(struct shim *shim, struct connection *c, struct shim_message *m,
               struct shim_message *answer, struct wharf_error *e);
} operations[] = {
    { SHIM_START, do_start },  { SHIM_ATTACH, do_attach }, { SHIM_EXEC, do_exec },
    { SHIM_KILL, do_kill },    { SHIM_RESIZE, do_resize }, { SHIM_PAUSE, do_pause },
    { SHIM_RESUME, do_pause }, { SHIM_WAIT, do_wait },     { SHIM_STATE, do_state },
};

static int handle(struct shim *shim, struct connection *c, struct shim_message *m,
                  struct shim_message *answer, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        if (operations[i].op == m->op)
            return operations[i].run(shim, c, m, answer, e);
    }
    return err_unsupported(e,
                           "the shim of this container is older than this wharf: operation %u is "
                           "not known to it",
                           m->op);
}

static void socket_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct connection *c = (struct connection *)((char *)s - offsetof(struct connection, socket));
    struct shim_message m, answer = { .op = SHIM_DONE };
    struct wharf_error e = { 0 };
    int r = shim_receive(s->fd, &m);

    if (r == -EAGAIN)
        return;
    if (r <= 0) {
        connection_close(c);
        return;
    }
    r = handle(shim, c, &m, &answer, &e);
    shim_message_done(&m);
    if (shim->done)
        return;
    if (r < 0 ? shim_send_failure(s->fd, &e) : shim_send(s->fd, &answer))
        connection_close(c);
    /* a process that ended while it was being set up tells so only now, behind the answer */
    if (r >= 0 && c->process && c->process->ended)
        process_flow(shim, c->process);
}

void connection_tell_end(struct shim *shim, struct process *p)
{
    struct shim_message m = { .op = SHIM_EXITED, .value = { p->code } };

    for (struct connection *c = shim->connections; c; c = c->next) {
        bool all = p == &shim->init && c->waits;

        if (c->process == p || all)
            shim_send(c->socket.fd, &m);
        if (c->process == p) {
            c->process = NULL;
            source_close(shim, &c->in);
            sink_drop(shim, &c->sink[0]);
            sink_drop(shim, &c->sink[1]);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

int connection_add(struct shim *shim, int socket)
{
    struct connection *c;

    if (shim->connection_count >= CONNECTIONS_MAX)
        return -EMFILE;
    c = malloc(sizeof(*c));
    if (!c)
        return -ENOMEM;
    memset(c, 0, offsetof(struct connection, input));
    c->socket = (struct source){ .fd = socket, .ready = socket_ready };
    c->in = (struct source){ .fd = -1, .ready = input_ready };
    c->sink[0].source = (struct source){ .fd = -1, .ready = sink0_ready };
    c->sink[1].source = (struct source){ .fd = -1, .ready = sink1_ready };
    fcntl(socket, F_SETFL, O_RDWR | O_NONBLOCK);
    int r = source_watch(shim, &c->socket, EPOLLIN);
    if (r < 0) {
        free(c);
        return r;
    }
    c->next = shim->connections;
    shim->connections = c;
    shim->connection_count++;
    return 0;
}

static void connection_free(struct shim *shim, struct connection *c)
{
    sink_drop(shim, &c->sink[0]);
    sink_drop(shim, &c->sink[1]);
    source_close(shim, &c->in);
    source_close(shim, &c->socket);
    free(c);
    shim->connection_count--;
}

void connection_sweep(struct shim *shim)
{
    for (struct connection **at = &shim->connections; *at;) {
        struct connection *c = *at;
        struct process *p = c->process;

        if (!c->closing) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        /* the only client's stdin ends with it, when the container asked for that */
        if (p && p->one_input && c->in.fd >= 0 && !p->tty)
            source_close(shim, &p->in);
        connection_free(shim, c);
        if (p && p->handle)
            process_flow(shim, p);
    }
}

void connection_free_all(struct shim *shim)
{
    while (shim->connections) {
        struct connection *c = shim->connections;

        shim->connections = c->next;
        connection_free(shim, c);
    }
}
