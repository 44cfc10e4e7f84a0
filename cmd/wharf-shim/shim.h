/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf-shim: the actor of one container. Single-threaded; one epoll loop; everything that can
 * block is a source in it, everything that must happen later a timer.
 *
 *   main.c        birth (descriptors), the loop
 *   life.c        start and end of the container, restarts, what is told to the world
 *   process.c     a process and its streams: the container's first one, or one of an exec
 *   connection.c  somebody who asks: messages
 *   client.c      somebody who is attached: copies streams to and from them
 *   health.c      the health check
 *   root.c        the root file system of a restart
 *
 * Output flows process -> log and every attached client. A client that does not take it has
 * CLIENT_PENDING_MAX bytes of grace, then the stream is not read on (back pressure reaches the
 * container), but everything else goes on: a kill works while a client's terminal is stopped. A
 * client on a socket that holds a stream up like that is dropped after CLIENT_STALL_MS. Input flows
 * client -> process the same way.
 */
#ifndef WHARF_SHIM_SHIM_H
#define WHARF_SHIM_SHIM_H

#include <sys/epoll.h>
#include "container.h"
#include "engine/events.h"
#include "engine/log-reader.h"
#include "engine/log-writer.h"
#include "engine/shim-protocol.h"

#define ID_LENGTH          64
#define CONNECTIONS_MAX    256
#define CLIENTS_MAX        256
#define STREAM_CHUNK       65536       /* read from a process at a time */
#define STREAM_PIPE        (256 << 10) /* of a process that writes; best effort (pipe(7)) */
#define INPUT_CHUNK        8192
#define KEYS_MAX           15         /* bytes of a detach sequence */
#define EARLY_MAX          (1u << 20) /* bytes that a client sent before its socket came */
#define CLIENT_PENDING_MAX (1u << 20)
#define CLIENT_STALL_MS    15000
#define CLIENT_STALL_FIRST_MS                                                                      \
    300000 /* of one attached before the start: its user may look away                             \
            */
#define NAME_MAX_BYTES 256

struct shim;

/* Something that epoll watches. fd -1: nothing. */
struct source {
    int fd;
    uint32_t events; /* watched now */
    void (*ready)(struct shim *shim, struct source *source, uint32_t events);
};

/* Something that happens once, later. at_ms 0: not set. */
struct timer {
    int64_t at_ms;
    void (*fire)(struct shim *shim, struct timer *timer);
    struct timer *next;
};

struct process {
    struct container_process *handle; /* NULL: not started */
    struct source exit;               /* its pidfd */
    struct source out[2];             /* what it writes: stdout (or the terminal), stderr */
    struct source in;                 /* what it reads: a pipe or the terminal; watched when full */
    bool tty, logged, one_input;      /* one_input: its stdin ends with the first client's */
    bool input_full, ended;
    int code;
    char id[ID_LENGTH + 1]; /* of an exec; "": nobody can ask for it */
    bool recorded;          /* its file tells how it ends */
    struct health *health;  /* the check that it is; its output goes there */
    struct process *next;   /* in shim->execs */
};

struct sink {
    struct source source;
    bool socket;
    char *pending; /* not taken yet: pending[at..len) */
    size_t len, at, cap;
};

/* Attached to a process's streams, by descriptors of the asking program (which may be a terminal,
 * pipes, files) or by one socket of a client's own. */
struct client {
    struct process *process;       /* NULL: its streams are over, the rest is being delivered */
    struct connection *connection; /* who asked, to be told; NULL: nobody */
    bool wants[3];                 /* stdin, stdout, stderr */
    bool one;                      /* one socket: sink[0] takes everything */
    bool held;                     /* the socket is still to come: output is kept */
    bool raw;                      /* no frames */
    bool patient;                  /* on descriptors: holds a stream up as long as it likes */
    bool ended, closing, detached;
    int code; /* how the process ended */
    struct sink sink[2];
    struct source in; /* the client's stdin, or just its end of the socket */
    bool in_plain;    /* a regular file: always ready, not for epoll */
    struct timer stall;
    int64_t stall_ms;
    struct log_reader *replay; /* what the log had; live output begins behind it */
    bool replay_only;
    char keys[KEYS_MAX + 1]; /* that detach; "" none */
    size_t key_count, keys_seen;
    char *early; /* stdin that came before the socket */
    size_t early_len, early_at;
    struct client *next;
    size_t input_len, input_at;
    char input[INPUT_CHUNK + KEYS_MAX];
};

struct connection {
    struct source socket;
    struct client *client; /* its session; NULL: none */
    bool waits;            /* tell it when the container has ended */
    bool closing;
    struct connection *next;
};

struct shim {
    int epoll;
    const char *id;
    char *config_text;
    struct shim_config config;
    struct source listen;
    struct container_engine *engine;
    struct container *container; /* NULL: none runs */
    struct process init;
    struct process *execs, *gone; /* gone: freed by the sweep */
    struct connection *connections;
    struct client *clients;
    size_t connection_count, client_count;
    struct timer *timers;
    bool started, restarting, done, quit, oom_killed;
    struct source oom;
    char *spec; /* of the run that is to come, while restarting */
    bool final; /* the restart policy is off */
    int64_t started_ms;
    struct shim_state state; /* what the state file says */
    struct timer restart;
    int64_t restart_wait_ms;
    char name[NAME_MAX_BYTES];
    struct health *health;
    struct keeper *keeper; /* of its network; NULL: none */
    struct source names;   /* the keeper's */
    int ports;             /* holds them; -1: none */
    bool log_open;
    struct log_writer log;
    char chunk[STREAM_CHUNK];
};

#define container_of(member_pointer, type, member)                                                 \
    ((type *)((char *)(member_pointer)-offsetof(type, member)))

/* main.c */
int source_watch(struct shim *shim, struct source *source, uint32_t events); /* 0: nothing */
void source_close(struct shim *shim, struct source *source);
int64_t monotonic_ms(void); /* monotonic */
int64_t epoch_ns(void);     /* since the epoch */
void timer_set(struct shim *shim, struct timer *timer, int64_t ms);
void timer_stop(struct shim *shim, struct timer *timer);

/* life.c */
/* Descriptors of SHIM_START, -1: missing; they stay the message's. */
int shim_start(struct shim *shim, const int fds[4], struct wharf_error *e);
/* The container's first process has ended and its streams are dry. */
void shim_ended(struct shim *shim);
/* The policy is off from now on; a container that waits for its restart has ended. */
void shim_stay_down(struct shim *shim);
void shim_set_policy(struct shim *shim, uint64_t policy, uint64_t max);
/* An event of this container; `extra`: more attributes, as "\"k\":\"v\"", or "". */
void shim_emit(struct shim *shim, const char *action, const char *extra);
void shim_save_state(struct shim *shim);

/* network.c: at birth, so that nothing else takes the number; at the start; at the end. */
void network_reserve(void);
int network_begin(struct shim *shim, int netns, int ports, struct wharf_error *e);
void network_end(struct shim *shim);

/* root.c: the container's root as a new detached mount, or -errno. */
int root_mount(const struct shim_config *config, struct wharf_error *e);

/* process.c */
int process_start_init(struct shim *shim, int root_fd, struct wharf_error *e);
int process_start_exec(struct shim *shim, struct shim_message *m, struct process **ret,
                       struct wharf_error *e);
/* One more that nobody asked for: both outputs in out[0], no input. */
int process_start_check(struct shim *shim, const char *document, struct process **ret,
                        struct wharf_error *e);
void process_resize(struct process *p, uint64_t rows, uint64_t columns);
/* The streams changed hands (attached, drained): read again what may be read. */
void process_flow(struct shim *shim, struct process *p);
void process_free(struct shim *shim, struct process *p);
void process_end_execs(struct shim *shim); /* with the container */
void process_sweep(struct shim *shim);

/* client.c */
struct client *client_new(struct shim *shim, struct process *p, struct connection *c,
                          uint32_t flags, const char *keys, struct wharf_error *e);
/* Its descriptors from m->fds[at] on: one for each stream of `flags`, or a socket and what was
 * early. */
int client_take(struct shim *shim, struct client *c, struct shim_message *m, size_t at,
                uint32_t flags, struct wharf_error *e);
int client_replay(struct shim *shim, struct client *c, enum log_driver driver, bool only,
                  struct wharf_error *e);
void client_output(struct shim *shim, struct process *p, int stream, const char *data, size_t len);
bool client_is_full(struct shim *shim, struct process *p, int stream);
void client_input_flow(struct shim *shim, struct process *p); /* its stdin takes bytes again */
void client_process_ended(struct shim *shim, struct process *p);
void client_close(struct client *c); /* freed by the sweep */
void client_sweep(struct shim *shim);
void client_free_all(struct shim *shim);

/* connection.c */
int connection_add(struct shim *shim, int socket); /* takes it */
void connection_tell(struct connection *c, uint32_t op, int64_t value);
void connection_tell_waiting(struct shim *shim, int64_t code);
void connection_sweep(struct shim *shim); /* frees those that are closing */
void connection_free_all(struct shim *shim);

/* health.c */
void health_start(struct shim *shim);
void health_stop(struct shim *shim);
void health_output(struct health *h, const char *data, size_t len);
void health_checked(struct shim *shim, struct health *h, int code);

#endif
