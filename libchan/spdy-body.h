/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of messages between the form that struct chan_msg keeps (message.h: attachments are fixext
 * 4 or 8) and the two forms on the wire:
 *
 *     2015: d6 TYPE u32, d7 TYPE u64                types 1 to 6 as in message.h
 *     0.1:  c7 05 01 DIRECTION u32 (or c7 09 ... u64)  a channel; 01: the encoder sends, 02: it
 * receives d6 02 u32 (or d7 02 u64)                   a byte stream, both ways
 *
 * A text that is not UTF-8, which a Go program may well send, is received as bytes.
 */
#ifndef LIBCHAN_SPDY_BODY_H
#define LIBCHAN_SPDY_BODY_H

#include "libchan/message.h"

/* Where one value ends in bytes that arrive in pieces. Start with BODY_SCAN. */
struct body_scan {
    uint32_t at;   /* looked at so far */
    uint64_t left; /* values still to come */
    bool rewrite;  /* body_decode must translate: the bytes cannot be taken as they are */
};
#define BODY_SCAN ((struct body_scan){ .left = 1 })

/* 1: the value is at p[0 .. scan->at). 0: more bytes are needed. -EBADMSG with the fault named. */
int body_scan(struct body_scan *scan, const uint8_t *p, uint32_t len, uint32_t max,
              const char **ret_fault);

/* One whole value into `m`, checked, its attachments listed and their ids the peer's refs. */
int body_decode(struct chan_msg *m, const uint8_t *p, uint32_t len, bool rewrite, bool old,
                const char **ret_fault);

/* The message as it will stand on the wire: its size, and its bytes. attachment_set has given each
 * attachment its type and ref. */
uint32_t body_encoded_size(const struct chan_msg *m, bool old);
bool body_has_time(const struct chan_msg *m);
void body_encode(const struct chan_msg *m, bool old, uint8_t *to);

#endif
