/* SPDX-License-Identifier: Apache-2.0 */
/* linux.sysctl: which file a name means, and the write. */
#ifndef LIBCONTAINER_SYSCTL_H
#define LIBCONTAINER_SYSCTL_H

#include "base/fields.h"

/* Parent: the pairs with each name turned into its path below a procfs, "sys/net/ipv4/ip_forward".
 * As sysctl(8) has it, the first separator decides: "net.ipv4.conf.eth0/1.x" and
 * "net/ipv4/conf/eth0.1/x" are the same. -EINVAL: a name that leads elsewhere. */
int sysctl_plan(const field_pairs *names, struct arena *arena, field_pairs *ret,
                struct wharf_error *e);

/* Child: writes them below `proc`, a procfs that nobody else can change (rootfs_proc). */
int sysctl_write(int proc, const field_pairs *paths, struct wharf_error *e);

#endif
