/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply that passes on to another: what filters and aggregates put between a service and whoever
 * asked. Head, bytes, end and the taken connection go through; `watch`, if set, is told of each.
 */
#ifndef LIBSWARM_PASSING_H
#define LIBSWARM_PASSING_H

#include <pthread.h>
#include "swarm.h"

struct passing {
    struct reply reply; /* give this to the inner service */
    struct reply *to;
    pthread_mutex_t *lock; /* NULL, or held during each call: several write to one */
    bool shared_end;       /* the head goes out once, the end is left to the owner of `to` */
    unsigned status;       /* of the head; 0: none came */
    uint64_t bytes;
    struct wharf_error failure; /* of the end */
};

void passing_init(struct passing *p, struct reply *to);

/* The same question again, for one more service: its own trees, no stream. NULL: no memory. */
struct message *message_copy(const struct message *m);

#endif
