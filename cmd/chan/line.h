/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard input and output, one JSON value a line; and bytes that are no messages. */
#ifndef CMD_CHAN_LINE_H
#define CMD_CHAN_LINE_H

#include "chan.h"

void line_print(struct chan_value v);

/* The next line of standard input as one value in `m`: 1, 0 at the end, -errno with `e`. */
int line_read(struct chan_msg *m, struct wharf_error *e);

/* Until the end of either. */
void copy_bytes(int from, int to);

#endif
