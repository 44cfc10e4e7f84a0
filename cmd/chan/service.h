/* SPDX-License-Identifier: Apache-2.0 */
/* A server: it listens, and a thread runs for each connection, and for each channel if that thread
 * wants so. */
#ifndef CMD_CHAN_SERVICE_H
#define CMD_CHAN_SERVICE_H

#include "cmd/chan/settings.h"

/* What one thread serves. */
struct service {
    const struct settings *settings;
    void (*run)(struct service *); /* ends with what it serves released */
    struct chan_session *session;  /* one of the two */
    struct chan_rx *rx;
};

/* Runs a copy of it on a thread of its own. */
void service_start(struct service service);

/* Listens on the first argument; `run` is called for each connection. The exit code. */
int service_listen(const struct settings *s, void (*run)(struct service *));

#endif
