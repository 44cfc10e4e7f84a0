/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chan.h - channels, as in Go, in memory and between processes and machines
 *
 * A channel carries messages one way, in order, from its sender end (struct chan_tx) to its
 * receiver end (struct chan_rx). A message is one msgpack value, and it can carry other channels,
 * descriptors and byte streams with it. A session joins two processes over one connection (unix
 * socket, TCP, TLS, websocket, inherited descriptor) and multiplexes any number of channels; each
 * has its own credit, so a reader that is slow stalls its own channel and no other.
 *
 * A server that answers {"op": "echo", "text": ..., "ret": Sender}:
 *
 *     struct chan_rx *rx;
 *     struct chan_msg *m = chan_msg_new();
 *     chan_accept(session, CHAN_FOREVER, &rx, &e);
 *     while (chan_recv(rx, m, CHAN_FOREVER, &e) == 0) {
 *         const char *text; size_t len; struct chan_tx *reply;
 *         if (chan_get_str(chan_get(chan_root(m), "text"), &text, &len) < 0 ||
 *             chan_take_tx(chan_get(chan_root(m), "ret"), &reply) < 0)
 *             continue;
 *         struct chan_msg *answer = chan_msg_new();
 *         chan_put_strn(answer, text, len);
 *         chan_send_last(reply, answer, chan_after_ms(1000), &e);
 *         chan_tx_unref(reply), chan_msg_free(answer);
 *     }
 *
 * RETURNS: 0 or a count on success, a negative errno on failure; a failed call changes nothing and
 * leaves out-parameters untouched. `e` may be NULL, or receives the reason for a person.
 *
 * DEADLINES are absolute (chan_time). -EAGAIN: it could not be done at once and the deadline was
 * CHAN_NOW. -ETIMEDOUT: the deadline passed.
 *
 * THREADS: everything may be called from any thread, and several threads may send to and receive
 * from one channel; a struct chan_msg and the values in it belong to one thread at a time. Input
 * and output happen inside your calls, on your threads: a session makes progress while somebody
 * sends, receives, accepts, selects, or watches its descriptor and calls chan_session_step. Threads
 * are started only (a) to pump a descriptor or a received channel through a connection that cannot
 * carry it directly, and (b) to write out the end of a burst of small messages
 * (chan_options.no_threads refuses (a) and stops (b)).
 *
 * OWNERSHIP: what you receive is yours to unref or free. What you put into a message belongs to the
 * message; sending it moves the message's content to the channel. All descriptors are
 * close-on-exec.
 *
 * SIGNALS: nothing here raises SIGPIPE. A signal does not end a wait.
 */
#ifndef CHAN_H
#define CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "wharf-error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CHAN_API __attribute__((visibility("default")))

struct chan_tx;       /* a sender end, reference counted */
struct chan_rx;       /* a receiver end, reference counted */
struct chan_msg;      /* a container for one message, reused at will */
struct chan_session;  /* one connection, reference counted */
struct chan_listener; /* an address where sessions arrive */

/* ---- time ------------------------------------------------------------------------------------ */

/* A point of CLOCK_MONOTONIC in nanoseconds. */
typedef int64_t chan_time;
#define CHAN_NOW     ((chan_time)0) /* do it now or return -EAGAIN */
#define CHAN_FOREVER INT64_MAX

/* The time `ms` milliseconds from now; a negative `ms` means CHAN_FOREVER. */
CHAN_API chan_time chan_after_ms(int64_t ms);

/* ---- channels -------------------------------------------------------------------------------- */

/* A channel within this process. Capacity 0 is a rendezvous: a send ends when a receiver has taken
 * the message. Otherwise `capacity` messages (at most CHAN_CAPACITY_MAX) wait in between. Either
 * end may later travel in a message. -EINVAL, -ENOMEM. */
#define CHAN_CAPACITY_MAX (1u << 20)
CHAN_API int chan_pipe(unsigned capacity, struct chan_tx **ret_tx, struct chan_rx **ret_rx);

/* Moves the content of `m`, one complete value, into the channel; `m` is empty afterwards and can
 * be built anew. Waits while the channel is full, or the peer's credit is used up.
 *
 *   -EINVAL        `m` is empty or incomplete, or the error of a chan_put_... on it that failed
 *   -EMSGSIZE      larger than the peer accepts
 *   -EPIPE         the receiver is gone or has cancelled: `e` tells its reason
 *   -ESHUTDOWN     this end was closed
 *   -ECONNRESET    the connection was lost, or ended by a fault: `e` names it
 *   -EAGAIN, -ETIMEDOUT, -ENOMEM
 *
 * After 0 the message has left for the channel in order; that it was read is known only by an
 * answer. */
CHAN_API int chan_send(struct chan_tx *tx, struct chan_msg *m, chan_time deadline,
                       struct wharf_error *e);
/* chan_send and chan_close in one: one frame, one system call. */
CHAN_API int chan_send_last(struct chan_tx *tx, struct chan_msg *m, chan_time deadline,
                            struct wharf_error *e);

/* Drops what `m` holds and fills it with the next message.
 *
 *   -ENODATA       the sender closed the channel, and all messages were taken
 *   -ECONNABORTED  the sender aborted: `e` is the error that it gave
 *   -ECONNRESET    the connection was lost before the sender closed: `e` tells why
 *   -ECANCELED     this end was cancelled
 *   -EAGAIN, -ETIMEDOUT, -ENOMEM */
CHAN_API int chan_recv(struct chan_rx *rx, struct chan_msg *m, chan_time deadline,
                       struct wharf_error *e);

/* Ends the channel after what was sent; the receiver takes all of it, then sees -ENODATA. Closes
 * for every holder of a reference. A second call does nothing. */
CHAN_API void chan_close(struct chan_tx *tx);

/* Ends the channel with an error: after what was sent, the receiver sees -ECONNABORTED with the
 * code, kind and message of `why` (its message is cut to 511 bytes). */
CHAN_API void chan_abort(struct chan_tx *tx, const struct wharf_error *why);

/* Tells the sender that nobody reads any more: its sends return -EPIPE with `why` (may be NULL);
 * messages not yet received are dropped, with what is attached to them. */
CHAN_API void chan_cancel(struct chan_rx *rx, const struct wharf_error *why);

/* References. Dropping the last one of a sender closes the channel, of a receiver cancels it. NULL
 * is fine for unref. */
CHAN_API struct chan_tx *chan_tx_ref(struct chan_tx *tx);
CHAN_API void chan_tx_unref(struct chan_tx *tx);
CHAN_API struct chan_rx *chan_rx_ref(struct chan_rx *rx);
CHAN_API void chan_rx_unref(struct chan_rx *rx);

/* A descriptor that poll and epoll find readable (level-triggered) when chan_recv(CHAN_NOW) is
 * worth calling: a message or the end is there, or bytes have arrived on the connection. -EAGAIN
 * after such a call is normal. Belongs to the channel, lives as long as it does; one or two
 * descriptors each. */
CHAN_API int chan_rx_pollfd(struct chan_rx *rx);

/* ---- building messages ----------------------------------------------------------------------- */
/*
 * Values are appended in order; a map of n entries is followed by n pairs of key and value, an
 * array by n values. A message is complete when its one root value is. Each chan_put_... returns 0
 * or a negative errno; the first failure sticks to the message, and chan_send returns it, so that a
 * whole message can be built without looking. chan_msg_error tells it, chan_msg_clear forgets it.
 *
 *   -EMSGSIZE  a limit below      -EINVAL  a value behind the root, a text that is no UTF-8
 */
#define CHAN_DEPTH_MAX       32u         /* maps and arrays within one another */
#define CHAN_MESSAGE_MAX     (16u << 20) /* bytes of one message, unless the options say less */
#define CHAN_ATTACHMENTS_MAX 1024u       /* channels, streams and descriptors of one message */
#define CHAN_FDS_MAX         253u        /* descriptors among them (the kernel's SCM_MAX_FD) */

CHAN_API struct chan_msg *chan_msg_new(void);     /* NULL: out of memory */
CHAN_API void chan_msg_free(struct chan_msg *m);  /* closes attachments not taken; NULL is fine */
CHAN_API void chan_msg_clear(struct chan_msg *m); /* empty again, storage kept */
CHAN_API int chan_msg_error(const struct chan_msg *m);
CHAN_API size_t chan_msg_size(const struct chan_msg *m); /* bytes of the encoded value */

CHAN_API int chan_put_map(struct chan_msg *m, unsigned pairs);
CHAN_API int chan_put_array(struct chan_msg *m, unsigned values);
CHAN_API int chan_put_nil(struct chan_msg *m);
CHAN_API int chan_put_bool(struct chan_msg *m, bool value);
CHAN_API int chan_put_int(struct chan_msg *m, int64_t value);
CHAN_API int chan_put_uint(struct chan_msg *m, uint64_t value);
CHAN_API int chan_put_double(struct chan_msg *m, double value);
CHAN_API int chan_put_str(struct chan_msg *m, const char *text); /* also for keys; UTF-8 */
CHAN_API int chan_put_strn(struct chan_msg *m, const char *text, size_t len);
CHAN_API int chan_put_bin(struct chan_msg *m, const void *data, size_t len);
/* Seconds and nanoseconds (0..999999999) since 1970, UTC. */
CHAN_API int chan_put_time(struct chan_msg *m, int64_t sec, uint32_t nsec);
/* A byte string that stays where it is: `data` must not change until `done(arg)` is called, once,
 * from whatever thread lets go of the bytes; on failure it is not called. `done` may be NULL. Worth
 * it above about 4 KiB. */
CHAN_API int chan_put_bin_ref(struct chan_msg *m, const void *data, size_t len,
                              void (*done)(void *arg), void *arg);

/* Attachments: the message takes over your reference or descriptor, on failure it stays yours. The
 * receiver gets the same kind of end: after chan_put_tx(m, tx) it can send to what `tx` sends to.
 * chan_put_fd: on a unix socket (and in memory) the descriptor itself arrives; on other connections
 * its bytes are pumped, in the direction(s) `how` from the view of the sender of the message. */
#define CHAN_READ  1u /* the receiver of the message will read from it */
#define CHAN_WRITE 2u /* the receiver of the message will write to it */
CHAN_API int chan_put_tx(struct chan_msg *m, struct chan_tx *tx);
CHAN_API int chan_put_rx(struct chan_msg *m, struct chan_rx *rx);
CHAN_API int chan_put_fd(struct chan_msg *m, int fd, unsigned how);

/* A return channel: a pipe of capacity 1 whose sender end goes into the message; the receiver end
 * is yours. The answer to a call crosses a unix socket in one system call on each side. */
CHAN_API int chan_put_return(struct chan_msg *m, struct chan_rx **ret_rx);

/* Copies a value out of another message; attachments in it move to `m`. */
struct chan_value;
CHAN_API int chan_put_value(struct chan_msg *m, struct chan_value value);

/* ---- reading messages ------------------------------------------------------------------------ */
/*
 * A value is a small cursor into a message, passed by value, valid until the message changes. A
 * value that is not there has kind CHAN_NONE; asking it for anything returns -ENOENT (or CHAN_NONE
 * again), so look-ups chain without checks. A value of another kind: -EPROTOTYPE.
 */
enum chan_kind {
    CHAN_NONE,
    CHAN_NIL,
    CHAN_BOOL,
    CHAN_INT,  /* fits int64_t */
    CHAN_UINT, /* above INT64_MAX */
    CHAN_DOUBLE,
    CHAN_STR,
    CHAN_BIN,
    CHAN_ARRAY,
    CHAN_MAP,
    CHAN_TIME,
    CHAN_TX,
    CHAN_RX,
    CHAN_FD, /* a descriptor or a byte stream */
};

struct chan_value {
    struct chan_msg *msg;
    uint32_t at; /* private */
};

CHAN_API struct chan_value chan_root(struct chan_msg *m);
CHAN_API enum chan_kind chan_kind_of(struct chan_value v);
/* Pairs of a map, values of an array, bytes of a string; 0 for others. */
CHAN_API size_t chan_count(struct chan_value v);
CHAN_API struct chan_value chan_get(struct chan_value map, const char *key); /* first such key */
CHAN_API struct chan_value chan_at(struct chan_value array, unsigned index);
/* To walk: the first thing inside (in a map: key, value, key, ...), then what follows it. The
 * caller counts: behind the last one there may be something else. */
CHAN_API struct chan_value chan_first(struct chan_value container);
CHAN_API struct chan_value chan_next(struct chan_value v);

CHAN_API int chan_get_bool(struct chan_value v, bool *ret);
CHAN_API int chan_get_int(struct chan_value v, int64_t *ret);   /* -ERANGE: above INT64_MAX */
CHAN_API int chan_get_uint(struct chan_value v, uint64_t *ret); /* -ERANGE: negative */
CHAN_API int chan_get_double(struct chan_value v, double *ret); /* integers too */
CHAN_API int chan_get_time(struct chan_value v, int64_t *ret_sec, uint32_t *ret_nsec);
/* Text or bytes (either serves for either), in place, not ended by NUL. */
CHAN_API int chan_get_str(struct chan_value v, const char **ret, size_t *ret_len);
CHAN_API int chan_get_bin(struct chan_value v, const void **ret, size_t *ret_len);
CHAN_API bool chan_equals(struct chan_value v, const char *text);

/* Attachments can be taken once; then -EALREADY. What is not taken is closed with the message.
 * chan_take_fd of a pumped stream makes a socket pair: -EMFILE is possible, then it can be
 * repeated. */
CHAN_API int chan_take_tx(struct chan_value v, struct chan_tx **ret);
CHAN_API int chan_take_rx(struct chan_value v, struct chan_rx **ret);
CHAN_API int chan_take_fd(struct chan_value v, int *ret);

/* ---- select ---------------------------------------------------------------------------------- */

enum chan_op {
    CHAN_IDLE,   /* this case never happens: switches a case off */
    CHAN_SEND,   /* tx, msg */
    CHAN_RECV,   /* rx, msg */
    CHAN_ACCEPT, /* session -> new_rx */
    CHAN_LISTEN, /* listener -> new_session */
};

struct chan_case {
    enum chan_op op;
    struct chan_tx *tx;
    struct chan_rx *rx;
    struct chan_session *session;
    struct chan_listener *listener;
    struct chan_msg *msg;
    struct chan_rx *new_rx;
    struct chan_session *new_session;
    int result; /* of the case that happened: what the call of that name would return */
};

/* Waits until one case can happen, does it, and returns its index; the others are as if they had
 * not been tried. Where several can, the choice rotates. A failure such as the end of a channel is
 * also something that happens: look at `result`. -EAGAIN, -ETIMEDOUT, -EINVAL (n is 0 or above
 * CHAN_CASES_MAX, or every case is CHAN_IDLE). */
#define CHAN_CASES_MAX 1024u
CHAN_API int chan_select(struct chan_case *cases, unsigned n, chan_time deadline,
                         struct wharf_error *e);

/* ---- sessions -------------------------------------------------------------------------------- */
/*
 * Addresses:
 *   unix:/run/x.sock   unix:@name (abstract)      descriptors can pass
 *   tcp:host:port      tcp:[::1]:port
 *   tls:host:port      TLS 1.3; both sides present certificates
 *   ws://host:port/p   wss://host:port/p          websocket, binary messages, subprotocol libchan.1
 *   fd:N               an inherited descriptor N of a connected stream socket (chan_dial only)
 *
 * The schemes tls, ws and wss are in libraries of their own, so that a program that does not need
 * them does not load them: link libchan-tls or libchan-websocket and set the option of that name.
 * The SPDY dialects are in libchan-spdy.
 */
struct chan_layer;   /* see chan_tls() and chan_websocket() */
struct chan_dialect; /* see chan_dialect_...() */

/* Zero everywhere is a good choice: chan_dial(url, NULL, ...) means that. */
struct chan_options {
    uint32_t window;       /* bytes in flight per channel, 4 KiB..1 GiB; 0: 256 KiB */
    uint32_t max_message;  /* bytes of a message that we accept; 0: CHAN_MESSAGE_MAX */
    uint32_t max_channels; /* that the peer may hold open at once; 0: 65,536 */
    uint32_t max_fds;      /* descriptors received and not yet taken; 0: 1,024 */
    uint32_t max_pending;  /* channels opened by the peer and not yet accepted; 0: 1,024 */
    uint32_t keepalive_ms; /* a quiet peer is asked after so long, given up after twice; 0: never */
    bool no_threads;       /* never start a thread: see THREADS above */
    /* Ways to speak, most wanted first; empty: the native protocol. chan_dial takes the first, an
     * accepted connection is recognised by its first bytes. */
    const struct chan_dialect *dialects[4];
    const struct chan_layer *tls, *websocket;
    const char *tls_ca;   /* file of certificates that may have signed the peer's */
    const char *tls_cert; /* our certificate (chain), PEM */
    const char *tls_key;  /* its key, PEM */
    const char
        *tls_name; /* the name that the peer's certificate must carry; NULL: the host dialled */
    bool tls_anonymous; /* a listener: do not ask for the client's certificate */
};

CHAN_API const struct chan_layer *chan_tls(void);       /* in libchan-tls */
CHAN_API const struct chan_layer *chan_websocket(void); /* in libchan-websocket */
CHAN_API const struct chan_dialect *chan_dialect_native(void);
/* The published dialects of libchan; which wires and attachments each takes: libchan-dialects.md.
 */
CHAN_API const struct chan_dialect *chan_dialect_unix_2014(void); /* netstrings, descriptors */
/* In libchan-spdy: the Go library's last, and v0.1.0, which jschan speaks. */
CHAN_API const struct chan_dialect *chan_dialect_spdy_2015(void);
CHAN_API const struct chan_dialect *chan_dialect_spdy_010(void);

/* Connects, and waits for the peer's greeting. Strings in the options are read during the call
 * only. */
CHAN_API int chan_dial(const char *address, const struct chan_options *o, chan_time deadline,
                       struct chan_session **ret, struct wharf_error *e);

/* Over a connected stream socket that you hand in (owned by the session on success; its O_NONBLOCK
 * is cleared). `accepting` is true on exactly one of the two sides. */
CHAN_API int chan_attach(int fd, bool accepting, const struct chan_options *o,
                         struct chan_session **ret, struct wharf_error *e);

/* Listens; a stale unix socket file, on which nobody listens, is replaced. "tcp:host:0" picks a
 * port: see chan_listener_address. The socket file is removed when the listener is freed. */
CHAN_API int chan_listen(const char *address, const struct chan_options *o,
                         struct chan_listener **ret, struct wharf_error *e);
/* As chan_listen, on a descriptor that listens already (socket activation). `scheme`: "unix",
 * "tcp", "tls", "ws" or "wss". */
CHAN_API int chan_listen_fd(int fd, const char *scheme, const struct chan_options *o,
                            struct chan_listener **ret, struct wharf_error *e);
/* The next connection. Its greeting has not been read yet, so one slow or hostile peer delays
 * nobody. */
CHAN_API int chan_listener_accept(struct chan_listener *l, chan_time deadline,
                                  struct chan_session **ret, struct wharf_error *e);
CHAN_API const char *chan_listener_address(const struct chan_listener *l);
CHAN_API int chan_listener_pollfd(const struct chan_listener *l); /* belongs to the listener */
CHAN_API void chan_listener_free(struct chan_listener *l);

/* Opens a channel to the peer, whose chan_accept gets the other end. Returns at once.
 * -ESHUTDOWN: shut down by either side. */
CHAN_API int chan_open(struct chan_session *s, struct chan_tx **ret, struct wharf_error *e);
/* The next channel that the peer opened. -ENODATA: it has said goodbye. */
CHAN_API int chan_accept(struct chan_session *s, chan_time deadline, struct chan_rx **ret,
                         struct wharf_error *e);

/* Who is at the other end. Over TLS this waits for the handshake. */
struct chan_peer {
    bool has_credentials; /* unix: the three below, as the kernel gave them when it connected */
    uid_t uid;
    gid_t gid;
    pid_t pid;
    int pidfd;             /* yours to close; -1: none (kernel below 6.5, or the process is gone) */
    char subject[256];     /* TLS: the certificate's subject, RFC 2253; else "" */
    char fingerprint[65];  /* TLS: SHA-256 of the certificate, hexadecimal; else "" */
    const char *transport; /* "unix", "tcp", "tls", "ws", "wss" */
};
CHAN_API int chan_session_peer(struct chan_session *s, chan_time deadline, struct chan_peer *ret,
                               struct wharf_error *e);

/* Orderly end with nothing lost: no new channels; everything sent is delivered; what the peer still
 * sends is received (within its credit) and can be read afterwards; then the connection closes.
 * Waits for the sender ends of both sides to be closed. At the deadline the rest is cut off:
 * -ETIMEDOUT. */
CHAN_API int chan_session_shutdown(struct chan_session *s, chan_time deadline,
                                   struct wharf_error *e);

/* Cuts the connection now: everything still open ends with -ECONNRESET and `why` (may be NULL). */
CHAN_API void chan_session_kill(struct chan_session *s, const struct wharf_error *why);

/* For event loops: a descriptor that is readable when chan_session_step has something to do, and
 * the step itself, which reads what is there and never waits. Belongs to the session. 0, or -errno
 * once the connection has ended. */
CHAN_API int chan_session_pollfd(struct chan_session *s);
CHAN_API int chan_session_step(struct chan_session *s, struct wharf_error *e);
/* Writes out what a full socket has left behind; only after CHAN_NOW sends is it ever needed. */
CHAN_API int chan_session_flush(struct chan_session *s, chan_time deadline, struct wharf_error *e);

/* Channels hold the session too: it ends when the last of them and the last reference are gone. */
CHAN_API struct chan_session *chan_session_ref(struct chan_session *s);
CHAN_API void chan_session_unref(struct chan_session *s);

/* ---- joining --------------------------------------------------------------------------------- */

/* Moves every message from `src` to `dst` until `src` ends, and ends `dst` in the same way (close
 * or abort; a cancelled `dst` cancels `src`). Attachments are re-homed: channels that came by one
 * session go on by another, also back to where they came from. Neither reference is consumed. The
 * number of messages moved (>= 0) when `src` was closed, else a negative errno. */
CHAN_API int64_t chan_copy(struct chan_tx *dst, struct chan_rx *src, chan_time deadline,
                           struct wharf_error *e);

/* A channel as the gateway to another protocol: answers every message {"ret": Sender} that arrives
 * on `requests` with {"conn": descriptor}, a raw connection newly made to `target` ("unix:...",
 * "tcp:..."); with `target` NULL to the message's "address". A failed attempt aborts the return
 * channel with the reason. Returns when `requests` ends: 0, or -errno. */
CHAN_API int chan_gateway(struct chan_rx *requests, const char *target, chan_time deadline,
                          struct wharf_error *e);
/* The other half: asks a gateway for a connection (`address` NULL: its own target). */
CHAN_API int chan_connect(struct chan_tx *gateway, const char *address, chan_time deadline,
                          int *ret_fd, struct wharf_error *e);

#ifdef __cplusplus
}
#endif
#endif
