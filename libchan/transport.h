/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a session: a wire (bytes and descriptors) and a dialect (frames). This file is
 * what whoever adds one of either reads first.
 *
 *     chan_send, chan_recv, chan_select           channel.c select.c
 *         | session_send, session_recv            session.c: credit, who reads, who wakes whom
 *         v
 *     struct dialect      native.c  spdy.c        messages <-> frames in s->in and s->out
 *     struct wire         socket.c  tls.c  websocket.c
 *
 * THE LOCK. s->lock guards everything in the session and in the channels bound to it. A dialect's
 * functions are called with it held, never sleep, never call a public chan_... function, and never
 * free a message: session_discard does that after the unlock, because closing an attachment may
 * need the same lock. Order: session, then channel. Never two sessions.
 *
 * READING. At most one thread is the reader (s->reading): it alone calls wire->read, without the
 * lock, into s->in; then, with the lock, dialect->input takes whole frames off s->in and calls the
 * session_... functions below. A partial frame stays in s->in; tell its full size by s->in.want.
 *
 * WRITING. A dialect appends to s->out; the session writes it out, at once if the socket takes it.
 * out_ref hands over bytes without a copy; they need to live only until the dialect's function
 * returns to its caller, which writes or copies them before it lets go of the lock.
 */
#ifndef LIBCHAN_TRANSPORT_H
#define LIBCHAN_TRANSPORT_H

#include <sys/uio.h>
#include "base/err.h"
#include "libchan/channel.h"

/* ---- wires ----------------------------------------------------------------------------------- */

/* Descriptors in order of arrival, not yet claimed by a frame. */
struct fd_queue {
    int *fds;
    unsigned head, len, cap;
    unsigned limit; /* more than this unclaimed: -EBADMSG from the wire's read */
};
int fd_queue_add(struct fd_queue *q, int fd); /* takes it; closes it on failure */
int fd_queue_take(struct fd_queue *q);        /* -1: empty */
void fd_queue_done(struct fd_queue *q);

#define WIRE_PATIENCE_MS 100 /* the longest that read(wait) sleeps */

struct wire {
    const struct wire_ops *ops;
    int fd;            /* to poll */
    const char *fault; /* what the peer did when read says -EPROTO; NULL: the errno tells all */
};

struct wire_ops {
    const char *name; /* as in chan_peer.transport */
    bool passes_fds;
    /* Exchanges whatever must precede the first byte. May be NULL. */
    int (*handshake)(struct wire *w, chan_time deadline, struct wharf_error *e);
    /* At least one byte, 0 at the end, -EAGAIN (also after a `wait` of WIRE_PATIENCE_MS), -errno.
     * Only the reader calls it; write may run at the same time. */
    ssize_t (*read)(struct wire *w, void *buf, size_t size, struct fd_queue *fds, bool wait);
    /* What the kernel takes now; never waits: -EAGAIN. Descriptors go with the first byte. */
    ssize_t (*write)(struct wire *w, const struct iovec *iov, int n, const int *fds,
                     unsigned n_fds);
    int (*peer)(struct wire *w, struct chan_peer *ret, struct wharf_error *e);
    void (*shutdown)(struct wire *w); /* wakes a reader; reads and writes fail from now on */
    void (*free)(struct wire *w);     /* closes the descriptor too */
};

/* A connected stream socket; owned by the wire on success. */
int wire_socket(int fd, struct wire **ret, struct wharf_error *e);

/* A layer wraps a wire: TLS, websocket. `shared` is what all connections of one listener or one
 * dial have in common (certificates, keys), made once. wrap takes `inner` on success. */
struct chan_layer {
    const char *name;
    int (*prepare)(const struct chan_options *o, bool accepting, const char *host,
                   void **ret_shared, struct wharf_error *e);
    int (*wrap)(struct wire *inner, void *shared, bool accepting, const char *host,
                const char *path, struct wire **ret, struct wharf_error *e);
    void (*release)(void *shared);
};

/* ---- buffers --------------------------------------------------------------------------------- */

struct in_buffer {
    uint8_t *data;
    uint32_t head, tail, cap; /* data[head .. tail) has arrived */
    uint32_t want;            /* the dialect waits for so many bytes in a row, from head on */
};

static inline uint32_t in_len(const struct in_buffer *in)
{
    return in->tail - in->head;
}

struct out_ref {
    size_t at; /* belongs in front of bytes[at] */
    const void *data;
    size_t len;
};

struct out_buffer {
    uint8_t *bytes;
    size_t head, len, cap; /* bytes[head .. len) is to be written */
    struct out_ref refs[16];
    unsigned n_refs;
    int *fds; /* ours: closed once sent. They go with the next byte written */
    unsigned n_fds, cap_fds;
};

#define OUT_MAX (256u << 10) /* bytes waiting for a full socket before senders wait too */

struct chan_session;
/* Room for `len` bytes at the end of s->out (already counted), or NULL: out of memory. */
uint8_t *out_bytes(struct chan_session *s, size_t len) FOR_MODULES("out_bytes");
/* Bytes by reference behind them: 0 or -ENOMEM (then copied or nothing). */
int out_ref(struct chan_session *s, const void *data, size_t len) FOR_MODULES("out_ref");
/* A descriptor, owned from now on; wires that pass none refuse: -EOPNOTSUPP. */
int out_fd(struct chan_session *s, int fd);

/* ---- dialects -------------------------------------------------------------------------------- */

enum recognised { RECOGNISED_NO, RECOGNISED_MAYBE, RECOGNISED_YES };

struct chan_dialect {
    const char *name;
    bool passes_fds;   /* ATTACHED_FD can be sent where the wire passes descriptors too */
    bool byte_streams; /* ATTACHED_STREAM: see bytes() */
    bool has_hello;    /* chan_dial waits until session_greeted */
    /* The peer may end the connection instead of saying goodbye, once no channel is open. */
    bool eof_is_goodbye;

    /* Is this what the peer of an accepted connection speaks? `p` are its first bytes, `has_fd`
     * whether a descriptor came with them. MAYBE asks again with more bytes. */
    enum recognised (*recognise)(const uint8_t *p, size_t len, bool has_fd);

    /* Makes s->dialect_data and appends what is said first. Nothing has been read. */
    int (*start)(struct chan_session *s, struct wharf_error *e);
    /* Frees s->dialect_data. */
    void (*stop)(struct chan_session *s);

    /* Each of the following appends frames to s->out for a channel of this session. They return 0,
     * or -errno having appended nothing. */

    /* Announces a channel that chan_open made; c->id is to be chosen, session_add called. */
    int (*open)(struct chan_session *s, struct chan *c);
    /* One message. c->credit is above 0; the session has reserved nothing: charge `c->credit` by
     * what you appended (see m->cost). Each channel attached is first made one of this session with
     * session_adopt; announce it and name it by its number. `last`: the channel ends
     * behind the message. The message is emptied by the caller. -EMSGSIZE, -EMLINK, -EXDEV. */
    int (*message)(struct chan_session *s, struct chan *c, struct chan_msg *m, bool last);
    /* `bytes` of received messages have been taken: let the peer send as many more. */
    int (*credit)(struct chan_session *s, struct chan *c, uint64_t bytes);
    int (*close)(struct chan_session *s, struct chan *c); /* we sent */
    int (*abort)(struct chan_session *s, struct chan *c,
                 const struct wharf_error *why); /* we sent */
    int (*cancel)(struct chan_session *s, struct chan *c,
                  const struct wharf_error *why); /* received */
    /* The peer's bytes have ended; the connection goes next. May be NULL. */
    void (*eof)(struct chan_session *s);
    /* The last message that was received on c has been taken. May be NULL. */
    void (*drained)(struct chan_session *s, struct chan *c);
    int (*ping)(struct chan_session *s);    /* NULL: no keepalive */
    int (*goodbye)(struct chan_session *s); /* we send no new message on any channel */
    /* The connection will be cut because of what the peer did. May be NULL. */
    void (*fault)(struct chan_session *s, const struct wharf_error *why);
    /* c leaves the session's table: free c->dialect_data. May be NULL. */
    void (*forget)(struct chan_session *s, struct chan *c);

    /* Takes one frame off s->in: 1 if it did, 0 if it needs more bytes (s->in.want says how many),
     * or what session_fail returned. */
    int (*input)(struct chan_session *s);
};

/* ---- the session ----------------------------------------------------------------------------- */

struct stream_entry {
    uint64_t id; /* 0: free */
    struct chan *chan;
};

struct stream_table {
    struct stream_entry *entries;
    uint32_t cap, len;
};

struct chan_session {
    _Atomic unsigned refs;    /* handles together, each bound channel, the flusher */
    _Atomic unsigned handles; /* of the user */
    struct lock lock;
    struct wire *wire;
    const struct chan_dialect *dialect; /* NULL until recognised */
    void *dialect_data;
    struct chan_options options; /* numbers filled in with their defaults; strings gone */
    bool accepting;              /* we are the side that accepted the connection */

    struct stream_table streams;
    uint32_t sending;                  /* channels among them on which we send */
    uint32_t opened_by_peer;           /* not yet ended: at most options.max_channels */
    uint32_t opened_by_us;             /* at most peer_max_channels */
    struct chan *accept, **accept_end; /* top-level channels not yet accepted, a queue */
    uint32_t accept_len;
    struct wait_list acceptors;

    /* What the peer said in its greeting; the dialect sets them before session_greeted. */
    uint32_t peer_window, peer_max_message, peer_max_channels;
    bool peer_takes_no_fds;

    struct in_buffer in;
    struct fd_queue in_fds;
    struct out_buffer out;
    unsigned queued_fds;     /* in queued messages: at most options.max_fds */
    struct chan_msg *trash;  /* to be freed after the unlock */
    struct chan *chan_trash; /* to be unreferenced after it */

    bool connected; /* the wire's handshake is done */
    bool greeted;
    bool goodbye_sent, goodbye_received, shutting;
    bool polled; /* somebody polls the socket: never leave whole frames in `in` */
    int ended;   /* -errno once the connection is of no use; `why` */
    struct wharf_error why;

    bool reading;          /* somebody is the reader */
    bool handling;         /* what was read is being handled: its reader comes back for more */
    struct wait_list idle; /* those who wait while another one reads */
    struct chan *direct;   /* the reader wants the next message of this channel ... */
    struct chan_msg *direct_msg; /* ... here; set to NULL when it is there */
    struct waiter *parked;       /* the reader sleeps in poll and can be woken by its eventfd */

    /* Bursts: burst.c */
    unsigned burst; /* messages sent in quick succession, with none received in between */
    chan_time last_send;
    size_t write_at; /* so many bytes are written at once; more than a full socket left behind */
    struct flusher *flusher;
    chan_time last_read, last_ping;
    int wake_fd; /* eventfd that wakes a reader who sleeps in poll, made when first needed; -1 */
};

void session_unlock_and_free(struct chan_session *s);

static inline void session_lock(struct chan_session *s)
{
    lock_take(&s->lock);
}

/* Also frees what was discarded. */
static inline void session_unlock(struct chan_session *s)
{
    if (s->trash || s->chan_trash)
        session_unlock_and_free(s);
    else
        lock_drop(&s->lock);
}

/* Fills in s->why, marks the session ended; for faults of the peer, tells it. Returns `code`. */
int session_fail(struct chan_session *s, int code, enum wharf_error_kind kind, const char *format,
                 ...) FOR_MODULES("session_fail") __attribute__((format(printf, 4, 5)));
#define session_malformed(s, ...) session_fail((s), -EBADMSG, WHARF_ERROR_CORRUPT, __VA_ARGS__)

/* ---- what dialects call: the table ---- */

struct chan *session_find(struct chan_session *s, uint64_t id); /* NULL: unknown or ended */
int session_add(struct chan_session *s, struct chan *c, uint64_t id) FOR_MODULES("session_add");
/* A new channel that the peer announced, in the table; we hold the end that `we_send` tells, one
 * handle. Credit to send is s->peer_window. NULL after session_fail. */
struct chan *session_incoming(struct chan_session *s, uint64_t id, bool we_send)
    FOR_MODULES("session_incoming");
/* Gives such a channel to chan_accept. */
void session_offer(struct chan_session *s, struct chan *c) FOR_MODULES("session_offer");
/* The end of a channel that an attachment holds goes to the peer: the channel becomes one of this
 * session with number `id`, its other end stays with us. The handle in the attachment is used up.
 * `end_is_tx`: it was the sender end, so the peer will send. Before it calls dialect->message the
 * session has made sure that every attachment can be adopted; the only error is -ENOMEM. */
int session_adopt(struct chan_session *s, struct chan *end, bool end_is_tx, uint64_t id)
    FOR_MODULES("session_adopt");

/* ---- what dialects call: events ---- */

void session_greeted(struct chan_session *s) FOR_MODULES("session_greeted");
/* A container to decode the next message of `c` into; then one of the two. */
struct chan_msg *session_slot(struct chan_session *s, struct chan *c) FOR_MODULES("session_slot");
void session_deliver(struct chan_session *s, struct chan *c, struct chan_msg *slot)
    FOR_MODULES("session_deliver");
void session_reject(struct chan_session *s, struct chan_msg *slot)
    FOR_MODULES("session_reject"); /* it will not be delivered */
void session_credited(struct chan_session *s, struct chan *c, uint64_t bytes)
    FOR_MODULES("session_credited");
void session_closed(struct chan_session *s, struct chan *c) FOR_MODULES("session_closed");
void session_aborted(struct chan_session *s, struct chan *c, const struct wharf_error *why)
    FOR_MODULES("session_aborted");
void session_cancelled(struct chan_session *s, struct chan *c, const struct wharf_error *why)
    FOR_MODULES("session_cancelled");
void session_goodbye(struct chan_session *s) FOR_MODULES("session_goodbye");
/* Frees the message (or drops the reference) once the lock is open. */
void session_discard(struct chan_session *s, struct chan_msg *m);
void session_discard_chan(struct chan_session *s, struct chan *c);

/* ---- what channels and select call ---- */

void session_hold(struct chan_session *s); /* a reference that is none of the user's */
void session_drop(struct chan_session *s);

int session_try_send(struct chan *c, struct chan_msg *m, bool last, struct wharf_error *e);
int session_try_recv(struct chan *c, struct chan_msg *m, struct wharf_error *e);
int session_recv(struct chan *c, struct chan_msg *m, chan_time deadline, struct wharf_error *e);
void session_end_tx(struct chan *c, const struct wharf_error *why_abort); /* close or abort */
void session_end_rx(struct chan *c, const struct wharf_error *why);       /* cancel */
int session_try_accept(struct chan_session *s, struct chan_rx **ret, struct wharf_error *e);
void session_wake_acceptor(struct chan_session *s);

/* Reads and handles what has arrived, without waiting; true if there was anything. NULL: false. */
bool session_step_once(struct chan_session *s);
/* After a send: waits until a full socket has taken the bytes, or for the deadline. */
void session_settle(struct chan_session *s, chan_time deadline);
/* Waits, as the reader or on `w`, until something happened that may concern the caller. */
int session_wait(struct chan_session *s, struct waiter *w, chan_time deadline);
/* To be called when done with session_wait: a sleeper who was asked to take over reading, and found
 * what it wanted instead, thereby asks the next one. */
void session_leave(struct chan_session *s);
/* For a caller that polls s->wire->fd itself: false if there is a reader already. */
bool session_claim_reading(struct chan_session *s);
void session_end_reading(struct chan_session *s, bool readable);

/* address.c makes them: takes the wire on success. */
int session_new(struct wire *w, bool accepting, const struct chan_options *o,
                struct chan_session **ret, struct wharf_error *e);
/* Until the peer has greeted. */
int session_await_greeting(struct chan_session *s, chan_time deadline, struct wharf_error *e);

#endif
