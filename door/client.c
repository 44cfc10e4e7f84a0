/* SPDX-License-Identifier: Apache-2.0 */
#include "door/client.h"

#include "base/clock.h"
#include "door/docker-server.h"

static const int64_t limits_ms[CLIENT_QUEUES] = {
    [CLIENT_SILENT] = DOCKER_SERVER_IDLE_S * 1000,
    [CLIENT_HEAD] = DOCKER_SERVER_HEAD_S * 1000,
    [CLIENT_BODY] = DOCKER_SERVER_BODY_S * 1000,
    [CLIENT_IDLE] = DOCKER_SERVER_IDLE_S * 1000,
};

void clients_init(struct clients *all)
{
    for (int i = 0; i < CLIENT_QUEUES; i++)
        TAILQ_INIT(&all->queues[i].list);
}

struct client *client_new(int fd, const struct peer *peer)
{
    struct client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->watch.fd = fd;
    c->queue = CLIENT_SERVED;
    if (peer)
        c->peer = *peer;
    return c;
}

void client_move(struct clients *all, struct client *c, enum client_queue queue)
{
    if (c->queue != CLIENT_SERVED) {
        TAILQ_REMOVE(&all->queues[c->queue].list, c, entry);
        all->queues[c->queue].count--;
    }
    c->queue = queue;
    if (queue != CLIENT_SERVED) {
        c->until_ms = clock_ms() + limits_ms[queue];
        TAILQ_INSERT_TAIL(&all->queues[queue].list, c, entry);
        all->queues[queue].count++;
    }
}

/* Of those that MHD keeps memory for. */
static struct client *find_crowding(const struct clients *all)
{
    enum client_queue longest = CLIENT_HEAD;
    unsigned total = 0;

    if (all->queues[CLIENT_SILENT].count > DOCKER_SERVER_CONNECTIONS_MAX)
        return TAILQ_FIRST(&all->queues[CLIENT_SILENT].list);
    for (enum client_queue i = CLIENT_HEAD; i < CLIENT_QUEUES; i++) {
        total += all->queues[i].count;
        if (all->queues[i].count > all->queues[longest].count)
            longest = i;
    }
    return total > DOCKER_SERVER_WAITING_MAX ? TAILQ_FIRST(&all->queues[longest].list) : NULL;
}

/* The one of all queues whose time is up first. */
static struct client *find_first(const struct clients *all)
{
    struct client *first = NULL, *c;

    for (int i = 0; i < CLIENT_QUEUES; i++) {
        c = TAILQ_FIRST(&all->queues[i].list);
        if (c && (!first || c->until_ms < first->until_ms))
            first = c;
    }
    return first;
}

struct client *clients_next_due(struct clients *all, int64_t now_ms)
{
    struct client *c = find_crowding(all);

    if (!c) {
        c = find_first(all);
        c = c && c->until_ms <= now_ms ? c : NULL;
    }
    if (c)
        client_move(all, c, CLIENT_SERVED);
    return c;
}

int clients_timeout(const struct clients *all, int64_t now_ms)
{
    const struct client *c = find_first(all);

    return c ? (int)MAX(c->until_ms - now_ms, 0) : -1;
}
