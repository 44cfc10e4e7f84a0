/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing into a root on behalf of COPY, ADD and WORKDIR. The root belongs to an image's author:
 * every path is resolved below its descriptor as if it were "/", and what is made is one plain name
 * in an opened directory.
 *
 * Links: those on the way to the destination are followed, and so is the destination itself. Below
 * it nothing is followed: what stands where something shall go is replaced, but for a directory
 * under a directory.
 */
#ifndef LIBIMAGE_BUILD_TARGET_H
#define LIBIMAGE_BUILD_TARGET_H

#include "libimage/build/owner.h"
#include "libimage/build/tree.h"

struct target {
    int root;
    const struct owner *owner; /* NULL: as the source has it, and root for what is made up */
    const char *mode;          /* --chmod, NULL: as the source has it */
    struct arena *arena;
};

/* Makes a directory and its parents: a descriptor to read it, the caller's, or -errno. */
int target_directory(struct target *t, const char *path, struct wharf_error *e);
/* True if the path leads to a directory. */
bool target_is_directory(struct target *t, const char *path);
/* Copies a source: a directory's children into the directory `path`, anything else to be `path`. */
int target_copy(struct target *t, const struct tree *tree, const struct tree_source *source,
                const char *path, struct wharf_error *e);
/* A regular file out of a descriptor, from its beginning. */
int target_file(struct target *t, const char *path, int from, const struct stat *st,
                struct wharf_error *e);

#endif
