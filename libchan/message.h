/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message: the bytes of one msgpack value, and what travels beside them.
 *
 * The body is `store[start .. start + len)`. Two kinds of thing are not in it:
 * - Spans: byte strings by reference. The msgpack header of such a string is in the body, its bytes
 *   belong at offset `at`, right behind it. Spans are sorted by `at`.
 * - Attachments. Their place in the body is an ext value (fixext 4 or 8) whose id, in memory, is
 * the index into `attachments`; a dialect replaces it by the channel's id on the wire and back.
 *
 * A message that is received into is refilled in place, so that a loop of sends or receives
 * allocates nothing once its buffers have grown.
 */
#ifndef LIBCHAN_MESSAGE_H
#define LIBCHAN_MESSAGE_H

#include "base/macros.h"
#include "libchan/module.h"

/* The ext types of the body: 1 to 6 as in the dialects of 2015, 7 is ours. The words in and out are
 * from the view of the encoder. */
enum {
    EXT_DUPLEX = 1,      /* a byte stream both ways */
    EXT_STREAM_IN = 2,   /* the encoder reads: the decoder gets something to write to */
    EXT_STREAM_OUT = 3,  /* the encoder writes: the decoder gets something to read from */
    EXT_CHANNEL_IN = 4,  /* the encoder receives: the decoder gets a sender end */
    EXT_CHANNEL_OUT = 5, /* the encoder sends: the decoder gets a receiver end */
    EXT_TIME = 6,        /* i64 seconds, u32 nanoseconds */
    EXT_FD = 7, /* a descriptor, passed beside the frame; the id counts from 0 in the frame */
};

#define REF_MIN 4096u /* chan_put_bin_ref copies what is smaller than this */

struct chan; /* channel.h */

enum attachment_kind {
    ATTACHED_TAKEN, /* nothing (any more) */
    ATTACHED_TX,    /* a sender end: `chan` */
    ATTACHED_RX,    /* a receiver end: `chan` */
    ATTACHED_FD,    /* `fd` */
    /* A byte stream: a channel of byte strings. `source` (a receiver end) is what the holder of the
     * message can read from it, `sink` (a sender end) where it can write; either may be NULL. */
    ATTACHED_STREAM,
};

struct attachment {
    uint32_t at; /* offset in the body of the ext value's first byte */
    uint8_t kind;
    uint8_t how; /* CHAN_READ, CHAN_WRITE, for descriptors and streams */
    int fd;
    union {
        struct chan *chan;
        struct chan *source;
    };
    struct chan *sink;
};

struct span {
    uint32_t at;
    size_t len;
    const void *data;
    void (*done)(void *arg);
    void *arg;
};

struct chan_msg {
    uint8_t *store;
    uint32_t cap, start, len;
    int error; /* of the first chan_put_... that failed */
    struct span *spans;
    struct attachment *attachments;
    uint32_t n_spans, n_attachments;
    /* The builder: how many values are still missing at each depth. */
    uint32_t depth;
    uint32_t missing[CHAN_DEPTH_MAX + 1];
    /* In a queue: */
    struct chan_msg *next;
    uint32_t cost; /* credit that it used */
    bool last;     /* the channel ends behind it */
};

static inline uint8_t *msg_body(const struct chan_msg *m)
{
    return m->store + m->start;
}

static inline bool msg_complete(const struct chan_msg *m)
{
    return m->len && !m->depth;
}

unsigned msg_fds(const struct chan_msg *m); /* descriptors among the attachments */

/* 0 if the message may be sent, else the builder's error or -EINVAL. */
int msg_ready(const struct chan_msg *m);

/* Room for `len` more bytes behind the body (not yet part of it), or NULL with m->error set. */
uint8_t *msg_reserve(struct chan_msg *m, size_t len) FOR_MODULES("msg_reserve");

/* Exchanges the content of two messages (not their place in a queue). */
void msg_swap(struct chan_msg *a, struct chan_msg *b);
/* Moves the content into a new message; NULL when out of memory, then `m` is as before. */
struct chan_msg *msg_move(struct chan_msg *m);

/* One more attachment, zeroed but for `at`; NULL with m->error set. */
struct attachment *msg_attach(struct chan_msg *m, uint32_t at);
void attachment_drop(struct attachment *a);

/* ---- wire form (check.c) ---- */

struct body_limits {
    uint32_t attachments;
    bool utf8; /* text must be valid */
};

/* Checks a body that came from outside: exactly one well-formed value, no deeper than
 * CHAN_DEPTH_MAX, ext types as above. Adds an ATTACHED_TAKEN attachment for each channel, stream
 * and descriptor, in order of appearance, and leaves its ids in place: see attachment_id. -EBADMSG
 * with the fault named in *ret_fault, -EMSGSIZE, -ENOMEM. */
int msg_check(struct chan_msg *m, const struct body_limits *limits, const char **ret_fault)
    FOR_MODULES("msg_check");

/* The ext type and id that stand at an attachment's place, and to replace the id. Ids above 2^32 -
 * 1 fit only where the form is fixext 8; everything built by chan_put_... is. */
unsigned attachment_ext(const struct chan_msg *m, const struct attachment *a, uint64_t *ret_id)
    FOR_MODULES("attachment_ext");
void attachment_set(struct chan_msg *m, const struct attachment *a, unsigned ext, uint64_t id)
    FOR_MODULES("attachment_set");

/* The size of the value head at `at` and of the bytes behind it; count of values inside. */
struct head {
    enum chan_kind kind;
    uint8_t ext;     /* for ext values */
    uint32_t size;   /* of the head */
    uint32_t bytes;  /* of the payload behind the head (str, bin, ext) */
    uint32_t values; /* inside (array: n, map: 2n) */
};
int head_read_any(const uint8_t *p, size_t len, struct head *ret) FOR_MODULES("head_read_any");

/* 0, or -EBADMSG (no such form, or it does not fit in `len` bytes; payloads are not looked at).
 * Here are the forms that most messages consist of: small integers, short texts and bytes. */
static inline int head_read(const uint8_t *p, size_t len, struct head *ret)
{
    if (len && (p[0] < 0x80 || p[0] >= 0xe0))
        *ret = (struct head){ .kind = CHAN_INT, .size = 1 };
    else if (len && p[0] >= 0xa0 && p[0] < 0xc0)
        *ret = (struct head){ .kind = CHAN_STR, .size = 1, .bytes = p[0] & 0x1f };
    else if (len > 1 && (p[0] == 0xc4 || p[0] == 0xd9))
        *ret = (struct head){ p[0] == 0xc4 ? CHAN_BIN : CHAN_STR, .size = 2, .bytes = p[1] };
    else
        return head_read_any(p, len, ret);
    return 0;
}

#endif
