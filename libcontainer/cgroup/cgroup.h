/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One cgroup interface over v1, v2, hybrid hosts and systemd.
 *
 * A container's cgroup is one relative path that exists in one or more HIERARCHIES. Each controller
 * is looked up in whichever hierarchy owns it (v1 mounts by /proc/self/mountinfo, v2 by
 * cgroup.controllers), so a hybrid host with v1 controllers and a v2 tree holding some is an
 * ordinary case.
 *
 * Ownership: a struct cgroup owns directory descriptors of the groups it made or opened; closing it
 * does not remove them. cgroup_remove removes only groups that cgroup_create made (told by the
 * saved text).
 */
#ifndef LIBCONTAINER_CGROUP_CGROUP_H
#define LIBCONTAINER_CGROUP_CGROUP_H

#include "libcontainer/cgroup/hierarchy.h"
#include "libcontainer/config/spec.h"

struct cgroup;

struct cgroup_options {
    enum container_cgroups driver;
    const char *path; /* linux.cgroupsPath; NULL: "/" + id (FILES), "system.slice:wharf:" + id */
    const char *id;
    bool rootless; /* failing to make groups is fine as long as no limit asks for them */
    const struct spec_resources *resources; /* tells which controllers must exist; may be NULL */
    const field_pairs *annotations;         /* org.systemd.property.*, delegation; may be NULL */
    uint32_t owner_uid; /* delegate to this uid (user namespace's root), UINT32_MAX: nobody */
};

/* Makes the group in every hierarchy. -EBUSY if it exists and is not empty or is frozen. On failure
 * nothing made is left. The systemd driver needs the first process's pid: give it to cgroup_attach.
 */
int cgroup_create(struct cgroup **ret, const struct cgroup_options *options, struct wharf_error *e);

/* The same in two steps, so that what will be made can be written down before it exists: a plan
 * claims that it makes all of its groups. cgroup_make tells 1 where that did not come true: a group
 * was there before, or could not be made and is done without. cgroup_unplan undoes one that may be
 * made, half made or not: it removes what is empty, since the rest is somebody else's. */
int cgroup_plan(struct cgroup **ret, const struct cgroup_options *options, struct wharf_error *e);
int cgroup_make(struct cgroup *cg, struct wharf_error *e);
void cgroup_unplan(struct cgroup *cg);

/* A v2 directory for clone3's CLONE_INTO_CGROUP, or -1 where there is none (then only attach
 * works). */
int cgroup_clone_fd(struct cgroup *cg);

/* Moves a process into the group, in every hierarchy where clone3 did not put it (`cloned`). For
 * systemd: makes the scope with this pid. Then limits are applied by cgroup_apply. */
int cgroup_attach(struct cgroup *cg, pid_t pid, bool cloned, struct wharf_error *e);

/* The same, done by the process itself where that is possible: on v1, moving another process waits
 * for a grace period of the kernel (some ms), while the one thread of a process that writes itself
 * into `tasks` waits for nothing (cgroup_procs_write_start, since Linux 5.4).
 *
 * Parent, before the clone: 1, and the files are open; 0 where cgroup_attach is needed (systemd, or
 * a v2 group that clone3 cannot enter); or an error. The paths are the group's. */
struct cgroup_entries {
    int fds[CGROUP_HIERARCHIES_MAX];
    const char *paths[CGROUP_HIERARCHIES_MAX];
    size_t count;
};
int cgroup_open_entries(struct cgroup *cg, bool cloned, struct cgroup_entries *ret,
                        struct wharf_error *e);
void cgroup_close_entries(struct cgroup_entries *entries);
/* CHILD SIDE, as its only thread; the files are closed. */
int cgroup_enter(struct cgroup_entries *entries, struct wharf_error *e);

/* Applies limits and the device rules; on update only what is set changes. An absent controller
 * whose limit is set is an error that names it. `fresh`: the group was just made, so no device
 * program is there to be replaced. */
int cgroup_apply(struct cgroup *cg, const struct spec_resources *resources, bool fresh,
                 struct wharf_error *e);

/* Another process's way in: `sub` is a path below the group (exec --cgroup) or NULL; or lines of
 * "CONTROLLERS:PATH", each for the v1 hierarchies of these controllers. */
int cgroup_open_sub(struct cgroup *cg, const char *sub, struct cgroup **ret, struct wharf_error *e);

int cgroup_freeze(struct cgroup *cg, bool frozen, struct wharf_error *e); /* waits until it is so */
int cgroup_is_frozen(struct cgroup *cg);                                  /* 1, 0, -errno */
int cgroup_kill(struct cgroup *cg, int signal,
                struct wharf_error *e); /* all; KILL by cgroup.kill */
int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_count, struct wharf_error *e);
/* Fills a JSON object in the form of runc's stats data. */
int cgroup_stats(struct cgroup *cg, json_t **ret, struct wharf_error *e);

/* Event sources for container_events_fd: a pollable descriptor, and a reader of the counter behind.
 */
int cgroup_event_open(struct cgroup *cg, enum container_event_type type, int *ret_fd,
                      struct wharf_error *e);
int cgroup_event_read(struct cgroup *cg, enum container_event_type type, int fd,
                      uint64_t *ret_value, struct wharf_error *e);

/* Removes the group and groups below it, after killing what is left in it with `force`. No polling
 * with fixed sleeps: waits on cgroup.events or pidfds, 5 s at most. */
int cgroup_remove(struct cgroup *cg, bool force, struct wharf_error *e);

/* For the state file: what cgroup_load needs to open it again from another process. */
int cgroup_save(const struct cgroup *cg, json_t **ret, struct wharf_error *e);
int cgroup_load(struct cgroup **ret, json_t *saved, struct wharf_error *e);
void cgroup_close(struct cgroup *cg);
DEFINE_AUTO(struct cgroup, cgroup_close)

/* What a container sees at a mount of type "cgroup": from this list the v1 tree is built by binds
 * (with a cgroup namespace: by mounts), or one v2 mount made. */
struct cgroup_view {
    char *name;    /* "memory", "cpu,cpuacct", "systemd", "unified"; "" = the v2 tree itself */
    char *options; /* of the v1 mount: "cpu,cpuacct", "name=systemd"; NULL for v2 */
    char *group;   /* absolute host path of the container's group */
    bool v2;
};
int cgroup_views(const struct cgroup *cg, struct arena *arena, struct cgroup_view **ret,
                 size_t *ret_count, struct wharf_error *e);

/* True on a host whose /sys/fs/cgroup is one cgroup2 tree. */
bool cgroup_host_is_v2(void);

#endif
