/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an engine and a shim talk. This is the whole seam: nothing else knows bytes or descriptors'
 * order.
 *
 * A shim is started with its configuration in a sealed memfd (struct shim_config) and the
 * descriptors of enum shim_fd, and does nothing before SHIM_START. It listens on a SOCK_SEQPACKET
 * socket; one packet is one message, descriptors ride on it. A connection carries one session at
 * most (the container's own streams or those of one exec); closing it ends the session, never the
 * process. The first connection is the socket pair that the shim was born with: if it closes before
 * SHIM_START, the shim leaves no trace.
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

#define SHIM_PROTOCOL   1
#define SHIM_TEXT_MAX   1024 /* bytes of text in a message: an error, or detach keys */
#define SHIM_FDS_MAX    4
#define SHIM_CONFIG_MAX (16u << 20)

/* What a fresh shim finds where. Unused ones are closed. */
enum shim_fd {
    SHIM_FD_CONTROL = 3, /* its first connection */
    SHIM_FD_CONFIG,      /* sealed memfd: shim_config_encode */
    SHIM_FD_LISTEN,      /* bound and listening: connections queue before the shim even runs */
    SHIM_FD_LOCK,        /* holds the lock that says "this shim lives" (container-lock.h) */
    SHIM_FD_DIR,         /* the container's directory: logs, exit status */
    SHIM_FD_ROOT,        /* the root file system, a detached mount */
    SHIM_FD_END,
};

enum shim_op {
    /* asked of a shim; each is answered by SHIM_DONE or SHIM_FAILED */
    SHIM_START = 1, /* answer: value[0] = pid */
    SHIM_ATTACH,    /* flags: SHIM_STDIN...; descriptors in that order; text: detach keys */
    SHIM_EXEC, /* as SHIM_ATTACH, the process document's memfd first; SHIM_TTY; value: rows, columns
                */
    SHIM_KILL, /* value[0] = signal; SHIM_ALL: every process */
    SHIM_RESIZE, /* value: rows, columns; of this connection's session, else the container's */
    SHIM_PAUSE,
    SHIM_RESUME,
    SHIM_WAIT,  /* beside the answer, SHIM_EXITED when the container is gone */
    SHIM_STATE, /* answer: value[0] = pid, 0 when not started */
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
};
#define SHIM_STREAMS (SHIM_STDIN | SHIM_STDOUT | SHIM_STDERR)

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
    const char *id;         /* of the container */
    const char *state_root; /* libcontainer's state directory */
    const char *endpoint;   /* path of the listening socket, removed at the end */
    const char *spec;       /* config.json */
    size_t spec_len;
    uint64_t generation;   /* which start of the container this is: goes into the exit status */
    uint64_t log_max_size; /* bytes of one log file; 0: no log is kept */
    uint64_t log_max_files;
    uint64_t rows, columns;                            /* of the terminal at first; 0: unknown */
    uint64_t tty, open_stdin, stdin_once, auto_remove; /* booleans */
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
};
#define SHIM_EXIT_FILE "exit"
int shim_exit_write(int dirfd, const struct shim_exit *status);
int shim_exit_read(int dirfd, struct shim_exit *ret); /* -ENOENT, -EBADMSG */

#endif
