/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extraction: the entries of one layer become a directory in overlayfs form, whatever they say.
 *
 * Containment: an entry's parent is opened by openat2 with RESOLVE_IN_ROOT below the layer's
 * directory (a symbolic link in the path leads to what it names inside the layer), and what is made
 * is one plain name in it, O_EXCL or O_NOFOLLOW. Descriptors of parents are cached by path, so a
 * small file costs six calls: openat, write, fchown, fchmod, utimensat, close.
 *
 * The trap: a cached descriptor outlives its name. So whenever a directory or a link is removed the
 * whole cache is dropped.
 *
 * Each layer is unpacked alone. A directory that the layer needs but does not list is made 0755 and
 * noted in `implied`; overlayfs would show its attributes over the lower layers', so the caller
 * copies the lower ones (extract_settle) once the layers below are there.
 */
#ifndef LIBIMAGE_EXTRACT_H
#define LIBIMAGE_EXTRACT_H

#include "base/buf.h"
#include "libimage/tar.h"

enum {
    EXTRACT_CACHE = 32,            /* directories held open */
    EXTRACT_TIMES_MAX = 2 << 20,   /* bytes of directory times noted before they are set */
    EXTRACT_IMPLIED_MAX = 4 << 20, /* bytes of paths of unlisted directories */
};

struct extract {
    int root;                 /* the layer's directory, the caller's */
    const char *what;         /* the layer, in messages */
    const char *xattr_opaque; /* trusted.overlay.opaque or user.overlay.opaque */
    struct image_limits limits;
    enum image_devices devices;
    bool plain;     /* not a layer: a name that begins with .wh. is a name like any other */
    bool keep_kind; /* a directory does not become something else, nor the reverse */
    bool owned;     /* everything belongs to: */
    uid_t uid;
    gid_t gid;
    int64_t bytes, entries, device_count;
    struct buf times;   /* struct timespec + path, NUL */
    struct buf implied; /* paths, NUL behind each */
    unsigned turn;
    struct {
        int fd;
        char *path;
    } cache[EXTRACT_CACHE];
};

void extract_init(struct extract *x, int root, const char *what);
void extract_done(struct extract *x);
/* Everything in the tar; then the directories' times. */
int extract_all(struct extract *x, struct tar *t, struct wharf_error *e);
/* Gives unlisted directories the attributes that they have in the layers below, top first. */
int extract_settle(struct extract *x, const int *lower, size_t count, struct wharf_error *e);

#endif
