/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as containers: storage, attachments, moving. Building: build.c; reading: value.c; what
 * comes from outside: check.c. */
#include "libchan/message.h"

#include <string.h>
#include "libchan/channel.h"

#define STORE_MIN  128u
#define STORE_KEEP (256u << 10) /* a cleared message gives back what is larger */

struct chan_msg *chan_msg_new(void)
{
    return calloc(1, sizeof(struct chan_msg));
}

void attachment_drop(struct attachment *a)
{
    uint8_t kind = a->kind;

    a->kind = ATTACHED_TAKEN;
    switch (kind) {
    case ATTACHED_TX:
        chan_tx_unref(tx_of_chan(a->chan));
        break;
    case ATTACHED_RX:
        chan_rx_unref(rx_of_chan(a->chan));
        break;
    case ATTACHED_STREAM:
        chan_rx_unref(rx_of_chan(a->source));
        chan_tx_unref(tx_of_chan(a->sink));
        break;
    case ATTACHED_FD:
        fd_close(a->fd);
        break;
    default:
        break;
    }
}

static void drop_contents(struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++)
        attachment_drop(&m->attachments[i]);
    for (uint32_t i = 0; i < m->n_spans; i++) {
        if (m->spans[i].done)
            m->spans[i].done(m->spans[i].arg);
    }
    m->n_attachments = m->n_spans = 0;
}

void chan_msg_clear(struct chan_msg *m)
{
    if (m->n_attachments || m->n_spans)
        drop_contents(m);
    m->start = m->len = m->depth = 0;
    m->error = 0;
    m->last = false;
    if (m->cap > STORE_KEEP) {
        free(m->store);
        m->store = NULL;
        m->cap = 0;
    }
}

void chan_msg_free(struct chan_msg *m)
{
    if (!m)
        return;
    drop_contents(m);
    free(m->attachments);
    free(m->spans);
    free(m->store);
    free(m);
}

int chan_msg_error(const struct chan_msg *m)
{
    return m->error;
}

size_t chan_msg_size(const struct chan_msg *m)
{
    size_t size = m->len;

    for (uint32_t i = 0; i < m->n_spans; i++)
        size += m->spans[i].len;
    return size;
}

unsigned msg_fds(const struct chan_msg *m)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < m->n_attachments; i++)
        n += m->attachments[i].kind == ATTACHED_FD;
    return n;
}

int msg_ready(const struct chan_msg *m)
{
    if (m->error)
        return m->error;
    return msg_complete(m) ? 0 : -EINVAL;
}

uint8_t *msg_reserve(struct chan_msg *m, size_t len)
{
    size_t need = (size_t)m->start + m->len + len;

    if (need > m->cap) {
        size_t cap = MAX(MAX((size_t)m->cap * 2, need), (size_t)STORE_MIN);
        uint8_t *store;

        if (need > (size_t)CHAN_MESSAGE_MAX + 4096) {
            m->error = -EMSGSIZE;
            return NULL;
        }
        store = realloc(m->store, cap);
        if (!store) {
            m->error = -ENOMEM;
            return NULL;
        }
        m->store = store;
        m->cap = cap;
    }
    return m->store + m->start + m->len;
}

void msg_swap(struct chan_msg *a, struct chan_msg *b)
{
    struct chan_msg c = *a;
    struct chan_msg *a_next = a->next, *b_next = b->next;

    *a = *b;
    *b = c;
    a->next = a_next;
    b->next = b_next;
}

struct chan_msg *msg_move(struct chan_msg *m)
{
    struct chan_msg *moved = chan_msg_new();

    if (moved)
        msg_swap(moved, m);
    return moved;
}

/* Arrays of 4, then 8, 16, ... elements, as the count tells: no capacity to store. The first
 * element of a refilled message brings its array back to 4. */
static void *grow(void *array, uint32_t n, size_t size)
{
    if (n && (n < 4 || (n & (n - 1))))
        return array;
    return realloc(array, (n ? (size_t)n * 2 : 4) * size);
}

struct attachment *msg_attach(struct chan_msg *m, uint32_t at)
{
    struct attachment *a;

    if (m->n_attachments >= CHAN_ATTACHMENTS_MAX) {
        m->error = -EMSGSIZE;
        return NULL;
    }
    a = grow(m->attachments, m->n_attachments, sizeof(*a));
    if (!a) {
        m->error = -ENOMEM;
        return NULL;
    }
    m->attachments = a;
    a += m->n_attachments++;
    *a = (struct attachment){ .at = at, .fd = -1 };
    return a;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

unsigned attachment_ext(const struct chan_msg *m, const struct attachment *a, uint64_t *ret_id)
{
    const uint8_t *p = msg_body(m) + a->at;

    *ret_id = p[0] == 0xd7 ? (uint64_t)be32(p + 2) << 32 | be32(p + 6) : be32(p + 2);
    return p[1];
}

void attachment_set(struct chan_msg *m, const struct attachment *a, unsigned ext, uint64_t id)
{
    uint8_t *p = msg_body(m) + a->at;
    unsigned bytes = p[0] == 0xd7 ? 8 : 4;

    p[1] = ext;
    for (unsigned i = 0; i < bytes; i++)
        p[2 + i] = id >> (8 * (bytes - 1 - i));
}
