/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the container and its streams. Ends of pipes that the process holds are closed here
 * right after it started, so that the end of file means what it says. A process has ended for good
 * when it was reaped and its streams are read dry: bytes that are in a pipe are never lost.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/fd.h"

static void check_end(struct shim *shim, struct process *p);

static struct process *process_of_out(struct source *s, int stream)
{
    return (struct process *)((char *)s - offsetof(struct process, out) -
                              (size_t)stream * sizeof(struct source));
}

static void pass_on(struct shim *shim, struct process *p, int stream, size_t len)
{
    if (p->health) {
        health_output(p->health, shim->chunk, len);
        return;
    }
    if (p->logged && shim->log_open)
        log_writer_add(&shim->log, stream == 0 ? LOG_STDOUT : LOG_STDERR, shim->chunk, len);
    client_output(shim, p, stream, shim->chunk, len);
}

/* Reads one chunk: its length; 0: nothing now; -1: the end of the stream. */
static ssize_t read_chunk(struct shim *shim, struct process *p, int stream)
{
    ssize_t n;

    do
        n = read(p->out[stream].fd, shim->chunk, sizeof(shim->chunk));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0) /* EIO: the last process closed the terminal (tty_ioctl(4)) */
        return -1;
    pass_on(shim, p, stream, (size_t)n);
    return n;
}

static void out_ready(struct shim *shim, struct process *p, int stream)
{
    if (client_is_full(shim, p, stream))
        source_watch(shim, &p->out[stream], 0);
    else if (read_chunk(shim, p, stream) < 0)
        source_close(shim, &p->out[stream]);
    else if (client_is_full(shim, p, stream))
        source_watch(shim, &p->out[stream], 0);
    check_end(shim, p);
}

static void stdout_ready(struct shim *shim, struct source *s, uint32_t events)
{
    out_ready(shim, process_of_out(s, 0), 0);
}

static void stderr_ready(struct shim *shim, struct source *s, uint32_t events)
{
    out_ready(shim, process_of_out(s, 1), 1);
}

void process_flow(struct shim *shim, struct process *p)
{
    for (int i = 0; i < 2; i++) {
        if (!client_is_full(shim, p, i))
            source_watch(shim, &p->out[i], EPOLLIN);
    }
    check_end(shim, p);
}

static void in_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct process *p = (struct process *)((char *)s - offsetof(struct process, in));

    source_watch(shim, &p->in, 0);
    if (events & (EPOLLERR | EPOLLHUP))
        source_close(shim, &p->in);
    p->input_full = false;
    client_input_flow(shim, p);
}

static void exit_ready(struct shim *shim, struct source *s, uint32_t events)
{
    struct process *p = (struct process *)((char *)s - offsetof(struct process, exit));
    int status = 0;

    int r = container_process_wait(p->handle, &status, 0, NULL);
    if (r == -ETIMEDOUT || r == -EAGAIN)
        return;
    p->code = r < 0                 ? 255
              : WIFEXITED(status)   ? WEXITSTATUS(status)
              : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                    : 255;
    p->ended = true;
    source_watch(shim, &p->exit, 0);
    check_end(shim, p);
}

/* What a dead process left in its pipes is read, whoever is slow: that is bounded by the pipe. One
 * that a survivor of it holds open counts as dry as soon as it is empty, or has given what can have
 * been in it. */
static void read_dry(struct shim *shim, struct process *p)
{
    for (int i = 0; i < 2; i++) {
        ssize_t n = 1;

        for (size_t sum = 0; p->out[i].fd >= 0 && n > 0 && sum <= STREAM_PIPE; sum += (size_t)n)
            n = read_chunk(shim, p, i);
        source_close(shim, &p->out[i]);
    }
}

/* An exec is told of where it can be asked for; a health check is not. */
static void exec_ended(struct shim *shim, struct process *p)
{
    struct shim_exec state = { .code = p->code, .ended_ns = epoch_ns() };
    char extra[ID_LENGTH + 48];

    if (p->health) {
        health_checked(shim, p->health, p->code);
        return;
    }
    if (p->recorded)
        shim_exec_write(SHIM_FD_DIR, p->id, &state);
    client_process_ended(shim, p);
    snprintf(extra, sizeof(extra), "\"execID\":\"%s\",\"exitCode\":\"%d\"", p->id, p->code);
    shim_emit(shim, "exec_die", extra);
}

static void check_end(struct shim *shim, struct process *p)
{
    if (!p->ended || !p->handle)
        return;
    read_dry(shim, p);
    if (p == &shim->init) {
        shim_ended(shim);
        return;
    }
    for (struct process **at = &shim->execs; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    exec_ended(shim, p);
    process_free(shim, p);
    p->next = shim->gone; /* events of this round may still point into it */
    shim->gone = p;
}

void process_sweep(struct shim *shim)
{
    while (shim->gone) {
        struct process *p = shim->gone;

        shim->gone = p->next;
        free(p);
    }
}

void process_end_execs(struct shim *shim)
{
    while (shim->execs) {
        struct process *p = shim->execs;
        int status = 0;

        /* the kernel killed it with the container; only a shared pid namespace lets it live on */
        if (!p->ended && container_process_wait(p->handle, &status, 1000, NULL) < 0)
            container_process_kill(p->handle, SIGKILL, NULL);
        p->code = p->ended ? p->code : 128 + SIGKILL;
        p->ended = true;
        check_end(shim, p);
    }
}

void process_free(struct shim *shim, struct process *p)
{
    source_close(shim, &p->out[0]);
    source_close(shim, &p->out[1]);
    source_close(shim, &p->in);
    source_watch(shim, &p->exit, 0); /* the pidfd is the handle's */
    p->exit.fd = -1;
    if (p != &shim->init) /* that one is the container's */
        container_process_close(p->handle);
    p->handle = NULL;
}

static void process_init(struct process *p)
{
    *p = (struct process){
        .exit = { .fd = -1, .ready = exit_ready },
        .out = { { .fd = -1, .ready = stdout_ready }, { .fd = -1, .ready = stderr_ready } },
        .in = { .fd = -1, .ready = in_ready },
    };
}

void process_resize(struct process *p, uint64_t rows, uint64_t columns)
{
    struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

    if (p->tty && p->out[0].fd >= 0 && rows && columns)
        ioctl(p->out[0].fd, TIOCSWINSZ, &size);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Ends that the process gets; closed by the caller once it has started. */
struct ends {
    int fd[3];
};

static void ends_close(struct ends *ends)
{
    for (int i = 0; i < 3; i++)
        ends->fd[i] = fd_close(ends->fd[i]);
}
#define auto_ends __attribute__((cleanup(ends_close)))

/* A pipe whose end `ours` does not block; that setting is of our end alone (pipe(7)). */
static int stream_pipe(int ours, int *ret_ours, int *ret_theirs)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    fcntl(fds[ours], F_SETFL, O_NONBLOCK | (ours ? O_WRONLY : O_RDONLY));
    if (!ours)
        fcntl(fds[ours], F_SETPIPE_SZ, STREAM_PIPE);
    *ret_ours = fds[ours];
    *ret_theirs = fds[!ours];
    return 0;
}

static int null_input(int *ret)
{
    *ret = open("/dev/null", O_RDWR | O_CLOEXEC);
    return *ret < 0 ? -errno : 0;
}

static int make_streams(struct process *p, bool input, struct ends *ends, struct wharf_error *e)
{
    int r = input ? stream_pipe(1, &p->in.fd, &ends->fd[0]) : null_input(&ends->fd[0]);

    for (int i = 0; r == 0 && i < 2; i++)
        r = stream_pipe(0, &p->out[i].fd, &ends->fd[i + 1]);
    return r < 0 ? err_code(e, r, "cannot make the streams of the process") : 0;
}

/* The terminal's master serves both directions, each through a descriptor of its own. */
static int take_terminal(struct process *p, struct wharf_error *e)
{
    int master = container_process_take_console(p->handle);

    if (master < 0)
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "the process has no terminal");
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    p->out[0].fd = master;
    p->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
    return p->in.fd < 0 ? err_sys(e, "cannot keep the terminal") : 0;
}

static int process_begin(struct shim *shim, struct process *p)
{
    p->exit.fd = container_process_pidfd(p->handle);
    int r = source_watch(shim, &p->exit, EPOLLIN);
    if (r == 0)
        process_flow(shim, p);
    return r;
}

int process_start_init(struct shim *shim, int root_fd, struct wharf_error *e)
{
    struct container_start_options options = CONTAINER_START_OPTIONS;
    auto_ends struct ends ends = { { -1, -1, -1 } };
    struct container_spec *spec = NULL;
    struct process *p = &shim->init;
    int r = container_spec_parse(&spec, shim->config.spec, shim->config.spec_len, e);

    process_init(p);
    p->tty = shim->config.tty;
    p->one_input = shim->config.stdin_once;
    p->logged = true;
    if (r == 0 && !p->tty)
        r = make_streams(p, shim->config.open_stdin, &ends, e);
    if (r == 0) {
        memcpy(options.stdio, ends.fd, sizeof(ends.fd));
        options.root_fd = root_fd;
        r = container_run(shim->engine, shim->id, spec, &options, &shim->container, e);
    }
    container_spec_free(spec);
    if (r < 0) {
        process_free(shim, p);
        return r;
    }
    ends_close(&ends);
    p->handle = container_init(shim->container);
    if (p->tty)
        r = take_terminal(p, e);
    process_resize(p, shim->config.rows, shim->config.columns);
    if (r == 0)
        r = process_begin(shim, p);
    if (r < 0) {
        process_free(shim, p);
        container_delete(shim->container, 1, NULL);
        container_close(shim->container);
        shim->container = NULL;
    }
    return r;
}

/* A pipe of the client may be the process's own stream: nothing is copied at all. A file could be
 * reopened from inside with other rights, and a terminal typed into: those are relayed. */
static bool may_pass(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void pass_pipes(struct shim_message *m, struct ends *ends)
{
    size_t at = 1;

    for (int i = 0; i < 3; i++) {
        uint32_t flag = SHIM_STDIN << i;

        if (!(m->flags & flag))
            continue;
        if (at < m->fd_count && may_pass(m->fds[at])) {
            ends->fd[i] = shim_message_take_fd(m, at);
            m->flags &= ~flag;
        }
        at++;
    }
}

static int exec_streams(struct process *p, const struct shim_message *m, struct ends *ends,
                        struct wharf_error *e)
{
    int r = 0;

    for (int i = 0; r == 0 && i < 3; i++) {
        if (ends->fd[i] >= 0)
            continue;
        if (!(m->flags & SHIM_STDIN << i))
            r = null_input(&ends->fd[i]);
        else if (i == 0)
            r = stream_pipe(1, &p->in.fd, &ends->fd[0]);
        else
            r = stream_pipe(0, &p->out[i - 1].fd, &ends->fd[i]);
    }
    return r < 0 ? err_code(e, r, "cannot make the streams of the process") : 0;
}

static int exec_run(struct shim *shim, struct process *p, const char *json, struct ends *ends,
                    struct wharf_error *e)
{
    struct container_start_options options = CONTAINER_START_OPTIONS;

    memcpy(options.stdio, ends->fd, sizeof(ends->fd));
    int r = container_exec(shim->container, json, &options, &p->handle, e);
    if (r == 0 && p->tty)
        r = take_terminal(p, e);
    return r;
}

static struct process *exec_new(void)
{
    struct process *p = malloc(sizeof(*p));

    if (p)
        process_init(p);
    return p;
}

/* It runs: into the list, or away with it. */
static int exec_begin(struct shim *shim, struct process *p, int r, struct process **ret)
{
    if (r < 0) {
        process_free(shim, p);
        free(p);
        return r;
    }
    p->next = shim->execs;
    shim->execs = p;
    *ret = p;
    return process_begin(shim, p);
}

/* An exec object: its start is on disk before its end can be. */
static void exec_record(struct process *p)
{
    struct shim_exec state = { .running = 1, .pid = container_process_pid(p->handle) };

    p->recorded = shim_exec_write(SHIM_FD_DIR, p->id, &state) == 0;
}

int process_start_exec(struct shim *shim, struct shim_message *m, struct process **ret,
                       struct wharf_error *e)
{
    autobuf struct buf json = BUF(SHIM_CONFIG_MAX);
    auto_ends struct ends ends = { { -1, -1, -1 } };
    struct process *p = exec_new();

    if (!p)
        return err_nomem(e);
    p->tty = m->flags & SHIM_TTY;
    p->one_input = true;
    snprintf(p->id, sizeof(p->id), "%.64s", m->text);
    int r = m->fd_count > 0 ? fd_read_all(m->fds[0], &json) : -EBADMSG;
    if (r < 0)
        err_code(e, r, "exec: cannot read the process document");
    if (r == 0 && !p->tty) {
        if (!(m->flags & SHIM_SOCKET))
            pass_pipes(m, &ends);
        r = exec_streams(p, m, &ends, e);
    }
    if (r == 0)
        r = exec_run(shim, p, json.data, &ends, e);
    if (r == 0) {
        process_resize(p, (uint64_t)m->value[0], (uint64_t)m->value[1]);
        if (m->flags & SHIM_RECORD)
            exec_record(p);
    }
    return exec_begin(shim, p, r, ret);
}

int process_start_check(struct shim *shim, const char *document, struct process **ret,
                        struct wharf_error *e)
{
    auto_ends struct ends ends = { { -1, -1, -1 } };
    struct process *p = exec_new();

    if (!p)
        return err_nomem(e);
    int r = null_input(&ends.fd[0]);
    if (r == 0)
        r = stream_pipe(0, &p->out[0].fd, &ends.fd[1]);
    if (r == 0) {
        ends.fd[2] = fcntl(ends.fd[1], F_DUPFD_CLOEXEC, SHIM_FD_END);
        r = exec_run(shim, p, document, &ends, e);
    } else {
        err_code(e, r, "cannot make the streams of the process");
    }
    return exec_begin(shim, p, r, ret);
}
