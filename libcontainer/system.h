/* SPDX-License-Identifier: Apache-2.0 */
/* System calls around processes that glibc 2.36 has no wrapper for, or none that a clone of a
 * threaded program may use. All are safe between clone and exec. */
#ifndef LIBCONTAINER_SYSTEM_H
#define LIBCONTAINER_SYSTEM_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

/* clone3 as fork does it (own memory, SIGCHLD to the parent; with CLONE_PARENT the caller's own
 * signal). `flags` may hold CLONE_NEW*, CLONE_PIDFD, CLONE_PARENT; `cgroup` >= 0 adds
 * CLONE_INTO_CGROUP. Signal handlers are reset in the child. The pid, 0 in the child, or -errno. */
pid_t system_clone(uint64_t flags, int cgroup, int *ret_pidfd);

/* The child's dispositions that execve would keep: SIGPIPE and SIGCHLD to their defaults, nothing
 * blocked. */
void system_reset_signals(void);

/* 1 when readable, 0 when `timeout_ms` passed (-1: never), -errno. */
int system_wait_readable(int fd, int timeout_ms);

/* Reaps a child by its pidfd: 0, or -errno (-ECHILD: not our child). */
int system_wait_child(int pidfd, siginfo_t *ret);

int system_pidfd_open(pid_t pid); /* close-on-exec; -errno */
int system_pidfd_signal(int pidfd, int signal);

#endif
