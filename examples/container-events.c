/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what happens to a container until it ends: container-events ID */
#include <container.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static const char *name(enum container_event_type type)
{
    switch (type) {
    case CONTAINER_EVENT_EXIT:
        return "exit";
    case CONTAINER_EVENT_OOM:
        return "oom";
    case CONTAINER_EVENT_FROZEN:
        return "frozen";
    case CONTAINER_EVENT_THAWED:
        return "thawed";
    case CONTAINER_EVENT_PRESSURE:
        return "pressure";
    }
    return "unknown";
}

int main(int argc, char **argv)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_event event = { 0 };
    struct container_engine *engine = NULL;
    struct container *c = NULL;
    struct wharf_error e = { 0 };
    struct pollfd p = { .fd = -1, .events = POLLIN };
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: container-events ID\n");
        return 125;
    }
    options.root = getenv("CONTAINER_STATE");
    r = container_engine_open(&engine, &options, &e);
    if (r == 0)
        r = container_open(engine, argv[1], &c, &e);
    if (r == 0)
        r = p.fd = container_events_fd(c, CONTAINER_EVENT_EXIT | CONTAINER_EVENT_OOM, &e);
    while (r >= 0 && event.type != CONTAINER_EVENT_EXIT) {
        poll(&p, 1, -1);
        while ((r = container_next_event(c, &event, &e)) > 0) {
            printf("%s %llu\n", name(event.type), (unsigned long long)event.value);
            fflush(stdout);
        }
    }
    container_close(c);
    container_engine_close(engine);
    if (r < 0)
        fprintf(stderr, "container-events: %s\n", e.message);
    return r < 0 ? wharf_error_exit(&e) : 0;
}
