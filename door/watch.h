/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOOR_WATCH_H
#define DOOR_WATCH_H

#include <stdint.h>

struct docker_server;

/* A descriptor in the loop. */
struct watch {
    void (*ready)(struct docker_server *s, struct watch *w, uint32_t events);
    int fd;
};

#endif
