/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as a tar: POSIX ustar with pax records where ustar has no room (long names,
 * large files, extended attributes) [POSIX.1-2017 pax]. Owners, modes, times, hard links, devices;
 * sockets are left out. Contents go out by sendfile where that works. Only descriptors and single
 * names are used, so what is renamed meanwhile does not lead outside. Needs base_json_dep.
 *
 *     struct treetar t = { .fd = out };
 *     treetar_add(&t, root, ".", "", &e);          everything below `root`
 *     treetar_end(&t, &e);
 */
#ifndef BASE_TREETAR_H
#define BASE_TREETAR_H

#include <sys/stat.h>
#include "base/err.h"
#include "base/json.h"
#include "base/macros.h"

struct treetar {
    int fd;
    bool one_device; /* what is mounted in it is an empty directory */
    bool flat;       /* a directory alone, without what is in it */
    /* Whether the entry `path` goes in, with what is below it; NULL: everything. */
    bool (*wants)(void *user, const char *path);
    void *user;
    json_t *links; /* "device:inode" -> path, of files with several names; treetar_end frees it */
    dev_t device;
};

/* The entry `name` of `dir` and all below it, under the name `as` ("" leaves the top itself out).
 */
int treetar_add(struct treetar *t, int dir, const char *name, const char *as,
                struct wharf_error *e);
/* An empty regular file, such as a whiteout. */
int treetar_empty(struct treetar *t, const char *as, struct wharf_error *e);
/* The end of the archive. */
int treetar_end(struct treetar *t, struct wharf_error *e);

#endif
