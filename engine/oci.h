/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what was asked for (settings, the image's part merged in) to OCI config.json, with docker's
 * defaults: its fourteen capabilities, masked and read-only paths, devices, mounts, seccomp
 * profile. Pure: reads nothing, opens nothing; the same input gives the same text.
 */
#ifndef ENGINE_OCI_H
#define ENGINE_OCI_H

#include "base/arena.h"
#include "base/buf.h"
#include "engine/settings.h"
#include "engine/users.h"

#define OCI_TEXT_MAX (4u << 20)
#define OCI_INIT     "/sbin/docker-init" /* where programs look for it (HostConfig.Init) */

/* A device beside those that every container has. */
struct oci_device {
    const char *path; /* in the container */
    char type;        /* 'c' or 'b' */
    uint32_t major, minor, mode, uid, gid;
    const char *access; /* "rwm" or part of it; NULL: no rule of its own */
};
struct oci_devices {
    struct oci_device *items;
    size_t count;
};

/* A directory where containers meet, and its address in the environment (channels.h). */
struct oci_channel {
    const char *source, *target, *env;
    bool read_only;
};
struct oci_channels {
    struct oci_channel *items;
    size_t count;
};

/* A mount that was asked for; `options` separated by commas. */
struct oci_mount {
    const char *target, *type, *source, *options;
};
struct oci_mounts {
    struct oci_mount *items;
    size_t count;
};

/* A limit on one block device. */
enum oci_throttle_kind {
    OCI_WEIGHT,
    OCI_READ_BPS,
    OCI_WRITE_BPS,
    OCI_READ_IOPS,
    OCI_WRITE_IOPS,
};
struct oci_throttle {
    enum oci_throttle_kind kind;
    uint32_t major, minor;
    uint64_t value;
};
struct oci_throttles {
    struct oci_throttle *items;
    size_t count;
};

/* Paths of another container's namespaces; NULL: an own one, or the host's. */
struct oci_joined {
    const char *network, *pid, *ipc;
};

struct oci_input {
    const char *id;
    const char *hostname;
    const char *etc;                 /* directory of hosts, hostname and resolv.conf, absolute */
    const struct settings *settings; /* with the image's part in it (settings_merge) */
    const struct user *user;
    struct oci_devices devices;
    struct oci_channels channels;
    struct oci_mounts mounts;
    struct oci_throttles throttles;
    struct oci_joined joined;
    const char *shm;         /* a directory to be /dev/shm; NULL: a tmpfs of its own */
    const char *propagation; /* of the root; NULL: private */
    const char *init;        /* the program that becomes OCI_INIT, pid 1; NULL: none */
    uint64_t rows, columns;  /* of the terminal; 0: unknown */
};

/* The command that will run: entrypoint, then arguments. -EINVAL: none. */
int oci_command(const struct settings *settings, struct arena *arena, field_strings *ret,
                struct wharf_error *e);

/* Appends config.json to `b`. */
int oci_config(const struct oci_input *input, struct arena *arena, struct buf *b,
               struct wharf_error *e);

/* Appends the limits alone: an object "resources" for container_update. */
void oci_resources(const struct oci_input *input, struct buf *b);

/* What a container that says nothing else cannot see, and cannot write. */
const char *const *oci_masked_paths(size_t *ret_count);
const char *const *oci_readonly_paths(size_t *ret_count);

/* What exec asks for beside the container's own settings. */
struct oci_exec {
    field_strings args, env;
    const char *working_dir; /* NULL: the container's */
    bool tty, privileged;
    uint64_t rows, columns;
};

/* Appends a "process" object for one more process in the container. */
int oci_process(const struct oci_input *input, const struct oci_exec *exec, struct arena *arena,
                struct buf *b, struct wharf_error *e);

#endif
