/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that are lists in the specification: huge pages, block devices, network, rdma, unified. */
#ifndef LIBCONTAINER_CGROUP_LIMITS_LISTS_H
#define LIBCONTAINER_CGROUP_LIMITS_LISTS_H

#include "libcontainer/cgroup/group.h"

int limit_lists_check(const struct spec_resources *resources, uint32_t available,
                      struct wharf_error *e);
int limit_lists_apply(struct cgroup *cg, const struct spec_resources *resources,
                      struct wharf_error *e);

/* Errors that name the field and the controller. */
int limit_no_controller(const char *field, enum controller controller, struct wharf_error *e);
int limit_not_enabled(const struct group *g, const char *field, enum controller controller,
                      struct wharf_error *e);

#endif
