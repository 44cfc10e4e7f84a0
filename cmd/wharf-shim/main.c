/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Birth, loop and end of a shim. The order at the end is what makes a kill at any moment harmless:
 * the container is removed from the kernel, then the exit status is on disk, then the lock that
 * says "this shim lives" is let go, then those who wait are told: whoever hears of the end finds it
 * on disk.
 */
#include "cmd/wharf-shim/shim.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include "base/fd.h"

int source_watch(struct shim *shim, struct source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };
    int op = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (source->fd < 0 || source->events == events)
        return 0;
    if (epoll_ctl(shim->epoll, op, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

void source_close(struct shim *shim, struct source *source)
{
    source_watch(shim, source, 0);
    source->fd = fd_close(source->fd);
    source->events = 0;
}

static bool peer_is_ours(int socket)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_ready(struct shim *shim, struct source *source, uint32_t events)
{
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0 && (!peer_is_ours(fd) || connection_add(shim, fd) < 0))
        fd_close(fd);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* With --rm the files go at once; the record is forgotten by the next engine that looks. */
static void remove_files(void)
{
    static const char *const trees[] = { "upper", "work", "copy" };

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++)
        path_remove_tree(SHIM_FD_DIR, trees[i]);
}

static void close_execs(struct shim *shim)
{
    while (shim->execs) {
        struct process *p = shim->execs;
        int status = 0;

        /* the kernel killed it with the container; only a shared pid namespace lets it live on */
        if (!p->ended && container_process_wait(p->handle, &status, 1000, NULL) < 0)
            container_process_kill(p->handle, SIGKILL, NULL);
        p->code = 128 + SIGKILL;
        connection_tell_end(shim, p);
        shim->execs = p->next;
        process_free(shim, p);
        free(p);
    }
}

/* Whether the kernel killed one of its processes for want of memory. */
static bool was_oom_killed(struct shim *shim)
{
    struct container_event event;

    return shim->oom_watched && container_next_event(shim->container, &event, NULL) == 1;
}

void shim_finish(struct shim *shim)
{
    struct shim_exit status = { .generation = shim->config.generation, .code = shim->init.code };

    if (shim->done)
        return;
    shim->done = true;
    status.oom_killed = was_oom_killed(shim);
    container_delete(shim->container, 1, NULL);
    close_execs(shim);
    if (shim->log_open)
        log_writer_close(&shim->log);
    status.finished_ns = now_ns();
    shim_exit_write(SHIM_FD_DIR, &status);
    if (shim->config.auto_remove)
        remove_files();
    unlink(shim->config.endpoint);
    close(SHIM_FD_LOCK);
    connection_tell_end(shim, &shim->init);
}

static void on_signal(int signal)
{
}

/* A handler, not SIG_IGN: what is ignored stays ignored in the container's program (execve(2)). */
static void survive_signals(void)
{
    static const int signals[] = { SIGPIPE, SIGHUP, SIGINT };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, NULL);
}

static int read_config(struct shim *shim)
{
    struct stat st;

    if (fstat(SHIM_FD_CONFIG, &st) < 0 || st.st_size <= 0 || st.st_size > SHIM_CONFIG_MAX)
        return -EBADMSG;
    size_t len = (size_t)st.st_size;
    /* kept for the strings; the pages of the specification are given back after the start */
    char *text = malloc(len + 1);
    if (!text)
        return -ENOMEM;
    ssize_t n = pread(SHIM_FD_CONFIG, text, len, 0);
    if (n != (ssize_t)len) {
        free(text);
        return -EIO;
    }
    text[len] = '\0';
    close(SHIM_FD_CONFIG);
    return shim_config_decode(text, len, &shim->config);
}

static int open_log(struct shim *shim)
{
    char name[80];

    if (shim->config.log_max_size == 0)
        return 0;
    snprintf(name, sizeof(name), "%.64s-json.log", shim->config.id);
    int r = log_writer_open(&shim->log, SHIM_FD_DIR, name, shim->config.log_max_size,
                            shim->config.log_max_files);
    shim->log_open = r == 0;
    return r;
}

static int shim_open(struct shim *shim)
{
    for (int fd = SHIM_FD_CONTROL; fd < SHIM_FD_END; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    survive_signals();
    shim->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (shim->epoll < 0)
        return -errno;
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    int r = read_config(shim);
    if (r < 0)
        return r;
    options.root = shim->config.state_root;
    r = container_engine_open(&shim->engine, &options, NULL);
    if (r == 0)
        r = open_log(shim);
    shim->listen = (struct source){ .fd = SHIM_FD_LISTEN, .ready = accept_ready };
    if (r == 0)
        r = source_watch(shim, &shim->listen, EPOLLIN);
    if (r == 0)
        r = connection_add(shim, SHIM_FD_CONTROL);
    return r;
}

static void shim_loop(struct shim *shim)
{
    struct epoll_event events[16];

    while (!shim->done && (shim->started || shim->connections)) {
        int count = epoll_wait(shim->epoll, events, ARRAY_SIZE(events), -1);

        for (int i = 0; i < count && !shim->done; i++) {
            struct source *source = events[i].data.ptr;

            /* closed by an earlier event of this round: what it belongs to lives until the sweep */
            if (source->fd >= 0)
                source->ready(shim, source, events[i].events);
        }
        connection_sweep(shim);
    }
}

int main(void)
{
    static struct shim shim; /* its buffers take memory when they are first used */

    if (fcntl(SHIM_FD_CONTROL, F_GETFD) < 0 || fcntl(SHIM_FD_CONFIG, F_GETFD) < 0) {
        fprintf(stderr, "wharf-shim: started by wharf to hold a container, not by hand\n");
        return 2;
    }
    int r = shim_open(&shim);
    if (r < 0) {
        struct wharf_error e = { 0 };

        err_code(&e, r, "the shim cannot begin");
        shim_send_failure(SHIM_FD_CONTROL, &e);
        return 1;
    }
    shim_loop(&shim);
    if (!shim.started)
        unlink(shim.config.endpoint);
    connection_free_all(&shim);
    return 0;
}
