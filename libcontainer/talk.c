/* SPDX-License-Identifier: Apache-2.0 */
/* Listening to a container's process. See talk.h. */
#include "libcontainer/talk.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include "base/buf.h"
#include "libcontainer/launch.h"
#include "libcontainer/sync.h"

int talk_ended_early(struct wharf_error *e)
{
    return err_set(e, -ECHILD, WHARF_ERROR_INTERNAL,
                   "the container's process ended before its program began (killed, or out of "
                   "memory: see the kernel's log)");
}

/* Sizes the terminal, and gives it to the console socket or keeps a copy. */
static int take_console(struct talk *t, int master, struct wharf_error *e)
{
    if (t->what->console_size) {
        struct winsize size = { .ws_row = (unsigned short)t->what->console_size->height,
                                .ws_col = (unsigned short)t->what->console_size->width };

        if (ioctl(master, TIOCSWINSZ, &size) < 0)
            return err_sys(e, "process.consoleSize: cannot set it");
    }
    if (t->start->console_socket >= 0)
        return process_pass_fd(t->start->console_socket, master, "/dev/ptmx", "the terminal", e);
    t->process->console = fcntl(master, F_DUPFD_CLOEXEC, 3);
    return t->process->console < 0 ? err_sys(e, "cannot keep the terminal") : 0;
}

/* The message is a "container process state" (runtime-spec config-linux.md, seccomp). */
static int send_listener(struct talk *t, int listener, struct wharf_error *e)
{
    const struct spec_seccomp *s = t->spec->linux_->seccomp;
    autofree char *state = NULL;
    autobuf struct buf text = BUF(SPEC_TEXT_MAX);
    int r = container_state_json(t->c, &state, e);

    if (r < 0)
        return r;
    buf_printf(&text, "{\"ociVersion\":\"1.0.2\",\"fds\":[\"seccompFd\"],\"pid\":%d,",
               t->process->pid);
    if (s->listener_metadata) {
        buf_str(&text, "\"metadata\":");
        buf_json(&text, s->listener_metadata, strlen(s->listener_metadata));
        buf_char(&text, ',');
    }
    buf_printf(&text, "\"state\":%s}", state);
    if (text.error)
        return err_nomem(e);
    return seccomp_send_listener(s->listener_path, listener, text.data, e);
}

/* One word of the process: 1 to go on listening, 0 at READY, or the error. */
static int answer(struct talk *t, const struct sync_message *said, int fd, struct wharf_error *e)
{
    int r;

    switch (said->type) {
    case SYNC_ERROR:
        if (e)
            *e = said->error;
        return said->code < 0 ? said->code : -EIO;
    case SYNC_STUB_FAILED:
        return launch_explain(said, t->what, e);
    case SYNC_HOOKS:
        r = t->hooks ? t->hooks(t->user, e) : -EPROTO;
        return r < 0 ? r : 1;
    case SYNC_CONSOLE:
        r = take_console(t, fd, e);
        return r < 0 ? r : 1;
    case SYNC_LISTENER:
        r = send_listener(t, fd, e);
        return r < 0 ? r : 1;
    case SYNC_READY:
        return 0;
    default:
        return err_set(e, -EPROTO, WHARF_ERROR_INTERNAL, "unexpected word %u of the container",
                       said->type);
    }
}

int talk_listen(struct talk *t, bool ready, struct wharf_error *e)
{
    for (;;) {
        struct sync_message said;
        autoclose int fd = -1;
        int r = sync_receive(t->sync, &said, &fd);

        if (r < 0)
            return err_code(e, r, "cannot hear the container's process");
        if (r == 0)
            return ready ? 0 : talk_ended_early(e);
        r = answer(t, &said, fd, e);
        if (r <= 0)
            return r;
    }
}
