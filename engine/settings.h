/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was asked for when a container was created: the body of the Docker API's POST
 * /containers/create as a struct (docker-api section ContainerCreate), so that the command line,
 * the record in the database and the HTTP door share one form. The tables of settings.c have a row
 * for each member of Config, HostConfig and NetworkingConfig. A member without a row is refused by
 * name, unless it asks for nothing (null, false, 0, "", empty): nothing is dropped in silence.
 *
 * Absent strings are NULL or "": both mean "not asked for" (settings_text tells).
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

struct settings_weight { /* BlkioWeightDevice */
    char *path;
    int64_t weight;
};
struct settings_rate { /* BlkioDeviceReadBps and its like */
    char *path;
    uint64_t rate;
};

struct settings_log {
    char *type; /* NULL: json-file */
    field_pairs options;
};

struct settings_restart {
    char *name; /* "", no, always, unless-stopped, on-failure */
    int64_t maximum_retries;
};

/* What the host offers at one port of the container; the list may be empty: any free port. */
struct settings_port {
    char *host_ip, *host_port; /* "", "80", "8000-8010" */
};
struct settings_ports {
    char *port; /* "80/tcp" */
    LIST_OF(struct settings_port) bindings;
};

struct settings_bind_options {
    char *propagation;
    bool non_recursive, create_mountpoint, read_only_non_recursive, read_only_force_recursive;
};
struct settings_driver {
    char *name;
    field_pairs options;
};
struct settings_volume_options {
    bool no_copy;
    field_pairs labels;
    char *subpath;
    struct settings_driver *driver;
};
struct settings_image_options {
    char *subpath;
};
struct settings_tmpfs_options {
    int64_t size, mode;
    LIST_OF(field_strings) options; /* {"noexec"}, {"uid", "7"} */
};
struct settings_mount {
    char *type, *source, *target, *consistency;
    bool read_only;
    struct settings_bind_options *bind; /* each NULL when absent */
    struct settings_volume_options *volume;
    struct settings_image_options *image;
    struct settings_tmpfs_options *tmpfs;
};

struct settings_host {
    /* limits; 0: none */
    int64_t memory, memory_swap, memory_reservation, kernel_memory, kernel_memory_tcp;
    int64_t nano_cpus, cpu_shares, cpu_quota, cpu_period, cpu_realtime_period, cpu_realtime_runtime;
    int64_t blkio_weight;
    struct opt_i64 pids_limit, memory_swappiness;
    struct opt_bool oom_kill_disable;
    char *cpuset_cpus, *cpuset_mems, *cgroup_parent;
    LIST_OF(struct settings_weight) blkio_weight_device;
    LIST_OF(struct settings_rate)
    blkio_read_bps, blkio_write_bps, blkio_read_iops, blkio_write_iops;
    LIST_OF(struct settings_ulimit) ulimits;
    LIST_OF(struct settings_device) devices;
    field_strings device_cgroup_rules;
    /* what it may do */
    int64_t oom_score_adj, shm_size;
    bool privileged, readonly_rootfs, auto_remove, publish_all;
    struct opt_bool init;
    field_strings cap_add, cap_drop, security_opt, group_add;
    bool masked_given, readonly_given; /* an empty list is not an absent one */
    field_strings masked_paths, readonly_paths;
    field_pairs sysctls, annotations, storage_opt;
    /* files */
    field_strings binds, volumes_from; /* source:target[:options] */
    field_strings channels;            /* name[:ro]: not of the Docker API; channels.h */
    field_pairs tmpfs;
    LIST_OF(struct settings_mount) mounts;
    char *volume_driver;
    /* network */
    field_strings dns, dns_search, dns_options, extra_hosts, links;
    LIST_OF(struct settings_ports) port_bindings;
    /* whose namespaces */
    char *network_mode, *userns_mode, *pid_mode, *ipc_mode, *uts_mode, *cgroupns_mode, *cgroup;
    /* the rest */
    char *runtime, *id_file, *isolation;
    LIST_OF(int64_t) console_size; /* rows, columns */
    struct settings_restart restart;
    struct settings_log *log;
};

struct settings_health {
    field_strings test;                                      /* empty: inherited */
    int64_t interval, timeout, start_period, start_interval; /* ns; 0: inherited */
    int64_t retries;
};

struct settings_ipam {
    char *ipv4, *ipv6;
    field_strings link_local;
};

/* One network to be connected to. */
struct settings_endpoint {
    char *network; /* name or id, as it was given */
    struct settings_ipam *ipam;
    field_strings links, aliases;
    char *mac;
    field_pairs driver_options;
    int64_t gateway_priority;
};
struct settings_networking {
    LIST_OF(struct settings_endpoint) endpoints;
};

struct settings {
    char *hostname, *domainname, *user, *image, *working_dir, *stop_signal, *mac;
    bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once;
    bool args_escaped, network_disabled;
    field_strings env, cmd, entrypoint, on_build, shell;
    field_strings exposed_ports, volumes; /* "80/tcp"; "/data" */
    field_pairs labels;
    struct opt_i64 stop_timeout;
    struct settings_health *health; /* NULL: the image's */
    struct settings_host *host;
    struct settings_networking *networking; /* NULL: none */
};

/* Fills `ret` from JSON (its memory is the arena's); ret->host is never NULL afterwards. Members
 * match without regard to case, as in Go's decoder. The second form changes the tree: names become
 * the exact ones, members that ask for nothing go. */
int settings_read(const char *json, size_t len, struct arena *arena, struct settings *ret,
                  struct wharf_error *e);
int settings_from_json(json_t *tree, struct arena *arena, struct settings *ret,
                       struct wharf_error *e);

/* The same as text; the caller frees it. */
int settings_write(const struct settings *settings, char **ret, struct wharf_error *e);

/* As a tree in the form of inspect, which has every member: absent numbers are 0, lists null. NULL
 * when out of memory. */
json_t *settings_to_json(const struct settings *settings);

/* The body of update: the limits and RestartPolicy of a HostConfig, into an empty `ret`. */
int settings_read_update(json_t *tree, struct arena *arena, struct settings_host *ret,
                         struct wharf_error *e);

/* Everything that can be said without image, volumes and networks: limits, names, modes, and what
 * excludes what (settings-check.c). */
int settings_check(const struct settings *settings, struct wharf_error *e);
int settings_check_limits(const struct settings_host *host, struct wharf_error *e);
int settings_check_restart(const struct settings_host *host, struct wharf_error *e);

static inline bool settings_text(const char *text)
{
    return text && *text;
}

/* The signal `text` names ("KILL", "SIGKILL", "9", any case), or -EINVAL. */
int signal_parse(const char *text, struct wharf_error *e);

#endif
