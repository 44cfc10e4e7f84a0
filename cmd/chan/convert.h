/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as JSON lines, for people and shell scripts. What JSON lacks becomes an object of one
 * key:
 * {"$bin": "00ff"}, {"$time": "1402000000.123456789"}, {"$sender": 0}, {"$receiver": 0}, {"$fd":
 * 0}. */
#ifndef CMD_CHAN_CONVERT_H
#define CMD_CHAN_CONVERT_H

#include "base/buf.h"
#include "base/json.h"
#include "chan.h"

/* Appends one value to `m`. $bin and $time are understood, the attachments are not. */
int convert_from_json(struct chan_msg *m, const json_t *j);

/* Appends the value as JSON text without line breaks. */
void convert_to_json(struct chan_value v, struct buf *b);

#endif
