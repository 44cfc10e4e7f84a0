/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an engine and a shim talk. This is the whole seam: nothing else knows bytes or descriptors'
 * order.
 *
 * A shim is started with the container's id as its argument and the descriptors of enum shim_fd. It
 * listens on a SOCK_SEQPACKET socket; one packet is one message, descriptors ride on it. Before
 * SHIM_START, which brings the configuration and the root, it only keeps who attaches and who
 * waits; when the last of them goes, it goes too and leaves no trace. A connection carries one
 * session at most (the container's own streams or those of one exec). Closing it ends a session on
 * descriptors of the asking program, never the process; a session on a client's socket
 * (SHIM_CONNECT) lives on.
 *
 * Both ends run on one machine, in one byte order; a shim may be older than the engine that asks
 * it, so every message carries the version it is written in and unknown operations are answered
 * SHIM_FAILED.
 */
#ifndef ENGINE_SHIM_PROTOCOL_H
#define ENGINE_SHIM_PROTOCOL_H

#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"

#define SHIM_PROTOCOL   2
#define SHIM_TEXT_MAX   1024 /* bytes of text in a message: an error, or detach keys */
#define SHIM_FDS_MAX    4
#define SHIM_CONFIG_MAX (16u << 20)

/* What a fresh shim finds where. */
enum shim_fd {
    SHIM_FD_CONTROL = 3, /* its first connection */
    SHIM_FD_RUN,         /* the engine's run directory: the endpoint, the events */
    SHIM_FD_LISTEN,      /* bound and listening: connections queue before the shim even runs */
    SHIM_FD_LOCK,        /* holds the lock that says "this shim lives" (lock.h) */
    SHIM_FD_DIR,         /* the container's directory: logs, exit status, execs */
    SHIM_FD_END,
    SHIM_FD_NETNS = SHIM_FD_END, /* where it puts the network namespace that SHIM_START brings */
};
#define SHIM_NETNS_PATH "/proc/self/fd/8" /* the same for the specification */
_Static_assert(SHIM_FD_NETNS == 8, "SHIM_NETNS_PATH names it");
#define SHIMS_DIR "shims" /* below the run directory: endpoints, named by id */

enum shim_op {
    /* asked of a shim; each is answered by SHIM_DONE or SHIM_FAILED */
    SHIM_START =
        1,       /* descriptors: configuration (shim_config_seal), root, and with networks their
                  * namespace and what holds their ports (may be missing); answer: value[0] = pid */
    SHIM_ATTACH, /* flags: SHIM_STDIN...; descriptors in that order; text: detach keys */
    SHIM_EXEC,   /* as SHIM_ATTACH, the process document's memfd first; SHIM_TTY; value: rows,
                  * columns; text: the exec's id, then the keys */
    SHIM_KILL,   /* value[0] = signal; SHIM_ALL: every process; SHIM_FINAL: it stays down */
    SHIM_RESIZE, /* value: rows, columns; of the exec that text names, of this connection's session,
                  * else of the container */
    SHIM_PAUSE,
    SHIM_RESUME,
    SHIM_WAIT,    /* beside the answer, SHIM_EXITED at each end of the container */
    SHIM_STATE,   /* answer: value[0] = pid, 0 when not started */
    SHIM_CONNECT, /* for a session on hold: descriptors: socket, memfd of what the client sent
                   * already (may be missing) */
    SHIM_RENAME,  /* text: the container's name */
    SHIM_POLICY,  /* value: enum shim_policy, most restarts */
    SHIM_QUIT,    /* before SHIM_START: go */
    /* told by a shim */
    SHIM_DONE = 64,
    SHIM_FAILED,   /* value[0] = errno, value[1] = enum wharf_error_kind, text = message */
    SHIM_EXITED,   /* of the exec on this connection, or of the container: value[0] = exit code */
    SHIM_DETACHED, /* the detach keys were typed: the session is over, the container is not */
};

enum {
    SHIM_STDIN = 1u << 0, /* a descriptor for it is attached */
    SHIM_STDOUT = 1u << 1,
    SHIM_STDERR = 1u << 2,
    SHIM_TTY = 1u << 3,    /* exec: give the process a terminal */
    SHIM_ALL = 1u << 4,    /* kill: every process of the container */
    SHIM_DETACH = 1u << 5, /* exec: nobody waits; stdio is /dev/null */
    SHIM_HOLD = 1u << 6, /* no descriptors now: one socket for all streams comes by SHIM_CONNECT */
    SHIM_SOCKET =
        1u << 7,         /* exec: one socket for all streams, and what SHIM_CONNECT has behind it */
    SHIM_RAW = 1u << 8,  /* a socket without frames, though there is no terminal */
    SHIM_LOGS = 1u << 9, /* attach: first what the log has; value[0]: enum log_driver */
    SHIM_LOGS_ONLY = 1u << 10, /* and nothing behind it */
    SHIM_RECORD = 1u << 12,    /* exec: it is an object, whose state goes to its file */
    SHIM_FINAL = 1u << 11,     /* kill: the restart policy is off from now on */
};
#define SHIM_STREAMS (SHIM_STDIN | SHIM_STDOUT | SHIM_STDERR)

enum shim_policy { POLICY_NO, POLICY_ALWAYS, POLICY_UNLESS_STOPPED, POLICY_ON_FAILURE };

struct shim_message {
    uint32_t op, flags;
    int64_t value[2];
    char text[SHIM_TEXT_MAX]; /* ended by NUL */
    int fds[SHIM_FDS_MAX];    /* the first fd_count are ours: close or take them */
    size_t fd_count;
};

void shim_message_done(struct shim_message *m); /* closes what was not taken */
int shim_message_take_fd(struct shim_message *m, size_t index);

/* The message as a packet without descriptors, and back (-EBADMSG: not a message). `packet` holds
 * SHIM_PACKET_MAX bytes. */
#define SHIM_PACKET_MAX (32 + SHIM_TEXT_MAX)
size_t shim_message_encode(const struct shim_message *m, void *packet);
int shim_message_decode(const void *packet, size_t len, struct shim_message *ret);

/* One message through a socket. Sending never raises SIGPIPE and leaves m->fds with the caller.
 * shim_receive: 1, 0 at the peer's end, or -errno (-EAGAIN if the socket does not block). */
int shim_send(int socket, const struct shim_message *m);
int shim_receive(int socket, struct shim_message *ret);

/* The text of an answer, by err.h's rules. */
int shim_send_failure(int socket, const struct wharf_error *e);
int shim_failure(const struct shim_message *m,
                 struct wharf_error *e); /* returns the errno, negative */

/* What a shim must know. Strings belong to the text that was decoded. */
struct shim_config {
    const char *state_root; /* libcontainer's state directory */
    const char *spec;       /* config.json */
    size_t spec_len;
    uint64_t generation;    /* which start of the container this is: goes into the exit status */
    uint64_t rows, columns; /* of the terminal at first; 0: unknown */
    uint64_t tty, open_stdin, stdin_once, auto_remove; /* booleans */

    uint64_t log_driver;   /* enum log_driver */
    uint64_t log_max_size; /* bytes of one log file */
    uint64_t log_max_files;
    uint64_t log_compress; /* boolean: rotated files */
    uint64_t log_buffer;   /* bytes; not 0: lines beyond it are dropped rather than waited for */
    const char *log_attrs; /* JSON object that goes with each line; "": none */

    uint64_t owner;         /* uid: who sees its events */
    const char *name;       /* of the container, for events */
    const char *attributes; /* the other attributes of its events: "\"k\":\"v\",...", may be "" */

    uint64_t policy, policy_max; /* enum shim_policy; restarts at most, 0: no bound */
    const char *lower;           /* for restarts: the overlay's lower directories, ':' between them;
                                  * "": the root is "copy" in the container's directory */

    const char *network; /* what network/keeper.h wants to know; "": it has none of its own */

    const char *health; /* process document of the check; "": none */
    uint64_t health_interval_ms, health_timeout_ms, health_start_ms, health_start_interval_ms;
    uint64_t health_retries;
};

/* Into a sealed memfd: its descriptor, or -errno. */
int shim_config_seal(const struct shim_config *config);
/* Points into `text`, which must end with NUL at text[len]. -EBADMSG: not a configuration. */
int shim_config_decode(const char *text, size_t len, struct shim_config *ret);

/* "exit" in the container's directory: how the start `generation` ended. */
struct shim_exit {
    uint64_t generation;
    int64_t code;        /* as `docker wait` tells it: 128 + n for signal n */
    int64_t finished_ns; /* since the epoch */
    int64_t oom_killed;
    int64_t manual;   /* somebody stopped it: "unless-stopped" then leaves it so */
    int64_t restarts; /* by its policy, since somebody started it */
};
#define SHIM_EXIT_FILE "exit"
int shim_exit_write(int dirfd, const struct shim_exit *status);
int shim_exit_read(int dirfd, struct shim_exit *ret); /* -ENOENT, -EBADMSG */

/* "state" in the container's directory, of a shim that restarts its container or checks its health:
 * what is true now, where the record only has how it was started. */
enum shim_phase { PHASE_RUNNING, PHASE_RESTARTING };
enum shim_health { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };
struct shim_state {
    uint64_t generation;
    int64_t phase, pid, restarts;
    int64_t started_ns, finished_ns, code; /* the last start and the last end */
    int64_t health;                        /* enum shim_health */
};
#define SHIM_STATE_FILE  "state"
#define SHIM_HEALTH_FILE "health" /* docker's State.Health document */
int shim_state_write(int dirfd, const struct shim_state *state);
int shim_state_read(int dirfd, const char *path, struct shim_state *ret); /* -ENOENT, -EBADMSG */

/* "exec/ID.state" in the container's directory: an exec object's life, written by its shim. */
struct shim_exec {
    int64_t running, pid, code, ended_ns; /* running 0 and ended_ns 0: being started */
};
int shim_exec_write(int dirfd, const char *id, const struct shim_exec *state);
int shim_exec_read(int dirfd, const char *id, struct shim_exec *ret); /* -ENOENT, -EBADMSG */
#define SHIM_EXEC_DIR "exec"

#endif
