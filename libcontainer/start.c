/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_start: from any process, through the init's socket in the state directory.
 *
 * The first that connects wins: init answers STARTING on that connection alone. The socket's name
 * goes before the word START is given, so that no moment exists in which a program runs and the
 * container still looks created. Failure of the program's own start comes back over the
 * connection; its closing by execve is success.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "libcontainer/handle.h"
#include "libcontainer/sync.h"
#include "libcontainer/talk.h"

static int refuse(const struct container *c, enum container_status status, struct wharf_error *e)
{
    switch (status) {
    case CONTAINER_CREATING:
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cannot start container '%s': it is still being created", c->id);
    case CONTAINER_STOPPED:
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cannot start a container that has stopped: '%s'", c->id);
    default:
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cannot start an already running container: '%s'", c->id);
    }
}

static int connect_init(struct container *c, struct wharf_error *e)
{
    autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/start.sock", c->dir);
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return take_fd(&fd);
    if (errno == ECONNREFUSED || errno == ENOENT) /* another was first */
        return refuse(c, CONTAINER_RUNNING, e);
    return err_sys(e, "cannot reach the waiting process of container '%s'", c->id);
}

/* Until the program runs, or the error of what went wrong. The terminal went out at create. */
static int hear_result(struct container *c, int sync, struct wharf_error *e)
{
    const struct container_start_options none = CONTAINER_START_OPTIONS;
    struct talk talk = { .sync = sync, .c = c, .process = &c->init, .start = &none };
    int r = container_saved_spec(c, &talk.spec, e);

    if (r < 0)
        return r;
    talk.what = talk.spec->process;
    return talk_listen(&talk, true, e);
}

/* A poststart hook that fails stops the container and removes it (runtime-spec 1.3). */
static int run_poststart(struct container *c, struct wharf_error *e)
{
    const struct container_spec *spec;
    int r;

    if (!c->state.poststart)
        return 0;
    r = container_saved_spec(c, &spec, e);
    if (r == 0)
        r = container_run_poststart(c, &spec->hooks->poststart, e);
    if (r < 0)
        container_delete(c, 1, NULL);
    return r;
}

EXPORT int container_start(struct container *c, struct wharf_error *e)
{
    enum container_status status;
    autoclose int sync = -1;
    int r = container_status(c, &status, NULL, e);

    if (r < 0)
        return r;
    if (status != CONTAINER_CREATED)
        return refuse(c, status, e);
    sync = connect_init(c, e);
    if (sync < 0)
        return sync;
    if (sync_expect(sync, SYNC_STARTING) < 0) /* closed unanswered: another was first, or it died */
        return refuse(c, CONTAINER_RUNNING, e);
    unlinkat(c->dir, "start.sock", 0);
    r = sync_send(sync, SYNC_START, 0, -1);
    if (r < 0)
        return talk_ended_early(e);
    r = hear_result(c, sync, e);
    return r < 0 ? r : run_poststart(c, e);
}
