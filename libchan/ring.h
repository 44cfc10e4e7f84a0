/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of messages for many senders and many receivers, without a lock.
 *
 * Small messages are copied into their slot, so that no memory passes from the allocator of one
 * thread to that of another; others are boxed. Each slot has a stamp that says whose turn it is:
 * equal to the tail, a sender may fill it; equal to the head + 1, a receiver may empty it. Head and
 * tail are a lap number above an index, so that any capacity works. One bit of the tail closes the
 * queue: no message can be added behind it, and what is in front of it can still be taken.
 */
#ifndef LIBCHAN_RING_H
#define LIBCHAN_RING_H

#include "libchan/message.h"

struct ring;

struct ring *ring_new(unsigned capacity); /* NULL: out of memory */
void ring_free(struct ring *r);           /* with what is in it */

/* 0, -EAGAIN (full), -ESHUTDOWN (closed), -ENOMEM. The message is empty afterwards. */
int ring_push(struct ring *r, struct chan_msg *m);
/* 0, -EAGAIN (empty), -ENODATA (closed and empty), -ENOMEM. The message was cleared by the caller.
 */
int ring_pop(struct ring *r, struct chan_msg *m);
void ring_close(struct ring *r);
bool ring_readable(struct ring *r); /* a message is there, or the end is */

/* For an end that found the queue full (or empty) and is about to sleep: true if it has come far
 * since it last asked. Then the other end is most likely at work, and giving it the processor once
 * is cheaper than to sleep and be woken. */
bool ring_in_flow(struct ring *r, bool sending);

#endif
