/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections that we wait for, and how long. Whoever makes us wait is bounded in time, and
 * together in number: with one too many, the one that waited longest in the fullest queue goes. So
 * neither ten thousand silent connections nor as many that send a byte a minute keep another client
 * out. One whose request is with a service waits for us, and is in no queue.
 *
 * All of it belongs to the loop's thread.
 */
#ifndef DOOR_CLIENT_H
#define DOOR_CLIENT_H

#include <sys/queue.h>
#include "door/peer.h"
#include "door/watch.h"

enum client_queue {
    CLIENT_SILENT, /* has not sent a byte, or none since it became ours: MHD does not know it */
    CLIENT_HEAD,   /* its first request began */
    CLIENT_BODY,   /* the document of a request is on its way */
    CLIENT_IDLE,   /* kept alive */
    CLIENT_QUEUES,
    CLIENT_SERVED = CLIENT_QUEUES /* in none */
};

struct client {
    struct watch watch; /* first */
    struct peer peer;
    TAILQ_ENTRY(client) entry;
    enum client_queue queue;
    bool known_to_mhd; /* which then closes the descriptor */
    int64_t until_ms;
};

struct clients {
    struct {
        TAILQ_HEAD(, client) list; /* the longest waiting first */
        unsigned count;
    } queues[CLIENT_QUEUES];
};

void clients_init(struct clients *all);

/* In no queue yet. NULL: out of memory. `peer` NULL: told when it is needed. */
struct client *client_new(int fd, const struct peer *peer);

/* To the end of another queue, or out of all. */
void client_move(struct clients *all, struct client *c, enum client_queue queue);

/* The next that must go, by time or number, taken out of its queue; NULL: none. */
struct client *clients_next_due(struct clients *all, int64_t now_ms);

/* How long until the next is due: -1: for ever. */
int clients_timeout(const struct clients *all, int64_t now_ms);

#endif
