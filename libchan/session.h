/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the session share with one another: session.c (life and end), reader.c (who
 * reads), stream.c (its channels), buffers.c (bytes out). All with s->lock held unless they say
 * otherwise. */
#ifndef LIBCHAN_SESSION_H
#define LIBCHAN_SESSION_H

#include "libchan/stream_table.h"
#include "libchan/transport.h"

/* The input buffer, unless one message is larger: a little more than a message of 64 KiB, so that
 * such a message leaves with the buffer itself and little is left over to be copied. */
#define IN_FIRST (72u << 10)
#define ENDED    (TX_CLOSED | RX_CLOSED | LOST)

/* Writes what the socket takes: 0 all of it, -EAGAIN not all, or the error after session_lose. */
int session_write(struct chan_session *s);
size_t out_pending(const struct out_buffer *out) FOR_MODULES("out_pending");
void out_done(struct out_buffer *out);
/* Makes the bytes by reference ours. */
int out_settle(struct out_buffer *out);

/* The connection is of no use any more: everything on it ends. */
void session_lose(struct chan_session *s, int code, const struct wharf_error *why);

/* Says goodbye if it is time to. */
void session_maybe_goodbye(struct chan_session *s);
void session_wake_all(struct chan_session *s);    /* idle threads and acceptors */
void session_wake_reader(struct chan_session *s); /* if it sleeps in poll */

/* Takes a channel off the table; its reference goes to the trash. */
void stream_remove(struct chan_session *s, struct chan *c);
/* The next received message into `m`: 0, -EAGAIN, or -ENODATA at the channel's end (ask
 * chan_rx_fault after the unlock). */
int session_take(struct chan *c, struct chan_msg *m);
/* Messages that waited for credit, and the end behind them. */
void stream_pump(struct chan_session *s, struct chan *c);

/* The reader: poll or read once, until the deadline, and handle what came. No lock held; s->reading
 * is ours and is given up. -ETIMEDOUT or 0. */
int reader_round(struct chan_session *s, chan_time deadline, bool *quiet);
/* Handles whole frames in s->in; true if there was one. Nobody may be reading. */
bool session_process(struct chan_session *s);

/* ---- bursts (burst.c) ---- */

#define BURST_BYTES (32u << 10)             /* as much is written at once */
bool burst_hold(struct chan_session *s);    /* true: do not write now, it will be done */
void burst_blocked(struct chan_session *s); /* a sender has to wait: the gap will not count */
void burst_kick(struct chan_session *s);    /* something is left to be written: see to it */
void burst_stop(struct chan_session *s);    /* no lock held */

#endif
