/* SPDX-License-Identifier: Apache-2.0 */
/* One answer out of several: how the aggregate adds documents up. */
#ifndef LIBSWARM_ADAPTERS_MERGE_H
#define LIBSWARM_ADAPTERS_MERGE_H

#include <jansson.h>

/* Adds `more` to *sum, which is NULL at first: lists are joined, numbers added, objects merged
 * member by member, true wins, of texts the first stays. Lists that hold an object of one "Id" or
 * "Name" twice (the networks `bridge`, `host`, `none`) keep both: they are different things. */
void merge_json(json_t **sum, json_t *more);

#endif
