/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf-shim: the actor of one container. Single-threaded; one epoll loop; everything that can
 * block is a source in it.
 *
 *   main.c        birth (configuration, descriptors), the loop, the container's end
 *   process.c     a process and its streams: the container's first one, or one of an exec
 *   connection.c  somebody who asks: messages, and the session that copies streams to them
 *
 * Output flows process -> log and every attached connection; while one of them cannot take what was
 * read, that stream is not read on (back pressure reaches the container), but everything else goes
 * on: a kill works while a client's terminal is stopped. Input flows connection -> process the same
 * way.
 */
#ifndef WHARF_SHIM_SHIM_H
#define WHARF_SHIM_SHIM_H

#include <sys/epoll.h>
#include "container.h"
#include "engine/log-writer.h"
#include "engine/shim-protocol.h"

#define CONNECTIONS_MAX 256
#define STREAM_CHUNK    32768 /* read from a process at a time */
#define INPUT_CHUNK     4096

struct shim;

/* Something that epoll watches. fd -1: nothing. */
struct source {
    int fd;
    uint32_t events; /* watched now */
    void (*ready)(struct shim *shim, struct source *source, uint32_t events);
};

struct process {
    struct container_process *handle; /* NULL: not started */
    struct source exit;               /* its pidfd */
    struct source out[2];             /* what it writes: stdout (or the terminal), stderr */
    struct source in;                 /* what it reads: a pipe or the terminal; watched when full */
    bool tty, logged, one_input;      /* one_input: its stdin ends with the first client's */
    bool input_full, ended;
    int code;
    struct process *next; /* in shim->execs */
};

struct connection {
    struct source socket;
    struct process *process; /* attached to its streams; NULL: none */
    struct source in;        /* the client's stdin */
    bool in_plain;           /* a regular file: always ready, not for epoll */
    bool waits;              /* tell it when the container has ended */
    bool closing;
    struct sink {
        struct source source;
        bool socket;
        char *pending; /* NULL: nothing; then the stream is not read */
        size_t pending_len, pending_at;
    } sink[2];
    char keys[16]; /* that detach; "" none */
    size_t key_count, keys_seen;
    size_t input_len, input_at;
    char input[INPUT_CHUNK];
    struct connection *next;
};

struct shim {
    int epoll;
    struct shim_config config;
    struct source listen;
    struct container_engine *engine;
    struct container *container; /* NULL before SHIM_START */
    struct process init;
    struct process *execs;
    struct connection *connections;
    size_t connection_count;
    bool started, done, oom_watched;
    bool log_open;
    struct log_writer log;
    char chunk[STREAM_CHUNK];
};

/* Watches for `events` (0: nothing); 0 or -errno (-EPERM: a plain file). */
int source_watch(struct shim *shim, struct source *source, uint32_t events);
void source_close(struct shim *shim, struct source *source);

/* process.c */
int process_start_init(struct shim *shim, struct wharf_error *e);
int process_start_exec(struct shim *shim, struct connection *c, struct shim_message *m,
                       struct wharf_error *e);
void process_resize(struct process *p, uint64_t rows, uint64_t columns);
/* The streams changed hands (attached, drained): read again what may be read. */
void process_flow(struct shim *shim, struct process *p);
void process_free(struct shim *shim, struct process *p);

/* connection.c */
int connection_add(struct shim *shim, int socket); /* takes it */
void connection_output(struct shim *shim, struct process *p, int stream, const char *data,
                       size_t len);
bool connection_is_full(struct shim *shim, struct process *p, int stream);
void connection_input_flow(struct shim *shim, struct process *p); /* its stdin takes bytes again */
void connection_tell_end(struct shim *shim,
                         struct process *p); /* SHIM_EXITED to who waits for it */
void connection_sweep(struct shim *shim);    /* frees those that are closing */
void connection_free_all(struct shim *shim);

/* main.c: the container's first process has ended and its streams are dry. */
void shim_finish(struct shim *shim);

#endif
