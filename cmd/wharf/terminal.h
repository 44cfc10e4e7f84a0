/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a session: its terminal in raw mode, signals and size passed on, the end
 * awaited. */
#ifndef WHARF_TERMINAL_H
#define WHARF_TERMINAL_H

#include "engine/engine.h"

/* stdin, stdout, stderr of this program as streams, those that are wanted; `keys` as typed
 * ("ctrl-p,ctrl-q"), NULL: these.
 */
int terminal_streams(const bool wanted[3], bool tty, const char *keys, struct engine_streams *ret,
                     struct wharf_error *e);

/* Signals are held back from here on, so that none is lost between start and session; `raw`: and
 * the terminal, if it is one, passes on what is typed, of which nothing may be lost either. When
 * there will be no session it is restored. */
void terminal_hold(bool raw);
void terminal_restore(void);

/* Until the process ends or is detached from: its exit code, or -1 when the shim is gone.
 * Takes the session. */
int64_t terminal_session(struct session *s, bool tty, bool raw, bool forward, bool *ret_detached);

#endif
