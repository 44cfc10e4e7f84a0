/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cgroup tells of itself, as descriptors that poll readable:
 *
 * OOM        v1: an eventfd on memory.oom_control; v2: inotify on memory.events
 * FROZEN,    v2: inotify on cgroup.events; v1's freezer tells nobody
 * THAWED
 * PRESSURE   v2: a trigger on memory.pressure (accounting/psi.rst). It answers POLLPRI only, so it
 *            is wrapped into an epoll descriptor, which polls readable like the others.
 *
 * A descriptor only says "look"; cgroup_event_read clears it and reads the counter behind.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

/* Stalled for 150 ms within 2 s: the shortest window that needs no CAP_SYS_RESOURCE. */
#define PRESSURE_TRIGGER "some 150000 2000000"

static int watch(struct group *g, const char *file, int *ret_fd, struct wharf_error *e)
{
    autoclose int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char path[GROUP_PATH_MAX];

    if (fd < 0)
        return err_sys(e, "cannot make an inotify descriptor");
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", g->path, file) >= sizeof(path))
        return err_code(e, -ENAMETOOLONG, "cannot watch '%s'", g->path);
    if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
        return group_error(g, -errno, "watch", file, e);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int oom_v1(struct group *g, int *ret_fd, struct wharf_error *e)
{
    autoclose int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), control = -1;
    int dir = group_dir(g), r;
    char line[32];

    if (fd < 0 || dir < 0)
        return err_sys(e, "cannot watch '%s/memory.oom_control'", g->path);
    control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    if (control < 0)
        return group_error(g, -errno, "open", "memory.oom_control", e);
    snprintf(line, sizeof(line), "%d %d", fd, control);
    r = group_write(g, "cgroup.event_control", line);
    if (r < 0)
        return group_error(g, r, "write", "cgroup.event_control", e);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int pressure(struct cgroup *cg, struct group *g, int *ret_fd, struct wharf_error *e)
{
    struct epoll_event event = { .events = EPOLLPRI };
    autoclose int fd = epoll_create1(EPOLL_CLOEXEC), trigger = -1;
    int dir = group_dir(g);

    if (fd < 0)
        return err_sys(e, "cannot make an epoll descriptor");
    trigger = dir < 0 ? -1 : openat(dir, "memory.pressure", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (trigger < 0)
        return group_error(g, dir < 0 ? dir : -errno, "open", "memory.pressure", e);
    if (write(trigger, PRESSURE_TRIGGER, sizeof(PRESSURE_TRIGGER)) < 0)
        return group_error(g, -errno, "write", "memory.pressure", e);
    if (epoll_ctl(fd, EPOLL_CTL_ADD, trigger, &event) < 0)
        return err_sys(e, "cannot watch '%s/memory.pressure'", g->path);
    fd_close(cg->pressure);
    cg->pressure = take_fd(&trigger); /* the trigger lives as long as its descriptor */
    *ret_fd = take_fd(&fd);
    return 0;
}

int cgroup_event_open(struct cgroup *cg, enum container_event_type type, int *ret_fd,
                      struct wharf_error *e)
{
    struct group *memory = cgroup_owner(cg, CONTROLLER_MEMORY), *v2 = cgroup_v2(cg);

    switch (type) {
    case CONTAINER_EVENT_OOM:
        if (!memory)
            return err_unsupported(e, "OOM events need the cgroup controller 'memory'");
        return memory->v2 ? watch(memory, "memory.events", ret_fd, e) : oom_v1(memory, ret_fd, e);
    case CONTAINER_EVENT_FROZEN:
    case CONTAINER_EVENT_THAWED:
        if (!v2)
            return err_unsupported(e, "freeze events need cgroup v2: v1's freezer sends none");
        return watch(v2, "cgroup.events", ret_fd, e);
    case CONTAINER_EVENT_PRESSURE:
        if (!v2)
            return err_unsupported(e, "pressure events need cgroup v2");
        return pressure(cg, v2, ret_fd, e);
    case CONTAINER_EVENT_EXIT:
        break;
    }
    return err_invalid(e, "event %d is none of a cgroup's", (int)type);
}

/* Clears the descriptor's readiness. */
static void drain(enum container_event_type type, int fd)
{
    struct epoll_event event;
    char bytes[4096];

    if (type == CONTAINER_EVENT_PRESSURE)
        epoll_wait(fd, &event, 1, 0);
    else
        while (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
            continue;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234": microseconds stalled so far. */
static int read_pressure(struct group *g, uint64_t *ret)
{
    char text[256], *total;
    ssize_t n = group_read(g, "memory.pressure", text, sizeof(text));

    if (n < 0)
        return (int)n;
    total = strstr(text, "total=");
    if (!total)
        return -ENOENT;
    total += strlen("total=");
    total[strcspn(total, "\n")] = 0;
    return parse_u64(total, 0, UINT64_MAX, ret);
}

int cgroup_event_read(struct cgroup *cg, enum container_event_type type, int fd,
                      uint64_t *ret_value, struct wharf_error *e)
{
    struct group *memory = cgroup_owner(cg, CONTROLLER_MEMORY), *v2 = cgroup_v2(cg);
    int r = -EINVAL;

    drain(type, fd);
    if (type == CONTAINER_EVENT_OOM && memory)
        r = group_read_keyed(memory, memory->v2 ? "memory.events" : "memory.oom_control",
                             "oom_kill", ret_value);
    else if ((type == CONTAINER_EVENT_FROZEN || type == CONTAINER_EVENT_THAWED) && v2)
        r = group_read_keyed(v2, "cgroup.events", "frozen", ret_value);
    else if (type == CONTAINER_EVENT_PRESSURE && v2)
        r = read_pressure(v2, ret_value);
    return r < 0 ? err_code(e, r, "cannot read the counter of event %d", (int)type) : 0;
}
