/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of chan: each runs to its end and returns the exit code. */
#ifndef CMD_CHAN_COMMAND_H
#define CMD_CHAN_COMMAND_H

#include "cmd/chan/settings.h"

int command_serve(const struct settings *s);
int command_dial(const struct settings *s);
int command_gateway(const struct settings *s);
int command_connect(const struct settings *s);
int command_peer(const struct settings *s);
int command_bench(const struct settings *s);

#endif
