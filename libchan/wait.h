/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting: time, a futex lock, and the way a thread sleeps until something that it watches may have
 * happened.
 *
 * A thread that has to wait makes one `struct waiter` on its stack and hangs a `struct wait_node`
 * of it into the list of everything that it watches. Whoever makes such a thing ready signals the
 * first node of the list: "try again", not "it is yours" (except at a rendezvous, see channel.c).
 * Lists are guarded by the lock of their owner; a waiter may be signalled only under the lock of a
 * list that it hangs in, for that is what keeps its stack frame alive. The system call that wakes
 * may come after the unlock: waking a stale address or writing to the eventfd of a thread that has
 * moved on is a harmless spurious wake.
 */
#ifndef LIBCHAN_WAIT_H
#define LIBCHAN_WAIT_H

#include <stdatomic.h>
#include "base/macros.h"
#include "libchan/module.h"

chan_time time_now(void) FOR_MODULES("time_now");

/* 0: free, 1: held, 2: held and somebody sleeps. Not recursive. */
struct lock {
    _Atomic uint32_t state;
};

void lock_take_slow(struct lock *l) FOR_MODULES("lock_take_slow");
void lock_wake(struct lock *l) FOR_MODULES("lock_wake");

static inline void lock_take(struct lock *l)
{
    uint32_t free_state = 0;

    if (!atomic_compare_exchange_strong_explicit(&l->state, &free_state, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        lock_take_slow(l);
}

static inline void lock_drop(struct lock *l)
{
    if (atomic_exchange_explicit(&l->state, 0, memory_order_release) == 2)
        lock_wake(l);
}

/* Sleeps while *word == value: 0 (also spuriously) or -ETIMEDOUT. */
int futex_wait(_Atomic uint32_t *word, uint32_t value, chan_time deadline);
void futex_wake(_Atomic uint32_t *word, int count);

enum { CLAIM_FREE = -1, CLAIM_BUSY = -2 }; /* >= 0: the index of the case that happened */

struct waiter {
    _Atomic uint32_t word; /* 1: signalled */
    int event;           /* an eventfd to write as well, for a thread that sleeps in poll; or -1 */
    _Atomic int claim;   /* rendezvous only */
    _Atomic bool missed; /* somebody passed by while the claim was CLAIM_BUSY */
};

#define WAITER ((struct waiter){ .event = -1, .claim = CLAIM_FREE })

struct wait_node {
    struct wait_node *next, *prev; /* NULL: in no list */
    struct waiter *waiter;
    /* At a rendezvous the partner acts for the sleeper, through these: */
    struct chan_msg *msg;
    int index;
};

/* A ring with a head; `count` may be read without the lock. */
struct wait_list {
    struct wait_node *first;
    _Atomic uint32_t count;
};

void wait_list_add(struct wait_list *list, struct wait_node *n);
void wait_list_remove(struct wait_list *list, struct wait_node *n); /* fine if it is in none */

/* Marks the waiter signalled and says whom to wake after the unlock. */
struct wake {
    _Atomic uint32_t *word;
    int event;
};
#define NO_WAKE ((struct wake){ NULL, -1 })
struct wake waiter_signal(struct waiter *w);
void wake_now(struct wake wake);

/* Takes the first node off the list and signals it. NO_WAKE when the list is empty. */
struct wake wait_list_signal(struct wait_list *list);
/* Signals and wakes all, under the owner's lock; they stay in the list. */
void wait_list_wake_all(struct wait_list *list);

/* Until signalled: 0, or -ETIMEDOUT. Resets the signal. */
int waiter_sleep(struct waiter *w, chan_time deadline);

#endif
