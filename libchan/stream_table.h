/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBCHAN_STREAM_TABLE_H
#define LIBCHAN_STREAM_TABLE_H

#include <stdint.h>

struct chan;
struct stream_table;

struct chan *stream_table_find(const struct stream_table *t, uint64_t id);
int stream_table_add(struct stream_table *t, uint64_t id, struct chan *c); /* 0 or -ENOMEM */
void stream_table_remove(struct stream_table *t, uint64_t id);

#endif
