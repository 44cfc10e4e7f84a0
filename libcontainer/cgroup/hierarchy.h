/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroup hierarchies this host has mounted, and who owns which controller.
 *
 * A controller is attached to at most one hierarchy at a time (cgroups(7)), so ownership is a set
 * of disjoint bit masks. A pure v2 host is recognised by one statfs and never reads the mount
 * table.
 */
#ifndef LIBCONTAINER_CGROUP_HIERARCHY_H
#define LIBCONTAINER_CGROUP_HIERARCHY_H

#include "base/arena.h"
#include "base/err.h"

enum controller {
    CONTROLLER_CPU,
    CONTROLLER_CPUACCT,
    CONTROLLER_CPUSET,
    CONTROLLER_MEMORY,
    CONTROLLER_DEVICES, /* on v2 it is no controller but an eBPF program: see devices.h */
    CONTROLLER_FREEZER, /* on v2 part of every group */
    CONTROLLER_IO,      /* "blkio" on v1 */
    CONTROLLER_PIDS,
    CONTROLLER_HUGETLB,
    CONTROLLER_NET_CLS,
    CONTROLLER_NET_PRIO,
    CONTROLLER_PERF_EVENT,
    CONTROLLER_RDMA,
    CONTROLLER_MISC,
    CONTROLLER_DMEM,
    CONTROLLER_COUNT,
};

#define CONTROLLER_BIT(controller) (1u << (controller))

/* What every v2 group can do without a controller in cgroup.controllers: a device program, and from
 * Linux 5.2 on cgroup.freeze. */
#define CONTROLLERS_V2_CORE                                                                        \
    (CONTROLLER_BIT(CONTROLLER_DEVICES) | CONTROLLER_BIT(CONTROLLER_FREEZER))

enum { CGROUP_HIERARCHIES_MAX = 24 }; /* the kernel has 15 controllers; named ones beside them */

struct hierarchy {
    char *mount;          /* host path of the mount point */
    char *options;        /* v1: "cpu,cpuacct", "name=systemd"; NULL on v2 */
    uint32_t controllers; /* CONTROLLER_BIT()s that it owns */
    bool v2;
};

struct hierarchies {
    struct hierarchy items[CGROUP_HIERARCHIES_MAX];
    size_t count;
};

/* The host's hierarchies, the v2 one (if any) last. -ENOENT: no cgroup file system is mounted. */
int hierarchies_find(struct hierarchies *ret, struct arena *arena, struct wharf_error *e);

/* The same from the text of /proc/self/mountinfo; the controllers of the v2 tree stay 0. The text
 * is taken apart in place. */
int hierarchies_parse(struct hierarchies *ret, char *mountinfo, struct arena *arena,
                      struct wharf_error *e);

/* Controllers named by a list of words, as in cgroup.controllers or v1 mount options. */
uint32_t controllers_parse(const char *words);

/* The kernel's name of a controller on this side of the fence: "io" or "blkio". */
const char *controller_name(enum controller controller, bool v2);

/* The group that this process is in, as a path below the mount, from the text of /proc/self/cgroup;
 * NULL if the hierarchy is not listed. */
char *hierarchy_own_group(const struct hierarchy *h, const char *proc_cgroup, struct arena *arena);

#endif
