/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: an engine, the filters in front of it, and the doors to it, as a configuration
 * (options.h) says.
 *
 *     daemon_start(&daemon, config, &e);       from here on clients are answered
 *     daemon_reload(daemon, config, &e);       what can change while it runs
 *     daemon_stop(daemon);                     containers run on, and their shims with them
 *
 * Behind a door stand: authorize (and its audit log), defaults, engine.
 */
#ifndef WHARFD_DAEMON_H
#define WHARFD_DAEMON_H

#include "base/json.h"

struct daemon;

/* `tell` gets lines for the daemon's own log; any thread. */
int daemon_start(struct daemon **ret, const json_t *config, void (*tell)(const char *text),
                 struct wharf_error *e);
int daemon_reload(struct daemon *d, const json_t *config, struct wharf_error *e);
void daemon_stop(struct daemon *d);

#endif
