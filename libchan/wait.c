/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes, deadlines and lists of sleepers: see wait.h. No spinning: on a small machine the spinner
 * takes the processor from the thread that it waits for. */
#include "libchan/wait.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>

chan_time time_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (chan_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* FUTEX_WAIT_BITSET, because it takes an absolute CLOCK_MONOTONIC time (futex(2)). */
int futex_wait(_Atomic uint32_t *word, uint32_t value, chan_time deadline)
{
    struct timespec ts = { deadline / 1000000000, deadline % 1000000000 };
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                     deadline == CHAN_FOREVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);

    return r < 0 && errno == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

void lock_take_slow(struct lock *l)
{
    while (atomic_exchange_explicit(&l->state, 2, memory_order_acquire) != 0)
        futex_wait(&l->state, 2, CHAN_FOREVER);
}

void lock_wake(struct lock *l)
{
    futex_wake(&l->state, 1);
}

void wait_list_add(struct wait_list *list, struct wait_node *n)
{
    if (!list->first) {
        n->next = n->prev = n;
        list->first = n;
    } else {
        n->next = list->first;
        n->prev = list->first->prev;
        n->prev->next = n->next->prev = n;
    }
    /* seq_cst: pairs with the publisher, who writes the data and then looks at the count */
    atomic_fetch_add(&list->count, 1);
}

void wait_list_remove(struct wait_list *list, struct wait_node *n)
{
    if (!n->next)
        return;
    if (n->next == n) {
        list->first = NULL;
    } else {
        n->prev->next = n->next;
        n->next->prev = n->prev;
        if (list->first == n)
            list->first = n->next;
    }
    n->next = n->prev = NULL;
    atomic_fetch_sub(&list->count, 1);
}

struct wake waiter_signal(struct waiter *w)
{
    struct wake wake = { &w->word, w->event };

    return atomic_exchange(&w->word, 1) ? NO_WAKE : wake;
}

void wake_now(struct wake wake)
{
    uint64_t one = 1;

    if (wake.event >= 0) {
        if (write(wake.event, &one, sizeof(one)) < 0)
            return; /* the counter is full: it is readable already */
    } else if (wake.word) {
        futex_wake(wake.word, 1);
    }
}

struct wake wait_list_signal(struct wait_list *list)
{
    struct wait_node *n = list->first;

    if (!n)
        return NO_WAKE;
    wait_list_remove(list, n);
    return waiter_signal(n->waiter);
}

void wait_list_wake_all(struct wait_list *list)
{
    struct wait_node *n = list->first;

    if (!n)
        return;
    do {
        wake_now(waiter_signal(n->waiter));
        n = n->next;
    } while (n != list->first);
}

int waiter_sleep(struct waiter *w, chan_time deadline)
{
    while (!atomic_exchange(&w->word, 0)) {
        if (futex_wait(&w->word, 0, deadline) == -ETIMEDOUT)
            return atomic_exchange(&w->word, 0) ? 0 : -ETIMEDOUT;
    }
    return 0;
}
