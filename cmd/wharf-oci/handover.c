/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors in, pid file out. See handover.h. */
#include "handover.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/fd.h"
#include "base/str.h"

enum { KEEP_MAX = 4096 };

/* A stream socket connected to `path`, also where it is longer than sun_path: the directory is
 * opened and named by its descriptor. */
static int connect_to(const char *path, struct wharf_error *e)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dir = -1;
    const char *slash = strrchr(path, '/');

    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (strlen(path) < sizeof(to.sun_path)) {
        snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    } else if (slash && strlen(slash) < 64) {
        autofree char *parent = strndup(path, (size_t)(slash - path));

        dir = parent ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d%.64s", dir, slash);
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return err_sys(e, "cannot connect to '%s'", path);
    return take_fd(&fd);
}

/* --preserve-fds N and socket activation (sd_listen_fds(3)): both begin at 3. */
static int collect_keep(struct handover *h, const struct options *o, struct wharf_error *e)
{
    const char *listen = getenv("LISTEN_FDS");
    unsigned keep = 0, sockets = 0;
    int r = 0;

    if (o->preserve_fds)
        r = option_number("preserve-fds", o->preserve_fds, KEEP_MAX, &keep, e);
    if (r == 0 && listen && *listen)
        r = option_number("LISTEN_FDS", listen, KEEP_MAX, &sockets, e);
    if (r < 0 || keep + sockets == 0)
        return r;
    h->keep = reallocarray(NULL, keep + sockets, sizeof(int));
    if (!h->keep)
        return err_nomem(e);
    for (unsigned i = 0; i < keep + sockets; i++) {
        h->keep[i] = 3 + (int)i;
        if (fcntl(h->keep[i], F_GETFD) < 0)
            return err_invalid(e, "descriptor %u is to be passed on, but it is not open", 3 + i);
    }
    h->start.keep_fds = h->keep;
    h->start.keep_count = keep + sockets;
    return 0;
}

static int open_all(struct handover *h, const struct options *o, struct wharf_error *e)
{
    const char *bundle = o->bundle ? o->bundle : ".";
    int r = collect_keep(h, o, e); /* before anything here takes one of those numbers */

    if (r < 0)
        return r;
    h->start.bundle_fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (h->start.bundle_fd < 0)
        return err_sys(e, "cannot open the bundle '%s'", bundle);
    if (o->console_socket && (h->start.console_socket = connect_to(o->console_socket, e)) < 0)
        return h->start.console_socket;
    if (o->pidfd_socket && (h->start.pidfd_socket = connect_to(o->pidfd_socket, e)) < 0)
        return h->start.pidfd_socket;
    return 0;
}

int handover_prepare(struct handover *ret, const struct options *o, struct wharf_error *e)
{
    struct handover h = { .start = CONTAINER_START_OPTIONS };
    int r = open_all(&h, o, e);

    if (o->no_pivot)
        h.start.flags |= CONTAINER_NO_PIVOT;
    if (o->no_new_keyring)
        h.start.flags |= CONTAINER_NO_KEYRING;
    if (o->ignore_paused)
        h.start.flags |= CONTAINER_IGNORE_PAUSED;
    if (r < 0)
        handover_done(&h);
    else
        *ret = h;
    return r;
}

void handover_done(struct handover *h)
{
    fd_close(h->start.bundle_fd);
    fd_close(h->start.console_socket);
    fd_close(h->start.pidfd_socket);
    free(h->keep);
}

int handover_check_terminal(const struct options *o, bool terminal, bool detach,
                            struct wharf_error *e)
{
    if (terminal && detach && !o->console_socket)
        return err_invalid(e, "cannot allocate tty if it will detach without --console-socket");
    if (o->console_socket && !(terminal && detach))
        return err_invalid(e, "cannot use --console-socket without detaching and a terminal");
    return 0;
}

int handover_write_pid(const struct options *o, pid_t pid, struct wharf_error *e)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", (int)pid), r;

    if (!o->pid_file)
        return 0;
    r = file_replace(AT_FDCWD, o->pid_file, text, (size_t)len, 0644, false);
    return r < 0 ? err_code(e, r, "cannot write the pid file '%s'", o->pid_file) : 0;
}
