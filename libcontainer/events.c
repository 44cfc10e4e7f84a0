/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pollable descriptor for all that happens to a container: an epoll of the first process's
 * pidfd and the cgroup's own notifications.
 *
 * A source only says "look": what happened is told by its counter, compared with the last one, so
 * nothing is reported twice and nothing that came in between is lost. The exit is looked at last,
 * and the OOM counter once more before it: a container that was killed for want of memory says so
 * before it says that it ended.
 */
#include "libcontainer/events.h"

#include <string.h>
#include <sys/epoll.h>
#include "libcontainer/handle.h"
#include "libcontainer/system.h"

/* In the order in which they are told. */
enum { SOURCE_OOM, SOURCE_FREEZE, SOURCE_PRESSURE, SOURCE_EXIT, SOURCES };

static const struct {
    unsigned types;
    enum container_event_type open_as;
    uint32_t epoll;
} kinds[SOURCES] = {
    [SOURCE_OOM] = { CONTAINER_EVENT_OOM, CONTAINER_EVENT_OOM, EPOLLIN },
    /* one file tells both */
    [SOURCE_FREEZE] = { CONTAINER_EVENT_FROZEN | CONTAINER_EVENT_THAWED, CONTAINER_EVENT_FROZEN,
                        EPOLLIN },
    [SOURCE_PRESSURE] = { CONTAINER_EVENT_PRESSURE, CONTAINER_EVENT_PRESSURE, EPOLLPRI },
    [SOURCE_EXIT] = { CONTAINER_EVENT_EXIT, CONTAINER_EVENT_EXIT, EPOLLIN },
};

struct events {
    int epoll;
    unsigned types;  /* wanted */
    unsigned ready;  /* sources to look at: 1u << SOURCE_* */
    int fd[SOURCES]; /* -1: not watched; the pidfd is the container's */
    uint64_t last[SOURCES];
};

void events_free(struct events *v)
{
    if (!v)
        return;
    for (int i = 0; i < SOURCE_EXIT; i++)
        fd_close(v->fd[i]);
    fd_close(v->epoll);
    free(v);
}

static int watch(struct container *c, struct events *v, int source, struct wharf_error *e)
{
    struct epoll_event event = { .events = kinds[source].epoll, .data.u32 = (uint32_t)source };
    struct cgroup *cg;
    int r;

    if (source == SOURCE_EXIT) {
        v->fd[source] = c->init.pidfd;
        if (c->init.pidfd < 0) { /* it has ended: told at once */
            v->ready |= 1u << SOURCE_EXIT;
            return 0;
        }
    } else if ((r = container_cgroup(c, &cg, e)) < 0 ||
               (r = cgroup_event_open(cg, kinds[source].open_as, &v->fd[source], e)) < 0 ||
               (r = cgroup_event_read(cg, kinds[source].open_as, v->fd[source], &v->last[source],
                                      e)) < 0) {
        return r;
    }
    if (epoll_ctl(v->epoll, EPOLL_CTL_ADD, v->fd[source], &event) < 0)
        return err_sys(e, "cannot watch container '%s'", c->id);
    return 0;
}

EXPORT int container_events_fd(struct container *c, unsigned types, struct wharf_error *e)
{
    struct events *v;
    int r = 0;

    if (c->events)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "container '%s': its events are open",
                       c->id);
    v = calloc(1, sizeof(*v));
    if (!v)
        return err_nomem(e);
    for (int i = 0; i < SOURCES; i++)
        v->fd[i] = -1;
    v->types = types;
    v->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (v->epoll < 0)
        r = err_sys(e, "cannot make an epoll descriptor");
    for (int i = 0; r == 0 && i < SOURCES; i++) {
        if (types & kinds[i].types)
            r = watch(c, v, i, e);
    }
    if (r < 0) {
        events_free(v);
        return r;
    }
    c->events = v;
    return v->epoll;
}

static void collect(struct events *v)
{
    struct epoll_event events[SOURCES];
    int n = epoll_wait(v->epoll, events, SOURCES, 0);

    for (int i = 0; i < n; i++)
        v->ready |= 1u << events[i].data.u32;
    if (v->ready & 1u << SOURCE_EXIT && v->fd[SOURCE_OOM] >= 0)
        v->ready |= 1u << SOURCE_OOM;
}

static enum container_event_type type_of(int source, uint64_t value)
{
    if (source == SOURCE_FREEZE)
        return value ? CONTAINER_EVENT_FROZEN : CONTAINER_EVENT_THAWED;
    return kinds[source].open_as;
}

/* What one source has to tell: 1, or 0 for nothing new. */
static int look(struct container *c, struct events *v, int source, struct container_event *ret,
                struct wharf_error *e)
{
    struct container_event event = { 0 };
    struct cgroup *cg;
    uint64_t value = 0;
    int r;

    if (source == SOURCE_EXIT) {
        if (v->fd[source] >= 0)
            epoll_ctl(v->epoll, EPOLL_CTL_DEL, v->fd[source], NULL);
        *ret = (struct container_event){ CONTAINER_EVENT_EXIT, 0 };
        return 1;
    }
    if ((r = container_cgroup(c, &cg, e)) < 0 ||
        (r = cgroup_event_read(cg, kinds[source].open_as, v->fd[source], &value, e)) < 0)
        return r == -ENOENT || r == -ENODEV ? 0 : r; /* the cgroup is gone: so is the container */
    if (source != SOURCE_PRESSURE && value == v->last[source])
        return 0;
    v->last[source] = value;
    event = (struct container_event){ type_of(source, value), value };
    if (!(event.type & v->types))
        return 0;
    *ret = event;
    return 1;
}

EXPORT int container_next_event(struct container *c, struct container_event *ret_event,
                                struct wharf_error *e)
{
    struct events *v = c->events;
    int r = 0;

    if (!v)
        return err_invalid(e, "container '%s': no events were asked for", c->id);
    collect(v);
    for (int i = 0; r == 0 && i < SOURCES; i++) {
        if (!(v->ready & 1u << i))
            continue;
        v->ready &= ~(1u << i);
        r = look(c, v, i, ret_event, e);
    }
    return r;
}
