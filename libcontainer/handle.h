/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind the opaque handles of container.h, and the state directory:
 *
 *     <root>/<id>/            0700, its existence is the claim on the id
 *         state.json          written once, before the first process exists (state.h)
 *         config.json         the spec, written while the child sets itself up
 *         init                "PID STARTTIME": there is a process; without it: creating
 *         start.sock          the waiting init; removed by `start`: created, not yet running
 *     <root>/.seccomp/        compiled filters (seccomp-filter.h); may be removed at any time
 *
 * So the status is told by which files are there and whether the process lives; no file is ever
 * rewritten, and a runtime that is killed leaves a directory that delete or forget understands.
 */
#ifndef LIBCONTAINER_HANDLE_H
#define LIBCONTAINER_HANDLE_H

#include "libcontainer/cgroup/cgroup.h"
#include "libcontainer/state.h"

#define EXPORT __attribute__((visibility("default")))

/* What a container takes over from its engine, which may be closed before it. */
struct engine_settings {
    enum container_cgroups cgroups;
    bool rootless;
    void (*log)(void *user, enum container_log_level level, const char *line);
    void *user;
};

struct container_engine {
    struct engine_settings settings;
    char *root;
};

struct container_process {
    pid_t pid;
    int pidfd;   /* -1: it has ended before it was opened */
    int console; /* the terminal's master, or -1 */
    bool ended;  /* `status` is known */
    int status;  /* as waitpid(2) gives it */
};

struct events; /* events.c */

struct container {
    struct engine_settings settings;
    char id[CONTAINER_ID_MAX + 1];
    int root, dir; /* the state root and our directory in it */
    struct state state;
    struct container_process init;
    struct cgroup *cgroup;       /* NULL until container_cgroup */
    struct container_spec *spec; /* NULL until container_saved_spec */
    struct events *events;
};

void engine_log(const struct engine_settings *s, enum container_log_level level, const char *format,
                ...) __attribute__((format(printf, 3, 4)));

/* The state root; `make` creates it. A descriptor, or -errno. */
int engine_open_root(const struct container_engine *engine, bool make, struct wharf_error *e);

/* -EINVAL unless `id` may name a container. */
int container_check_id(const char *id, struct wharf_error *e);

/* An empty handle that owns both descriptors. NULL: out of memory; they stay the caller's. */
struct container *container_handle(const struct engine_settings *settings, const char *id, int root,
                                   int dir);

/* The cgroup and the spec as saved, opened at the first call; the container's. */
int container_cgroup(struct container *c, struct cgroup **ret, struct wharf_error *e);
int container_saved_spec(struct container *c, const struct container_spec **ret,
                         struct wharf_error *e);

int container_run_poststart(struct container *c, const spec_hook_list *list, struct wharf_error *e);
/* For hooks_run_all: logs a warning. `settings` are the engine's. */
void container_hook_failed(void *settings, const struct wharf_error *e);

/* Kills what lives, waits for it, and removes cgroup and state directory; goes on over errors and
 * returns the first. */
int container_destroy(struct container *c, struct wharf_error *e);

/* process.c */
struct container_process *process_new(pid_t pid, int pidfd);
void process_release(struct container_process *p); /* closes, but keeps the struct */
/* Hands a descriptor to whoever listens on a unix socket, with a name as the data. */
int process_pass_fd(int socket, int fd, const char *name, const char *what, struct wharf_error *e);

#endif
