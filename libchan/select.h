/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for one of several things: see select.c. */
#ifndef LIBCHAN_SELECT_H
#define LIBCHAN_SELECT_H

#include "chan.h"
#include "libchan/wait.h"

/* chan_select for a single case that was just tried in vain: its result, or -ETIMEDOUT. `last`: a
 * send that ends the channel. */
int select_one(struct chan_case *k, bool last, chan_time deadline, struct wharf_error *e);

#endif
