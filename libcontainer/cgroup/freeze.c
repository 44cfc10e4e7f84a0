/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing and thawing a whole group.
 *
 * v2 (cgroup-v2.rst, "cgroup.freeze"): the write returns at once; cgroup.events says "frozen 1"
 * when all processes have stopped, and wakes a poll. Frozen processes can be killed. v1
 * (freezer-subsystem.rst): freezer.state passes through FREEZING, a new process can hold it there
 * until FROZEN is written again, and nothing wakes a poll, so it is looked at in growing steps. A
 * frozen process takes no signal, not even KILL, until it is thawed.
 *
 * A freeze that does not succeed in time is undone: a container is never left half frozen.
 */
#include <fcntl.h>
#include <poll.h>
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

static int frozen_v1(struct group *g)
{
    char text[32];
    ssize_t n = group_read(g, "freezer.state", text, sizeof(text));

    if (n < 0)
        return n == -ENOENT ? 0 : (int)n;
    return streq(text, "FROZEN\n") ? 1 : streq(text, "FREEZING\n") ? 2 : 0;
}

int group_is_frozen(struct group *g)
{
    uint64_t frozen = 0;
    int r;

    if (!g->v2)
        return (r = frozen_v1(g)) > 0 ? 1 : r;
    r = group_read_u64(g, "cgroup.freeze", &frozen);
    return r == -ENOENT ? 0 : r < 0 ? r : frozen != 0;
}

/* Waits for "frozen WANTED" in cgroup.events. */
static int wait_v2(struct group *g, bool wanted, int64_t deadline)
{
    int dir = group_dir(g);
    autoclose int fd = dir < 0 ? -1 : openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    struct pollfd p = { .fd = fd, .events = POLLPRI };

    if (fd < 0)
        return -errno;
    for (;;) {
        uint64_t frozen = 0;
        char text[256];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        int64_t left = deadline - clock_ms();

        if (n < 0)
            return -errno;
        text[n] = 0;
        if (keyed_value(text, "frozen", &frozen) == 0 && (frozen != 0) == wanted)
            return 0;
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            return -errno;
    }
}

static int wait_v1(struct group *g, bool wanted, int64_t deadline)
{
    for (int pause = 1;; pause = MIN(pause * 2, 20)) {
        int state = frozen_v1(g);

        if (state < 0 || state == (wanted ? 1 : 0))
            return MIN(state, 0);
        if (clock_ms() >= deadline)
            return -ETIMEDOUT;
        poll(NULL, 0, pause);
        if (wanted)
            group_write(g, "freezer.state", "FROZEN");
    }
}

static int set(struct group *g, bool frozen)
{
    if (g->v2)
        return group_write(g, "cgroup.freeze", frozen ? "1" : "0");
    return group_write(g, "freezer.state", frozen ? "FROZEN" : "THAWED");
}

/* v2's own freezer is preferred also on a hybrid host: it tells when it is done, and what is frozen
 * by it can be killed. */
static struct group *freezer(struct cgroup *cg)
{
    struct group *g = cgroup_v2(cg);

    return g ? g : cgroup_owner(cg, CONTROLLER_FREEZER);
}

int cgroup_freeze(struct cgroup *cg, bool frozen, struct wharf_error *e)
{
    struct group *g = freezer(cg);
    int64_t deadline = clock_ms() + GROUP_WAIT_MS;
    int r;

    if (!g)
        return err_unsupported(e, "no freezer: neither cgroup v2 nor the v1 controller 'freezer' "
                                  "is there for this container");
    r = set(g, frozen);
    if (r == -ENOENT && g->v2)
        return err_unsupported(e, "this kernel has no cgroup.freeze: Linux 5.2 or later is needed");
    if (r == 0)
        r = g->v2 ? wait_v2(g, frozen, deadline) : wait_v1(g, frozen, deadline);
    if (r < 0 && frozen)
        set(g, false);
    if (r < 0)
        return err_code(e, r, "cannot %s cgroup '%s'", frozen ? "freeze" : "thaw", g->path);
    return 0;
}

int cgroup_is_frozen(struct cgroup *cg)
{
    struct group *g = freezer(cg);

    return g ? group_is_frozen(g) : 0;
}
