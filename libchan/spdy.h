/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two SPDY dialects of libchan as the files that make them share it: spdy.c (what we say),
 * spdy-in.c (what we hear), spdy-stream.c (the streams of a connection). docs/libchan-dialects.md
 * describes the bytes.
 *
 * A SPDY stream goes both ways, a channel one way: so a stream has up to two of them, `in` (we
 * receive) and `out` (we send), and a byte stream may have both. In the session's table `in` has
 * the number 2 * id, `out` 2 * id + 1. The stream outlives its channels: it is done when both sides
 * have said FIN, or either has reset it. GOAWAY waits for that.
 *
 * A stream that the peer opened for an attachment has no channel until the message that names its
 * ref is decoded; it is `pending`, and what arrives on it is held.
 */
#ifndef LIBCHAN_SPDY_H
#define LIBCHAN_SPDY_H

#include "libchan/session.h"
#include "libchan/spdy-body.h"
#include "libchan/spdy-frame.h"

enum {
    SPDY_WINDOW = 64 << 10,            /* of a stream and of the connection, until told otherwise */
    SPDY_CONNECTION_WINDOW = 16 << 20, /* that we give; kept full: only streams are held back */
    SPDY_ARRIVALS = 10,          /* streams that may arrive before the one that a message names */
    SPDY_UNREAD_MAX = 24 << 20,  /* bytes that a stream may bring beyond its window */
    SPDY_MESSAGES_MAX = 1 << 16, /* unread messages of one channel */
    SPDY_STREAMS_MAX = 1 << 18,  /* open or half-open at once */
    SPDY_UNLIMITED = 1 << 30,    /* credit where the peer has never spoken of windows */
    SPDY_REFUSED_STREAM = 3,     /* RST_STREAM status */
    SPDY_FLOW_CONTROL_ERROR = 7,
};

struct spdy_stream {
    struct spdy_stream *next; /* in its bucket */
    struct spdy_stream *all_next, **all_link;
    struct spdy_stream *list_next; /* pending or ready */
    struct chan *in, *out;
    uint64_t ref, parent;
    int64_t window; /* bytes that we may send */
    uint8_t *held;  /* received and not decoded: part of a message, or nobody knows for what */
    uint32_t id, held_len, held_cap, discarded;
    struct body_scan scan; /* of what is held */
    uint64_t give_up;      /* the count of arrivals at which a missing ref is a fault; 0: none */
    bool bytes;            /* a byte stream, else messages */
    bool pending, claimed, ready;
    bool fin_sent, fin_received, reset;
};

struct spdy {
    bool old; /* 0.1.0, else 2015 */
    struct spdy_codec *codec;
    struct buf frame; /* scratch */
    struct spdy_stream **buckets, *all;
    uint32_t n_buckets, n_streams;
    struct spdy_stream *pending, **pending_end, *ready;
    uint32_t n_pending, n_waiting;
    uint32_t next_id, last_id; /* of ours, of the peer's */
    uint64_t next_ref, arrivals;
    uint32_t next_ping;
    uint32_t last_ping; /* behind our GOAWAY: its answer shows that the peer has seen that */
    bool enforced;      /* the peer has spoken of windows: it means them */
    bool is_31;         /* it opened the connection's window before any stream, as SPDY/3.1 does */
    int64_t send_window, initial_window;
    uint32_t received; /* not yet given back to the connection's window */
    bool goaway_wanted, goaway_sent;
    bool goaway_received; /* or last_ping was answered: some peers say nothing of themselves */
};

static inline struct spdy *spdy_of(const struct chan_session *s)
{
    return s->dialect_data;
}

/* ---- spdy-stream.c ---- */

struct spdy_stream *spdy_find(const struct spdy *d, uint32_t id);
struct spdy_stream *spdy_stream_new(struct chan_session *s, uint32_t id, uint64_t ref,
                                    uint64_t parent); /* NULL: out of memory, or too many */
void spdy_streams_free(struct spdy *d);
/* Frees the stream if it is done; then GOAWAY if it is time. */
void spdy_maybe_done(struct chan_session *s, struct spdy_stream *st);
void spdy_maybe_goaway(struct chan_session *s);

/* A channel of the session as a direction of the stream. */
void spdy_join(struct chan_session *s, struct spdy_stream *st, struct chan *c, bool out);
uint64_t spdy_number(const struct spdy_stream *st, bool out);

void spdy_pend(struct spdy *d, struct spdy_stream *st);
void spdy_unpend(struct spdy *d, struct spdy_stream *st);
struct spdy_stream *spdy_find_pending(const struct spdy *d, uint64_t ref);

int spdy_hold(struct spdy_stream *st, const uint8_t *p, uint32_t len);
void spdy_unhold(struct spdy_stream *st, uint32_t len); /* from the front */

/* Windows: what may be sent on a stream; after a change, on all. */
int64_t spdy_credit(const struct spdy *d, const struct spdy_stream *st);
void spdy_recredit(struct chan_session *s, struct spdy_stream *st);
void spdy_recredit_all(struct chan_session *s);

/* ---- spdy.c: frames out; -ENOMEM ---- */

int spdy_say(struct chan_session *s); /* what stands in d->frame */
int spdy_say_fin(struct chan_session *s, struct spdy_stream *st);
int spdy_say_reset(struct chan_session *s, struct spdy_stream *st, uint32_t status);
int spdy_say_reply(struct chan_session *s, uint32_t id);
int spdy_say_window(struct chan_session *s, uint32_t id, uint32_t bytes);

/* ---- spdy-in.c ---- */

int spdy_input(struct chan_session *s);
/* The receiver of an ended channel has taken everything (or never will): answer FIN. */
void spdy_finish(struct chan_session *s, struct spdy_stream *st);

#endif
