/* SPDX-License-Identifier: Apache-2.0 */
/* What select needs of a listener: address.c. */
#ifndef LIBCHAN_LISTENER_H
#define LIBCHAN_LISTENER_H

#include "chan.h"

int listener_try_accept(struct chan_listener *l, struct chan_session **ret, struct wharf_error *e);

#endif
