/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that move bytes or messages where nothing can be handed over directly: see pump.c. */
#ifndef LIBCHAN_PUMP_H
#define LIBCHAN_PUMP_H

#include "libchan/channel.h"

#define PUMPS_MAX 256u /* threads of this kind in one session's life at once */

/* A descriptor (one end of a socket pair) that stands for a byte stream; takes source and sink of
 * `a`. */
int pump_to_fd(struct attachment *a, int *ret);

/* Turns an ATTACHED_FD into an ATTACHED_STREAM, whose bytes a thread moves. Takes the descriptor.
 */
int pump_from_fd(struct attachment *a, struct wharf_error *e);

/* Puts a fresh pipe's end in the place of an attached one, and lets a thread move the messages: for
 * ends that are bound to a session already, or shared. */
int pump_rehome(struct chan **end, bool is_tx, struct wharf_error *e);

#endif
