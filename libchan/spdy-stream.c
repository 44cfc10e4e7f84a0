/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a SPDY connection: finding them, their windows, their end. See spdy.h. */
#include <string.h>
#include "libchan/spdy.h"

#define BUCKETS_MIN 16u

/* ---- the table: chained, ids differ by 2 ---- */

static struct spdy_stream **bucket(const struct spdy *d, uint32_t id)
{
    return &d->buckets[(id >> 1) & (d->n_buckets - 1)];
}

struct spdy_stream *spdy_find(const struct spdy *d, uint32_t id)
{
    struct spdy_stream *st = d->n_buckets ? *bucket(d, id) : NULL;

    while (st && st->id != id)
        st = st->next;
    return st;
}

static int grow(struct spdy *d)
{
    uint32_t n = d->n_buckets ? d->n_buckets * 2 : BUCKETS_MIN;
    struct spdy_stream **buckets = calloc(n, sizeof(struct spdy_stream *));

    if (!buckets)
        return -ENOMEM;
    free(d->buckets);
    d->buckets = buckets;
    d->n_buckets = n;
    for (struct spdy_stream *st = d->all; st; st = st->all_next) {
        struct spdy_stream **b = bucket(d, st->id);

        st->next = *b;
        *b = st;
    }
    return 0;
}

struct spdy_stream *spdy_stream_new(struct chan_session *s, uint32_t id, uint64_t ref,
                                    uint64_t parent)
{
    struct spdy *d = spdy_of(s);
    struct spdy_stream *st, **b;

    if (d->n_streams >= SPDY_STREAMS_MAX || (d->n_streams >= d->n_buckets && grow(d) < 0))
        return NULL;
    st = calloc(1, sizeof(*st));
    if (!st)
        return NULL;
    *st = (struct spdy_stream){ .id = id,
                                .ref = ref,
                                .parent = parent,
                                .window = d->initial_window,
                                .scan = BODY_SCAN,
                                .all_next = d->all,
                                .all_link = &d->all };
    if (d->all)
        d->all->all_link = &st->all_next;
    d->all = st;
    b = bucket(d, id);
    st->next = *b;
    *b = st;
    d->n_streams++;
    return st;
}

static void stream_free(struct spdy *d, struct spdy_stream *st)
{
    struct spdy_stream **b = bucket(d, st->id);

    while (*b != st)
        b = &(*b)->next;
    *b = st->next;
    *st->all_link = st->all_next;
    if (st->all_next)
        st->all_next->all_link = st->all_link;
    if (st->give_up)
        d->n_waiting--;
    d->n_streams--;
    free(st->held);
    free(st);
}

void spdy_streams_free(struct spdy *d)
{
    while (d->all)
        stream_free(d, d->all);
    free(d->buckets);
}

/* ---- pending streams, in order of arrival ---- */

void spdy_pend(struct spdy *d, struct spdy_stream *st)
{
    st->pending = true;
    st->list_next = NULL;
    *d->pending_end = st;
    d->pending_end = &st->list_next;
    d->n_pending++;
}

void spdy_unpend(struct spdy *d, struct spdy_stream *st)
{
    struct spdy_stream **p = &d->pending;

    while (*p != st)
        p = &(*p)->list_next;
    *p = st->list_next;
    if (!st->list_next)
        d->pending_end = p;
    st->list_next = NULL;
    st->pending = st->claimed = false;
    d->n_pending--;
}

struct spdy_stream *spdy_find_pending(const struct spdy *d, uint64_t ref)
{
    struct spdy_stream *st = d->pending;

    while (st && st->ref != ref)
        st = st->list_next;
    return st;
}

/* ---- what is held ---- */

int spdy_hold(struct spdy_stream *st, const uint8_t *p, uint32_t len)
{
    uint32_t need = st->held_len + len;

    if (need > st->held_cap) {
        uint32_t cap = MAX(need, MIN(st->held_cap * 2, 32u << 20));
        uint8_t *held = realloc(st->held, cap);

        if (!held)
            return -ENOMEM;
        st->held = held;
        st->held_cap = cap;
    }
    memcpy(st->held + st->held_len, p, len);
    st->held_len = need;
    return 0;
}

void spdy_unhold(struct spdy_stream *st, uint32_t len)
{
    st->held_len -= len;
    if (st->held_len) {
        memmove(st->held, st->held + len, st->held_len);
    } else {
        free(st->held);
        st->held = NULL;
        st->held_cap = 0;
    }
}

/* ---- channels ---- */

uint64_t spdy_number(const struct spdy_stream *st, bool out)
{
    return (uint64_t)st->id * 2 + out;
}

void spdy_join(struct chan_session *s, struct spdy_stream *st, struct chan *c, bool out)
{
    c->dialect_data = st;
    if (out) {
        st->out = c;
        c->credit = spdy_credit(spdy_of(s), st);
    } else {
        st->in = c;
    }
}

/* ---- windows ---- */

int64_t spdy_credit(const struct spdy *d, const struct spdy_stream *st)
{
    if (!d->enforced)
        return SPDY_UNLIMITED;
    return d->send_window > 0 ? st->window : MIN(st->window, 0);
}

void spdy_recredit(struct chan_session *s, struct spdy_stream *st)
{
    struct chan *c = st->out;
    int64_t credit = spdy_credit(spdy_of(s), st);

    if (!c)
        return;
    if (credit > c->credit)
        session_credited(s, c, (uint64_t)(credit - c->credit)); /* sends what has waited */
    else
        c->credit = credit;
}

void spdy_recredit_all(struct chan_session *s)
{
    struct spdy_stream *st = spdy_of(s)->all, *next;

    for (; st && !s->ended; st = next) {
        next = st->all_next; /* sending may end this stream, and begin others in front */
        spdy_recredit(s, st);
    }
}

/* ---- the end ---- */

/* jschan never ends its side of a channel on which it only receives: when we want to go, our end is
 * enough. The Go library of its time does, and does not speak of windows. */
static bool both_ended(const struct spdy *d, const struct spdy_stream *st)
{
    bool is_jschan = d->old && d->enforced && !d->is_31;

    return st->fin_sent && (st->fin_received || (is_jschan && d->goaway_wanted));
}

void spdy_maybe_done(struct chan_session *s, struct spdy_stream *st)
{
    if (st->in || st->out || st->ready || !(st->reset || both_ended(spdy_of(s), st)))
        return;
    if (st->pending)
        spdy_unpend(spdy_of(s), st);
    stream_free(spdy_of(s), st);
    spdy_maybe_goaway(s);
}

void spdy_maybe_goaway(struct chan_session *s)
{
    struct spdy *d = spdy_of(s);

    if (d->n_streams || s->ended)
        return;
    if (d->goaway_wanted && !d->goaway_sent) {
        d->goaway_sent = true;
        d->last_ping = d->next_ping;
        spdy_write_goaway(&d->frame, d->last_id, 0);
        spdy_write_ping(&d->frame, d->last_ping);
        spdy_say(s);
    }
    if (d->goaway_received && !s->goodbye_received)
        session_goodbye(s);
}
