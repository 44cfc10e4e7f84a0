/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - libcontainer: Linux containers behind one C interface
 *
 * Namespaces, cgroups (v1, v2, hybrid, systemd), mounts, capabilities, seccomp, Landlock, SELinux,
 * AppArmor, netlink and checkpoints, for programs that run other programs in a sandbox. It
 * implements the OCI runtime specification 1.3; a specification is built by setters, by path, or
 * from OCI JSON.
 *
 *     struct container_engine *engine;
 *     struct container_spec *spec;
 *     struct container *c;
 *     struct wharf_error e = { 0 };
 *     const char *argv[] = { "/bin/sh", "-c", "echo hello from $$", NULL };
 *     int status;
 *
 *     container_engine_open(&engine, NULL, &e);
 *     container_spec_new(&spec, &e);                          // a safe default, docker's
 *     container_spec_set(spec, "root.path", "/srv/rootfs", &e);
 *     container_spec_set_args(spec, argv, NULL, &e);
 *     container_spec_set(spec, "linux.resources.memory.limit", "64M", &e);
 *     if (container_create(engine, "demo", spec, NULL, &c, &e) < 0 || container_start(c, &e) < 0)
 *         fprintf(stderr, "%s\n", e.message);
 *     container_process_wait(container_init(c), &status, -1, &e);
 *     container_delete(c, 0, &e);
 *
 * Nouns. An ENGINE is a state directory and a way to make cgroups. A SPEC says what a container
 * shall be. A CONTAINER is a live or stopped one; it is created by one process and may be reopened
 * by its id from any other. A PROCESS is one process in it, held by a pidfd: signals never reach a
 * reused pid.
 *
 * Ownership. What a function hands out through `ret_x` belongs to the caller: engines, containers
 * and processes are closed (the container itself lives on), specs are freed, strings and arrays are
 * freed with container_free(). Descriptors passed in stay the caller's; descriptors handed out are
 * close-on-exec and the caller's. Out-parameters are untouched on failure. Destructors take NULL.
 *
 * Threads. The library has no global state. One handle is used by one thread at a time; different
 * handles are independent. It works inside a threaded program: between clone3() and execve() the
 * child makes raw system calls on data prepared beforehand. The library never prints, never exits,
 * changes no working directory, umask, signal disposition or rlimit of its host, and reaps only the
 * children it made (by pidfd). SIGCHLD of a container's first process goes to the program that
 * created it.
 *
 * Errors. 0 or a count on success, a negative errno on failure; see wharf-error.h. A failed create
 * leaves nothing behind.
 *
 * Needs Linux 5.12 (mount_setattr). What this kernel or build lacks is told by container_has() and,
 * if a spec demands it, refused with WHARF_ERROR_UNSUPPORTED: nothing in a spec is ever dropped in
 * silence.
 */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "wharf-error.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define CONTAINER_ID_MAX 255 /* [A-Za-z0-9_+-][A-Za-z0-9_+.-]* */

struct container_engine;
struct container_spec;
struct container;
struct container_process;

/* Frees a string or array that this library handed out. */
void container_free(void *memory);

/* ---- what can be done here
 * ----------------------------------------------------------------------- */

/* 1 if the library and the running kernel can do `feature`, else 0. Names: "landlock", "idmap",
 * "cgroup.v1", "cgroup.v2", "cgroup.hybrid", "cgroup.systemd", "seccomp.notify", "time-namespace",
 * "selinux", "apparmor", "checkpoint", "rdt". Unknown names give 0. */
int container_has(const char *feature);

/* The OCI features document (runtime-spec features.md). It does not depend on the host. */
int container_features_json(char **ret_json, struct wharf_error *error);

/* ---- engine
 * ------------------------------------------------------------------------------------------ */

enum container_cgroups {
    CONTAINER_CGROUPS_AUTO = 0, /* FILES */
    CONTAINER_CGROUPS_FILES,    /* cgroupfs: each controller in whichever hierarchy owns it */
    CONTAINER_CGROUPS_SYSTEMD, /* transient scopes over D-Bus; cgroupsPath is "slice:prefix:name" */
    CONTAINER_CGROUPS_NONE,    /* no cgroup is made; limits in the spec are an error */
};

enum container_log_level {
    CONTAINER_LOG_ERROR,
    CONTAINER_LOG_WARNING,
    CONTAINER_LOG_INFO,
    CONTAINER_LOG_DEBUG,
};

struct container_engine_options {
    size_t size; /* sizeof(struct container_engine_options): older callers stay valid */
    const char
        *root; /* state directory; NULL: /run/wharf-oci, or below $XDG_RUNTIME_DIR if rootless */
    enum container_cgroups cgroups;
    int rootless; /* 1, 0, or -1: find out (effective uid not 0, or a user namespace's root) */
    /* Called for warnings that are no errors (an ambient capability that cannot be raised ...), in
     * the calling thread, never in the child. May be NULL. */
    void (*log)(void *user, enum container_log_level level, const char *line);
    void *user;
};

/* Opens an engine; the state directory is made by the first create. options may be NULL. */
int container_engine_open(struct container_engine **ret_engine,
                          const struct container_engine_options *options,
                          struct wharf_error *error);
void container_engine_close(struct container_engine *engine);

/* Calls `each` with every container's id; stops when it returns non-zero and returns that. */
int container_engine_list(struct container_engine *engine, int (*each)(void *user, const char *id),
                          void *user, struct wharf_error *error);

/* ---- spec
 * -------------------------------------------------------------------------------------------- */

/* A new spec: runtime-spec's default file systems, devices, masked and read-only paths, the
 * namespaces pid, network, ipc, uts, mount (and cgroup on v2), the capabilities AUDIT_WRITE KILL
 * NET_BIND_SERVICE, no_new_privs, args ["sh"]. */
int container_spec_new(struct container_spec **ret_spec, struct wharf_error *error);

/* Parses and checks OCI config.json. Limits: 16 MiB of text, nesting 64, 65,536 elements in a list.
 * Duplicate keys are refused; unknown keys are kept for container_spec_write and otherwise ignored,
 * as the specification demands; unknown values (a capability, seccomp action, namespace type ...)
 * are errors that name the field, such as "linux.seccomp.syscalls[3].action". */
int container_spec_parse(struct container_spec **ret_spec, const char *json, size_t length,
                         struct wharf_error *error);

/* The spec as OCI JSON; parse(write(s)) equals s. */
int container_spec_write(const struct container_spec *spec, char **ret_json,
                         struct wharf_error *error);
void container_spec_free(struct container_spec *spec);

/* Sets one field by its path in config.json ("process.cwd", "linux.resources.pids.limit",
 * "annotations.org.example.key"; lists: "process.env[+]" appends). Numbers may carry a size unit
 * (64M); booleans are "true" or "false". -EINVAL names a path or value that does not fit the
 * specification. */
int container_spec_set(struct container_spec *spec, const char *path, const char *value,
                       struct wharf_error *error);

/* Replaces process.args, and process.env where env is not NULL. Lists end with NULL. */
int container_spec_set_args(struct container_spec *spec, const char *const argv[],
                            const char *const env[], struct wharf_error *error);

/* Appends a mount; options is comma-separated as in fstab, may be NULL. */
int container_spec_add_mount(struct container_spec *spec, const char *source, const char *target,
                             const char *type, const char *options, struct wharf_error *error);

/* Adds (path NULL: a new one; else join the namespace at path) or, with `remove`, drops a namespace
 * of type "pid", "network", "mount", "ipc", "uts", "user", "cgroup" or "time". */
int container_spec_set_namespace(struct container_spec *spec, const char *type, const char *path,
                                 int remove, struct wharf_error *error);

/* ---- create, open, start
 * ----------------------------------------------------------------------------- */

enum {
    CONTAINER_NO_PIVOT = 1u << 0,   /* MS_MOVE + chroot where the root is a ramfs */
    CONTAINER_NO_KEYRING = 1u << 1, /* keep the session keyring of the caller */
    CONTAINER_DETACH = 1u << 2, /* nobody here waits: the caller may exit before the container */
    CONTAINER_IGNORE_PAUSED = 1u << 3, /* exec: also in a paused container (it waits for resume) */
    /* The first process is killed when the calling thread ends, however that comes (prctl(2),
     * PR_SET_PDEATHSIG), unless its program is set-user-ID. */
    CONTAINER_DIE_WITH_CALLER = 1u << 4,
};

struct container_start_options {
    size_t size;
    int bundle_fd;       /* directory that relative paths of the spec start from; -1: the cwd */
    const char *bundle;  /* its path, for the state document; NULL: found from bundle_fd */
    int root_fd;         /* >= 0: a detached mount (fsmount, open_tree) used as the root instead of
                          * root.path, e.g. an overlay; it appears in no mount table but the
                          * container's */
    int stdio[3];        /* -1: inherit 0, 1, 2; ignored with a terminal */
    int console_socket;  /* unix socket that receives the terminal's master by SCM_RIGHTS, or -1 */
    int pidfd_socket;    /* unix socket that receives a pidfd of the process, or -1 */
    const int *keep_fds; /* descriptors the process gets as 3, 4, ... beside stdio */
    size_t keep_count;
    unsigned flags; /* CONTAINER_NO_PIVOT ... */
    /* exec: path below the container's cgroup, NULL: the container's. On v1 also lines of
     * "CONTROLLERS:PATH" (as "cpu,cpuacct:a\nmemory:b"), each for the groups of those */
    const char *cgroup;
};

/* The options with every descriptor -1. */
#define CONTAINER_START_OPTIONS                                                                    \
    {                                                                                              \
        sizeof(struct container_start_options), -1, NULL, -1, { -1, -1, -1 }, -1, -1, NULL, 0, 0,  \
            NULL                                                                                   \
    }

/* Makes the container: namespaces, cgroup, root; the program waits for container_start. Runs the
 * hooks prestart, createRuntime and createContainer. options may be NULL. -EEXIST: the id is taken.
 * -EBUSY: the cgroup is not empty or frozen. -EINVAL: the spec. */
int container_create(struct container_engine *engine, const char *id,
                     const struct container_spec *spec,
                     const struct container_start_options *options,
                     struct container **ret_container, struct wharf_error *error);

/* create and start in one, without waiting in between: the fast path. */
int container_run(struct container_engine *engine, const char *id,
                  const struct container_spec *spec, const struct container_start_options *options,
                  struct container **ret_container, struct wharf_error *error);

/* Reopens a container made by any process. -ENOENT: no such container. */
int container_open(struct container_engine *engine, const char *id,
                   struct container **ret_container, struct wharf_error *error);
void container_close(struct container *container);

/* Lets the created container's program begin (startContainer hooks before, poststart after).
 * -EBUSY: not in state created. A poststart hook that fails stops and deletes it (spec 1.3). */
int container_start(struct container *container, struct wharf_error *error);

/* ---- state and life
 * ---------------------------------------------------------------------------------- */

enum container_status {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_STOPPED,
};

/* The status now, and the first process's pid (0 when stopped); ret_pid may be NULL. */
int container_status(struct container *container, enum container_status *ret_status, pid_t *ret_pid,
                     struct wharf_error *error);

/* The state document: runtime-spec's fields plus rootfs, created, owner. */
int container_state_json(struct container *container, char **ret_json, struct wharf_error *error);

/* The config.json that the container was made from. */
int container_config_json(struct container *container, char **ret_json, struct wharf_error *error);

/* Signals the first process, or with `all` every process. -ESRCH "container not running". */
int container_kill(struct container *container, int signal, int all, struct wharf_error *error);

/* Freezes and thaws. -EBUSY when it is so already, or not running. */
int container_pause(struct container *container, struct wharf_error *error);
int container_resume(struct container *container, struct wharf_error *error);

/* Changes limits: resources_json is the "linux.resources" object; only what it names changes. */
int container_update(struct container *container, const char *resources_json,
                     struct wharf_error *error);

/* The same for its class of Intel RDT: lines of "schemata", or NULL. -EOPNOTSUPP: made without
 * linux.intelRdt; -EPERM: the class is not its own but was there before. */
int container_update_rdt(struct container *container, const char *l3_cache_schema,
                         const char *mem_bw_schema, struct wharf_error *error);

/* Removes a stopped container (a created one is killed first): poststop hooks, cgroup, state. With
 * `force` a running one is killed. The handle is then good for nothing but container_close.
 * -EBUSY: running, without force. */
int container_delete(struct container *container, int force, struct wharf_error *error);

/* Removes what an aborted create left under `id`: 0 also when there was nothing. */
int container_engine_forget(struct container_engine *engine, const char *id,
                            struct wharf_error *error);

/* Pids of all processes, host view. */
int container_pids(struct container *container, pid_t **ret_pids, size_t *ret_count,
                   struct wharf_error *error);

/* Use of resources, in the form of runc's `events --stats` "data" object. */
int container_stats_json(struct container *container, char **ret_json, struct wharf_error *error);

/* ---- processes
 * --------------------------------------------------------------------------------------- */

/* Runs one more process. process_json is an OCI "process" object. On success the process runs; wait
 * on it if this program made it. -EBUSY: paused (see CONTAINER_IGNORE_PAUSED). */
int container_exec(struct container *container, const char *process_json,
                   const struct container_start_options *options,
                   struct container_process **ret_process, struct wharf_error *error);

/* The container's first process; owned by the container, valid until container_close. */
struct container_process *container_init(struct container *container);

pid_t container_process_pid(const struct container_process *process);
int container_process_pidfd(
    const struct container_process *process); /* pollable: readable at exit */

/* Waits at most timeout_ms (-1: for ever, 0: only looks). *ret_status is as waitpid(2) gives it if
 * this program is the parent; otherwise -ECHILD after the end. -ETIMEDOUT: still runs. */
int container_process_wait(struct container_process *process, int *ret_status, int timeout_ms,
                           struct wharf_error *error);
int container_process_kill(struct container_process *process, int signal,
                           struct wharf_error *error);

/* The terminal's master, if the process has one and no console_socket took it; the caller's. */
int container_process_take_console(struct container_process *process);
void container_process_close(struct container_process *process);

/* ---- events
 * ------------------------------------------------------------------------------------------ */

enum container_event_type {
    CONTAINER_EVENT_EXIT = 1u << 0, /* the first process ended */
    CONTAINER_EVENT_OOM = 1u << 1,  /* value: kills so far */
    CONTAINER_EVENT_FROZEN = 1u << 2,
    CONTAINER_EVENT_THAWED = 1u << 3,
    CONTAINER_EVENT_PRESSURE = 1u << 4, /* memory pressure stall (cgroup v2) */
};

struct container_event {
    enum container_event_type type;
    uint64_t value;
};

/* A descriptor that becomes readable when one of `types` happens; the container's, closed with it.
 * Then call container_next_event until it returns 0 (1: *ret_event is filled). */
int container_events_fd(struct container *container, unsigned types, struct wharf_error *error);
int container_next_event(struct container *container, struct container_event *ret_event,
                         struct wharf_error *error);

/* ---- changes while running
 * --------------------------------------------------------------------------- */

/* Mounts a detached mount (open_tree, fsmount) at `target`, resolved inside the container. */
int container_add_mount(struct container *container, int tree_fd, const char *target,
                        struct wharf_error *error);
int container_remove_mount(struct container *container, const char *target,
                           struct wharf_error *error);
/* Makes a device node and allows it in the device cgroup. */
int container_add_device(struct container *container, const char *path, mode_t mode, dev_t device,
                         struct wharf_error *error);
/* Moves the host's interface into the container's network namespace, renamed to `inside`. */
int container_add_interface(struct container *container, const char *host, const char *inside,
                            struct wharf_error *error);

/* ---- checkpoint (through the criu program)
 * ----------------------------------------------------------- */

struct container_checkpoint_options {
    size_t size;
    const char *image_path, *work_path, *parent_path;
    const char *manage_cgroups; /* "soft", "full", "strict", "ignore" or NULL */
    const char *network_lock, *page_server, *lsm_profile, *lsm_mount_context;
    int status_fd; /* -1: none */
    unsigned leave_running : 1, tcp_established : 1, tcp_close : 1, tcp_skip_in_flight : 1,
        ext_unix_sockets : 1, shell_job : 1, file_locks : 1, link_remap : 1, lazy_pages : 1,
        pre_dump : 1, auto_dedup : 1, empty_network : 1;
};

/* WHARF_ERROR_UNSUPPORTED where criu is absent or too old for this kernel; the text says which. */
int container_checkpoint(struct container *container,
                         const struct container_checkpoint_options *options,
                         struct wharf_error *error);
int container_restore(struct container_engine *engine, const char *id,
                      const struct container_spec *spec,
                      const struct container_start_options *start,
                      const struct container_checkpoint_options *options,
                      struct container **ret_container, struct wharf_error *error);

/* ---- one call: run a command in a sandbox
 * ------------------------------------------------------------ */

struct container_policy {
    size_t size;
    const char *const *read_paths;  /* NULL-ended: host paths visible read-only, executable */
    const char *const *write_paths; /* NULL-ended: host paths visible and writable */
    const char *const *net_allow;   /* NULL: no network at all; else "tcp:PORT" the command may
                                     * connect   to on the host's network (Landlock ABI 4) */
    const char *seccomp_preset;     /* "default", "strict", or NULL for none */
    const char *cwd;                /* NULL: "/" */
    const char *const *env;         /* NULL: PATH and HOME only */
    int stdio[3];                   /* -1: inherit */
    uint64_t memory;                /* bytes; 0: no limit, as in all below */
    uint64_t cpu_ms;                /* processor time in all (RLIMIT_CPU, rounded up to seconds) */
    uint64_t wall_ms;
    uint64_t pids;
    uint64_t file_size; /* largest file it may write */
};

/* Runs argv in a sandbox of fresh namespaces with an empty root that holds only the paths given, an
 * own /tmp, /proc and a minimal /dev; Landlock allows exactly these paths; no capability,
 * no_new_privs. Waits for its end: *ret_status as waitpid(2). -ETIMEDOUT: wall_ms passed and it was
 * killed. No engine, no state directory, no cgroup where the caller may not make one (then `memory`
 * and `pids` are rlimits). */
int container_sandbox_run(const struct container_policy *policy, const char *const argv[],
                          int *ret_status, struct wharf_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
