/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing a container's groups.
 *
 * The common case is one rmdir per hierarchy. Only when the kernel says EBUSY is looked at why:
 * groups that the container made below (leaf first), or processes (killed with `force`, waited for
 * by event). A group that is gone already is fine, and so is one that somebody else removes or
 * empties meanwhile. A group that cgroup_create did not make is never removed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include "base/str.h"
#include "libcontainer/cgroup/group.h"
#include "libcontainer/cgroup/systemd.h"

/* Removes the groups below `dir`, leaves first. Ignores what cannot go: the rmdir of the group
 * itself will tell. */
static void remove_below(int dir, unsigned depth)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        fd_close(fd);
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        autoclose int child = -1;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 || depth == GROUP_DEPTH_MAX)
            continue;
        child = openat(fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (child < 0)
            continue;
        remove_below(child, depth + 1);
        unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

static int remove_dir(const char *path)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

/* `wait_until`: how long processes that are still there are given. */
static int remove_busy(struct group *g, int64_t wait_until, int64_t deadline)
{
    int dir = group_dir(g), r;

    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    r = group_wait_empty(g, wait_until);
    if (r < 0)
        return r;
    remove_below(dir, 0);
    /* a process counts until the scheduler has switched away from it for the last time, which is
     * after its pidfd has told of its end and which nothing tells on v1 */
    for (int pause = 1; (r = remove_dir(g->path)) == -EBUSY && clock_ms() < deadline;
         pause = MIN(pause * 2, 20))
        poll(NULL, 0, pause);
    return r;
}

/* systemd would send TERM and wait for its own time-out, so nothing may be left in the scope. */
static int stop_scope(struct cgroup *cg, bool force, int64_t deadline, struct wharf_error *e)
{
    struct group *g = cgroup_census(cg);
    int r = g && force ? cgroup_kill(cg, SIGKILL, e) : 0;

    if (r < 0)
        return r;
    if (g && group_wait_empty(g, force ? deadline : clock_ms()) == -ETIMEDOUT)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "cgroup '%s' still holds processes",
                       g->path);
    return systemd_unit_stop(cg->unit, e);
}

void cgroup_unplan(struct cgroup *cg)
{
    for (size_t i = 0; i < cg->count; i++)
        remove_dir(cg->groups[i].path);
}

int cgroup_remove(struct cgroup *cg, bool force, struct wharf_error *e)
{
    int64_t deadline = clock_ms() + GROUP_WAIT_MS;
    bool killed = false;
    int first = cg->unit ? stop_scope(cg, force, deadline, e) : 0;

    if (first < 0)
        return first;

    for (size_t i = 0; i < cg->count; i++) {
        struct group *g = &cg->groups[i];
        int r = g->made ? remove_dir(g->path) : 0;

        if (r == -EBUSY && force && !killed) {
            r = cgroup_kill(cg, SIGKILL, e);
            if (r < 0)
                return r;
            killed = true;
            r = -EBUSY;
        }
        if (r == -EBUSY)
            r = remove_busy(g, force ? deadline : clock_ms(), deadline);
        if (r < 0 && first == 0)
            first = err_code(e, r == -ETIMEDOUT ? -EBUSY : r, "cannot remove cgroup '%s'", g->path);
    }
    return first;
}
