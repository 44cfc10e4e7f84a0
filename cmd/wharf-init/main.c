/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf-init: the first process of a container with --init (/sbin/docker-init there). It runs the
 * container's command as its child, passes signals on to it, reaps whoever is orphaned, and ends as
 * the command ends.
 *
 *     /sbin/docker-init -- COMMAND [ARGUMENT...]
 *
 * Without it the command itself has pid 1, for which the kernel drops signals it has no handler for
 * (pid_namespaces(7)), and to whom all orphans come.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Those that tell of a fault of our own are not waited for. */
static void choose(sigset_t *passed)
{
    static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

    sigfillset(passed);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(passed, own[i]);
}

/* CHILD. In a process group of its own, which a terminal's keys go to. */
static void run(char **argv, const sigset_t *before)
{
    int code;

    setpgid(0, 0);
    tcsetpgrp(STDIN_FILENO, getpgrp()); /* no terminal: fails. SIGTTOU is blocked here */
    sigprocmask(SIG_SETMASK, before, NULL);
    execvp(argv[0], argv);
    code = errno == ENOENT ? 127 : 126;
    fprintf(stderr, "exec: \"%s\": %s\n", argv[0], strerror(errno));
    _exit(code);
}

/* The exit code, once the command has ended; -1: it runs. */
static int reap(pid_t command)
{
    int status, code = -1;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == command)
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code;
}

int main(int argc, char **argv)
{
    sigset_t passed, before;
    pid_t command;
    int code = -1;

    if (argc < 3 || strcmp(argv[1], "--") != 0) {
        fputs("Usage: docker-init -- COMMAND [ARGUMENT...]\n", stderr);
        return 1;
    }
    choose(&passed);
    sigprocmask(SIG_SETMASK, &passed, &before);
    command = fork();
    if (command < 0) {
        fprintf(stderr, "cannot fork: %s\n", strerror(errno));
        return 1;
    }
    if (command == 0)
        run(argv + 2, &before);
    while (code < 0) {
        int signal = sigwaitinfo(&passed, NULL);

        if (signal == SIGCHLD)
            code = reap(command);
        else if (signal > 0)
            kill(command, signal);
    }
    return code;
}
