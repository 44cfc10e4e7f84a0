/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's half of mounts: targets resolved once, file systems put on descriptors. See mount.h.
 *
 * The trap in every line here: the root belongs to an image's author, and a volume in it to a
 * container that may be running and renaming. What was looked at by path a moment ago is not what
 * the same path names now.
 */
#include "libcontainer/mount.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "base/str.h"

int mount_clone(int dir, const char *path, unsigned flags)
{
    unsigned empty = *path ? 0 : AT_EMPTY_PATH;
    int fd = open_tree(dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags | empty);

    return fd < 0 ? -errno : fd;
}

int mount_change(int fd, const struct mount_change *change)
{
    struct mount_attr attr = change->attr;

    return mount_setattr(fd, "", AT_EMPTY_PATH | change->flags, &attr, sizeof(attr)) < 0 ? -errno
                                                                                         : 0;
}

/* open_tree_attr(2), Linux 6.15: clone and attributes in one call */
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

int mount_clone_readonly(int fd)
{
    const struct mount_change readonly = { .attr.attr_set = MOUNT_ATTR_RDONLY,
                                           .flags = AT_RECURSIVE };
    struct mount_attr attr = readonly.attr;
    autoclose int tree = -1;
    int r;

    tree = (int)syscall(SYS_open_tree_attr, fd, "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE, &attr,
                        sizeof(attr));
    if (tree >= 0)
        return take_fd(&tree);
    if (errno != ENOSYS && errno != EPERM) /* EPERM: an outer container's seccomp filter */
        return -errno;
    tree = mount_clone(fd, "", AT_RECURSIVE);
    if (tree < 0)
        return tree;
    r = mount_change(tree, &readonly);
    return r < 0 ? r : take_fd(&tree);
}

int mount_attach(int tree, int target)
{
    return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

int mount_on(int target, const char *source, const char *type, unsigned long flags,
             const char *data)
{
    if (fchdir(target) < 0 || mount(source, ".", type, flags, data) < 0)
        return -errno;
    return 0;
}

/* Gives one option word to a file system context. */
static int configure(int context, const char *word)
{
    const char *equals = strchr(word, '=');
    char key[NAME_MAX + 1];
    size_t n;

    if (!equals)
        return fsconfig(context, FSCONFIG_SET_FLAG, word, NULL, 0) < 0 ? -errno : 0;
    n = (size_t)(equals - word);
    if (n > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(key, word, n);
    key[n] = 0;
    return fsconfig(context, FSCONFIG_SET_STRING, key, equals + 1, 0) < 0 ? -errno : 0;
}

/* MS_* flags that belong to the superblock, by the names that fsconfig(2) knows. */
static const struct {
    unsigned long flag;
    const char *word;
} super_words[] = {
    { MS_RDONLY, "ro" },         { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" },
    { MS_LAZYTIME, "lazytime" }, { MS_MANDLOCK, "mand" },
};

int mount_detached(const char *type, const char *source, const field_strings *words,
                   unsigned long super_flags, uint64_t attributes)
{
    autoclose int context = fsopen(type, FSOPEN_CLOEXEC);
    int fd, r = 0;

    if (context < 0)
        return -errno;
    if (source && fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(super_words) && r == 0; i++) {
        if (super_flags & super_words[i].flag)
            r = configure(context, super_words[i].word);
    }
    for (size_t i = 0; words && i < words->count && r == 0; i++)
        r = configure(context, words->items[i]);
    if (r < 0)
        return r;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attributes);
    return fd < 0 ? -errno : fd;
}

/* ---- targets ---- */

/* Makes the last part of a plain path whose parent exists: the ordinary case of a missing target.
 * -ENOENT, -ELOOP: not so simple. */
static int make_plain(int root, const char *path, bool directory)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char text[PATH_MAX];
    autoclose int parent = -1;
    int r;

    if ((size_t)(name - path) >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(text, path, (size_t)(name - path));
    text[slash ? slash - path : 0] = 0;
    parent = path_open_plain(root, *text ? text : ".", O_PATH | O_DIRECTORY, 0);
    if (parent < 0)
        return parent;
    r = directory ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0755, 0);
    if (r < 0 && errno != EEXIST)
        return -errno;
    return path_open_plain(parent, name, O_PATH, 0);
}

/* Resolves with symbolic links, inside the root; what is missing is made. Not in procfs: a mount
 * there would hide what the kernel tells, or lift a label (CVE-2015-3631). */
static int open_linked(int root, const struct mount_step *step, struct wharf_error *e)
{
    const char *path = step->destination;
    autoclose int fd = -1;
    struct statfs fs;

    fd = path_open_in(root, path, O_PATH | (step->nofollow ? O_NOFOLLOW : 0), 0);
    if (fd == -ENOENT)
        fd = step->directory ? path_make_dirs_in(root, path, 0755)
                             : path_make_file_in(root, path, 0755);
    if (fd < 0)
        return err_code(e, fd, "cannot open or make mount point '%s'", path);
    if (fstatfs(fd, &fs) < 0)
        return err_sys(e, "cannot examine mount point '%s'", path);
    if (fs.f_type == PROC_SUPER_MAGIC)
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "mount point '%s' leads into /proc, where nothing may be mounted", path);
    return take_fd(&fd);
}

/* A path without symbolic links is what its text says, and the parent checked the text: no further
 * look is needed. */
int mount_target(int root, const struct mount_step *step, struct wharf_error *e)
{
    const char *path = step->destination + 1;
    int fd = path_open_plain(root, path, O_PATH, 0);

    if (fd == -ENOENT)
        fd = make_plain(root, path, step->directory);
    if (fd >= 0)
        return fd;
    if (step->plain)
        return err_set(e, -ENOTDIR, WHARF_ERROR_INVALID,
                       "'%s' in the root must be an ordinary directory, no symbolic link: %s",
                       step->destination, strerrordesc_np(-fd));
    if (fd != -ELOOP && fd != -ENOENT)
        return err_code(e, fd, "cannot open or make mount point '%s'", step->destination);
    return open_linked(root, step, e);
}

/* ---- steps ---- */

static int run_changes(int fd, const struct mount_step *step, struct wharf_error *e)
{
    for (unsigned i = 0; i < step->change_count; i++) {
        int r = mount_change(fd, &step->changes[i]);

        if (r < 0)
            return err_code(e, r, "cannot set the attributes of mount '%s'", step->destination);
    }
    return 0;
}

int mount_step_open(struct mount_step *step, struct wharf_error *e)
{
    autoclose int tree = mount_clone(AT_FDCWD, step->source, step->clone_flags);
    int r;

    if (tree < 0)
        return err_code(e, tree, "cannot bind '%s' for mount '%s'", step->source,
                        step->destination);
    r = run_changes(tree, step, e);
    if (r == 0)
        step->tree = take_fd(&tree);
    return r;
}

static int run_bind(int target, const struct mount_step *step, struct wharf_error *e)
{
    int r = mount_attach(step->tree, target);

    if (r == -ENOTDIR)
        return err_set(e, r, WHARF_ERROR_INVALID,
                       "cannot mount '%s' at '%s': one is a directory, the other is not",
                       step->source, step->destination);
    return r < 0 ? err_code(e, r, "cannot mount '%s' at '%s'", step->source, step->destination) : 0;
}

/* Instead of a file system that the kernel refused. */
static int run_new(int target, const struct mount_step *step, struct wharf_error *e);

static int run_fallback(int target, struct mount_step *step, struct wharf_error *e)
{
    int r = 0;

    if (step->kind == MOUNT_KIND_NEW)
        return run_new(target, step, e);
    if (step->tree < 0)
        r = mount_step_open(step, e);
    return r < 0 ? r : run_bind(target, step, e);
}

static int run_context(int target, const struct mount_step *step, struct wharf_error *e)
{
    autoclose int fd = mount_detached(step->type, step->source, &step->words, step->flags,
                                      step->copy_up ? 0 : step->attributes);
    int r;

    if (fd < 0)
        return fd;
    if (step->copy_up) {
        const struct mount_change change = { .attr.attr_set = step->attributes };

        r = mount_copy_up(target, fd);
        if (r < 0)
            return err_code(e, r, "cannot copy what is in '%s' up into its tmpfs",
                            step->destination);
        r = mount_change(fd, &change);
        if (r < 0)
            return r;
    }
    r = run_changes(fd, step, e);
    return r < 0 ? r : mount_attach(fd, target);
}

static int run_new(int target, const struct mount_step *step, struct wharf_error *e)
{
    int r = step->by_context ? run_context(target, step, e)
                             : mount_on(target, step->source, step->type, step->flags, step->data);

    if ((r == -EPERM || r == -EBUSY) && step->fallback)
        return run_fallback(target, step->fallback, e);
    return r < 0 ? err_code(e, r, "cannot mount '%s' (%s) at '%s'%s%s", step->source, step->type,
                            step->destination, step->data ? " with options " : "",
                            step->data ? step->data : "")
                 : 0;
}

/* Below a tmpfs of ours, or as crun's copy-symlink asks. */
static int run_symlink(int root, const struct mount_step *step, struct wharf_error *e)
{
    const char *name = strrchr(step->destination, '/') + 1;
    char parent[PATH_MAX], found[PATH_MAX];
    autoclose int dir = -1;
    ssize_t n;

    if (snprintf(parent, sizeof(parent), "%.*s", (int)(name - step->destination),
                 step->destination) >= PATH_MAX)
        return err_code(e, -ENAMETOOLONG, "cannot make link '%s'", step->destination);
    dir = path_make_dirs_in(root, parent, 0755);
    if (dir < 0)
        return err_code(e, dir, "cannot make link '%s'", step->destination);
    if (symlinkat(step->source, dir, name) == 0)
        return 0;
    if (errno != EEXIST)
        return err_sys(e, "cannot make link '%s'", step->destination);
    n = readlinkat(dir, name, found, sizeof(found) - 1);
    found[MAX(n, 0)] = 0;
    return streq(found, step->source)
               ? 0
               : err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                         "cannot make link '%s': something else is there", step->destination);
}

int mount_step_run(int root, const struct mount_step *step, struct wharf_error *e)
{
    autoclose int target = -1;

    if (step->kind == MOUNT_KIND_SYMLINK)
        return run_symlink(root, step, e);
    target = mount_target(root, step, e);
    if (target < 0)
        return target;
    switch (step->kind) {
    case MOUNT_KIND_BIND:
        return run_bind(target, step, e);
    case MOUNT_KIND_NEW:
        return run_new(target, step, e);
    default:
        return run_changes(target, step, e);
    }
}
