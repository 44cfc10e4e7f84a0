/* SPDX-License-Identifier: Apache-2.0 */
/* The small file that lets any process find a container again, and the identity of its first
 * process. */
#ifndef LIBCONTAINER_STATE_H
#define LIBCONTAINER_STATE_H

#include "libcontainer/config/spec.h"

struct state {
    char *oci_version, *bundle, *rootfs, *created; /* created: RFC 3339, UTC */
    uint32_t owner;
    bool poststart, poststop; /* there are such hooks: config.json has to be read for them */
    json_t *annotations;      /* object or NULL */
    json_t *cgroup;           /* for cgroup_load; NULL: no cgroup */
    char *rdt;                /* class of Intel RDT, or NULL */
    bool rdt_made;            /* by us, so ours to remove */
    uint64_t namespaces;      /* CLONE_NEW*: what exec has to join */
};

void state_release(struct state *s);

/* In two steps around what it tells of: a plan is nobody's state yet, but names what is to be
 * removed if its writer is killed before the commit. state_write replaces the file at once. */
int state_write_plan(int dir, const struct state *s, struct wharf_error *e);
int state_commit(int dir, struct wharf_error *e);
int state_write(int dir, const struct state *s, struct wharf_error *e);
/* -ENOENT without a message: there is none. */
int state_read(int dir, struct state *ret, struct wharf_error *e);
int state_read_plan(int dir, struct state *ret);

/* The first process: pids are reused, so its start time (proc(5), stat, field 22) goes with it. */
struct state_init {
    pid_t pid;
    uint64_t start_time;
};
int state_write_init(int dir, pid_t pid, struct wharf_error *e);
/* 0; -ENOENT: not there yet; -EINVAL: not ours. */
int state_read_init(int dir, struct state_init *ret);

/* A pidfd when that very process lives; -ESRCH when it has ended, is a zombie, or the pid is
 * somebody else's by now. */
int state_open_init(const struct state_init *init);

/* The time now, as `created` wants it: 30 bytes; the compiler counts with the widest numbers. */
#define STATE_TIME_MAX 96
void state_now(char text[STATE_TIME_MAX]);

#endif
