/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a session lasts, bytes flow between the shim and this program's own descriptors; this
 * program only waits, for two things: its signals (signalfd) and the session. In raw mode the
 * terminal makes no signals: what is typed is the container's. The terminal is restored on every
 * way out that can be.
 */
#include "cmd/wharf/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include "base/str.h"

static void window(uint64_t *rows, uint64_t *columns)
{
    struct winsize size;

    *rows = *columns = 0;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
        *rows = size.ws_row;
        *columns = size.ws_col;
    }
}

/* The shim, which reads the terminal for us, is not of its session: nothing would stop it from
 * taking what is typed for the shell. So we stop here, as a read would have done (termios(3)), and
 * go on in the foreground. A background job that nobody can stop gets the read's error. */
static int await_foreground(struct wharf_error *e)
{
    for (int i = 0; i < 2; i++) {
        pid_t front = tcgetpgrp(STDIN_FILENO);

        if (front < 0 || front == getpgrp())
            return 0;
        if (i == 0)
            raise(SIGTTIN);
    }
    return err_code(e, -EIO, "cannot read the terminal in the background");
}

int terminal_streams(const bool wanted[3], bool tty, const char *keys, struct engine_streams *ret,
                     struct wharf_error *e)
{
    static char bytes[DETACH_KEYS_MAX]; /* of the one session that a program has */

    *ret = (struct engine_streams){ .fd = { -1, -1, -1 }, .detach_keys = bytes };
    if (wanted[0])
        ret->fd[0] = STDIN_FILENO;
    if (wanted[1])
        ret->fd[1] = STDOUT_FILENO;
    if (wanted[2] && !tty)
        ret->fd[2] = STDERR_FILENO;
    if (tty)
        window(&ret->rows, &ret->columns);
    if (wanted[0] && isatty(STDIN_FILENO)) {
        int r = await_foreground(e);
        if (r < 0)
            return r;
    }
    return detach_keys_parse(keys, bytes, e);
}

static void all_signals(sigset_t *set)
{
    /* what must act here: SIGCHLD is nobody's, faults are ours, the window is handled apart */
    static const int not_passed[] = { SIGCHLD, SIGPIPE, SIGURG, SIGSEGV,
                                      SIGBUS,  SIGFPE,  SIGILL, SIGABRT };

    sigfillset(set);
    for (size_t i = 0; i < ARRAY_SIZE(not_passed); i++)
        sigdelset(set, not_passed[i]);
}

/* The one terminal that a program has, as it was before raw mode. */
static struct termios saved;
static bool is_raw;

void terminal_restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    is_raw = false;
}

static void raw_mode(void)
{
    struct termios raw;

    if (is_raw || tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    raw = saved;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void terminal_hold(bool raw)
{
    sigset_t set;

    all_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (raw)
        raw_mode();
}

static void pass_signal(struct session *s, int fd, bool tty, bool forward)
{
    struct signalfd_siginfo info;
    uint64_t rows, columns;

    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH && tty) {
        window(&rows, &columns);
        session_resize(s, rows, columns);
    } else if (forward && info.ssi_signo != SIGWINCH) {
        session_kill(s, (int)info.ssi_signo);
    }
}

int64_t terminal_session(struct session *s, bool tty, bool raw, bool forward, bool *ret_detached)
{
    sigset_t set;
    enum session_event event = SESSION_NOTHING;
    int64_t code = 0;

    all_signals(&set);
    autoclose int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct pollfd p[] = { { signals, POLLIN, 0 }, { session_fd(s), POLLIN, 0 } };
    if (raw)
        raw_mode();
    while (event == SESSION_NOTHING) {
        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents)
            pass_signal(s, signals, tty, forward);
        if (p[1].revents)
            session_next(s, &event, &code);
    }
    terminal_restore();
    *ret_detached = event == SESSION_DETACHED;
    session_close(s);
    return event == SESSION_LOST ? -1 : code;
}
