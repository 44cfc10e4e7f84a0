/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a saved container back: criu makes its processes, we make what is around them.
 *
 * criu runs in a mount namespace of its own, where the root is mounted below the state directory
 * (criu wants a mount point, and the host's mount table shall not see it), and in the container's
 * cgroup, so that every process it makes is born there. Limits follow when it has ended: they are
 * the container's, not criu's. With --restore-sibling the first process is our child, as after a
 * create.
 */
#include "container.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/creation.h"
#include "libcontainer/criu.h"
#include "libcontainer/system.h"

#define OUTER_NETWORK "wharf-network" /* as in checkpoint.c */

enum { DESCRIPTORS_MAX = 4, PID_TEXT_MAX = 32, DESCRIPTORS_TEXT_MAX = 16 << 10 };

struct restore {
    struct creation *m;
    struct criu criu;
    int root;          /* detached mount of the container's root */
    char *mount_point; /* below the state directory */
    int keep[DESCRIPTORS_MAX];
    unsigned keep_count;
    int network; /* the joined one, or -1 */
};

/* CHILD SIDE */
static int mount_root(void *user)
{
    const struct restore *r = user;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        move_mount(r->root, "", AT_FDCWD, r->mount_point, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int enter_cgroup(void *user, pid_t pid, struct wharf_error *e)
{
    const struct restore *r = user;

    return r->m->c->cgroup ? cgroup_attach(r->m->c->cgroup, pid, false, e) : 0;
}

static int open_root(struct restore *r, struct wharf_error *e)
{
    const struct container_start_options *start = r->m->start;
    const char *path = r->m->c->state.rootfs;

    r->root =
        start->root_fd >= 0
            ? open_tree(start->root_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
            : open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (r->root < 0)
        return err_sys(e, "cannot open the root '%s'", path);
    if (mkdirat(r->m->c->dir, "root", 0700) < 0)
        return err_sys(e, "cannot make the mount point for criu");
    return 0;
}

/* criu refers to descriptor `fd` of ours by the name under which the dump knew it. */
static void inherit(struct restore *r, int fd, const char *name)
{
    criu_add(&r->criu, "--inherit-fd");
    criu_add(&r->criu, "fd[%u]:%s", 3 + r->keep_count, name);
    r->keep[r->keep_count++] = fd;
}

static int add_descriptors(struct restore *r, struct wharf_error *e)
{
    autofree char *text = NULL;
    autojson json_t *list = NULL;
    ssize_t n = file_read(r->criu.images, CRIU_DESCRIPTORS, DESCRIPTORS_TEXT_MAX, &text);
    int code;

    if (n < 0)
        return err_code(e, (int)n, "cannot read '%s' of the checkpoint", CRIU_DESCRIPTORS);
    code = json_read(text, (size_t)n, JSON_LIMITS, CRIU_DESCRIPTORS, &list, e);
    if (code < 0)
        return code;
    for (int fd = 0; fd < 3; fd++) {
        const char *name = json_string_value(json_array_get(list, (size_t)fd));
        int given = r->m->start->stdio[fd];

        if (name && (str_after(name, "pipe:") || str_after(name, "file[")))
            inherit(r, given >= 0 ? given : fd, name);
    }
    return 0;
}

static int add_network(struct restore *r, struct wharf_error *e)
{
    const struct spec_namespace *network = spec_namespace_find(r->m->spec, CLONE_NEWNET);

    if (!network || !network->path)
        return 0;
    r->network = open(network->path, O_RDONLY | O_CLOEXEC);
    if (r->network < 0)
        return err_sys(e, "cannot open network namespace '%s'", network->path);
    inherit(r, r->network, OUTER_NETWORK);
    return 0;
}

static int compose(struct restore *r, struct wharf_error *e)
{
    autofree char *dir = NULL;
    char link[64];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", r->m->c->dir);
    dir = realpath(link, NULL);
    r->mount_point = dir ? arena_format(r->m->arena, "%s/root", dir) : NULL;
    if (!r->mount_point)
        return err_nomem(e);
    criu_add(&r->criu, "--root");
    criu_add(&r->criu, "%s", r->mount_point);
    criu_add(&r->criu, "--restore-detached");
    criu_add(&r->criu, "--restore-sibling");
    criu_add(&r->criu, "--pidfile");
    criu_add(&r->criu, "%s/criu.pid", dir);
    criu_add_mounts(&r->criu, r->m->spec, r->m->c->state.rootfs, true);
    return add_network(r, e);
}

/* The first process, as criu tells it. */
static int adopt(struct restore *r, struct wharf_error *e)
{
    struct container *c = r->m->c;
    autofree char *text = NULL;
    ssize_t n = file_read(c->dir, "criu.pid", PID_TEXT_MAX, &text);
    uint64_t pid;

    unlinkat(c->dir, "criu.pid", 0);
    unlinkat(c->dir, "root", AT_REMOVEDIR);
    if (n < 0 || parse_u64(text, 1, INT32_MAX, &pid) < 0)
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "criu did not tell the first process's pid");
    c->init.pid = (pid_t)pid;
    c->init.pidfd = system_pidfd_open(c->init.pid);
    if (c->init.pidfd < 0)
        return err_code(e, c->init.pidfd, "cannot open the restored process");
    return state_write_init(c->dir, c->init.pid, e);
}

static int bring_back(struct restore *r, struct wharf_error *e)
{
    struct creation *m = r->m;
    const struct criu_run run = { .started = enter_cgroup,
                                  .prepare = mount_root,
                                  .user = r,
                                  .keep = r->keep,
                                  .keep_count = r->keep_count };
    int code = criu_run(&r->criu, &run, e);

    if (code == 0)
        code = adopt(r, e);
    if (code == 0 && m->c->cgroup && m->spec->linux_->resources)
        code = cgroup_apply(m->c->cgroup, m->spec->linux_->resources, true, e);
    if (code == 0 && m->start->pidfd_socket >= 0)
        code = process_pass_fd(m->start->pidfd_socket, m->c->init.pidfd, "pidfd", "the pidfd", e);
    return code;
}

static int restore(struct creation *m, struct container_engine *engine, const char *id,
                   const struct container_checkpoint_options *o, struct wharf_error *e)
{
    struct restore r = { .m = m, .root = -1, .network = -1, .criu.images = -1 };
    int code;

    if ((code = spec_check(m->spec, e)) < 0 || (code = creation_claim(m, engine, id, e)) < 0 ||
        (code = namespaces_prepare(m->spec, &m->plan.namespaces, e)) < 0 ||
        (code = creation_fill_state(m, e)) < 0 || (code = creation_make_cgroup(m, e)) < 0 ||
        (code = state_write(m->c->dir, &m->c->state, e)) < 0 ||
        (code = creation_save_config(m, e)) < 0)
        return code;
    code = criu_begin(&r.criu, "restore", o, m->arena, false, e);
    if (code == 0)
        code = open_root(&r, e);
    if (code == 0)
        code = add_descriptors(&r, e);
    if (code == 0)
        code = compose(&r, e);
    if (code == 0)
        code = bring_back(&r, e);
    criu_done(&r.criu);
    fd_close(r.root);
    fd_close(r.network);
    return code;
}

EXPORT int container_restore(struct container_engine *engine, const char *id,
                             const struct container_spec *spec,
                             const struct container_start_options *start,
                             const struct container_checkpoint_options *options,
                             struct container **ret_container, struct wharf_error *e)
{
    struct container_checkpoint_options o = { .status_fd = -1 };
    struct container_start_options s = CONTAINER_START_OPTIONS;
    struct creation m = { .spec = spec, .start = &s, .sync = -1, .child_sync = -1, .listener = -1 };
    int r;

    if (options)
        memcpy(&o, options, MIN(options->size, sizeof(o)));
    if (start)
        memcpy(&s, start, MIN(start->size, sizeof(s)));
    m.arena = arena_new(SPEC_ARENA_MAX);
    r = m.arena ? restore(&m, engine, id, &o, e) : err_nomem(e);
    return creation_end(&m, r, ret_container);
}
