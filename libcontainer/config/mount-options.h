/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount's option words (config.md "Linux mount options") taken apart once, into what the mount
 * API wants: attributes for mount_setattr(2) or fsmount(2), a propagation, flags of the superblock,
 * and the words that are the file system's own.
 *
 * A later word overrides an earlier one that says the opposite ("ro", "rw"), as in mount(8).
 */
#ifndef LIBCONTAINER_CONFIG_MOUNT_OPTIONS_H
#define LIBCONTAINER_CONFIG_MOUNT_OPTIONS_H

#include "base/fields.h"

/* Attributes to set and to clear: MOUNT_ATTR_*; for a time mode, clr holds MOUNT_ATTR__ATIME. */
struct mount_attributes {
    uint64_t set, clr;
};

enum mount_idmap {
    MOUNT_IDMAP_NONE,
    MOUNT_IDMAP_ONE,  /* "idmap": this mount */
    MOUNT_IDMAP_TREE, /* "ridmap": and those below it */
};

struct mount_options {
    struct mount_attributes one;  /* this mount alone: "ro", "nosuid", ... */
    struct mount_attributes tree; /* it and everything below: "rro", "rnosuid", ... */
    unsigned long propagation;    /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0 */
    bool propagation_tree;        /* MS_REC goes with it */
    unsigned long super_set;      /* superblock: MS_SYNCHRONOUS, MS_DIRSYNC, MS_LAZYTIME, ... */
    unsigned long super_clr;      /* words that clear one: "async", "nolazytime", ... */
    bool bind, bind_tree;         /* "bind" or type "bind"; "rbind" sets both */
    bool remount;
    bool tmpcopyup;                   /* the directory below is copied into the new tmpfs */
    bool src_nofollow, dest_nofollow; /* crun's: a symbolic link at the end is not followed */
    bool copy_symlink;                /* crun's: a source that is a link is copied as a link */
    enum mount_idmap idmap;
    field_strings data; /* the file system's own words, in order: "size=64k", "mode=755" */
};

/* Takes the options apart; `bind` says that the mount's type is "bind". A word that is not in the
 * table goes to `data`, and on a bind mount is -EINVAL with its name. The words in `data` are those
 * of `options`; the list itself comes from `arena`. */
int mount_options_parse(const field_strings *options, bool bind, struct arena *arena,
                        struct mount_options *ret, struct wharf_error *e);

/* Every word of the table for `features`, sorted, ended by NULL: a new array of static strings;
 * NULL when out of memory. */
const char **mount_options_names(void);

#endif
