/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside libcontainer/cgroup: one container's groups, a directory in each hierarchy.
 *
 * A group's directory is opened on first use (O_PATH) and kept: files are opened relative to it, so
 * a group that was removed and made again by someone else is never mistaken for ours. Every file is
 * one openat, one read or write, one close.
 */
#ifndef LIBCONTAINER_CGROUP_GROUP_H
#define LIBCONTAINER_CGROUP_GROUP_H

#include "libcontainer/cgroup/cgroup.h"
#include "libcontainer/cgroup/hierarchy.h"

#define GROUP_PATH_MAX  4096u
#define GROUP_DEPTH_MAX 64u         /* nesting below a container's group that we walk */
#define GROUP_FILE_MAX  (16u << 20) /* cgroup.procs of a very full group */
#define GROUP_WAIT_MS   5000        /* for a freeze, for the last process to go */

struct group {
    char *path;           /* absolute host path of the directory */
    size_t mount_len;     /* so much of it is the mount point */
    char *options;        /* v1: of the mount; NULL on v2 */
    uint32_t controllers; /* CONTROLLER_BIT()s that this hierarchy owns */
    uint32_t enabled; /* v2: those seen to work in this group, so that they are looked up once */
    bool v2, made;    /* made: by cgroup_create, so ours to remove */
    int dir;          /* O_PATH, -1 until needed */
};

struct cgroup {
    struct arena *arena;
    enum container_cgroups driver;
    bool rootless;
    char *path; /* below the mounts, "/a/b"; NULL until systemd has told */
    struct group groups[CGROUP_HIERARCHIES_MAX];
    size_t count;
    struct systemd_unit *unit; /* CONTAINER_CGROUPS_SYSTEMD */
    int pressure;              /* the trigger behind an event descriptor, or -1 */
    uint32_t owner_uid;
};

/* A cgroup without groups; NULL when out of memory. */
struct cgroup *cgroup_new(enum container_cgroups driver);

/* The group whose hierarchy owns the controller, or NULL. */
struct group *cgroup_owner(struct cgroup *cg, enum controller controller);
/* The v2 group, or NULL. */
struct group *cgroup_v2(struct cgroup *cg);
/* The group by which processes are counted, frozen and killed: v2 if there is one, else the
 * freezer's, else any. NULL: there is none (rootless without delegation). */
struct group *cgroup_census(struct cgroup *cg);

/* The open directory, or -errno. */
int group_dir(struct group *g);
/* One write(2) of the text: 0, -errno. */
int group_write(struct group *g, const char *file, const char *text);
/* The file's beginning, at most size - 1 bytes, ended by NUL: its length or -errno. For files of
 * one page; longer ones by group_read_all. */
ssize_t group_read(struct group *g, const char *file, char *text, size_t size);
ssize_t group_read_all(struct group *g, const char *file, char **ret);
/* A number ("max" is UINT64_MAX), and the number behind a word of a file of "word number" lines
 * (-ENOENT: no such word). */
int group_read_u64(struct group *g, const char *file, uint64_t *ret);
int group_read_keyed(struct group *g, const char *file, const char *word, uint64_t *ret);
/* The number behind a word in text of "word number" lines: 0 or -ENOENT. */
int keyed_value(const char *text, const char *word, uint64_t *ret);

/* Sets err for a failed access to a group's file; ENOENT tells what it means. */
int group_error(struct group *g, int code, const char *verb, const char *file,
                struct wharf_error *e);

/* ---- making (make.c) ---- */

/* Checks and cleans linux.cgroupsPath: "/a/b". -EINVAL: leads out of the hierarchy, or is it. */
int cgroup_path_clean(const char *path, struct arena *arena, char **ret, struct wharf_error *e);

/* Makes the directory, its ancestors, and what a group needs before a process may enter: v1 cpuset
 * its cpus and mems, v2 the controllers. `adopt`: that it exists already is no error at all
 * (systemd made it). *ret_ancestors: how many ancestors were made (to be undone on failure). */
int group_make(struct group *g, bool adopt, unsigned *ret_ancestors, struct wharf_error *e);
void group_unmake(struct group *g, unsigned ancestors);

/* v2: enables every controller of `wanted` in the group, writing subtree_control of the ancestors
 * below the mount. The controllers that could not be had, as bits. */
uint32_t group_enable(struct group *g, uint32_t wanted);

/* Gives the group to a user namespace's root: the directory and the files that cgroups(7),
 * "Cgroups delegation", names. */
int group_delegate(struct group *g, uint32_t uid, struct wharf_error *e);

/* ---- freezing (freeze.c) ---- */

/* Frozen now, or being frozen: 1, 0, -errno. */
int group_is_frozen(struct group *g);

/* ---- processes (procs.c) ---- */

/* All pids in the group and below, appended to *pids. */
struct pid_list {
    pid_t *items;
    size_t count, cap;
};
int group_pids(struct group *g, struct pid_list *pids);
static inline void pid_list_done(struct pid_list *pids)
{
    free(pids->items);
}
#define autopids __attribute__((cleanup(pid_list_done)))

/* Waits until nothing runs in the group or below: 0, -ETIMEDOUT. */
int group_wait_empty(struct group *g, int64_t deadline_ms);

int64_t clock_ms(void); /* CLOCK_MONOTONIC */

#endif
