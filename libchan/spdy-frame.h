/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDY/3 frames as bytes (draft-mbelshe-httpbis-spdy-00; the version field is 3 for 3.1 too):
 * parsing, writing, and the compressed header blocks. No state but the two zlib contexts, which
 * live as long as the connection: every header block must pass through them, in the order of the
 * wire.
 *
 *     struct spdy_frame f;
 *     size_t want;
 *     if (spdy_frame_parse(p, len, &f, &want, e) == 1)
 *         switch (f.type) ...
 */
#ifndef LIBCHAN_SPDY_FRAME_H
#define LIBCHAN_SPDY_FRAME_H

#include "base/buf.h"
#include "base/err.h"

enum spdy_type {
    SPDY_DATA = 0, /* no control frame has this number */
    SPDY_SYN_STREAM = 1,
    SPDY_SYN_REPLY = 2,
    SPDY_RST_STREAM = 3,
    SPDY_SETTINGS = 4,
    SPDY_PING = 6,
    SPDY_GOAWAY = 7,
    SPDY_HEADERS = 8,
    SPDY_WINDOW_UPDATE = 9,
};

enum {
    SPDY_FLAG_FIN = 1,            /* DATA, SYN_STREAM, SYN_REPLY, HEADERS: the sender's last */
    SPDY_FLAG_UNIDIRECTIONAL = 2, /* SYN_STREAM */

    SPDY_PROTOCOL_ERROR = 1, /* RST_STREAM statuses */
    SPDY_CANCEL = 5,

    SPDY_SETTINGS_INITIAL_WINDOW = 7,

    SPDY_HEAD = 8,                     /* bytes in front of every frame's payload */
    SPDY_DATA_MAX = (1 << 24) - 1,     /* payload of one frame: a 24-bit length */
    SPDY_CONTROL_MAX = 64 << 10,       /* payload of a control frame that we accept */
    SPDY_HEADERS_MAX = 32,             /* headers in one block */
    SPDY_HEADERS_BYTES_MAX = 16 << 10, /* of one block, decompressed */
};

struct spdy_frame {
    enum spdy_type type;
    uint8_t flags;
    uint32_t stream;     /* DATA, SYN_*, RST_STREAM, HEADERS, WINDOW_UPDATE (0: the connection) */
    uint32_t associated; /* SYN_STREAM */
    uint32_t value;      /* RST_STREAM, GOAWAY: status; PING: id; WINDOW_UPDATE: bytes */
    uint32_t last_good;  /* GOAWAY */
    const uint8_t
        *data;       /* DATA: payload; SYN_*, HEADERS: the compressed block; SETTINGS: entries */
    uint32_t length; /* of data */
    uint32_t initial_window; /* SETTINGS: its INITIAL_WINDOW_SIZE, or 0 */
    size_t size;             /* of the whole frame */
};

/* Looks at the frame at p: 1 and *ret (pointing into p); 0 if it needs *ret_want bytes in all (more
 * than len); -EBADMSG with a text if it is malformed. */
int spdy_frame_parse(const uint8_t *p, size_t len, struct spdy_frame *ret, size_t *ret_want,
                     struct wharf_error *e);

/* ---- header blocks ---- */

struct spdy_header {
    const char *name, *value; /* ended by NUL; of a decoded block: valid until the next one */
};

struct spdy_codec;
int spdy_codec_new(struct spdy_codec **ret, struct wharf_error *e);
void spdy_codec_free(struct spdy_codec *codec);

/* Decompresses a block; names must be lower case and stand once. *ret_count headers at *ret.
 * -EBADMSG. */
int spdy_headers_read(struct spdy_codec *codec, const uint8_t *block, size_t len,
                      const struct spdy_header **ret, size_t *ret_count, struct wharf_error *e);
/* The value of a header, or NULL. */
const char *spdy_header_find(const struct spdy_header *headers, size_t count, const char *name);

/* ---- writing: each appends one whole frame to `out`, whose error sticks ---- */

/* SYN_STREAM (with `associated`), SYN_REPLY or HEADERS. */
void spdy_write_headers(struct spdy_codec *codec, struct buf *out, enum spdy_type type,
                        uint32_t stream, uint32_t associated, uint8_t flags,
                        const struct spdy_header *headers, size_t count);
void spdy_write_rst(struct buf *out, uint32_t stream, uint32_t status);
void spdy_write_ping(struct buf *out, uint32_t id);
void spdy_write_goaway(struct buf *out, uint32_t last_good, uint32_t status);
void spdy_write_window_update(struct buf *out, uint32_t stream, uint32_t bytes);
void spdy_write_settings_window(struct buf *out, uint32_t initial_window);

/* The 8 bytes in front of `len` bytes of DATA, for callers that send the payload by reference. */
void spdy_data_head(uint8_t head[SPDY_HEAD], uint32_t stream, uint8_t flags, uint32_t len);

#endif
