/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of elsewhere a container sees: Binds, Mounts, VolumesFrom and Volumes become one list
 * when it is created, stored with its record and shown by inspect; volumes are made and marked as
 * used then. A start opens what the list names. (Tmpfs of HostConfig is no part of it, as in
 * docker.)
 */
#ifndef ENGINE_MOUNTS_H
#define ENGINE_MOUNTS_H

#include "engine/internal.h"
#include "volume/volume.h"

#define MOUNTS_TEXT_MAX (1u << 20)
#define MOUNTS_MAX      1024

struct mount_point {
    char *type; /* bind, volume, tmpfs, image */
    char *name; /* of a volume */
    char *source, *destination, *driver, *mode, *propagation;
    bool rw;
    /* what inspect does not show */
    char *options; /* of OCI's mount, separated by commas */
    char *subpath;
    bool create; /* a bind's source that is missing becomes a directory */
    bool copy;   /* a volume that is empty is filled from the image */
};
struct mounts {
    LIST_OF(struct mount_point) list;
};

/* Reads "[source:]target[:mode]". Type and all that follows from the text alone. */
int mount_parse_bind(const char *text, const char *driver, struct arena *arena,
                     struct mount_point *ret, struct wharf_error *e);
/* The same of an element of Mounts. */
int mount_parse(const struct settings_mount *m, struct arena *arena, struct mount_point *ret,
                struct wharf_error *e);

/* The whole list for a container that is being created as `id`: volumes exist and are in its use
 * afterwards, also on failure (mounts_release). */
int mounts_resolve(struct engine *en, struct principal who, const struct settings *s,
                   const char *id, struct arena *arena, struct mounts *ret, struct wharf_error *e);
/* Fills empty volumes from the container's root, a mount. */
int mounts_copy_up(struct engine *en, const struct mounts *mounts, int root, struct wharf_error *e);
bool mounts_want_copy(const struct mounts *mounts);
int mounts_release(struct engine *en, const char *id, bool anonymous, struct wharf_error *e);

/* The record's text, and back. */
int mounts_write(const struct mounts *mounts, char **ret, struct wharf_error *e);
int mounts_read(const char *text, struct arena *arena, struct mounts *ret, struct wharf_error *e);
json_t *mounts_json(const struct mounts *mounts); /* docker's form */

/* What a start mounts. Descriptors that sources point to are added to `fds` (ended by -1) and must
 * live until the container runs. */
#define MOUNT_FDS_MAX 64
int mounts_open(struct engine *en, const struct mounts *mounts, bool restarts, struct arena *arena,
                struct oci_input *ret, int fds[MOUNT_FDS_MAX + 1], struct wharf_error *e);

#endif
