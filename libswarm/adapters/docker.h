/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the Docker adapter share. */
#ifndef LIBSWARM_ADAPTERS_DOCKER_H
#define LIBSWARM_ADAPTERS_DOCKER_H

#include <curl/curl.h>
#include <pthread.h>
#include "base/buf.h"
#include "base/json.h"
#include "libswarm/adapters/adapters.h"

#define DOCKER_IDLE_MAX   16           /* connections that are kept for the next request */
#define DOCKER_TARGET_MAX (256u << 10) /* bytes of a request's path and query */

struct docker {
    struct service service;
    char *address, *base; /* as given; http://... in front of a path */
    char *socket_path;    /* NULL: TCP */
    unsigned api;         /* minor version; 0: not asked yet */
    pthread_mutex_t lock; /* of the handles */
    CURL *idle[DOCKER_IDLE_MAX];
    size_t idle_count;
};

/* "/v1.41/containers/web/json?size=1" */
void docker_target(struct buf *b, const struct message *m, unsigned api);
int docker_connect_options(struct docker *d, CURL *curl);

/* docker-takeover.c: a request whose connection the caller's becomes. */
int docker_take_over(struct docker *d, struct message *m, struct reply *r, unsigned api,
                     struct wharf_error *e);

#endif
