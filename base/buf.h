/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer, made with its maximum. Errors stick: add many pieces, then look once at
 * `error` (-ENOMEM, or -EFBIG when the maximum was reached). The text is always ended by NUL.
 *
 *     struct buf b = BUF(64 * 1024);
 *     buf_str(&b, "hello "); buf_printf(&b, "%d", 7);
 *     if (b.error) ...
 *     buf_done(&b);
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include "base/macros.h"

struct buf {
    char *data; /* NULL while empty */
    size_t len, cap, max;
    int error;
};

#define BUF(maximum) ((struct buf){ .max = (maximum) })
#define autobuf      __attribute__((cleanup(buf_done)))

void buf_done(struct buf *b);
void buf_reset(struct buf *b); /* empty again; keeps the storage */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes, escaped by RFC 8259; bytes that are no UTF-8 become U+FFFD. */
void buf_json(struct buf *b, const char *s, size_t len);
/* Room for `len` more bytes, to be filled by the caller, who then adds to b->len; NULL on error. */
char *buf_reserve(struct buf *b, size_t len);
/* Hands over the text (never NULL unless out of memory); the buffer is empty afterwards. */
char *buf_take(struct buf *b);

#endif
