/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for calls that may block for hours: one a call, kept for a while when it is done. */
#ifndef DOOR_WORKER_H
#define DOOR_WORKER_H

#include "base/err.h"
#include "base/macros.h"

#define WORKERS_MAX 4096 /* calls at once; one more is refused */

struct workers;

int workers_new(struct workers **ret, struct wharf_error *e);
/* Calls work(user) in a thread. -EAGAIN: too many, or the system gives none. */
int workers_run(struct workers *w, void (*work)(void *user), void *user);
/* Takes no more and waits until all calls have returned; -ETIMEDOUT: some have not. */
int workers_end(struct workers *w, int timeout_ms);
/* After that, or before there was any call. */
void workers_free(struct workers *w);
DEFINE_AUTO(struct workers, workers_free)

#endif
