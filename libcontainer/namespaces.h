/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which namespaces a process is born into, joins, or makes for itself, and the id maps of a new
 * user namespace.
 *
 * New ones come from one clone3, with two exceptions that the kernel forces: a cgroup namespace
 * takes as its root the cgroup its maker is in, so it is unshared after the cgroup was entered; a
 * time namespace with offsets must be written before its first process enters (time_namespaces(7)).
 *
 * Joining: a pid namespace is only ever joined by being born into it. The thread that clones sets
 * it for its children and sets it back (no process in between); all others the child joins itself.
 * Joining a user namespace comes before everything else, so then a middle process joins, and clones
 * with CLONE_PARENT: the container's process is the caller's child all the same.
 */
#ifndef LIBCONTAINER_NAMESPACES_H
#define LIBCONTAINER_NAMESPACES_H

#include "libcontainer/config/spec.h"

enum { NAMESPACE_TYPES = 8 };

struct namespaces {
    uint64_t made;   /* CLONE_NEW* that clone3 makes */
    uint64_t listed; /* all that the spec lists */
    bool cgroup;     /* unshare after the cgroup is entered */
    bool time;       /* unshare, write `offsets`, enter */
    char offsets[160];
    struct namespace_join {
        int type, fd;
    } joins[NAMESPACE_TYPES]; /* user first */
    size_t join_count;
};

/* Parent: opens what is joined, formats the offsets. namespaces_done closes. */
int namespaces_prepare(const struct container_spec *spec, struct namespaces *ret,
                       struct wharf_error *e);
void namespaces_done(struct namespaces *n);

/* The descriptor to join for a type, or -1. */
int namespaces_join_fd(const struct namespaces *n, int type);

/* Parent: writes uid_map, gid_map and setgroups of `pid`: directly where we may, else through
 * newuidmap and newgidmap. *ret_groups: the namespace allows setgroups(2). */
int namespaces_write_maps(pid_t pid, const struct spec_linux *linux_, struct wharf_error *e);
/* Whether setgroups(2) will be allowed: known before anything is made. */
bool namespaces_allow_groups(const struct container_spec *spec);

/* ---- child ---- */

/* Joins all but the pid and user namespace, into which clone.c brings us. */
int namespaces_join(const struct namespaces *n, struct wharf_error *e);

/* Becomes user and group 0 of the user namespace, if it has one. */
int namespaces_become_root(struct wharf_error *e);

/* The two that are made late. */
int namespaces_make_cgroup(const struct namespaces *n, struct wharf_error *e);
int namespaces_make_time(const struct namespaces *n, struct wharf_error *e);

/* A new network namespace begins with its loopback interface down. */
int namespaces_raise_loopback(struct wharf_error *e);

#endif
