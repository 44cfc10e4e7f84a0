/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container changed of its image's files, and from that a layer: its upper directory says
 * which paths, the layers below whether they were there, the mounted root what they hold now.
 * What a start makes in the root as places to mount on is no change.
 */
#include "engine/changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include "base/fd.h"
#include "base/str.h"
#include "base/treetar.h"
#include "engine/mounts.h"

enum { DEPTH_MAX = 512 };

struct walk {
    const struct image_root_info *info;
    const struct mounts *mounts;
    struct changes *out;
    struct wharf_error *e;
};

/* Made in every root by the start (oci-mounts.c). */
static const char *const places[] = {
    "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/chan",
};

static bool is_place(const struct walk *w, const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const char *rest = str_after(path, places[i]);

        if (rest && (!*rest || (*rest == '/' && streq(places[i], "/dev"))))
            return true;
    }
    for (size_t i = 0; i < w->mounts->list.count; i++) {
        if (streq(w->mounts->list.items[i].destination, path))
            return true;
    }
    return false;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd)
{
    char value[4];

    return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

/* As the layers below have it: 0, or -ENOENT. */
static int stat_below(const struct walk *w, const char *path, struct stat *ret)
{
    for (size_t i = 0; i < w->info->lower_count; i++) {
        autoclose int fd = path_open_plain(w->info->lower[i], path + 1, O_PATH | O_NOFOLLOW, 0);

        if (fd >= 0 && fstat(fd, ret) == 0)
            return is_whiteout(ret) ? -ENOENT : 0;
    }
    return -ENOENT;
}

static int note(struct walk *w, const char *path, enum change kind)
{
    struct changes *c = w->out;

    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 64;
        struct changed *items = reallocarray(c->items, room, sizeof(*items));

        if (!items)
            return -ENOMEM;
        c->items = items;
        c->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    c->items[c->count++] = (struct changed){ copy, kind, false };
    return 0;
}

static int walk_directory(struct walk *w, int dir, const char *path, unsigned depth);

/* A directory counts as modified when something in it is, or its owner or mode; its time alone does
 * not: a start that makes places to mount on changes that. */
static int walk_child(struct walk *w, int dir, const char *name, const char *path, unsigned depth)
{
    struct stat st, below;
    size_t before = w->out->count;
    int r = 0;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (is_place(w, path))
        return 0;
    if (is_whiteout(&st))
        return note(w, path, CHANGE_DELETED);
    bool there = stat_below(w, path, &below) == 0;
    if (!S_ISDIR(st.st_mode))
        return note(w, path, there ? CHANGE_MODIFIED : CHANGE_ADDED);
    bool differs = !there || !S_ISDIR(below.st_mode) || below.st_mode != st.st_mode ||
                   below.st_uid != st.st_uid || below.st_gid != st.st_gid;
    /* the directory stands in front of what is in it: taken back if nothing is */
    r = note(w, path, there ? CHANGE_MODIFIED : CHANGE_ADDED);
    autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r == 0 && fd >= 0 && there && is_opaque(fd))
        differs = w->out->items[before].opaque = true;
    if (r == 0 && fd >= 0 && depth < DEPTH_MAX)
        r = walk_directory(w, fd, path, depth + 1);
    if (r == 0 && !differs && w->out->count == before + 1)
        free(w->out->items[--w->out->count].path);
    return r;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk_directory(struct walk *w, int dir, const char *path, unsigned depth)
{
    autostrv char **names = NULL;
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);

    if (!list) {
        fd_close(copy);
        return -errno;
    }
    for (struct dirent *d; r == 0 && (d = readdir(list));) {
        if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
            r = strv_add(&names, d->d_name);
    }
    closedir(list);
    size_t count = names ? strv_count((const char *const *)names) : 0;
    if (count > 1)
        qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; r == 0 && i < count; i++) {
        autofree char *below = str_format("%s/%s", path, names[i]);

        r = below ? walk_child(w, dir, names[i], below, depth) : -ENOMEM;
    }
    return r;
}

void changes_done(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].path);
    free(c->items);
    *c = (struct changes){ 0 };
}

int changes_collect(struct engine *en, const struct record *r, struct changes *ret,
                    struct wharf_error *e)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    autoclose int dir = container_directory(en, r->id);
    struct image_store *images;
    struct image_root *root;
    struct mounts mounts;
    struct changes found = { 0 };
    int code = dir < 0 ? err_code(e, dir, "cannot open the directory of container %s", r->id)
                       : engine_images(en, (struct principal){ 0 }, &images, e);

    if (code == 0)
        code = arena ? mounts_read(r->mounts, arena, &mounts, e) : err_nomem(e);
    if (code == 0)
        code = image_root_open(images, r->id, dir, &root, e);
    if (code < 0)
        return code;
    struct walk w = { image_root_info(root), &mounts, &found, e };
    if (w.info->kind != IMAGE_ROOT_OVERLAY)
        code = err_unsupported(e,
                               "container %s has a root without layers: its changes are not "
                               "known",
                               r->id);
    else
        code = walk_directory(&w, w.info->upper, "", 0);
    image_root_free(root);
    if (code < 0) {
        changes_done(&found);
        return e && e->code ? code : err_code(e, code, "cannot compare container %s", r->id);
    }
    *ret = found;
    return 0;
}

int engine_container_changes(struct engine *en, struct principal who, const char *reference,
                             json_t **ret, struct wharf_error *e)
{
    autorecord struct record r = { 0 };
    struct changes changes = { 0 };
    json_t *list = json_array();
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code == 0)
        code = changes_collect(en, &r, &changes, e);
    for (size_t i = 0; code == 0 && i < changes.count; i++)
        json_array_append_new(list, json_pack("{s:s s:i}", "Path", changes.items[i].path, "Kind",
                                              (int)changes.items[i].kind));
    changes_done(&changes);
    if (code == 0)
        *ret = json_incref(list);
    json_decref(list);
    return code;
}
