/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the address of the command line, for every command that dials. */
#ifndef CMD_CHAN_DIAL_H
#define CMD_CHAN_DIAL_H

#include "cmd/chan/settings.h"

/* Tries for as long as --wait says. */
int dial_session(const struct settings *s, struct chan_session **ret, struct wharf_error *e);

/* And a channel on it. */
int dial_channel(const struct settings *s, struct chan_session **ret, struct chan_tx **ret_tx,
                 struct wharf_error *e);

#endif
