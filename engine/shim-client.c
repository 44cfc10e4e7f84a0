/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's end of the seam: starting a shim and asking it. The listening socket is made here,
 * before the shim exists, so that nobody finds a shim that does not listen yet. Endpoints are
 * reached through /proc/self/fd, because a root directory may lie deeper than a socket's path of
 * 108 bytes can say.
 */
#include "engine/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/fd.h"
#include "base/str.h"

void shim_endpoint(const struct engine *en, const char *id, struct buf *b)
{
    buf_printf(b, "%s/%s/%s", en->run, SHIMS_DIR, id);
}

static int shims_open(const struct engine *en, bool make, struct wharf_error *e)
{
    autofree char *path = str_format("%s/%s", en->run, SHIMS_DIR);
    int r = !path ? -ENOMEM : make ? path_make_dirs(path, 0700) : 0;

    if (r < 0)
        return err_code(e, r, "cannot make '%s/%s'", en->run, SHIMS_DIR);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(e, "cannot open '%s'", path) : fd;
}

static struct sockaddr_un shim_address(int shims, const char *id)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%.64s", shims, id);
    return address;
}

static int not_running(const char *id, struct wharf_error *e)
{
    return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "container %s is not running", id);
}

int shim_connect(struct engine *en, const char *id, struct wharf_error *e)
{
    autoclose int shims = shims_open(en, false, NULL);
    autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = shim_address(shims, id);

    if (shims < 0)
        return not_running(id, e);
    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == ECONNREFUSED || errno == ENOENT)
            return not_running(id, e);
        return err_sys(e, "cannot reach the shim of container %s", id);
    }
    return take_fd(&fd);
}

/* The answer, or -ETIMEDOUT. A shim is single-threaded and never waits for a client, so one that is
 * silent is stopped or hangs in the kernel. */
static int receive_in_time(int socket, struct shim_message *ret)
{
    struct pollfd p = { socket, POLLIN, 0 };
    int n;

    do
        n = poll(&p, 1, SHIM_ANSWER_MS);
    while (n < 0 && errno == EINTR);
    return n == 0 ? -ETIMEDOUT : n < 0 ? -errno : shim_receive(socket, ret);
}

int shim_call(int socket, const struct shim_message *m, struct shim_message *ret,
              struct wharf_error *e)
{
    struct shim_message answer;
    int r = shim_send(socket, m);

    if (r == 0)
        r = receive_in_time(socket, &answer);
    if (r == -ETIMEDOUT)
        return err_set(e, r, WHARF_ERROR_TIMEOUT,
                       "the container's shim has not answered for %d seconds: is it stopped? "
                       "'wharf rm -f' removes the container",
                       SHIM_ANSWER_MS / 1000);
    if (r == 0 || r == -EPIPE || r == -ECONNRESET)
        return err_set(e, -ECONNRESET, WHARF_ERROR_UNAVAILABLE, "the container's shim has ended");
    if (r < 0)
        return err_code(e, r, "cannot talk to the container's shim");
    if (answer.op == SHIM_FAILED)
        r = shim_failure(&answer, e);
    shim_message_done(&answer);
    if (r >= 0 && ret)
        *ret = answer;
    return MIN(r, 0);
}

int shim_ask(struct engine *en, const char *id, const struct shim_message *m, struct wharf_error *e)
{
    autoclose int fd = shim_connect(en, id, e);
    int r = fd < 0 ? fd : shim_call(fd, m, NULL, e);

    return r == -ECONNRESET ? -ESRCH : r; /* it ended just now: there is no such shim */
}

/* ---- starting -------------------------------------------------------------------------------- */

static int listen_at(struct engine *en, const char *id, struct wharf_error *e)
{
    autoclose int shims = shims_open(en, true, e);

    if (shims < 0)
        return shims;
    autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = shim_address(shims, id);

    unlinkat(shims, id, 0); /* of a shim that was killed: we hold the container's locks */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
        return err_sys(e, "cannot make the endpoint of container %s", id);
    return take_fd(&fd);
}

/* given[i] becomes descriptor SHIM_FD_CONTROL + i. Sources are above the targets. */
static int spawn(struct engine *en, const char *id, const int given[], pid_t *ret_pid,
                 struct wharf_error *e)
{
    char name[] = "wharf-shim", *argv[] = { name, (char *)id, NULL }, *env[] = { NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    for (int i = 0; i < SHIM_FD_END - SHIM_FD_CONTROL; i++)
        posix_spawn_file_actions_adddup2(&actions, given[i], SHIM_FD_CONTROL + i);
    int r = posix_spawn(&pid, en->shim, &actions, &attributes, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r != 0)
        return err_code(e, -r, "cannot start '%s'", en->shim);
    reaper_add(en->reaper, pid);
    *ret_pid = pid;
    return 0;
}

/* A shim of its own; its first connection. The lock comes first: once we hold it, no shim of before
 * can take our endpoint away. */
static int shim_spawn(struct engine *en, const char *id, int dir, pid_t *ret_pid,
                      struct wharf_error *e)
{
    int given[SHIM_FD_END - SHIM_FD_CONTROL], pair[2], r = 0;
    autoclose int alive = lock_take(en->root_fd, id, LOCK_ALIVE, true);

    if (alive < 0)
        return err_code(e, alive, "cannot lock container %s", id);
    autoclose int listener = listen_at(en, id, e);
    if (listener < 0)
        return listener;
    autoclose int run = open(en->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (run < 0)
        return err_sys(e, "cannot open '%s'", en->run);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "cannot make a socket");
    autoclose int ours = pair[0], theirs = pair[1];
    const int wanted[] = { theirs, run, listener, alive, dir };
    _Static_assert(ARRAY_SIZE(wanted) == ARRAY_SIZE(given), "enum shim_fd names each");
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        given[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, SHIM_FD_END);
        if (given[i] < 0 && r == 0)
            r = err_sys(e, "cannot hand descriptors to the shim");
    }
    if (r == 0)
        r = spawn(en, id, given, ret_pid, e);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        fd_close(given[i]);
    return r < 0 ? r : take_fd(&ours);
}

int shim_ready(struct engine *en, const char *id, int dir, pid_t *ret_pid, struct wharf_error *e)
{
    struct shim_message ask = { .op = SHIM_STATE }, answer = { 0 };

    *ret_pid = 0;
    if (lock_held(en->lock_file, id, LOCK_ALIVE)) {
        autoclose int fd = shim_connect(en, id, NULL);
        int r = fd < 0 ? fd : shim_call(fd, &ask, &answer, e);

        if (r == -ETIMEDOUT)
            return r;
        if (r == 0 && answer.value[1] == 0)
            return take_fd(&fd);
    }
    return shim_spawn(en, id, dir, ret_pid, e); /* one that is about to go is waited for */
}
