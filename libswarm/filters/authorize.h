/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that decides who may do what, in front of an engine. Two policies:
 *
 *   single-user  the engine belongs to one user. Whoever a door let in (the socket's permissions, a
 *                client certificate) acts as that user and sees everything. Docker's own rule.
 *   owner        every object has an owner, the principal who made it; each principal sees and
 *                touches only their own, what belongs to others does not exist for them. What would
 *                give power over the host (privileged, host paths, host namespaces, devices, ...)
 *                is refused to all but root, and so is removing images, which all share.
 *
 * Denied by default: a policy has to say yes. Each decision goes to the audit log first; one that
 * cannot be written is a no.
 */
#ifndef LIBSWARM_FILTERS_AUTHORIZE_H
#define LIBSWARM_FILTERS_AUTHORIZE_H

#include "libswarm/filters/audit.h"

enum policy { POLICY_SINGLE_USER, POLICY_OWNER };

/* "single-user", "owner"; -EINVAL. */
int policy_parse(const char *text, enum policy *ret, struct wharf_error *e);

/* Takes a reference to `inner`; `audit` (NULL: none is kept) stays the caller's. */
int authorize_new(struct service *inner, enum policy policy, struct audit *audit,
                  struct service **ret, struct wharf_error *e);

/* What in the body of container.create asks for power over the host: a JSON path such as
 * "HostConfig.Privileged", or NULL. */
const char *host_power_of(const json_t *body);

#endif
