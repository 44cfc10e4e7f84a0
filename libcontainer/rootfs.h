/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's root: from "mounts", "devices", "maskedPaths" ... to a new "/".
 *
 * Two halves, because the child between clone and exec may not allocate. The PARENT resolves all
 * that can be known beforehand into a flat plan: sources are opened (as detached mounts where it
 * may mount), options parsed, destinations cleaned, the order fixed. The CHILD walks the plan with
 * raw system calls:
 *
 *     parent   rootfs_prepare(spec, &options, arena, &r, e);   clone3(...);   rootfs_done(r);
 *     child    rootfs_build(r, e);           new mount namespace; ids already those of its root
 *              rootfs_console(r, &master, &slave, e);          where process.terminal
 *              ... createContainer hooks ...
 *              rootfs_pivot(r, e);           "/" is the new root, nothing of the host is reachable
 *              rootfs_finish(r, e);          sysctl, read-only and masked paths, read-only root
 *
 * Invariants. A destination is resolved ONCE, with openat2 inside the root, to a descriptor, and
 * the mount is made on that descriptor: no path string of the container is ever given to mount(2)
 * (CVE-2021-30465). Nothing is created by a path that a link could bend (CVE-2024-45310). Errors
 * name the destination as the configuration writes it.
 *
 * The child's functions want a process of its own memory (clone without CLONE_VM), in the new
 * mount, pid, network, ipc and cgroup namespaces, with root's ids of its user namespace. They
 * change its working directory and, while devices are made, its umask.
 */
#ifndef LIBCONTAINER_ROOTFS_H
#define LIBCONTAINER_ROOTFS_H

#include "libcontainer/cgroup/cgroup.h"

struct rootfs;

struct rootfs_options {
    int bundle_fd;   /* where a relative root.path or bind source begins; -1: the cwd */
    int root_fd;     /* a detached mount that is the root, or -1: root.path. Stays the caller's */
    unsigned flags;  /* CONTAINER_NO_PIVOT */
    bool empty_root; /* the root is a new, empty tmpfs; root.path and root_fd are not looked at */
    bool rootless; /* we hold no CAP_SYS_ADMIN here: the child opens sources by their host paths */
    const struct cgroup_view *views; /* for mounts of type "cgroup"; in `arena` or longer-lived */
    size_t view_count;
};

/* ---- parent ---- */

/* Makes the plan, in `arena`; it holds descriptors until rootfs_done. -EINVAL: the spec, naming
 * mounts[i] and what is wrong; -ENOENT: a source is missing. */
int rootfs_prepare(const struct container_spec *spec, const struct rootfs_options *options,
                   struct arena *arena, struct rootfs **ret, struct wharf_error *e);

/* Closes the plan's descriptors; NULL is fine. The memory goes with the arena. */
void rootfs_done(struct rootfs *r);
DEFINE_AUTO(struct rootfs, rootfs_done)

/* ---- child; async-signal-safe ---- */

/* Mounts all of it below the new root, which is attached in this mount namespace only. */
int rootfs_build(struct rootfs *r, struct wharf_error *e);

/* Makes a terminal in the container's own devpts and binds its slave to /dev/console. Between build
 * and pivot. Both descriptors are the caller's. */
int rootfs_console(struct rootfs *r, int *ret_master, int *ret_slave, struct wharf_error *e);

/* Makes it "/", and the working directory. */
int rootfs_pivot(struct rootfs *r, struct wharf_error *e);

/* Makes a directory of the root, and those above it, unless it is there; between pivot and finish,
 * while the root can be written. */
int rootfs_make_dir(struct rootfs *r, const char *path, struct wharf_error *e);

/* What must come last: sysctls, read-only paths, masked paths, the root read-only, propagation. */
int rootfs_finish(struct rootfs *r, struct wharf_error *e);

/* A procfs of this pid namespace that nobody else sees, for every write below /proc (labels,
 * oom_score_adj, sysctls: CVE-2025-52881). Made at the first call, after rootfs_build; owned by
 * `r`. A descriptor, or -errno. */
int rootfs_proc(struct rootfs *r, struct wharf_error *e);

/* The root directory as a descriptor, after rootfs_build; owned by `r`. */
int rootfs_root_fd(const struct rootfs *r);

/* ---- any process, by descriptor of the root ("/" after setns); async-signal-safe ---- */

/* A new terminal in the devpts at dev/pts of `root`: the master and its slave, both of them checked
 * to be of that devpts (CVE-2025-52565). For exec with a terminal. */
int console_new(int root, int *ret_master, int *ret_slave, struct wharf_error *e);

#endif
