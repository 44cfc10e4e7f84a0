/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a container's cgroup: create, attach, apply, save, load. See cgroup.h.
 *
 * With the FILES driver the groups are made first and the process is cloned or moved into them.
 * With systemd the order is turned round: a scope needs a process to exist, so create only checks,
 * and attach makes the scope and takes over the groups that it got.
 */
#include "libcontainer/cgroup/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/devices.h"
#include "libcontainer/cgroup/group.h"
#include "libcontainer/cgroup/limits.h"
#include "libcontainer/cgroup/systemd.h"

#define CGROUP_ARENA_MAX (1u << 20)

struct cgroup *cgroup_new(enum container_cgroups driver)
{
    struct cgroup *cg = calloc(1, sizeof(*cg));

    if (!cg)
        return NULL;
    cg->arena = arena_new(CGROUP_ARENA_MAX);
    cg->driver = driver == CONTAINER_CGROUPS_AUTO ? CONTAINER_CGROUPS_FILES : driver;
    cg->pressure = -1;
    cg->owner_uid = UINT32_MAX;
    if (!cg->arena) {
        free(cg);
        return NULL;
    }
    return cg;
}

void cgroup_close(struct cgroup *cg)
{
    if (!cg)
        return;
    for (size_t i = 0; i < cg->count; i++)
        fd_close(cg->groups[i].dir);
    fd_close(cg->pressure);
    systemd_unit_free(cg->unit);
    arena_free(cg->arena);
    free(cg);
}

/* Appends a group of the hierarchy, not opened yet. */
static struct group *add_group(struct cgroup *cg, const struct hierarchy *h, const char *path)
{
    struct group *g;

    if (cg->count == CGROUP_HIERARCHIES_MAX)
        return NULL;
    g = &cg->groups[cg->count];
    *g = (struct group){
        .path = arena_format(cg->arena, "%s%s", h->mount, path),
        .mount_len = strlen(h->mount),
        .options = h->options,
        .controllers = h->controllers,
        .v2 = h->v2,
        .dir = -1,
    };
    if (!g->path)
        return NULL;
    cg->count++;
    return g;
}

/* Without rights over a hierarchy a rootless container does without its group; a limit that asks
 * for one of its controllers was refused before, or will be by apply. */
static bool bearable(const struct cgroup *cg, int code)
{
    return cg->rootless && (code == -EACCES || code == -EPERM || code == -EROFS);
}

static int plan_groups(struct cgroup *cg, const struct hierarchies *all, struct wharf_error *e)
{
    for (size_t i = 0; i < all->count; i++) {
        struct group *g = add_group(cg, &all->items[i], cg->path);

        if (!g)
            return err_nomem(e);
        g->made = true;
    }
    return 0;
}

/* The planned groups; those that can be done without are taken out of the list. */
static int make_groups(struct cgroup *cg, struct wharf_error *e)
{
    bool adopt = cg->driver == CONTAINER_CGROUPS_SYSTEMD;
    unsigned ancestors[CGROUP_HIERARCHIES_MAX] = { 0 };
    size_t planned = cg->count;
    int r = 0;

    cg->count = 0;
    for (size_t i = 0; i < planned && r == 0; i++) {
        struct group *g = &cg->groups[cg->count];

        *g = cg->groups[i];
        g->made = false;
        r = group_make(g, adopt, &ancestors[cg->count], e);
        if (r == 0 && g->v2 && cg->owner_uid != UINT32_MAX)
            r = group_delegate(g, cg->owner_uid, e);
        if (r < 0) {
            group_unmake(g, ancestors[cg->count]);
            g->dir = fd_close(g->dir);
        } else {
            cg->count++;
        }
        if (bearable(cg, r))
            r = 0;
    }
    while (r < 0 && cg->count > 0) {
        cg->count--;
        group_unmake(&cg->groups[cg->count], ancestors[cg->count]);
        fd_close(cg->groups[cg->count].dir);
    }
    return r;
}

/* Where a rootless container may have a right to be: beside its runtime, below that one's parent
 * (the runtime's own group has processes, so it cannot pass controllers on). */
static int rootless_path(struct cgroup *cg, const struct hierarchies *all, const char *path,
                         char **ret, struct wharf_error *e)
{
    const struct hierarchy *h = &all->items[all->count - 1];
    autofree char *text = NULL;
    char *own, *whole;

    if (!h->v2 || file_read(AT_FDCWD, "/proc/self/cgroup", GROUP_PATH_MAX * 4, &text) < 0)
        return cgroup_path_clean(path, cg->arena, ret, e);
    own = hierarchy_own_group(h, text, cg->arena);
    if (own && strrchr(own, '/'))
        *strrchr(own, '/') = 0;
    whole = arena_format(cg->arena, "%s/%s", own ? own : "", path);
    return whole ? cgroup_path_clean(whole, cg->arena, ret, e) : err_nomem(e);
}

static int choose_path(struct cgroup *cg, const struct cgroup_options *o,
                       const struct hierarchies *all, struct wharf_error *e)
{
    const char *path = o->path && *o->path ? o->path : o->id;
    char *clean;
    int r;

    if (!path)
        return err_invalid(e, "a cgroup needs linux.cgroupsPath or a container id");
    r = cgroup_path_clean(path, cg->arena, &clean, e); /* before anything is put in front */
    if (r == 0 && cg->rootless && *path != '/')
        r = rootless_path(cg, all, clean + 1, &clean, e);
    if (r == 0)
        cg->path = clean;
    return r;
}

static uint32_t available(const struct hierarchies *all)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < all->count; i++)
        bits |= all->items[i].controllers;
    return bits;
}

int cgroup_plan(struct cgroup **ret, const struct cgroup_options *o, struct wharf_error *e)
{
    auto_of(cgroup_close) struct cgroup *cg = cgroup_new(o->driver);
    struct hierarchies all = { .count = 0 };
    int r = 0;

    if (!cg)
        return err_nomem(e);
    cg->rootless = o->rootless;
    cg->owner_uid = o->owner_uid;
    if (cg->driver != CONTAINER_CGROUPS_NONE)
        r = hierarchies_find(&all, cg->arena, e);
    if (r == -ENOENT && cg->rootless)
        r = 0;
    if (r == 0)
        r = limits_check(o->resources, available(&all), e);
    if (r == 0 && cg->driver == CONTAINER_CGROUPS_SYSTEMD)
        r = systemd_unit_new(&cg->unit, o, e);
    if (r == 0 && cg->driver == CONTAINER_CGROUPS_FILES && all.count > 0) {
        r = choose_path(cg, o, &all, e);
        if (r == 0)
            r = plan_groups(cg, &all, e);
    }
    if (r < 0)
        return r;
    *ret = take_ptr(&cg);
    return 0;
}

int cgroup_make(struct cgroup *cg, struct wharf_error *e)
{
    size_t planned = cg->count;
    int r = make_groups(cg, e);
    bool same = cg->count == planned;

    for (size_t i = 0; i < cg->count; i++)
        same = same && cg->groups[i].made;
    return r < 0 ? r : same ? 0 : 1;
}

int cgroup_create(struct cgroup **ret, const struct cgroup_options *options, struct wharf_error *e)
{
    auto_of(cgroup_close) struct cgroup *cg = NULL;
    int r = cgroup_plan(&cg, options, e);

    if (r == 0)
        r = cgroup_make(cg, e);
    if (r < 0)
        return r;
    *ret = take_ptr(&cg);
    return 0;
}

int cgroup_clone_fd(struct cgroup *cg)
{
    struct group *g = cgroup_v2(cg);
    int dir = g ? group_dir(g) : -1;

    return dir < 0 ? -1 : dir;
}

/* Into a group that was made a moment ago and of which nothing else is needed, by its path: on v1
 * that saves two of four system calls in each hierarchy. */
static int write_pid(struct group *g, const char *pid)
{
    char path[GROUP_PATH_MAX];

    if (g->dir >= 0 || !g->made)
        return group_write(g, "cgroup.procs", pid);
    if ((size_t)snprintf(path, sizeof(path), "%s/cgroup.procs", g->path) >= sizeof(path))
        return -ENAMETOOLONG;
    return file_write(AT_FDCWD, path, pid);
}

static int enter(struct group *g, const char *pid, struct wharf_error *e)
{
    int r = write_pid(g, pid);

    if (r == -EBUSY && g->v2)
        return err_set(
            e, r, WHARF_ERROR_CONFLICT,
            "cannot move process %s into cgroup '%s': it passes controllers on to groups "
            "below, so it may hold no process itself",
            pid, g->path);
    if (r < 0)
        return err_code(e, r, "cannot move process %s into cgroup '%s'", pid, g->path);
    return 0;
}

/* Where systemd put the process: below its own hierarchy, or v2's where that is the same. */
static int find_scope(struct cgroup *cg, const struct hierarchies *all, pid_t pid,
                      struct wharf_error *e)
{
    const struct hierarchy *own = &all->items[all->count - 1];
    autofree char *text = NULL;
    char path[32], *group;
    ssize_t n;

    for (size_t i = 0; i < all->count; i++)
        if (streq_null(all->items[i].options, "name=systemd"))
            own = &all->items[i];
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    n = file_read(AT_FDCWD, path, GROUP_PATH_MAX * 8, &text);
    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s'", path);
    group = hierarchy_own_group(own, text, cg->arena);
    if (!group)
        return err_unsupported(e, "'%s' does not list the hierarchy of systemd", path);
    return cgroup_path_clean(group, cg->arena, &cg->path, e);
}

/* Starts the scope, finds the groups that systemd made, makes those that it does not. */
static int adopt_scope(struct cgroup *cg, pid_t pid, struct wharf_error *e)
{
    struct hierarchies all;
    int r = systemd_unit_start(cg->unit, pid, e);

    if (r < 0)
        return r;
    r = hierarchies_find(&all, cg->arena, e);
    if (r == 0)
        r = find_scope(cg, &all, pid, e);
    if (r == 0)
        r = plan_groups(cg, &all, e);
    if (r == 0)
        r = make_groups(cg, e);
    if (r < 0)
        systemd_unit_stop(cg->unit, NULL);
    return r;
}

int cgroup_attach(struct cgroup *cg, pid_t pid, bool cloned, struct wharf_error *e)
{
    bool systemd = cg->driver == CONTAINER_CGROUPS_SYSTEMD;
    char text[16];
    int r = 0;

    snprintf(text, sizeof(text), "%d", (int)pid);
    if (systemd && cg->count == 0)
        r = adopt_scope(cg, pid, e);
    /* one after another without a pause: the kernel lets the later moves share the grace period
     * that the first one waits for */
    for (size_t i = 0; i < cg->count && r == 0; i++) {
        struct group *g = &cg->groups[i];

        if (!g->v2 || (!cloned && !systemd))
            r = enter(g, text, e);
    }
    return r;
}

int cgroup_open_entries(struct cgroup *cg, bool cloned, struct cgroup_entries *ret,
                        struct wharf_error *e)
{
    char path[GROUP_PATH_MAX];

    ret->count = 0;
    if (cg->driver == CONTAINER_CGROUPS_SYSTEMD)
        return 0;
    for (size_t i = 0; i < cg->count; i++)
        if (cg->groups[i].v2 && !cloned)
            return 0;
    for (size_t i = 0; i < cg->count; i++) {
        const struct group *g = &cg->groups[i];
        int fd = -1;

        if (g->v2)
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/tasks", g->path) < sizeof(path))
            fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            err_sys(e, "cannot open the tasks of cgroup '%s'", g->path);
            cgroup_close_entries(ret);
            return -errno;
        }
        ret->paths[ret->count] = g->path;
        ret->fds[ret->count++] = fd;
    }
    return 1;
}

void cgroup_close_entries(struct cgroup_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        fd_close(entries->fds[i]);
    entries->count = 0;
}

int cgroup_enter(struct cgroup_entries *entries, struct wharf_error *e)
{
    for (size_t i = 0; i < entries->count; i++)
        if (write(entries->fds[i], "0", 1) < 0)
            return err_sys(e, "cannot enter cgroup '%s'", entries->paths[i]);
    cgroup_close_entries(entries);
    return 0;
}

int cgroup_apply(struct cgroup *cg, const struct spec_resources *resources, bool fresh,
                 struct wharf_error *e)
{
    int r = 0;

    /* systemd first: it rounds what the files then get exactly */
    if (resources && cg->unit)
        r = systemd_unit_set(cg->unit, resources, e);
    if (r == 0 && resources)
        r = limits_apply(cg, resources, e);
    if (r == 0 && (fresh || (resources && resources->devices.count > 0)))
        r = devices_apply(cg, resources, fresh, e);
    return r;
}

/* One way in: the groups of these controllers use this path, "/a" or "" for the group itself. */
struct way {
    uint32_t controllers;
    char *below;
};

/* "cpu,memory:path" names the v1 controllers that shall use the path; without them all do. */
static int parse_way(const char *text, struct arena *arena, struct way *ret, struct wharf_error *e)
{
    const char *colon = strchr(text, ':');
    autofree char *words = NULL;
    int r = 0;

    *ret = (struct way){ UINT32_MAX, arena_str(arena, "") };
    if (colon && !memchr(text, '/', (size_t)(colon - text))) {
        words = strndup(text, (size_t)(colon - text));
        ret->controllers = words ? controllers_parse(words) : 0;
        if (ret->controllers == 0)
            return err_invalid(e, "unknown controllers in cgroup '%s'", text);
        text = colon + 1;
    }
    if (*text && !streq(text, "/"))
        r = cgroup_path_clean(text, arena, &ret->below, e);
    return r < 0 ? r : ret->below ? 0 : err_nomem(e);
}

static int parse_ways(const char *sub, struct arena *arena, struct way ways[CGROUP_HIERARCHIES_MAX],
                      size_t *ret_count, struct wharf_error *e)
{
    char *rest = arena_str(arena, sub), *line;
    size_t count = 0;

    if (!rest)
        return err_nomem(e);
    while ((line = strsep(&rest, "\n"))) {
        int r;

        if (count == CGROUP_HIERARCHIES_MAX)
            return err_invalid(e, "cgroup: more than %d paths", CGROUP_HIERARCHIES_MAX);
        r = parse_way(line, arena, &ways[count++], e);
        if (r < 0)
            return r;
    }
    *ret_count = count;
    return 0;
}

static int open_below(const struct group *from, const char *below, struct cgroup *copy,
                      struct wharf_error *e)
{
    struct group *g = &copy->groups[copy->count];
    int r;

    *g = *from;
    g->dir = -1;
    g->made = false;
    g->path = arena_format(copy->arena, "%s%s", from->path, below);
    g->options = from->options ? arena_str(copy->arena, from->options) : NULL;
    if (!g->path || (from->options && !g->options))
        return err_nomem(e);
    copy->count++;
    r = group_dir(g);
    return r < 0 ? err_code(e, r, "cannot open cgroup '%s'", g->path) : 0;
}

int cgroup_open_sub(struct cgroup *cg, const char *sub, struct cgroup **ret, struct wharf_error *e)
{
    auto_of(cgroup_close) struct cgroup *copy = cgroup_new(cg->driver);
    struct way ways[CGROUP_HIERARCHIES_MAX];
    size_t count = 0;
    int r = 0;

    if (!copy)
        return err_nomem(e);
    copy->rootless = cg->rootless;
    if (sub && *sub)
        r = parse_ways(sub, copy->arena, ways, &count, e);
    for (size_t i = 0; i < cg->count && r == 0; i++) {
        const char *below = "";

        for (size_t w = 0; w < count; w++) {
            if (ways[w].controllers == UINT32_MAX ||
                (cg->groups[i].controllers & ways[w].controllers))
                below = ways[w].below;
        }
        r = open_below(&cg->groups[i], below, copy, e);
    }
    if (r < 0)
        return r;
    *ret = take_ptr(&copy);
    return 0;
}

int cgroup_views(const struct cgroup *cg, struct arena *arena, struct cgroup_view **ret,
                 size_t *ret_count, struct wharf_error *e)
{
    struct cgroup_view *views = arena_array(arena, MAX(cg->count, (size_t)1), sizeof(*views));

    if (!views)
        return err_nomem(e);
    for (size_t i = 0; i < cg->count; i++) {
        const struct group *g = &cg->groups[i];
        char *mount = arena_strn(arena, g->path, g->mount_len);
        bool whole = g->v2 && cg->count == 1;

        views[i] = (struct cgroup_view){
            .name = whole   ? arena_str(arena, "")
                    : mount ? strrchr(mount, '/') + 1
                            : NULL,
            .options = g->options ? arena_str(arena, g->options) : NULL,
            .group = arena_str(arena, g->path),
            .v2 = g->v2,
        };
        if (!views[i].name || !views[i].group || (g->options && !views[i].options))
            return err_nomem(e);
    }
    *ret = views;
    *ret_count = cg->count;
    return 0;
}
