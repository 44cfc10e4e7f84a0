/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native protocol: docs/libchan-protocol.md is its specification; this file follows its order.
 *
 * Each side first sends 8 bytes of magic and a HELLO frame. A frame is a header of 16 bytes, then
 * `length` bytes of body. All numbers are big-endian.
 *
 *     u32 length | u8 kind | u8 flags | u16 descriptors | u64 channel
 *
 * A message is decoded in two steps: first everything is checked, then channels are made and
 * descriptors are claimed, so that a faulty message has no effect but the end of the connection.
 */
#include <endian.h>
#include <string.h>
#include "base/str.h"
#include "libchan/session.h"

#define HEADER      16u
#define VERSION     1
#define CONTROL_MAX 1024u  /* body of any frame but DATA */
#define COPY_MAX    4096u  /* bodies up to this are copied into the out buffer */
#define TAKE_MIN    16384u /* bodies from this on leave with the input buffer */
#define FD_COST     1024u  /* credit that a descriptor costs */

static const uint8_t magic[8] = { 0x89, 'c', 'h', 'a', 'n', '\r', '\n', 0x1a };

enum kind {
    HELLO = 1,
    OPEN,
    DATA,
    CREDIT,
    CLOSE,
    ABORT,
    CANCEL,
    PING,
    PONG,
    GOODBYE,
    FAULT,
    KIND_OPTIONAL = 0x80, /* unknown kinds from here on are skipped, others are faults */
};

enum { FLAG_LAST = 1 };           /* DATA: the channel ends behind this message */
enum { FEATURE_DESCRIPTORS = 1 }; /* this side can take descriptors */

struct native {
    bool magic_seen, hello_seen;
    uint64_t next_id; /* of ours: odd for the side that dialled, else even */
    uint64_t last_id; /* of the peer's */
};

struct header {
    uint32_t length;
    uint8_t kind, flags;
    uint16_t fds;
    uint64_t id;
};

static void header_write(uint8_t *p, const struct header *h)
{
    uint32_t length = htobe32(h->length);
    uint16_t fds = htobe16(h->fds);
    uint64_t id = htobe64(h->id);

    memcpy(p, &length, 4);
    p[4] = h->kind;
    p[5] = h->flags;
    memcpy(p + 6, &fds, 2);
    memcpy(p + 8, &id, 8);
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return be32toh(v);
}

static void write32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, 4);
}

static struct header header_read(const uint8_t *p)
{
    return (struct header){ .length = read32(p),
                            .kind = p[4],
                            .flags = p[5],
                            .fds = (uint16_t)(p[6] << 8 | p[7]),
                            .id = (uint64_t)read32(p + 8) << 32 | read32(p + 12) };
}

static uint32_t cost_of(uint32_t length, unsigned fds)
{
    return HEADER + length + fds * FD_COST;
}

/* ---- sending ---- */

/* A frame with room for its body: the body's place, or NULL. */
static uint8_t *frame(struct chan_session *s, uint8_t kind, uint64_t id, uint32_t length)
{
    uint8_t *p = out_bytes(s, HEADER + length);

    if (!p)
        return NULL;
    header_write(p, &(struct header){ .length = length, .kind = kind, .id = id });
    return p + HEADER;
}

static int frame_empty(struct chan_session *s, uint8_t kind, uint64_t id)
{
    return frame(s, kind, id, 0) ? 0 : -ENOMEM;
}

/* ABORT, CANCEL and FAULT: u32 errno, u32 kind, text. No reason: an empty body. */
static int frame_reason(struct chan_session *s, uint8_t kind, uint64_t id,
                        const struct wharf_error *why)
{
    uint32_t text = why ? (uint32_t)strnlen(why->message, sizeof(why->message) - 1) : 0;
    uint8_t *p = frame(s, kind, id, why ? 8 + text : 0);

    if (!p)
        return -ENOMEM;
    if (why) {
        write32(p, (uint32_t)why->code);
        write32(p + 4, why->kind);
        memcpy(p + 8, why->message, text);
    }
    return 0;
}

static int native_start(struct chan_session *s, struct wharf_error *e)
{
    struct native *n = calloc(1, sizeof(*n));
    uint8_t *p = n ? out_bytes(s, sizeof(magic)) : NULL;
    const uint32_t hello[6] = {
        VERSION << 16 | VERSION, s->wire->ops->passes_fds ? FEATURE_DESCRIPTORS : 0,
        s->options.window,       s->options.max_message,
        s->options.max_channels, CHAN_FDS_MAX,
    };

    s->dialect_data = n;
    if (p)
        memcpy(p, magic, sizeof(magic));
    p = p ? frame(s, HELLO, 0, sizeof(hello)) : NULL;
    if (!p)
        return err_nomem(e);
    for (unsigned i = 0; i < ARRAY_SIZE(hello); i++)
        write32(p + 4 * i, hello[i]);
    n->next_id = s->accepting ? 2 : 1;
    return 0;
}

static void native_stop(struct chan_session *s)
{
    free(s->dialect_data);
    s->dialect_data = NULL;
}

static uint64_t new_id(struct chan_session *s)
{
    struct native *n = s->dialect_data;
    uint64_t id = n->next_id;

    n->next_id += 2;
    return id;
}

static int native_open(struct chan_session *s, struct chan *c)
{
    int r = session_add(s, c, new_id(s));

    return r < 0 ? r : frame_empty(s, OPEN, c->id);
}

/* Makes one attachment part of the connection and writes its wire form into the body. */
static int name_attachment(struct chan_session *s, struct chan_msg *m, struct attachment *a,
                           unsigned *fds)
{
    uint64_t id;
    int r = 0;

    switch (a->kind) {
    case ATTACHED_FD:
        r = out_fd(s, a->fd);
        attachment_set(m, a, EXT_FD, (*fds)++);
        return r;
    case ATTACHED_TX:
        id = new_id(s);
        attachment_set(m, a, EXT_CHANNEL_IN, id);
        return session_adopt(s, a->chan, true, id);
    case ATTACHED_RX:
        id = new_id(s);
        attachment_set(m, a, EXT_CHANNEL_OUT, id);
        return session_adopt(s, a->chan, false, id);
    case ATTACHED_STREAM:
        id = new_id(s);
        attachment_set(m, a,
                       !a->sink     ? EXT_STREAM_OUT
                       : !a->source ? EXT_STREAM_IN
                                    : EXT_DUPLEX,
                       id);
        if (a->source)
            r = session_adopt(s, a->source, false, id);
        if (r == 0 && a->sink)
            r = session_adopt(s, a->sink, true, a->source ? new_id(s) : id);
        return r;
    default:
        return -EALREADY;
    }
}

/* The body by reference, in pieces around its spans. */
static int body_by_reference(struct chan_session *s, const struct chan_msg *m)
{
    uint32_t from = 0;
    int r = 0;

    for (uint32_t i = 0; i < m->n_spans && r == 0; i++) {
        const struct span *sp = &m->spans[i];

        r = out_ref(s, msg_body(m) + from, sp->at - from);
        if (r == 0)
            r = out_ref(s, sp->data, sp->len);
        from = sp->at;
    }
    if (r == 0 && m->len > from)
        r = out_ref(s, msg_body(m) + from, m->len - from);
    return r;
}

static bool all_present(const struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        if (m->attachments[i].kind == ATTACHED_TAKEN)
            return false;
    }
    return true;
}

static int native_message(struct chan_session *s, struct chan *c, struct chan_msg *m, bool last)
{
    uint32_t length = (uint32_t)chan_msg_size(m);
    bool copy = !m->n_spans && length <= COPY_MAX;
    struct header h = { length, DATA, last ? FLAG_LAST : 0, 0, c->id };
    unsigned fds = 0;
    uint8_t *p;
    int r = 0;

    if (m->n_attachments) {
        h.fds = msg_fds(m);
        if (!all_present(m))
            return -EALREADY;
    }
    p = out_bytes(s, HEADER + (copy ? length : 0));
    if (!p)
        return -ENOMEM;
    header_write(p, &h);
    for (uint32_t i = 0; i < m->n_attachments && r == 0; i++)
        r = name_attachment(s, m, &m->attachments[i], &fds);
    if (r == 0 && copy)
        memcpy(p + HEADER, msg_body(m), length);
    else if (r == 0)
        r = body_by_reference(s, m);
    if (r < 0) /* half a frame is in the buffer: there is no way back */
        return session_fail(s, r, WHARF_ERROR_INTERNAL, "out of memory");
    m->cost = cost_of(length, fds);
    return 0;
}

static int native_credit(struct chan_session *s, struct chan *c, uint64_t bytes)
{
    uint8_t *p = frame(s, CREDIT, c->id, 4);

    if (!p)
        return -ENOMEM;
    write32(p, (uint32_t)bytes);
    return 0;
}

static int native_close(struct chan_session *s, struct chan *c)
{
    return frame_empty(s, CLOSE, c->id);
}

static int native_abort(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    return frame_reason(s, ABORT, c->id, why);
}

static int native_cancel(struct chan_session *s, struct chan *c, const struct wharf_error *why)
{
    return frame_reason(s, CANCEL, c->id, why);
}

static int native_ping(struct chan_session *s)
{
    return frame_empty(s, PING, 0);
}

static int native_goodbye(struct chan_session *s)
{
    return frame_empty(s, GOODBYE, 0);
}

static void native_fault(struct chan_session *s, const struct wharf_error *why)
{
    frame_reason(s, FAULT, 0, why);
}

/* ---- receiving: control frames ---- */

static int in_hello(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct native *n = s->dialect_data;

    if (n->hello_seen)
        return session_malformed(s, "a second greeting");
    if (h->length < 24)
        return session_malformed(s, "the greeting is cut");
    if ((read32(p) & 0xffff) > VERSION || read32(p) >> 16 < VERSION)
        return session_fail(s, -EPROTONOSUPPORT, WHARF_ERROR_UNSUPPORTED,
                            "the peer speaks versions %u to %u of the protocol, we speak %u",
                            read32(p) & 0xffff, read32(p) >> 16, VERSION);
    n->hello_seen = true;
    s->peer_takes_no_fds = !(read32(p + 4) & FEATURE_DESCRIPTORS);
    s->peer_window = read32(p + 8);
    s->peer_max_message = read32(p + 12);
    s->peer_max_channels = read32(p + 16);
    if (s->peer_window < 4096 || s->peer_window > 1u << 30 || s->peer_max_message < 4096)
        return session_malformed(s, "the greeting offers a window of %u and messages of %u bytes",
                                 s->peer_window, s->peer_max_message);
    session_greeted(s);
    return 0;
}

static int in_open(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct native *n = s->dialect_data;
    struct chan *c;

    if (h->id <= n->last_id || (h->id & 1) != (s->accepting ? 1u : 0u))
        return session_malformed(s, "channel %llu is opened out of order",
                                 (unsigned long long)h->id);
    if (s->goodbye_received)
        return session_malformed(s, "a channel is opened behind the goodbye");
    c = session_incoming(s, h->id, false);
    if (!c)
        return s->ended;
    n->last_id = h->id;
    session_offer(s, c);
    return 0;
}

/* Was there ever such a channel? Frames for one that has ended are ignored. */
static bool id_known(struct chan_session *s, uint64_t id)
{
    const struct native *n = s->dialect_data;
    bool of_peer = (id & 1) == (s->accepting ? 1u : 0u);

    return id && (of_peer ? id <= n->last_id : id < n->next_id);
}

/* The channel of a frame that only the end named may send; NULL: ignore it, or the session failed.
 */
static struct chan *channel_of(struct chan_session *s, const struct header *h, bool we_send)
{
    struct chan *c = session_find(s, h->id);

    if (!c && !id_known(s, h->id))
        session_malformed(s, "a frame for channel %llu, which was never opened",
                          (unsigned long long)h->id);
    if (c && !!(atomic_load(&c->state) & RX_REMOTE) != we_send) {
        session_malformed(s, "a frame for channel %llu from its wrong end",
                          (unsigned long long)h->id);
        return NULL;
    }
    return c;
}

static int in_credit(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct chan *c = channel_of(s, h, true);

    if (c)
        session_credited(s, c, read32(p));
    return s->ended;
}

static int in_close(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct chan *c = channel_of(s, h, false);

    if (c)
        session_closed(s, c);
    return s->ended;
}

static struct wharf_error reason_read(const struct header *h, const uint8_t *p)
{
    struct wharf_error why = { .code = ECANCELED, .kind = WHARF_ERROR_UNAVAILABLE };
    uint32_t len = h->length < 8 ? 0 : MIN(h->length - 8, (uint32_t)sizeof(why.message) - 1);

    if (h->length < 8) {
        memcpy(why.message, "no reason given", 16);
        return why;
    }
    why.code = (int)(read32(p) & INT32_MAX);
    why.kind = read32(p + 4) < WHARF_ERROR_KINDS ? read32(p + 4) : WHARF_ERROR_INTERNAL;
    while (len && !utf8_valid((const char *)p + 8, len))
        len--;
    memcpy(why.message, p + 8, len);
    return why;
}

static int in_abort(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct chan *c = channel_of(s, h, false);
    struct wharf_error why = reason_read(h, p);

    if (c)
        session_aborted(s, c, &why);
    return s->ended;
}

static int in_cancel(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct chan *c = channel_of(s, h, true);
    struct wharf_error why = reason_read(h, p);

    if (c)
        session_cancelled(s, c, &why);
    return s->ended;
}

static int in_ping(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    if (out_pending(&s->out) < OUT_MAX) /* a flood of them is not answered */
        frame_empty(s, PONG, 0);
    return 0;
}

static int in_pong(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    return 0;
}

static int in_goodbye(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    session_goodbye(s);
    return 0;
}

static int in_fault(struct chan_session *s, const struct header *h, const uint8_t *p)
{
    struct wharf_error why = reason_read(h, p), told = { 0 };

    err_set(&told, -ECONNRESET, why.kind, "the peer ended the connection: %s", why.message);
    session_lose(s, -ECONNRESET, &told);
    return s->ended;
}

/* ---- receiving: messages ---- */

/* Checks the ids of a message against the header and the order of things; NULL or the fault. */
static const char *ids_fault(struct chan_session *s, const struct header *h,
                             const struct chan_msg *m, uint64_t *ret_last)
{
    uint64_t last = ((struct native *)s->dialect_data)->last_id;
    unsigned fds = 0, parity = s->accepting ? 1 : 0;

    for (uint32_t i = 0; i < m->n_attachments; i++) {
        uint64_t id;
        unsigned ext = attachment_ext(m, &m->attachments[i], &id);

        if (ext == EXT_FD) {
            if (id != fds++)
                return "descriptors are not numbered in order";
            continue;
        }
        if (id <= last || (id & 1) != parity || id > UINT64_MAX - 4)
            return "an attached channel's number is used or out of order";
        last = ext == EXT_DUPLEX ? id + 2 : id;
    }
    if (fds != h->fds || fds > s->in_fds.len)
        return "the descriptors are not those that the message names";
    *ret_last = last;
    return NULL;
}

static int make_attachment(struct chan_session *s, struct chan_msg *m, uint32_t index)
{
    struct attachment *a = &m->attachments[index];
    uint64_t id;
    unsigned ext = attachment_ext(m, a, &id);

    a->how = CHAN_READ | CHAN_WRITE;
    switch (ext) {
    case EXT_FD:
        a->fd = fd_queue_take(&s->in_fds);
        a->kind = ATTACHED_FD;
        break;
    case EXT_CHANNEL_IN:
    case EXT_CHANNEL_OUT:
        a->chan = session_incoming(s, id, ext == EXT_CHANNEL_IN);
        if (!a->chan)
            return s->ended;
        a->kind = ext == EXT_CHANNEL_IN ? ATTACHED_TX : ATTACHED_RX;
        break;
    default:
        a->how = (ext == EXT_STREAM_IN ? 0 : CHAN_READ) | (ext == EXT_STREAM_OUT ? 0 : CHAN_WRITE);
        a->kind = ATTACHED_STREAM;
        if (a->how & CHAN_READ && !(a->source = session_incoming(s, id, false)))
            return s->ended;
        if (a->how & CHAN_WRITE &&
            !(a->sink = session_incoming(s, ext == EXT_DUPLEX ? id + 2 : id, true)))
            return s->ended;
    }
    attachment_set(m, a, ext, index);
    return 0;
}

/* Puts the body of the frame at s->in.head into `m`: a copy, or the input buffer itself. */
static int take_body(struct chan_session *s, struct chan_msg *m, uint32_t length)
{
    struct in_buffer *in = &s->in;
    uint32_t end = in->head + HEADER + length, rest = in->tail - end;
    uint8_t *p;

    if (length < TAKE_MIN) {
        p = msg_reserve(m, length + 1); /* never NULL for an empty body */
        if (!p)
            return -ENOMEM;
        memcpy(p, in->data + in->head + HEADER, length);
        m->len = length;
        return 0;
    }
    if (m->cap < MAX(IN_FIRST, rest)) {
        p = malloc(MAX(IN_FIRST, rest));
        if (!p)
            return -ENOMEM;
        free(m->store);
        m->store = p;
        m->cap = MAX(IN_FIRST, rest);
    }
    memcpy(m->store, in->data + end, rest);
    p = m->store;
    m->store = in->data;
    m->start = in->head + HEADER;
    m->len = length;
    in->data = p;
    length = m->cap;
    m->cap = in->cap;
    in->cap = length;
    in->head = 0; /* input() is told not to move it again */
    in->tail = rest;
    return 1;
}

/* A message for a channel that we have cancelled: what it brings must not stay open. */
static void turn_away(struct chan_session *s, struct chan_msg *m)
{
    for (uint32_t i = 0; i < m->n_attachments; i++) {
        uint64_t id;
        unsigned ext = attachment_ext(m, &m->attachments[i], &id);

        if (ext == EXT_FD)
            fd_close(fd_queue_take(&s->in_fds));
        else if (ext == EXT_CHANNEL_IN || ext == EXT_STREAM_IN)
            frame_reason(s, ABORT, id, NULL);
        else
            frame_reason(s, CANCEL, id, NULL);
        if (ext == EXT_DUPLEX)
            frame_reason(s, ABORT, id + 2, NULL);
    }
}

/* Decodes into `m`; the fault or NULL. */
static const char *decode(struct chan_session *s, const struct header *h, struct chan_msg *m,
                          bool deliver)
{
    struct native *n = s->dialect_data;
    const char *fault = NULL;
    uint64_t last;

    if (msg_check(m, &(struct body_limits){ CHAN_ATTACHMENTS_MAX, true }, &fault) < 0)
        return fault ? fault : "out of memory";
    fault = ids_fault(s, h, m, &last);
    if (fault)
        return fault;
    n->last_id = last;
    if (!deliver)
        turn_away(s, m);
    for (uint32_t i = 0; deliver && i < m->n_attachments; i++) {
        if (make_attachment(s, m, i) < 0)
            return "the attachments could not be made";
    }
    return NULL;
}

/* 1: the frame has left the input buffer by itself; 0; or the session has failed. */
static int in_data(struct chan_session *s, const struct header *h)
{
    struct chan *c = channel_of(s, h, false);
    struct chan_msg *m;
    const char *fault;
    int taken;

    if (s->ended)
        return s->ended;
    if (c && c->outstanding >= s->options.window)
        return session_malformed(s, "channel %llu is used beyond its credit",
                                 (unsigned long long)h->id);
    m = c ? session_slot(s, c) : chan_msg_new();
    taken = m ? take_body(s, m, h->length) : -ENOMEM;
    if (taken < 0 && m)
        session_reject(s, m);
    if (taken < 0)
        return session_fail(s, -ENOMEM, WHARF_ERROR_INTERNAL, "out of memory");
    fault = decode(s, h, m, c);
    if (fault || !c) {
        session_reject(s, m);
        if (fault)
            return session_malformed(s, "a message on channel %llu: %s", (unsigned long long)h->id,
                                     fault);
        return taken;
    }
    m->cost = cost_of(h->length, h->fds);
    c->outstanding += m->cost;
    session_deliver(s, c, m);
    if (!s->ended && (h->flags & FLAG_LAST) && c->id)
        session_closed(s, c);
    return s->ended ? s->ended : taken;
}

/* ---- receiving: frames ---- */

typedef int (*in_function)(struct chan_session *, const struct header *, const uint8_t *);

/* Control frames: how long their body may be, and who handles them. */
static const struct {
    in_function handle;
    uint32_t min, max;
} controls[] = {
    [HELLO] = { in_hello, 0, CONTROL_MAX },
    [OPEN] = { in_open, 0, 0 },
    [CREDIT] = { in_credit, 4, 4 },
    [CLOSE] = { in_close, 0, 0 },
    [ABORT] = { in_abort, 0, CONTROL_MAX },
    [CANCEL] = { in_cancel, 0, CONTROL_MAX },
    [PING] = { in_ping, 0, 8 },
    [PONG] = { in_pong, 0, 8 },
    [GOODBYE] = { in_goodbye, 0, 0 },
    [FAULT] = { in_fault, 0, CONTROL_MAX },
};

/* 0, or why the header cannot be. */
static int check_header(struct chan_session *s, const struct header *h)
{
    const struct native *n = s->dialect_data;

    if (!n->hello_seen && h->kind != HELLO && h->kind != FAULT)
        return session_malformed(s, "a frame of kind %u before the greeting", h->kind);
    if (h->kind == DATA) {
        if (h->length > s->options.max_message)
            return session_fail(s, -EMSGSIZE, WHARF_ERROR_LIMIT,
                                "a message of %u bytes; we accept %u", h->length,
                                s->options.max_message);
        if (h->fds > CHAN_FDS_MAX)
            return session_malformed(s, "a message with %u descriptors", h->fds);
        return 0;
    }
    if (h->fds)
        return session_malformed(s, "descriptors on a frame of kind %u", h->kind);
    if (h->length > CONTROL_MAX)
        return session_malformed(s, "a frame of kind %u with %u bytes", h->kind, h->length);
    if (h->kind >= KIND_OPTIONAL)
        return 0;
    if (h->kind >= ARRAY_SIZE(controls) || !controls[h->kind].handle)
        return session_malformed(s, "a frame of unknown kind %u", h->kind);
    if (h->length < controls[h->kind].min || h->length > controls[h->kind].max)
        return session_malformed(s, "a frame of kind %u with %u bytes", h->kind, h->length);
    return 0;
}

static int take_magic(struct chan_session *s)
{
    struct native *n = s->dialect_data;
    uint32_t len = MIN(in_len(&s->in), (uint32_t)sizeof(magic));

    if (memcmp(s->in.data + s->in.head, magic, len) != 0)
        return session_malformed(s, "the peer does not speak libchan's native protocol");
    s->in.want = sizeof(magic);
    if (len < sizeof(magic))
        return 0;
    s->in.head += sizeof(magic);
    n->magic_seen = true;
    return 1;
}

static int native_input(struct chan_session *s)
{
    struct native *n = s->dialect_data;
    struct header h;
    uint32_t have = in_len(&s->in);
    int r;

    if (!n->magic_seen)
        return take_magic(s);
    s->in.want = HEADER;
    if (have < HEADER)
        return 0;
    h = header_read(s->in.data + s->in.head);
    r = check_header(s, &h);
    if (r < 0)
        return r;
    s->in.want = HEADER + h.length;
    if (have < HEADER + h.length)
        return 0;
    if (h.kind == DATA)
        r = in_data(s, &h);
    else if (h.kind < KIND_OPTIONAL)
        r = controls[h.kind].handle(s, &h, s->in.data + s->in.head + HEADER);
    if (r < 0)
        return r;
    if (r == 0)
        s->in.head += HEADER + h.length;
    return 1;
}

static enum recognised native_recognise(const uint8_t *p, size_t len, bool has_fd)
{
    if (memcmp(p, magic, MIN(len, sizeof(magic))) != 0 || has_fd)
        return RECOGNISED_NO;
    return len < sizeof(magic) ? RECOGNISED_MAYBE : RECOGNISED_YES;
}

const struct chan_dialect *chan_dialect_native(void)
{
    static const struct chan_dialect native = {
        .name = "native",
        .passes_fds = true,
        .byte_streams = true,
        .has_hello = true,
        .recognise = native_recognise,
        .start = native_start,
        .stop = native_stop,
        .open = native_open,
        .message = native_message,
        .credit = native_credit,
        .close = native_close,
        .abort = native_abort,
        .cancel = native_cancel,
        .ping = native_ping,
        .goodbye = native_goodbye,
        .fault = native_fault,
        .input = native_input,
    };

    return &native;
}
