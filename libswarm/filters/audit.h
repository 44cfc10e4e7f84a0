/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: one JSON line a decision, appended, each holding the SHA-256 of the line before,
 * so that a line that is changed, taken out or put in later breaks the chain behind it.
 *
 *     {"seq":7,"time":"2026-11-23T20:00:00.123456789Z","principal":"user:1000","pid":4711,
 *      "connection":"unix","operation":"container.create","object":"web","decision":"allow",
 *      "reason":"","previous":"<64 digits>"}
 *
 * `previous` is the hash of the whole line before, without its newline; the first one's is all
 * zeros. A line cut short by a kill or a power failure is taken away on the next open: a decision
 * takes effect after its line is written, so nothing came of it. One process writes at a time
 * (flock). At AUDIT_SIZE_MAX the file becomes FILE.1 (what was FILE.1 goes) and the chain
 * continues.
 */
#ifndef LIBSWARM_FILTERS_AUDIT_H
#define LIBSWARM_FILTERS_AUDIT_H

#include "swarm.h"

#define AUDIT_SIZE_MAX (64u << 20)
#define AUDIT_LINE_MAX (8u << 10)

struct audit;

/* -EBUSY: another process writes it. */
int audit_open(struct audit **ret, const char *path, struct wharf_error *e);
void audit_close(struct audit *a);

/* Any thread. A decision that cannot be written is an error: the caller must then refuse. `reason`
 * may be "". */
int audit_write(struct audit *a, const struct message *m, bool allowed, const char *reason,
                struct wharf_error *e);

/* Checks the chain of one file: 0 and the number of lines, or -EBADMSG naming the first line that
 * does not fit. */
int audit_verify(const char *path, uint64_t *ret_lines, struct wharf_error *e);

#endif
