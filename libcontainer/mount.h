/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount calls, on descriptors only, and the plan of what to mount.
 *
 * No function here gives the kernel a path inside the container to mount on: the target is a
 * descriptor that mount_target resolved once. A new file system is mounted by fchdir(2) to that
 * descriptor and mount(2) on ".": one call, attributes included, where fsopen(2) takes four and one
 * more for each option; it serves what mount(2) cannot say.
 *
 * All but mount_plan* are async-signal-safe and return -errno.
 */
#ifndef LIBCONTAINER_MOUNT_H
#define LIBCONTAINER_MOUNT_H

#include <sys/mount.h>
#include "libcontainer/config/mount-options.h"
#include "libcontainer/rootfs.h"

#define MOUNT_DATA_MAX 4095 /* bytes of options that mount(2) takes: a page with its NUL */

/* One mount_setattr(2) call. */
struct mount_change {
    struct mount_attr attr;
    unsigned flags; /* AT_RECURSIVE or 0 */
};

enum mount_kind {
    MOUNT_KIND_BIND,    /* `tree`, or a clone of the host's `source`, at the destination */
    MOUNT_KIND_NEW,     /* a new file system of `type` */
    MOUNT_KIND_CHANGE,  /* only the attributes of what is mounted there */
    MOUNT_KIND_SYMLINK, /* a symbolic link with the text `source` */
};

/* One line of the plan. */
struct mount_step {
    struct mount_step *next;
    enum mount_kind kind;
    const char *destination; /* cleaned, begins with "/" */
    const char *source;
    const char *type, *data; /* NEW */
    field_strings words;     /* NEW: `data` word by word, for fsconfig(2) */
    unsigned long flags;     /* NEW: MS_*, for mount(2) */
    uint64_t attributes;     /* NEW: the same as MOUNT_ATTR_*, for fsmount(2) */
    int tree;                /* BIND: detached, made by the parent; -1: the child clones `source` */
    unsigned clone_flags;    /* BIND: AT_RECURSIVE, AT_SYMLINK_NOFOLLOW */
    struct mount_change changes[3];
    unsigned change_count;
    bool directory;  /* the target is one */
    bool plain;      /* no part of the destination may be a symbolic link: /proc, /sys */
    bool nofollow;   /* the last part is not followed */
    bool copy_up;    /* NEW tmpfs: with what is in the directory */
    bool by_context; /* NEW: needs fsopen(2) */
    struct mount_step *fallback; /* NEW: instead of it, where the kernel refuses (EPERM, EBUSY) */
};

/* ---- calls ---- */

/* A detached clone of what is at `path` below `dir` ("": `dir` itself). */
int mount_clone(int dir, const char *path, unsigned flags);

/* The same, read-only throughout. */
int mount_clone_readonly(int fd);

int mount_change(int fd, const struct mount_change *change);

/* Attaches the detached mount `tree` on the directory or file `target`. */
int mount_attach(int tree, int target);

/* Mounts a new file system on the directory `target`. Changes the working directory. */
int mount_on(int target, const char *source, const char *type, unsigned long flags,
             const char *data);

/* A new file system, detached. `words` ("key=value" or "key") may be NULL. */
int mount_detached(const char *type, const char *source, const field_strings *words,
                   unsigned long super_flags, uint64_t attributes);

/* Opens what a mount goes onto, O_PATH, made where it is missing: see struct mount_step. */
int mount_target(int root, const struct mount_step *step, struct wharf_error *e);

/* Clones the host's source of a BIND that the parent could not open, with its attributes. */
int mount_step_open(struct mount_step *step, struct wharf_error *e);

/* Carries out one step below the mounted root `root`. */
int mount_step_run(int root, const struct mount_step *step, struct wharf_error *e);

/* Copies what is in the directory `from` (any descriptor) into the directory `to`. */
int mount_copy_up(int from, int to);

/* ---- the plan; parent ---- */

struct mount_planner {
    const struct container_spec *spec;
    const struct rootfs_options *options;
    struct arena *arena;
    struct mount_step **tail;       /* where the next step is hung */
    unsigned long root_propagation; /* MS_* of linux.rootfsPropagation, 0: none given */
    const char *bundle;             /* absolute path of the bundle; found when first needed */
    struct wharf_error *e;
};

/* Appends what mounts[index] asks for. */
int mount_plan(struct mount_planner *p, size_t index);

/* A host path of the configuration as one that needs no working directory; NULL: see p->e. */
const char *mount_plan_host_path(struct mount_planner *p, const char *path);

/* The pieces, for mount-cgroup.c: steps that are not hung yet. `options` live as long as the plan.
 * NULL when out of memory. */
struct mount_step *mount_plan_new(struct mount_planner *p, const char *destination,
                                  const char *source, const char *type,
                                  const struct mount_options *options);
/* `userns`: the ids are mapped by it, or -1. */
int mount_plan_bind(struct mount_planner *p, const char *destination, const char *source,
                    const struct mount_options *options, int userns, struct mount_step **ret);
void mount_plan_add(struct mount_planner *p, struct mount_step *step);
int mount_plan_cgroup(struct mount_planner *p, const char *destination,
                      const struct mount_options *options);

/* ---- id maps ---- */

/* A user namespace with these maps, as a descriptor for MOUNT_ATTR_IDMAP. Parent. */
int idmap_namespace(const spec_id_maps *uids, const spec_id_maps *gids, int *ret_fd,
                    struct wharf_error *e);

#endif
