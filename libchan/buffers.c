/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits to be written, and the descriptors that wait to be claimed.
 *
 * Frames are copied into one byte buffer, so that many small ones leave in one system call; long
 * byte strings are referred to. References do not outlive the call that made them: what the socket
 * does not take is copied. Descriptors go with the first byte that is written after them, at most
 * SCM_MAX_FD in one call; the receiver takes them in order, so they may arrive earlier than their
 * frame, never later.
 */
#include <limits.h>
#include <string.h>
#include "libchan/session.h"

#define OUT_KEEP     (64u << 10) /* an empty buffer that is larger is freed */
#define IOV_MAX_USED 34

/* ---- descriptors that arrived ---- */

int fd_queue_add(struct fd_queue *q, int fd)
{
    if (q->head && q->head + q->len == q->cap) {
        memmove(q->fds, q->fds + q->head, q->len * sizeof(*q->fds));
        q->head = 0;
    }
    if (q->len >= q->limit) {
        close(fd);
        return -EBADMSG;
    }
    if (q->head + q->len == q->cap) {
        unsigned cap = q->cap ? q->cap * 2 : 8;
        int *fds = realloc(q->fds, cap * sizeof(*fds));

        if (!fds) {
            close(fd);
            return -ENOMEM;
        }
        q->fds = fds;
        q->cap = cap;
    }
    q->fds[q->head + q->len++] = fd;
    return 0;
}

int fd_queue_take(struct fd_queue *q)
{
    if (!q->len)
        return -1;
    q->len--;
    return q->fds[q->head++];
}

void fd_queue_done(struct fd_queue *q)
{
    while (q->len)
        close(fd_queue_take(q));
    free(q->fds);
    *q = (struct fd_queue){ .limit = q->limit };
}

/* ---- bytes to write ---- */

static size_t refs_len(const struct out_buffer *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < out->n_refs; i++)
        n += out->refs[i].len;
    return n;
}

size_t out_pending(const struct out_buffer *out)
{
    return out->len - out->head + (out->n_refs ? refs_len(out) : 0);
}

static int out_grow(struct out_buffer *out, size_t len)
{
    size_t cap = MAX(out->cap * 2, MAX(out->len + len, (size_t)4096));
    uint8_t *bytes;

    if (out->head && !out->n_refs) {
        memmove(out->bytes, out->bytes + out->head, out->len - out->head);
        out->len -= out->head;
        out->head = 0;
        if (out->len + len <= out->cap)
            return 0;
    }
    bytes = realloc(out->bytes, cap);
    if (!bytes)
        return -ENOMEM;
    out->bytes = bytes;
    out->cap = cap;
    return 0;
}

uint8_t *out_bytes(struct chan_session *s, size_t len)
{
    struct out_buffer *out = &s->out;

    if (out->len + len > out->cap && out_grow(out, len) < 0)
        return NULL;
    out->len += len;
    return out->bytes + out->len - len;
}

int out_ref(struct chan_session *s, const void *data, size_t len)
{
    struct out_buffer *out = &s->out;

    if (out->n_refs == ARRAY_SIZE(out->refs)) {
        int r = out_settle(out);

        if (r < 0)
            return r;
    }
    out->refs[out->n_refs++] = (struct out_ref){ out->len, data, len };
    return 0;
}

int out_settle(struct out_buffer *out)
{
    size_t need = out->len - out->head + refs_len(out), at = 0, from = out->head;
    uint8_t *bytes;

    if (!out->n_refs)
        return 0;
    bytes = malloc(need);
    if (!bytes)
        return -ENOMEM;
    for (unsigned i = 0; i < out->n_refs; i++) {
        const struct out_ref *r = &out->refs[i];

        memcpy(bytes + at, out->bytes + from, r->at - from);
        at += r->at - from;
        from = r->at;
        memcpy(bytes + at, r->data, r->len);
        at += r->len;
    }
    memcpy(bytes + at, out->bytes + from, out->len - from);
    free(out->bytes);
    *out = (struct out_buffer){ .bytes = bytes,
                                .len = need,
                                .cap = need,
                                .fds = out->fds,
                                .n_fds = out->n_fds,
                                .cap_fds = out->cap_fds };
    return 0;
}

int out_fd(struct chan_session *s, int fd)
{
    struct out_buffer *out = &s->out;

    if (!s->wire->ops->passes_fds)
        return -EOPNOTSUPP;
    if (out->n_fds == out->cap_fds) {
        unsigned cap = out->cap_fds ? out->cap_fds * 2 : 8;
        int *fds = realloc(out->fds, cap * sizeof(*fds));

        if (!fds)
            return -ENOMEM;
        out->fds = fds;
        out->cap_fds = cap;
    }
    out->fds[out->n_fds++] = fd;
    return 0;
}

void out_done(struct out_buffer *out)
{
    for (unsigned i = 0; i < out->n_fds; i++)
        close(out->fds[i]);
    free(out->fds);
    free(out->bytes);
    *out = (struct out_buffer){ 0 };
}

/* ---- writing ---- */

static int gather(const struct out_buffer *out, struct iovec *iov)
{
    size_t from = out->head;
    int n = 0;

    for (unsigned i = 0; i < out->n_refs; i++) {
        const struct out_ref *r = &out->refs[i];

        if (r->at > from)
            iov[n++] = (struct iovec){ out->bytes + from, r->at - from };
        from = r->at;
        iov[n++] = (struct iovec){ (void *)r->data, r->len };
    }
    if (out->len > from)
        iov[n++] = (struct iovec){ out->bytes + from, out->len - from };
    return n;
}

static void out_consume(struct out_buffer *out, size_t n)
{
    while (n) {
        size_t plain = (out->n_refs ? out->refs[0].at : out->len) - out->head;
        struct out_ref *r = &out->refs[0];
        size_t step = MIN(plain, n);

        out->head += step;
        n -= step;
        if (!n || !out->n_refs)
            break;
        step = MIN(r->len, n);
        r->data = (const uint8_t *)r->data + step;
        r->len -= step;
        n -= step;
        if (!r->len)
            memmove(r, r + 1, --out->n_refs * sizeof(*r));
    }
    if (out->head == out->len && !out->n_refs) {
        out->head = out->len = 0;
        if (out->cap > OUT_KEEP) {
            free(out->bytes);
            out->bytes = NULL;
            out->cap = 0;
        }
    }
}

static void fds_sent(struct out_buffer *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        close(out->fds[i]);
    out->n_fds -= n;
    if (out->n_fds)
        memmove(out->fds, out->fds + n, out->n_fds * sizeof(*out->fds));
}

/* More descriptors than one call takes: send them ahead, with one byte each time. */
static ssize_t write_once(struct chan_session *s)
{
    struct out_buffer *out = &s->out;
    struct iovec iov[IOV_MAX_USED];
    unsigned n_fds = MIN(out->n_fds, CHAN_FDS_MAX);
    int n = gather(out, iov);
    ssize_t sent;

    if (out->n_fds > n_fds) {
        n = 1;
        iov[0].iov_len = 1;
    }
    sent = s->wire->ops->write(s->wire, iov, n, out->fds, n_fds);
    if (sent > 0) {
        out_consume(out, (size_t)sent);
        if (n_fds)
            fds_sent(out, n_fds);
    }
    return sent;
}

/* The peer reads no more, but what it sent before is still to be read, and may be all that we wait
 * for: the rest of its messages and its goodbye. The reader, who finds the end behind them, tells
 * how the connection ended; without one the failed write does. */
static bool reader_tells(const struct chan_session *s, ssize_t error)
{
    bool hung_up = error == -EPIPE || error == -ECONNRESET;

    return hung_up && (s->reading || s->handling || s->shutting);
}

int session_write(struct chan_session *s)
{
    ssize_t n = 0;

    if (s->ended)
        return s->ended;
    while (s->connected && out_pending(&s->out)) {
        n = write_once(s);
        if (n < 0)
            break;
    }
    if (n < 0 && reader_tells(s, n)) {
        fds_sent(&s->out, s->out.n_fds);
        out_consume(&s->out, out_pending(&s->out));
    } else if (n < 0 && n != -EAGAIN) {
        struct wharf_error why = { 0 };

        err_code(&why, (int)n, "cannot write to the connection");
        session_lose(s, (int)n, &why);
        return (int)n;
    }
    s->write_at = out_pending(&s->out) + BURST_BYTES;
    if (!out_pending(&s->out))
        return 0;
    return out_settle(&s->out) < 0 ? -ENOMEM : -EAGAIN;
}
