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
    uint64_t id;
    struct chan_msg *queue, **queue_end; /* received and not yet taken, or not yet sent */
    int64_t credit;     /* we send: bytes that we may still send; we receive: bytes to give back */
    bool announced;     /* the peer knows it, and has not heard of its end from us */
    void *dialect_data; /* freed by the dialect's forget() */
    struct chan *accept_next;

    int event_fd, poll_fd; /* chan_rx_pollfd; -1 */
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

/* One attempt, never waiting: what chan_send and chan_recv return. */
int chan_try_send(struct chan *c, struct chan_msg *m, bool last, struct wharf_error *e);
int chan_try_recv(struct chan *c, struct chan_msg *m, struct wharf_error *e);

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

/* Stops a channel in memory so that a session can take over one of its ends: no send succeeds any
 * more, what was sent is in the queue. -EXDEV: it is bound already, or that end is shared. */
int chan_freeze(struct chan *c, bool sender_leaves);

/* Keeps a copy of `why` for chan_rx_fault (of_tx: abort) or chan_tx_fault (cancel). Once. */
void chan_keep_reason(struct chan *c, bool of_tx, const struct wharf_error *why);

/* Sets up the eventfd after the queue changed. */
void chan_poll_update(struct chan *c, bool readable);

#endif
