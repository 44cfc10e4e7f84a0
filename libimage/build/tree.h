/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instruction reads: files chosen out of a directory (the context, another stage), listed
 * and hashed. The list is what will be copied, so what was hashed and what is copied cannot differ
 * but by a change of the file in between.
 *
 * The digest of a file covers its name as it will be, type, mode, owner where that is kept, the
 * target of a link, and the content; not its times.
 */
#ifndef LIBIMAGE_BUILD_TREE_H
#define LIBIMAGE_BUILD_TREE_H

#include <sys/stat.h>
#include "libimage/build/work.h"

enum { TREE_ENTRIES_MAX = 4000000, TREE_SOURCES_MAX = 65536 };

struct tree_entry {
    const char *path; /* below the source, "" is the source itself */
    const char *to;   /* below the destination, "" likewise */
    const char *link; /* of a symbolic link */
    struct stat st;
    int fd; /* of the source */
};

/* A source as it was named. */
struct tree_source {
    const char *name;    /* its last part */
    size_t first, count; /* entries; the first is the source itself */
    bool keep_path;      /* --parents: `to` of its entries already says where */
};

struct tree {
    struct stage_work *s;
    int root;
    const struct glob_list *ignore; /* of the context; NULL: none */
    struct glob_list exclude;       /* --exclude */
    bool owners;                    /* keep them; else everything is root's */
    bool parents;
    LIST_OF(struct tree_entry) entries;
    LIST_OF(struct tree_source) sources;
    LIST_OF(int) fds;
    struct key key; /* begun by tree_open */
};

void tree_open(struct tree *t, struct stage_work *s, int root);
/* Adds what a path or pattern names. -ENOENT: nothing, in dockerd's words. */
int tree_add(struct tree *t, const char *path, struct wharf_error *e);
void tree_done(struct tree *t);
#define autotree __attribute__((cleanup(tree_done)))

/* The digest of everything below a path, for mounts: the same as tree_add and the key. */
int tree_digest(struct stage_work *s, int root, const struct glob_list *ignore, const char *path,
                char ret[KEY_MAX], struct wharf_error *e);

/* Opens an entry to be read. */
int tree_open_file(const struct tree_entry *entry);

#endif
