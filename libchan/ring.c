/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded queue of ring.h. All loads and stores that a sleeper's peer relies on are
 * sequentially consistent: "publish, then look whether somebody sleeps" here pairs with "announce
 * to sleep, then look again" in channel.c and select.c. */
#include "libchan/ring.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define SLOT_BYTES 108u
#define LINE       64
#define BOXED      UINT32_MAX
#define FLOW_MIN   16 /* messages */
#define RING_SPINS                                                                                 \
    16 /* looks at a slot that its owner has claimed but not finished, before yielding */

struct slot {
    _Atomic uint64_t stamp;
    uint32_t len; /* or BOXED */
    union {
        uint8_t bytes[SLOT_BYTES];
        struct chan_msg *box;
    };
} __attribute__((aligned(LINE)));

struct ring {
    uint64_t mark;    /* a power of two above the capacity: the bit that closes */
    uint64_t one_lap; /* twice that */
    uint64_t capacity;
    _Atomic uint64_t tail __attribute__((aligned(LINE)));
    _Atomic uint64_t tail_rested; /* where it stood when ring_in_flow was last asked */
    _Atomic uint64_t head __attribute__((aligned(LINE)));
    _Atomic uint64_t head_rested;
    struct slot slots[];
};

struct ring *ring_new(unsigned capacity)
{
    struct ring *r = aligned_alloc(LINE, sizeof(*r) + capacity * sizeof(struct slot));

    if (!r)
        return NULL;
    r->capacity = capacity;
    r->mark = 1;
    while (r->mark < (uint64_t)capacity + 1)
        r->mark <<= 1;
    r->one_lap = r->mark << 1;
    atomic_init(&r->tail, 0);
    atomic_init(&r->head, 0);
    atomic_init(&r->tail_rested, 0);
    atomic_init(&r->head_rested, 0);
    for (unsigned i = 0; i < capacity; i++)
        atomic_init(&r->slots[i].stamp, i);
    return r;
}

void ring_free(struct ring *r)
{
    struct chan_msg *m = r ? chan_msg_new() : NULL;

    while (m && ring_pop(r, m) == 0)
        chan_msg_clear(m);
    chan_msg_free(m);
    free(r);
}

static uint64_t position_next(const struct ring *r, uint64_t pos)
{
    uint64_t index = pos & (r->mark - 1);

    return index + 1 < r->capacity ? pos + 1 : (pos & ~(r->one_lap - 1)) + r->one_lap;
}

static void wait_a_moment(unsigned *tries)
{
    if (++*tries > RING_SPINS)
        sched_yield();
}

static void slot_put(struct slot *s, struct chan_msg *m, struct chan_msg *box)
{
    if (box) {
        s->len = BOXED;
        s->box = box;
    } else {
        s->len = m->len;
        if (m->start + SLOT_BYTES <= m->cap)
            memcpy(s->bytes, msg_body(m), SLOT_BYTES); /* of a size that the compiler knows */
        else
            memcpy(s->bytes, msg_body(m), m->len);
        chan_msg_clear(m);
    }
}

int ring_push(struct ring *r, struct chan_msg *m)
{
    struct chan_msg *box = NULL;
    unsigned tries = 0;
    uint64_t tail = atomic_load(&r->tail);

    for (;;) {
        struct slot *s = &r->slots[tail & (r->mark - 1)];
        uint64_t stamp = atomic_load(&s->stamp);

        if (tail & r->mark) {
            if (box)
                msg_swap(m, box);
            chan_msg_free(box);
            return -ESHUTDOWN;
        }
        if (stamp == tail) {
            if (!box && (m->len > SLOT_BYTES || m->n_attachments || m->n_spans)) {
                box = msg_move(m);
                if (!box)
                    return -ENOMEM;
            }
            if (!atomic_compare_exchange_weak(&r->tail, &tail, position_next(r, tail)))
                continue;
            slot_put(s, m, box);
            atomic_store(&s->stamp, tail + 1);
            return 0;
        }
        if (stamp + r->one_lap == tail + 1 && atomic_load(&r->head) + r->one_lap == tail) {
            if (box)
                msg_swap(m, box);
            chan_msg_free(box);
            return -EAGAIN;
        }
        wait_a_moment(&tries);
        tail = atomic_load(&r->tail);
    }
}

/* Room for the bytes of a slot is made before the slot is claimed, so that taking it cannot fail.
 */
static int slot_take(struct slot *s, struct chan_msg *m)
{
    if (s->len == BOXED) {
        msg_swap(m, s->box);
        chan_msg_free(s->box);
    } else {
        memcpy(m->store, s->bytes, SLOT_BYTES); /* of a size that the compiler knows */
        m->start = 0;
        m->len = s->len;
    }
    return 0;
}

int ring_pop(struct ring *r, struct chan_msg *m)
{
    unsigned tries = 0;
    uint64_t head = atomic_load(&r->head);

    if (m->cap < SLOT_BYTES && !msg_reserve(m, SLOT_BYTES))
        return -ENOMEM;
    for (;;) {
        struct slot *s = &r->slots[head & (r->mark - 1)];
        uint64_t stamp = atomic_load(&s->stamp);

        if (stamp == head + 1) {
            if (!atomic_compare_exchange_weak(&r->head, &head, position_next(r, head)))
                continue;
            slot_take(s, m);
            atomic_store(&s->stamp, head + r->one_lap);
            return 0;
        }
        if (stamp == head) {
            uint64_t tail = atomic_load(&r->tail);

            if ((tail & ~r->mark) == head)
                return tail & r->mark ? -ENODATA : -EAGAIN;
        }
        wait_a_moment(&tries);
        head = atomic_load(&r->head);
    }
}

void ring_close(struct ring *r)
{
    atomic_fetch_or(&r->tail, r->mark);
}

bool ring_in_flow(struct ring *r, bool sending)
{
    _Atomic uint64_t *rested = sending ? &r->tail_rested : &r->head_rested;
    uint64_t at = atomic_load_explicit(sending ? &r->tail : &r->head, memory_order_relaxed);

    return at - atomic_exchange_explicit(rested, at, memory_order_relaxed) >= FLOW_MIN;
}

bool ring_readable(struct ring *r)
{
    uint64_t head = atomic_load(&r->head), tail = atomic_load(&r->tail);

    return (tail & r->mark) || (tail & ~r->mark) != head;
}
