/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The foreground: one poll loop between the caller's terminal, the container's and the signals.
 *
 * The caller's terminal is raw meanwhile, so keys such as ^C go to the container as bytes; signals
 * that reach this program are forwarded. ONLCR is off on the container's side, as runc does: the
 * outer terminal, which keeps OPOST, is the one to add carriage returns. A pump holds at most one
 * buffer in each direction and reads again when that is written: a slow reader stops the writer.
 */
#include "handover.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include "base/fd.h"

struct pump {
    int from, to; /* from -1: at its end */
    size_t start, end;
    char bytes[4096];
};

struct screen {
    int master; /* -1: the process has no terminal */
    bool raw;
    struct termios before;
    struct pump in, out;
};

static void copy_size(const struct screen *s)
{
    struct winsize size;

    if (s->master >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(s->master, TIOCSWINSZ, &size);
}

static void screen_open(struct screen *s, int master)
{
    struct termios t;

    s->master = master;
    s->raw = false;
    s->in.from = s->out.from = -1;
    if (master < 0)
        return;
    if (tcgetattr(master, &t) == 0) {
        t.c_oflag &= ~(tcflag_t)ONLCR;
        tcsetattr(master, TCSANOW, &t);
    }
    if (tcgetattr(STDIN_FILENO, &s->before) == 0) {
        t = s->before;
        cfmakeraw(&t);
        t.c_oflag |= OPOST; /* as runc: its ONLCR does what the container's does not */
        s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
    }
    copy_size(s);
    fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK);
    s->in = (struct pump){ .from = STDIN_FILENO, .to = master };
    s->out = (struct pump){ .from = master, .to = STDOUT_FILENO };
}

static void screen_close(struct screen *s)
{
    if (s->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &s->before);
    fd_close(s->master);
}

/* Moves what can be moved now. False at the end of the source, or when nobody takes it any more. */
static bool pump_move(struct pump *p)
{
    ssize_t n;

    if (p->start == p->end) {
        n = read(p->from, p->bytes, sizeof(p->bytes));
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        p->start = 0;
        p->end = (size_t)n;
    }
    n = write(p->to, p->bytes + p->start, p->end - p->start);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    p->start += (size_t)n;
    return true;
}

static struct pollfd pump_poll(const struct pump *p)
{
    bool full = p->start < p->end;

    return (struct pollfd){ .fd = p->from < 0 ? -1
                                  : full      ? p->to
                                              : p->from,
                            .events = full ? POLLOUT : POLLIN };
}

/* What the program wrote before it ended is still in the pty. */
static void drain(struct pump *p)
{
    while (p->from >= 0) {
        struct pollfd ready = pump_poll(p);

        if (poll(&ready, 1, 0) <= 0 || !pump_move(p))
            return;
    }
}

static void forward(int signals, struct container_process *process, struct screen *screen)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            copy_size(screen);
        else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGURG && info.ssi_signo != SIGPIPE)
            container_process_kill(process, (int)info.ssi_signo, NULL);
    }
}

static int loop(struct container_process *process, int signals, struct screen *screen)
{
    for (;;) {
        struct pollfd polls[] = {
            { .fd = container_process_pidfd(process), .events = POLLIN },
            { .fd = signals, .events = POLLIN },
            pump_poll(&screen->in),
            pump_poll(&screen->out),
        };

        if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
            return -errno;
        if (polls[1].revents)
            forward(signals, process, screen);
        if (polls[2].revents && !pump_move(&screen->in))
            screen->in.from = -1;
        if (polls[3].revents && !pump_move(&screen->out))
            screen->out.from = -1;
        if (polls[0].revents)
            return 0;
    }
}

int foreground(struct container_process *process, struct wharf_error *e)
{
    autoclose int signals = -1;
    struct screen screen;
    int status = 0, r;
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return err_sys(e, "cannot receive signals");
    screen_open(&screen, container_process_take_console(process));
    r = loop(process, signals, &screen);
    if (r == 0)
        r = container_process_wait(process, &status, -1, e);
    drain(&screen.out);
    screen_close(&screen);
    if (r < 0)
        return r;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
