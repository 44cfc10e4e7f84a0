/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody who is attached. Two kinds:
 *
 *   on descriptors   of the asking program, one a stream: a terminal, pipes, files. Copying must
 * not block the shim, yet O_NONBLOCK on them would change the program's own terminal or pipe: a
 * terminal or pipe is opened anew through /proc/self/fd, which gives an open file description of
 * our own; a socket is written with MSG_DONTWAIT; a plain file never blocks for long. Ends with the
 * asker's connection. on a socket      of the client's own, that carries all streams, in frames of
 * 8 bytes when there is no terminal (docker-api 3.4). Who asked may go: the daemon that passed it
 * may be restarted meanwhile. Between "attached" and the socket's coming output is kept.
 *
 * Either has CLIENT_PENDING_MAX bytes that it did not take yet, before it holds the stream up; at
 * the process's end that rest is still delivered, while everything else goes on.
 *
 * A client that is to be closed is marked, and freed by the sweep behind each round of the loop:
 * events of the same round may still point into it.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "base/fd.h"

#define FRAME        8
#define REPLAY_PIECE (64u << 10) /* of the log, before the client takes more */

static void replay_more(struct shim *shim, struct client *c);

void client_close(struct client *c)
{
    c->closing = true;
}

/* ---- output: process -> client --------------------------------------------------------------- */

static void sink_drop(struct shim *shim, struct sink *sink)
{
    source_close(shim, &sink->source);
    free(sink->pending);
    sink->pending = NULL;
    sink->len = sink->at = sink->cap = 0;
}

/* How much was taken; -errno: the client closed it. */
static ssize_t sink_write(struct sink *sink, const struct iovec *iov, int count)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

    for (;;) {
        ssize_t n = sink->socket ? sendmsg(sink->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : writev(sink->source.fd, iov, count);

        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int sink_keep(struct sink *sink, const char *data, size_t len)
{
    if (sink->at > 0 && sink->len + len > sink->cap) {
        memmove(sink->pending, sink->pending + sink->at, sink->len - sink->at);
        sink->len -= sink->at;
        sink->at = 0;
    }
    if (sink->len + len > sink->cap) {
        size_t cap = MAX(sink->cap * 2, sink->len + len);
        char *more = realloc(sink->pending, cap);

        if (!more)
            return -ENOMEM;
        sink->pending = more;
        sink->cap = cap;
    }
    memcpy(sink->pending + sink->len, data, len);
    sink->len += len;
    return 0;
}

static bool sink_is_full(const struct sink *sink)
{
    return sink->len - sink->at >= CLIENT_PENDING_MAX;
}

static void stall_fire(struct shim *shim, struct timer *timer)
{
    client_close(container_of(timer, struct client, stall));
}

/* The client holds its stream up: from now on its time runs, anew with each byte that it takes. */
static void stall_begin(struct shim *shim, struct client *c)
{
    if (c->one && !c->patient)
        timer_set(shim, &c->stall, c->stall_ms);
}

/* The client's end of a stream is gone: the container goes on without. A client all of whose
 * outputs are gone is over, unless it still types. */
static void sink_lost(struct shim *shim, struct client *c, struct sink *sink)
{
    sink_drop(shim, sink);
    timer_stop(shim, &c->stall);
    if (c->one || (c->ended && c->sink[0].source.fd < 0 && c->sink[1].source.fd < 0))
        client_close(c);
}

/* Writes what the client takes; the rest is kept. */
static void sink_add(struct shim *shim, struct client *c, struct sink *sink, struct iovec *iov,
                     int count)
{
    bool waits = c->held || sink->len > sink->at;
    ssize_t n = waits ? 0 : sink_write(sink, iov, count);
    bool lost = n < 0;

    for (int i = 0; i < count && !lost; i++) {
        size_t taken = MIN((size_t)n, iov[i].iov_len);

        n -= (ssize_t)taken;
        if (taken < iov[i].iov_len)
            lost = sink_keep(sink, (char *)iov[i].iov_base + taken, iov[i].iov_len - taken) < 0;
    }
    if (!lost && !c->held && sink->len > sink->at)
        lost = source_watch(shim, &sink->source, EPOLLOUT) < 0;
    if (lost)
        sink_lost(shim, c, sink);
    else if (sink_is_full(sink) && c->stall.at_ms == 0)
        stall_begin(shim, c);
}

static void put(struct shim *shim, struct client *c, int stream, const char *data, size_t len)
{
    struct sink *sink = &c->sink[c->one ? 0 : stream];
    unsigned char head[FRAME] = { (unsigned char)(stream + 1),
                                  0,
                                  0,
                                  0,
                                  (unsigned char)(len >> 24),
                                  (unsigned char)(len >> 16),
                                  (unsigned char)(len >> 8),
                                  (unsigned char)len };
    struct iovec iov[] = { { head, FRAME }, { (char *)data, len } };
    bool framed = c->one && !c->raw;

    if (c->wants[stream + 1] && (c->held || sink->source.fd >= 0))
        sink_add(shim, c, sink, framed ? iov : iov + 1, framed ? 2 : 1);
}

void client_output(struct shim *shim, struct process *p, int stream, const char *data, size_t len)
{
    for (struct client *c = shim->clients; c; c = c->next) {
        if (c->process == p && !c->closing && !c->replay)
            put(shim, c, stream, data, len);
    }
}

bool client_is_full(struct shim *shim, struct process *p, int stream)
{
    for (struct client *c = shim->clients; c; c = c->next) {
        if (c->process == p && !c->closing && !c->replay &&
            sink_is_full(&c->sink[c->one ? 0 : stream]))
            return true;
    }
    return false;
}

/* All is delivered: what was waiting for that. */
static void drained(struct shim *shim, struct client *c)
{
    if (c->held || c->sink[0].len > c->sink[0].at || c->sink[1].len > c->sink[1].at)
        return;
    if (c->replay)
        replay_more(shim, c);
    else if (c->ended || c->detached)
        client_close(c);
}

static void sink_ready(struct shim *shim, struct client *c, struct sink *sink)
{
    struct iovec iov = { sink->pending + sink->at, sink->len - sink->at };
    ssize_t n = sink_write(sink, &iov, 1);

    if (n < 0) {
        sink_lost(shim, c, sink);
    } else {
        bool full = sink_is_full(sink);

        sink->at += (size_t)n;
        if (full && n > 0 && sink_is_full(sink))
            stall_begin(shim, c);
        else if (!sink_is_full(sink))
            timer_stop(shim, &c->stall);
        if (c->ended && n > 0) /* nobody is held up, but we would like to go */
            stall_begin(shim, c);
        if (sink->at == sink->len) {
            source_watch(shim, &sink->source, 0);
            free(sink->pending);
            sink->pending = NULL;
            sink->len = sink->at = sink->cap = 0;
            drained(shim, c);
        }
    }
    if (c->process && c->process->handle)
        process_flow(shim, c->process);
}

static void sink0_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct client *c = container_of(s, struct client, sink[0].source);

    sink_ready(shim, c, &c->sink[0]);
}

static void sink1_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct client *c = container_of(s, struct client, sink[1].source);

    sink_ready(shim, c, &c->sink[1]);
}

/* ---- the log first --------------------------------------------------------------------------- */

/* At the log's end the rest of a line that is not in the file yet, then what comes. */
static void replay_join(struct shim *shim, struct client *c)
{
    log_reader_close(c->replay);
    c->replay = NULL;
    for (int i = 0; i < 2 && shim->log_open; i++) {
        size_t len;
        const char *part = log_writer_part(&shim->log, (enum log_stream)i, &len);

        if (len > 0)
            put(shim, c, i, part, len);
    }
    if (c->replay_only)
        c->ended = true;
    drained(shim, c);
}

static void replay_more(struct shim *shim, struct client *c)
{
    struct log_record record;

    if (shim->log_open)
        log_writer_flush(&shim->log);
    while (c->sink[0].len - c->sink[0].at < REPLAY_PIECE && !c->closing) {
        if (log_reader_next(c->replay, &record) != 1) {
            replay_join(shim, c);
            return;
        }
        put(shim, c, (int)record.stream, record.text, record.len);
    }
}

int client_replay(struct shim *shim, struct client *c, enum log_driver driver, bool only,
                  struct wharf_error *e)
{
    char name[LOG_NAME_MAX];

    log_name(name, shim->id, driver);
    int r = log_reader_open(&c->replay, SHIM_FD_DIR, name, driver, LOG_TAIL_ALL);
    c->replay_only = only;
    return r < 0 ? err_code(e, r, "cannot read the container's log") : 0;
}

/* ---- input: client -> process ---------------------------------------------------------------- */

/* Nothing more comes from the client. Of a socket we still want to know when it is gone. */
static void input_end(struct shim *shim, struct client *c)
{
    if (c->one)
        source_watch(shim, &c->in, EPOLLHUP);
    else
        source_close(shim, &c->in);
    c->in_plain = false;
    if (c->wants[0] && c->process && c->process->one_input && !c->process->tty)
        source_close(shim, &c->process->in);
    c->wants[0] = false;
}

/* Copies bytes into c->input, without those that may be the beginning of the detach keys: they are
 * held back until it is clear. True: the keys are complete. */
static bool filter_keys(struct client *c, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (c->key_count == 0) {
            memcpy(c->input + c->input_len, data + i, len - i);
            c->input_len += len - i;
            return false;
        }
        if (data[i] != c->keys[c->keys_seen]) {
            memcpy(c->input + c->input_len, c->keys, c->keys_seen);
            c->input_len += c->keys_seen;
            c->keys_seen = 0;
        }
        if (data[i] == c->keys[c->keys_seen])
            c->keys_seen++;
        else
            c->input[c->input_len++] = data[i];
        if (c->keys_seen == c->key_count)
            return true;
    }
    return false;
}

static void detach(struct shim *shim, struct client *c)
{
    struct process *p = c->process;

    c->process = NULL;
    c->detached = true;
    source_close(shim, &c->in);
    if (p == &shim->init) {
        shim_emit(shim, "detach", "");
    } else {
        char extra[ID_LENGTH + 16];

        snprintf(extra, sizeof(extra), "\"execID\":\"%s\"", p->id);
        shim_emit(shim, "exec_detach", extra);
    }
    drained(shim, c);
    process_flow(shim, p);
}

/* Passes on what is in c->input. False: the process takes no more now. */
static bool input_push(struct shim *shim, struct client *c)
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

static ssize_t input_read(struct client *c, char *data, size_t len)
{
    if (c->early_at < c->early_len) {
        size_t n = MIN(len, c->early_len - c->early_at);

        memcpy(data, c->early + c->early_at, n);
        c->early_at += n;
        return (ssize_t)n;
    }
    free(c->early);
    c->early = NULL;
    c->early_len = c->early_at = 0;
    return c->one ? recv(c->in.fd, data, len, MSG_DONTWAIT) : read(c->in.fd, data, len);
}

/* One turn: false when there is nothing more to do for now. */
static bool input_turn(struct shim *shim, struct client *c)
{
    char data[INPUT_CHUNK];

    if (!c->process || !c->process->handle || !c->wants[0] || !input_push(shim, c))
        return false;
    ssize_t n = input_read(c, data, sizeof(data));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        input_end(shim, c);
        return false;
    }
    bool keys = filter_keys(c, data, (size_t)n);
    bool more = input_push(shim, c);
    if (keys) {
        detach(shim, c);
        return false;
    }
    return more;
}

/* A socket whose client sends what nobody wants, or has gone. */
static void idle_input(struct shim *shim, struct client *c, uint32_t events)
{
    char data[INPUT_CHUNK];
    ssize_t n = events & EPOLLIN ? recv(c->in.fd, data, sizeof(data), MSG_DONTWAIT) : 1;

    if (events & (EPOLLHUP | EPOLLERR))
        client_close(c);
    else if (n == 0)
        source_watch(shim, &c->in, EPOLLHUP);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        client_close(c);
}

/* It does not run yet: what comes is stdin of the start. One who has gone without a word is not
 * waited for. */
static void early_input(struct shim *shim, struct client *c, uint32_t events)
{
    char byte;

    if ((events & (EPOLLHUP | EPOLLERR)) && recv(c->in.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
        client_close(c);
    else
        source_watch(shim, &c->in, events & EPOLLHUP ? 0 : EPOLLHUP);
}

static void input_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct client *c = container_of(s, struct client, in);

    if (c->one && !c->wants[0])
        idle_input(shim, c, events);
    else if (c->one && !c->process->handle)
        early_input(shim, c, events);
    else
        input_turn(shim, c);
}

void client_input_flow(struct shim *shim, struct process *p)
{
    for (struct client *c = shim->clients; c; c = c->next) {
        if (c->process != p || c->in.fd < 0 || !c->wants[0] || c->closing)
            continue;
        if (!c->in_plain && source_watch(shim, &c->in, EPOLLIN) == -EPERM)
            c->in_plain = true;
        while ((c->in_plain || c->early) && input_turn(shim, c))
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
static void take_descriptors(struct client *c, struct shim_message *m, size_t at, uint32_t flags)
{
    for (int i = 0; i < 3; i++) {
        if (!(flags & SHIM_STDIN << i))
            continue;
        int fd = shim_message_take_fd(m, at++);
        if (fd < 0)
            continue;
        c->wants[i] = true;
        if (i == 0) {
            c->in.fd = is_socket(fd) ? fd : reopen(fd, O_RDONLY);
            if (is_socket(fd)) /* reading a socket must not block either */
                fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            continue;
        }
        c->sink[i - 1].socket = is_socket(fd);
        c->sink[i - 1].source.fd = reopen(fd, O_WRONLY);
    }
}

static int take_early(struct client *c, int memory, struct wharf_error *e)
{
    autobuf struct buf early = BUF(EARLY_MAX);

    if (memory < 0)
        return 0;
    if (lseek(memory, 0, SEEK_SET) < 0)
        return err_sys(e, "cannot read what the client sent");
    int r = fd_read_all(memory, &early);
    if (r < 0)
        return err_code(e, r, "cannot read what the client sent");
    c->early_len = early.len;
    c->early = early.len ? buf_take(&early) : NULL;
    return 0;
}

static int take_socket(struct shim *shim, struct client *c, struct shim_message *m, size_t at,
                       struct wharf_error *e)
{
    autoclose int memory = shim_message_take_fd(m, at + 1), socket = shim_message_take_fd(m, at);

    if (socket < 0 || !is_socket(socket))
        return err_invalid(e, "no socket came");
    int r = take_early(c, memory, e);
    if (r < 0)
        return r;
    c->in.fd = fcntl(socket, F_DUPFD_CLOEXEC, SHIM_FD_END);
    if (c->in.fd < 0)
        return err_sys(e, "cannot keep the client's socket");
    c->sink[0].source.fd = take_fd(&socket);
    c->sink[0].socket = true;
    c->held = false;
    r = source_watch(shim, &c->in, EPOLLIN);
    if (r == 0 && c->sink[0].len > 0)
        r = source_watch(shim, &c->sink[0].source, EPOLLOUT);
    return r < 0 ? err_code(e, r, "cannot watch the client's socket") : 0;
}

int client_take(struct shim *shim, struct client *c, struct shim_message *m, size_t at,
                uint32_t flags, struct wharf_error *e)
{
    if (flags & SHIM_HOLD)
        return 0;
    if (!c->one) {
        take_descriptors(c, m, at, flags);
    } else {
        int r = take_socket(shim, c, m, at, e);
        if (r < 0)
            return r;
        timer_stop(shim, &c->stall);
        if (sink_is_full(&c->sink[0]))
            stall_begin(shim, c);
        drained(shim, c);
    }
    if (c->process && c->process->handle)
        client_input_flow(shim, c->process);
    return 0;
}

struct client *client_new(struct shim *shim, struct process *p, struct connection *connection,
                          uint32_t flags, const char *keys, struct wharf_error *e)
{
    struct client *c = shim->client_count < CLIENTS_MAX ? malloc(sizeof(*c)) : NULL;

    if (!c) {
        err_set(e, -EMFILE, WHARF_ERROR_LIMIT, "%d clients are attached to this container already",
                CLIENTS_MAX);
        return NULL;
    }
    memset(c, 0, offsetof(struct client, input));
    c->process = p;
    c->connection = connection;
    c->one = (flags & (SHIM_HOLD | SHIM_SOCKET)) != 0;
    c->held = (flags & SHIM_HOLD) != 0;
    c->raw = (flags & (SHIM_RAW | SHIM_TTY)) || p->tty;
    c->patient = !c->one;
    for (int i = 0; i < 3 && c->one; i++)
        c->wants[i] = (flags & SHIM_STDIN << i) != 0;
    c->in = (struct source){ .fd = -1, .ready = input_ready };
    c->sink[0].source = (struct source){ .fd = -1, .ready = sink0_ready };
    c->sink[1].source = (struct source){ .fd = -1, .ready = sink1_ready };
    c->stall.fire = stall_fire;
    c->stall_ms = shim->started ? CLIENT_STALL_MS : CLIENT_STALL_FIRST_MS;
    c->key_count = strlen(keys);
    if (c->key_count > KEYS_MAX || !(p->tty || (flags & SHIM_TTY)))
        c->key_count = 0;
    memcpy(c->keys, keys, c->key_count);
    c->next = shim->clients;
    shim->clients = c;
    shim->client_count++;
    return c;
}

/* ---- the end --------------------------------------------------------------------------------- */

void client_process_ended(struct shim *shim, struct process *p)
{
    for (struct client *c = shim->clients; c; c = c->next) {
        if (c->process != p)
            continue;
        c->process = NULL;
        c->ended = true;
        c->code = p->code;
        c->wants[0] = false;
        if (!c->one)
            source_close(shim, &c->in);
        else if (!c->held)
            source_watch(shim, &c->in, EPOLLHUP);
        if (c->stall.at_ms == 0)
            stall_begin(shim, c);
        drained(shim, c);
    }
}

static void client_free(struct shim *shim, struct client *c)
{
    if (c->connection) {
        c->connection->client = NULL;
        if (c->detached)
            connection_tell(c->connection, SHIM_DETACHED, 0);
        else if (c->ended && !c->replay_only)
            connection_tell(c->connection, SHIM_EXITED, c->code);
    }
    timer_stop(shim, &c->stall);
    sink_drop(shim, &c->sink[0]);
    sink_drop(shim, &c->sink[1]);
    source_close(shim, &c->in);
    log_reader_close(c->replay);
    free(c->early);
    free(c);
    shim->client_count--;
}

void client_sweep(struct shim *shim)
{
    for (struct client **at = &shim->clients; *at;) {
        struct client *c = *at;
        struct process *p = c->process;

        if (!c->closing) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        /* the only client's stdin ends with it, when the container asked for that */
        if (p && p->one_input && c->wants[0] && c->in.fd >= 0 && !p->tty)
            source_close(shim, &p->in);
        client_free(shim, c);
        if (p && p->handle)
            process_flow(shim, p);
    }
}

void client_free_all(struct shim *shim)
{
    while (shim->clients) {
        struct client *c = shim->clients;

        shim->clients = c->next;
        c->connection = NULL;
        client_free(shim, c);
    }
}
