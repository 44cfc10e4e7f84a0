/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces made ahead of need, for a process that lives long: making one takes half a
 * millisecond, most of it the kernel's tables. A thread of the pool's own keeps `size` of them,
 * each held by a descriptor; nothing of them outlives the process.
 */
#ifndef NETWORK_POOL_H
#define NETWORK_POOL_H

#include "base/err.h"
#include "base/macros.h"

struct netns_pool;

int netns_pool_open(struct netns_pool **ret, size_t size, struct wharf_error *e);
void netns_pool_close(struct netns_pool *pool);

/* One that nobody else has had: descriptor or -errno. Without a pool (NULL), or when it is empty,
 * it is made now. */
int netns_pool_take(struct netns_pool *pool, struct wharf_error *e);

#endif
