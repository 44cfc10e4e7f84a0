/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what was asked for (settings) and what the image says to OCI config.json, with docker's
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

/* What the image contributes. Lists end with NULL, strings are "" when absent (as image_info). */
struct oci_image {
    char **env, **entrypoint, **cmd;
    const char *user, *working_dir;
};

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

struct oci_input {
    const char *id;
    const char *hostname;
    const char *directory; /* of the container, absolute: hosts, hostname, resolv.conf are there */
    const struct settings *settings;
    const struct oci_image *image;
    const struct user *user;
    struct oci_devices devices;
    struct oci_channels channels;
    uint64_t rows, columns; /* of the terminal; 0: unknown */
};

/* The command that will run: entrypoint and arguments of settings over the image's. -EINVAL: none.
 */
int oci_command(const struct settings *settings, const struct oci_image *image, struct arena *arena,
                field_strings *ret, struct wharf_error *e);

/* Appends config.json to `b`. */
int oci_config(const struct oci_input *input, struct arena *arena, struct buf *b,
               struct wharf_error *e);

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
