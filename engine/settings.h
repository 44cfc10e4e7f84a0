/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was asked for when a container was created: the body of the Docker API's POST
 * /containers/create as a struct (docker-api section ContainerCreate), so that the command line,
 * the record in the database and, later, the HTTP door share one form. Members that this engine
 * does not know yet are refused by name in settings_read, never dropped.
 */
#ifndef ENGINE_SETTINGS_H
#define ENGINE_SETTINGS_H

#include "base/arena.h"
#include "base/fields.h"

#define SETTINGS_TEXT_MAX  (1u << 20)
#define SETTINGS_ARENA_MAX (8u << 20)

struct settings_ulimit {
    char *name;
    int64_t soft, hard; /* -1: unlimited */
};

struct settings_device {
    char *source, *target; /* target "": the same */
    char *access;          /* of "rwm"; "": all */
};

struct settings_log {
    char *type; /* NULL: json-file */
    field_pairs options;
};

struct settings_host {
    /* limits; 0: none */
    int64_t memory, memory_swap, memory_reservation, nano_cpus, cpu_shares, cpu_quota, cpu_period;
    struct opt_i64 pids_limit;
    char *cpuset_cpus, *cpuset_mems, *cgroup_parent;
    LIST_OF(struct settings_ulimit) ulimits;
    LIST_OF(struct settings_device) devices;
    int64_t oom_score_adj, shm_size;
    /* what it may do */
    bool privileged, readonly_rootfs, auto_remove;
    field_strings cap_add, cap_drop, security_opt, group_add;
    field_strings dns, dns_search, dns_options, extra_hosts;
    field_pairs sysctls, tmpfs;
    field_strings binds;    /* source:target[:options] */
    field_strings channels; /* name[:ro]: not of the Docker API; channels.h */
    char *network_mode, *userns_mode, *pid_mode, *ipc_mode, *uts_mode;
    struct settings_log *log;
};

struct settings {
    char *hostname, *domainname, *user, *image, *working_dir, *stop_signal;
    bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once;
    field_strings env, cmd, entrypoint;
    field_pairs labels;
    struct opt_i64 stop_timeout;
    struct settings_host *host;
};

/* Fills `ret` from JSON (its memory is the arena's); ret->host is never NULL afterwards. */
int settings_read(const char *json, size_t len, struct arena *arena, struct settings *ret,
                  struct wharf_error *e);

/* The same as text; the caller frees it. */
int settings_write(const struct settings *settings, char **ret, struct wharf_error *e);

/* Also as a tree, for inspect. NULL when out of memory. */
json_t *settings_to_json(const struct settings *settings);

/* Everything that can be said without the image: limits, names of capabilities' options, binds. */
int settings_check(const struct settings *settings, struct wharf_error *e);

/* "source:target[:options]" taken apart; strings are the arena's. */
struct settings_bind {
    const char *source, *target, *options;
};
int settings_bind_parse(const char *text, struct arena *arena, struct settings_bind *ret,
                        struct wharf_error *e);

/* The signal `text` names ("KILL", "SIGKILL", "9", any case), or -EINVAL. */
int signal_parse(const char *text, struct wharf_error *e);

#endif
