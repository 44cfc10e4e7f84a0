/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that come with libswarm, as types for compose() (swarm.h). Each file of this folder is
 * one outside system, or one way of putting services together:
 *
 *     docker unix://PATH | tcp://HOST:PORT    any Docker daemon (docker.c)
 *     chan unix:PATH | tcp:HOST:PORT          a service over libchan, such as wharfd (chan.c)
 *     debug (SERVICE)                         tells of each message and reply on stderr (debug.c)
 *     aggregate (A) (B) ...                   many services as one (aggregate.c)
 */
#ifndef LIBSWARM_ADAPTERS_H
#define LIBSWARM_ADAPTERS_H

#include "swarm.h"

/* `make` functions of struct service_type. */
int docker_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e);
int chan_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e);
int debug_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e);
int aggregate_make(const struct service_arguments *a, struct service **ret, struct wharf_error *e);

#endif
