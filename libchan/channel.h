/* SPDX-License-Identifier: Apache-2.0 */
/* The channel as the rest of the library sees it. Who may do what and when: the notes in channel.c.
 */
#ifndef LIBCHAN_CHANNEL_H
#define LIBCHAN_CHANNEL_H

#include "libchan/message.h"
#include "libchan/wait.h"

struct ring; /* ring.h */

/* Bits of chan.state; they are only ever added. */
enum {
    TX_CLOSED = 1u << 0,  /* nothing more will be sent; what is queued can be received */
    RX_CLOSED = 1u << 1,  /* nobody receives any more */
    TX_REMOTE = 1u << 2,  /* the sender end is at the peer of `session` */
    RX_REMOTE = 1u << 3,  /* the receiver end is */
    TX_ABORTED = 1u << 4, /* closed with the reason in `why_tx` */
    LOST = 1u << 5,       /* the connection went away under it: session's reason */
};

struct chan {
    _Atomic unsigned refs; /* one for all sender handles, one for all receivers, one a table */
    _Atomic unsigned tx_refs, rx_refs; /* handles in this process */
    _Atomic unsigned state;
    struct lock lock;
    unsigned capacity;
    struct ring *ring; /* in memory, capacity above 0 */
    struct wait_list senders, receivers;
    struct wharf_error *why_tx, *why_rx; /* of an abort, of a cancel; set once */

    /* Bound to a session (a remote bit is set): all below under the session's lock. */
    struct chan_session *_Atomic session;
    uint64_t id;                         /* in the session's table; 0: not there (any more) */
    struct chan_msg *queue, **queue_end; /* received and not yet taken, or not yet sent */
    uint32_t queue_len;
    int64_t credit;      /* we send: bytes that we may still send; we receive: bytes to give back */
    int64_t outstanding; /* we receive: bytes received and not given back */
    bool opened_by_peer;
    void *dialect_data; /* freed by the dialect's forget() */
    struct chan *accept_next, *trash_next;
    unsigned trash_refs; /* references that go with the next session_unlock */

    _Atomic int event_fd; /* chan_rx_pollfd; -1 */
    int poll_fd;          /* the same of a bound channel */
    _Atomic bool event_set;
};

static inline struct chan *chan_of_tx(const struct chan_tx *tx)
{
    return (struct chan *)tx;
}

static inline struct chan *chan_of_rx(const struct chan_rx *rx)
{
    return (struct chan *)rx;
}

static inline struct chan_tx *tx_of_chan(struct chan *c)
{
    return (struct chan_tx *)c;
}

static inline struct chan_rx *rx_of_chan(struct chan *c)
{
    return (struct chan_rx *)c;
}

struct chan *chan_new(unsigned capacity); /* one handle of each end; NULL: out of memory */
void chan_unref(struct chan *c);

/* One attempt, never waiting: what chan_send and chan_recv return. `self` is the caller's waiter if
 * it hangs in lists, else NULL. */
int chan_attempt_send(struct chan *c, struct chan_msg *m, bool last, const struct waiter *self,
                      struct wharf_error *e);
int chan_attempt_recv(struct chan *c, struct chan_msg *m, const struct waiter *self,
                      struct wharf_error *e);

/* The errors that a closed channel gives, filled in: the return value. */
int chan_tx_fault(struct chan *c, struct wharf_error *e);
int chan_rx_fault(struct chan *c, struct wharf_error *e);

/* Ends of the queue (session's lock held, or the channel unbound and frozen). */
void chan_enqueue(struct chan *c, struct chan_msg *m);
struct chan_msg *chan_dequeue(struct chan *c);

/* Wakes whoever waits to receive or to send on it, and its pollable descriptor. Any lock may be
 * held but the channel's own. */
void chan_wake_receivers(struct chan *c, bool all);
void chan_wake_senders(struct chan *c, bool all);

/* The two steps by which an end of a channel in memory moves to the peer of a session: see the
 * notes in channel.c. chan_claim: 0, or -EXDEV: bound already, or that end has other handles;
 * undone by chan_unclaim. chan_bind: under the session's lock; 0 or -ENOMEM. */
int chan_claim(struct chan *c, bool sender_leaves);
void chan_unclaim(struct chan *c);
int chan_bind(struct chan *c, struct chan_session *s);

/* Keeps a copy of `why` for chan_rx_fault (of_tx: abort) or chan_tx_fault (cancel). Once. */
void chan_keep_reason(struct chan *c, bool of_tx, const struct wharf_error *why);

/* Sets up the eventfd after the queue changed. */
void chan_poll_update(struct chan *c, bool readable);

#endif
