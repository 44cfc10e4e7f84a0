/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and replies over libchan. A caller opens a channel and sends on it, any number of times,
 *
 *     {"op": "container.wait", "args": "<JSON>", "body": "<JSON>"?, "api": 51, "stream": fd?,
 *      "ret": Sender}
 *
 * and reads from the other end of `ret` first one
 *
 *     {"status": 200, "form": 1, "headers": {..}, "data": bin?, "end": true?}
 *
 * then {"data": bin} any number of times, and {"end": true} or {"error": {"code", "kind",
 * "message"}}. Where the service takes the connection over, the one answer is
 * {"status": 101, "form": .., "connection": fd}. Parameters and documents travel as JSON text: it
 * is what both sides hold. Who asks is known from the session, never from the message.
 */
#ifndef LIBSWARM_WIRE_H
#define LIBSWARM_WIRE_H

#include "chan.h"
#include "swarm.h"

#define WIRE_BODY_MAX (16u << 20) /* bytes of JSON in a message */

/* A message into `out`, complete but for what chan_put_return adds behind: the caller has to have
 * room for one more pair, "ret". Its stream, if any, moves. */
int wire_put_message(struct chan_msg *out, struct message *m, struct chan_rx **ret_rx);

/* And back: a message for `who`, and where its reply goes. -EINVAL for whatever is malformed. */
int wire_get_message(struct chan_msg *in, struct principal who, struct message **ret,
                     struct chan_tx **ret_tx, struct wharf_error *e);

/* A reply that goes to `tx`, which stays the caller's. */
struct wire_reply {
    struct reply reply;
    struct chan_tx *tx;
    struct chan_msg *out;
};
int wire_reply_init(struct wire_reply *w, struct chan_tx *tx);
void wire_reply_done(struct wire_reply *w);

/* Reads the reply from `rx` into `r`, to its end; a connection that was taken is joined with the
 * one that `r` gives. */
int wire_pass_reply(struct chan_rx *rx, struct reply *r, struct wharf_error *e);

#endif
