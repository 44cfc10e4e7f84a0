/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: linux.resources to files, by one table (limits.c). */
#ifndef LIBCONTAINER_CGROUP_LIMITS_H
#define LIBCONTAINER_CGROUP_LIMITS_H

#include "libcontainer/cgroup/group.h"

/* Is there a controller for everything that is asked for? `available`: CONTROLLER_BIT()s. */
int limits_check(const struct spec_resources *resources, uint32_t available, struct wharf_error *e);

/* Writes every limit that is set. */
int limits_apply(struct cgroup *cg, const struct spec_resources *resources, struct wharf_error *e);

/* ---- conversions between v1's numbers (those of runtime-spec) and v2's (convert.c) ---- */

/* cpu.shares 2..262144 to cpu.weight 1..10000: quadratic in log2, so that 1024 is 100. */
uint64_t cpu_weight(uint64_t shares);
/* blkio.weight 10..1000 to io.weight 1..10000, linear. */
uint64_t io_weight(uint64_t weight);
/* memory + swap together to swap alone. -EINVAL: below memory, or memory is not known. */
int swap_alone(const struct opt_i64 *memory, int64_t swap, int64_t *ret);

#endif
