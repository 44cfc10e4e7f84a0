/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container shall be: runtime-spec 1.3's config.json as C structs, filled by the field
 * tables of spec.c. Everything hangs on the spec's arena. Enumerations hold the kernel's own
 * constants (CLONE_NEW*, MS_*, SCMP_ACT_*, RLIMIT_*), so that nothing is translated a second time.
 */
#ifndef LIBCONTAINER_CONFIG_SPEC_H
#define LIBCONTAINER_CONFIG_SPEC_H

#include "base/fields.h"
#include "container.h"

#define SPEC_TEXT_MAX  (16u << 20) /* bytes of config.json */
#define SPEC_DEPTH_MAX 64
#define SPEC_ARENA_MAX (64u << 20)

struct spec_id_map {
    uint32_t container_id, host_id, size;
};
typedef LIST_OF(struct spec_id_map) spec_id_maps;

struct spec_root {
    char *path;
    bool readonly;
};

/* A mount's options are kept as words; mount-options.h turns them into flags and data. */
struct spec_mount {
    char *destination, *source, *type;
    field_strings options;
    spec_id_maps uid_mappings, gid_mappings;
};

struct spec_user {
    uint32_t uid, gid;
    struct opt_u64 umask; /* <= 0777 */
    LIST_OF(uint32_t) additional_gids;
};

struct spec_capabilities {
    uint64_t bounding, effective, inheritable, permitted, ambient; /* bit n: capability n */
};

struct spec_rlimit {
    int type; /* RLIMIT_* */
    uint64_t soft, hard;
};

struct spec_io_priority {
    int class; /* IOPRIO_CLASS_* */
    int64_t priority;
};

struct spec_scheduler {
    int policy; /* SCHED_* */
    int64_t nice;
    int64_t priority;
    uint64_t flags; /* SCHED_FLAG_* */
    uint64_t runtime, deadline, period;
};

struct spec_cpu_affinity {
    char *initial, *final; /* cpu lists such as "0-3,7" */
};

struct spec_console_size {
    uint64_t height, width;
};

struct spec_process {
    bool terminal;
    struct spec_console_size *console_size;
    char *cwd;
    field_strings args, env;
    struct spec_user user;
    struct spec_capabilities *capabilities; /* NULL: none at all */
    LIST_OF(struct spec_rlimit) rlimits;
    bool no_new_privileges;
    char *apparmor_profile, *selinux_label;
    struct opt_i64 oom_score_adj;
    struct spec_io_priority *io_priority;
    struct spec_scheduler *scheduler;
    struct spec_cpu_affinity *exec_cpu_affinity;
};

struct spec_hook {
    char *path;
    field_strings args, env;
    struct opt_i64 timeout; /* seconds, > 0 */
};
typedef LIST_OF(struct spec_hook) spec_hook_list;

struct spec_hooks {
    spec_hook_list prestart, create_runtime, create_container, start_container, poststart, poststop;
};

struct spec_namespace {
    int type;   /* CLONE_NEW* */
    char *path; /* NULL: a new one */
};

struct spec_device {
    int type; /* 'c' 'b' 'u' 'p' */
    char *path;
    int64_t major, minor;
    struct opt_u64 file_mode, uid, gid; /* docker leaves the type's bits in the mode: & 07777 */
};

struct spec_net_device {
    char *host; /* the map's key */
    char *name; /* inside; NULL: the same */
};

struct spec_time_offset {
    char *clock; /* "monotonic" or "boottime" */
    int64_t secs;
    uint32_t nanosecs;
};

/* ---- linux.resources ---- */

struct spec_device_rule {
    bool allow;
    char *type; /* "a" "c" "b"; NULL: "a" */
    struct opt_i64 major, minor;
    char *access; /* of r w m */
};

struct spec_memory {
    struct opt_i64 limit, reservation, swap, kernel, kernel_tcp;
    struct opt_u64 swappiness;
    struct opt_bool disable_oom_killer, use_hierarchy, check_before_update;
};

struct spec_cpu {
    struct opt_u64 shares, period, realtime_period, burst;
    struct opt_i64 quota, realtime_runtime, idle;
    char *cpus, *mems;
};

struct spec_pids {
    struct opt_i64 limit;
};

struct spec_hugepage_limit {
    char *page_size; /* "2MB" */
    uint64_t limit;
};

struct spec_weight_device {
    int64_t major, minor;
    struct opt_u64 weight, leaf_weight;
};

struct spec_throttle_device {
    int64_t major, minor;
    uint64_t rate;
};
typedef LIST_OF(struct spec_throttle_device) spec_throttle_list;

struct spec_block_io {
    struct opt_u64 weight, leaf_weight;
    LIST_OF(struct spec_weight_device) weight_device;
    spec_throttle_list read_bps, write_bps, read_iops, write_iops;
};

struct spec_network_priority {
    char *name;
    uint32_t priority;
};

struct spec_network {
    struct opt_u64 class_id;
    LIST_OF(struct spec_network_priority) priorities;
};

struct spec_rdma {
    char *device; /* the map's key */
    struct opt_u64 hca_handles, hca_objects;
};

struct spec_resources {
    LIST_OF(struct spec_device_rule) devices;
    struct spec_memory *memory;
    struct spec_cpu *cpu;
    struct spec_pids *pids;
    LIST_OF(struct spec_hugepage_limit) hugepage_limits;
    struct spec_block_io *block_io;
    struct spec_network *network;
    LIST_OF(struct spec_rdma) rdma;
    field_pairs unified;
};

/* ---- linux.seccomp ---- */

struct spec_seccomp_arg {
    uint64_t index, value, value_two;
    int op; /* SCMP_CMP_* */
};

struct spec_seccomp_rule {
    field_strings names;
    uint32_t action; /* SECCOMP_RET_* without data; see seccomp-filter.h */
    struct opt_u64 errno_ret;
    LIST_OF(struct spec_seccomp_arg) args;
};

struct spec_seccomp {
    uint32_t default_action;
    struct opt_u64 default_errno;
    LIST_OF(uint32_t) architectures; /* SCMP_ARCH_*, empty: the native one */
    uint64_t flags;                  /* SECCOMP_FILTER_FLAG_* */
    bool flags_set;                  /* "flags" stands in the document (even if empty) */
    char *listener_path, *listener_metadata;
    LIST_OF(struct spec_seccomp_rule) syscalls;
};

/* ---- linux.landlock: ours, until runtime-spec has it (announced in features annotations) ---- */

struct spec_landlock_path {
    field_strings paths;
    uint64_t access; /* LANDLOCK_ACCESS_FS_* */
};

struct spec_landlock_port {
    LIST_OF(uint64_t) ports;
    uint64_t access; /* LANDLOCK_ACCESS_NET_* */
};

struct spec_landlock {
    bool best_effort; /* what the kernel's ABI lacks is left out instead of refused */
    uint64_t handled_fs, handled_net, scoped;
    LIST_OF(struct spec_landlock_path) path_beneath;
    LIST_OF(struct spec_landlock_port) net_port;
};

struct spec_personality {
    int domain; /* PER_LINUX, PER_LINUX32 */
    field_strings flags;
};

struct spec_intel_rdt {
    char *clos_id, *l3_cache_schema, *mem_bw_schema;
    field_strings schemata;
    bool enable_monitoring;
};

struct spec_memory_policy {
    int mode; /* MPOL_* */
    char *nodes;
    uint64_t flags; /* MPOL_F_* */
};

struct spec_linux {
    LIST_OF(struct spec_namespace) namespaces;
    spec_id_maps uid_mappings, gid_mappings;
    LIST_OF(struct spec_time_offset) time_offsets;
    LIST_OF(struct spec_device) devices;
    LIST_OF(struct spec_net_device) net_devices;
    char *cgroups_path;
    struct spec_resources *resources;
    char *rootfs_propagation;
    struct spec_seccomp *seccomp;
    struct spec_landlock *landlock;
    field_pairs sysctl;
    field_strings masked_paths, readonly_paths;
    char *mount_label;
    struct spec_personality *personality;
    struct spec_intel_rdt *intel_rdt;
    struct spec_memory_policy *memory_policy;
};

struct container_spec {
    struct arena *arena;
    json_t
        *document; /* as parsed, with its unknown members; NULL when made by container_spec_new */
    char *oci_version;
    struct spec_root *root;
    struct spec_process *process; /* NULL allowed for create, not for start */
    char *hostname, *domainname;
    LIST_OF(struct spec_mount) mounts;
    struct spec_hooks *hooks;
    field_pairs annotations;
    struct spec_linux *linux_; /* `linux` is a macro in gnu17; never NULL after parsing */
};

/* The namespace entry of a type, NULL if the spec does not list it. */
const struct spec_namespace *spec_namespace_find(const struct container_spec *spec, int type);

/* The value of an annotation, or NULL. */
const char *spec_annotation(const struct container_spec *spec, const char *key);

/* Parses one "process" or "linux.resources" object alone (exec, update), checked like the whole.
 * The result lives in `arena`. */
int spec_process_parse(const char *json, size_t len, struct arena *arena, struct spec_process **ret,
                       struct wharf_error *e);
int spec_resources_parse(const char *json, size_t len, struct arena *arena,
                         struct spec_resources **ret, struct wharf_error *e);

/* Rules that no single field can tell (spec-check.c): sysctls belong to own namespaces, id maps
 * need a user namespace, terminal and console size, Landlock known ... Called by parse and before
 * create. */
int spec_check(const struct container_spec *spec, struct wharf_error *e);
int spec_process_check(const struct spec_process *process, struct wharf_error *e);
int spec_resources_check(const struct spec_resources *resources, struct wharf_error *e);

/* What the specification requires is there, whoever made the spec. */
int spec_required_check(const struct container_spec *spec, struct wharf_error *e);

/* The CLONE_NEW* of the namespace that a sysctl belongs to; 0: none, it is the host's. */
int spec_sysctl_namespace(const char *key);
/* "a/b.c" means the sysctl a.b/c: writes it with dots between the parts into `ret`. */
void spec_sysctl_dots(const char *name, char *ret, size_t size);

/* A list ended by NULL, copied into the arena. */
int spec_copy_strings(struct arena *arena, const char *const list[], field_strings *ret,
                      struct wharf_error *e);

/* An empty spec with its arena, NULL when out of memory. */
struct container_spec *spec_alloc(void);

#endif
