/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount of type "cgroup" taken apart into ordinary steps, so that the child knows nothing of
 * cgroups.
 *
 * v2: one cgroup2 mount; the cgroup namespace, if there is one, makes the container's group its
 * root. v1: a tmpfs with a directory for each hierarchy, links for controllers that share one
 * ("cpu" -> "cpu,cpuacct"), made read-only at the end if asked for. With a cgroup namespace each
 * hierarchy is mounted anew; without, the container's own group is bound, so that release_agent of
 * the hierarchy's root is out of reach (CVE-2022-0492).
 *
 * A group that the container may not own is bound read-only: rootless without a cgroup namespace
 * (CVE-2023-25809), and a group that is the hierarchy's root.
 */
#include "libcontainer/mount.h"

#include <sched.h>
#include <string.h>
#include "base/str.h"

struct cgroup_mount {
    struct mount_planner *p;
    const char *destination;
    const struct mount_options *options;
    struct mount_options bind; /* the same, for binds of the host's groups */
    bool namespaced;
};

static int add_new(struct cgroup_mount *c, const char *destination, const char *type,
                   const struct mount_options *options, struct mount_step **ret)
{
    struct mount_step *step = mount_plan_new(c->p, destination, type, type, options);

    if (!step)
        return err_nomem(c->p->e);
    mount_plan_add(c->p, step);
    if (ret)
        *ret = step;
    return 0;
}

/* A host's group at `destination`, as a step that is not hung yet. */
static int bind_group(struct cgroup_mount *c, const char *destination, const char *group, bool root,
                      struct mount_step **ret)
{
    struct mount_options bind = c->bind;

    if (root)
        bind.tree.set |= MOUNT_ATTR_RDONLY;
    return mount_plan_bind(c->p, destination, group, &bind, -1, ret);
}

/* A user namespace that does not own the cgroup namespace may not mount cgroup2 (EPERM), nor any
 * nested one (EBUSY): then the host's view is bound. */
static int plan_unified(struct cgroup_mount *c, const char *destination, const char *group)
{
    struct mount_step *step = NULL;
    int r = add_new(c, destination, "cgroup2", c->options, &step);

    if (r < 0 || !group || !spec_namespace_find(c->p->spec, CLONE_NEWUSER))
        return r;
    return bind_group(c, destination, group, false, &step->fallback);
}

/* "cpu" -> "cpu,cpuacct" and "cpuacct" -> "cpu,cpuacct". */
static int plan_links(struct cgroup_mount *c, const char *name)
{
    for (const char *word = name; strchr(name, ',') && *word;) {
        size_t n = strcspn(word, ",");
        struct mount_step *step = arena_alloc(c->p->arena, sizeof(*step));

        if (!step)
            return err_nomem(c->p->e);
        *step = (struct mount_step){ .kind = MOUNT_KIND_SYMLINK, .source = name, .tree = -1 };
        step->destination = arena_format(c->p->arena, "%s/%.*s", c->destination, (int)n, word);
        if (!step->destination)
            return err_nomem(c->p->e);
        mount_plan_add(c->p, step);
        word += n + (word[n] == ',');
    }
    return 0;
}

/* True for the root of a v1 hierarchy: only there release_agent can be set. */
static bool is_root(struct cgroup_mount *c, const char *group)
{
    const char *file = arena_format(c->p->arena, "%s/release_agent", group);

    return !file || access(file, F_OK) == 0;
}

static int plan_hierarchy(struct cgroup_mount *c, const struct cgroup_view *view)
{
    struct arena *arena = c->p->arena;
    const char *destination = arena_format(arena, "%s/%s", c->destination, view->name);
    struct mount_options *options = arena_alloc(arena, sizeof(*options));
    char **words = arena_alloc(arena, sizeof(*words));
    struct mount_step *step;
    int r;

    if (!destination || !options || !words)
        return err_nomem(c->p->e);
    if (view->v2 && c->namespaced)
        return plan_unified(c, destination, view->group);
    if (!c->namespaced) {
        r = bind_group(c, destination, view->group, is_root(c, view->group), &step);
        if (r < 0)
            return r;
        mount_plan_add(c->p, step);
        return plan_links(c, view->name);
    }
    *options = *c->options;
    words[0] = view->options;
    options->data.items = words;
    options->data.count = 1;
    r = add_new(c, destination, "cgroup", options, NULL);
    return r < 0 ? r : plan_links(c, view->name);
}

/* The tmpfs that holds the hierarchies, and at the end its attributes. */
static int plan_v1(struct cgroup_mount *c)
{
    static char mode[] = "mode=755";
    static char *tmpfs_words[] = { mode };
    struct mount_options *tmpfs = arena_alloc(c->p->arena, sizeof(*tmpfs));
    struct mount_step *end = arena_alloc(c->p->arena, sizeof(*end));
    int r;

    if (!tmpfs || !end)
        return err_nomem(c->p->e);
    *tmpfs = *c->options;
    tmpfs->one.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    tmpfs->tree.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    tmpfs->data.items = tmpfs_words;
    tmpfs->data.count = 1;
    r = add_new(c, c->destination, "tmpfs", tmpfs, NULL);
    for (size_t i = 0; i < c->p->options->view_count && r == 0; i++)
        r = plan_hierarchy(c, &c->p->options->views[i]);
    if (r < 0 || !((c->options->one.set | c->options->tree.set) & MOUNT_ATTR_RDONLY))
        return r;
    *end = (struct mount_step){ .kind = MOUNT_KIND_CHANGE,
                                .destination = c->destination,
                                .tree = -1,
                                .directory = true,
                                .change_count = 1 };
    end->changes[0].attr.attr_set = MOUNT_ATTR_RDONLY;
    mount_plan_add(c->p, end);
    return 0;
}

int mount_plan_cgroup(struct mount_planner *p, const char *destination,
                      const struct mount_options *options)
{
    const struct cgroup_view *views = p->options->views;
    size_t count = p->options->view_count;
    struct cgroup_mount c = {
        .p = p,
        .destination = destination,
        .options = options,
        .bind = *options,
        .namespaced = spec_namespace_find(p->spec, CLONE_NEWCGROUP) != NULL,
    };
    struct mount_step *step;
    int r;

    c.bind.bind = c.bind.bind_tree = true;
    c.bind.data.count = 0;
    c.bind.tree.set |= c.bind.one.set;
    c.bind.one = (struct mount_attributes){ 0 };
    if (p->options->rootless && !c.namespaced)
        c.bind.tree.set |= MOUNT_ATTR_RDONLY;
    if (count == 0 && cgroup_host_is_v2())
        return plan_unified(&c, destination, "/sys/fs/cgroup");
    if (count == 0) { /* no group of its own: the host's tree, to look at */
        r = bind_group(&c, destination, "/sys/fs/cgroup", true, &step);
        if (r == 0)
            mount_plan_add(p, step);
        return r;
    }
    if (count == 1 && views[0].v2 && !*views[0].name) {
        if (!(p->options->rootless && !c.namespaced))
            return plan_unified(&c, destination, c.namespaced ? views[0].group : "/sys/fs/cgroup");
        r = bind_group(&c, destination, views[0].group, true, &step);
        if (r == 0)
            mount_plan_add(p, step);
        return r;
    }
    return plan_v1(&c);
}
