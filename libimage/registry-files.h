/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a registry: repositories, links, lists. The layout is in registry-server.h. */
#ifndef LIBIMAGE_REGISTRY_FILES_H
#define LIBIMAGE_REGISTRY_FILES_H

#include "libimage/registry-server.h"

struct registry {
    char *path;
    int pool, repositories; /* ROOT/blobs, ROOT/registry */
    bool read_only;
    int64_t upload_seconds;
};

bool registry_name_valid(const char *name);
bool registry_tag_valid(const char *tag);

/* A descriptor of NAME/_KIND, O_RDONLY; with `make` it is made. -ENOENT. */
int registry_open_dir(const struct registry *r, const char *name, const char *kind, bool make);
/* Opens NAME/_KIND/ENTRY for reading. -ENOENT. */
int registry_open_entry(const struct registry *r, const char *name, const char *kind,
                        const char *entry);
bool registry_has(const struct registry *r, const char *name, const char *kind, const char *entry);
int registry_remove(const struct registry *r, const char *name, const char *kind,
                    const char *entry);
int registry_write(const struct registry *r, const char *name, const char *kind, const char *entry,
                   const char *text, size_t len);
/* Reads a small entry: its length, or -errno. */
ssize_t registry_read(const struct registry *r, const char *name, const char *kind,
                      const char *entry, size_t max, char **ret);

/* A verified, open file (`upload` in `dir`) becomes content `digest` of NAME/_KIND; one copy is
 * kept in the pool. The name in `dir` goes. */
int registry_adopt(const struct registry *r, int dir, const char *upload, const char *name,
                   const char *kind, const struct digest *digest);
/* NAME/_blobs gets what FROM/_blobs has. -ENOENT. */
int registry_mount(const struct registry *r, const char *from, const char *name,
                   const struct digest *digest);
/* The same from whichever repository has it. */
int registry_mount_any(const struct registry *r, const char *name, const struct digest *digest);
/* Removes uploads of a repository that nobody has touched for too long. */
void registry_expire_uploads(const struct registry *r, const char *name);
/* Removes content from a repository, and from the pool when it was the last to hold it. */
int registry_drop(const struct registry *r, const char *name, const char *kind,
                  const struct digest *digest);

/* The entries of NAME/_KIND in ASCII order; no such directory: an empty list. */
int registry_list(const struct registry *r, const char *name, const char *kind, char ***ret);
/* All repositories, likewise. */
int registry_catalog(const struct registry *r, char ***ret);

#endif
