/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container's process and the runtime that makes it say to each other, over one
 * SOCK_SEQPACKET pair: fixed structs, a descriptor now and then, and the whole error when something
 * fails. Every wait ends when the other side dies.
 *
 * The talk of a create (parent left, child right; [] only where there is need):
 *
 *     clone3  ------------------------------>
 *             [MAPPED]    id maps are written
 *             [ATTACHED]  the cgroup is entered (where clone3 could not do it)
 *                                       [HOOKS]  before pivot_root: prestart, createRuntime
 *             [HOOKED]
 *                                     [CONSOLE]  the terminal's master
 *                                       READY    all is done but the program
 *             START       limits are set, the state is written
 *                                        exec    closes the socket: end of file is success
 *
 * After a create the init waits on a listening socket instead, and the `start` that connects gets
 * STARTING, answers START, and then hears of failure or sees end of file (start.c). Both sides use
 * these functions; they are safe between clone and exec.
 */
#ifndef LIBCONTAINER_SYNC_H
#define LIBCONTAINER_SYNC_H

#include <stdint.h>
#include "base/err.h"
#include "libcontainer/stub/stub.h"

enum sync_type {
    SYNC_STUB_FAILED = STUB_REPORT_FAILED, /* `step` tells where; made by the stub */
    SYNC_LISTENER = STUB_REPORT_LISTENER,  /* + the seccomp listener */
    SYNC_ERROR,                            /* `error`; the sender is about to exit */
    SYNC_MAPPED,
    SYNC_ATTACHED,
    SYNC_PID, /* from the middle process: `code` is the pid of the container's process */
    SYNC_HOOKS,
    SYNC_HOOKED,
    SYNC_CONSOLE, /* + the master */
    SYNC_READY,
    SYNC_STARTING,
    SYNC_START,
};

struct sync_message {
    uint32_t type;
    int32_t code;
    uint32_t step;
    struct wharf_error error; /* only with SYNC_ERROR */
};

/* Sends; `fd` is passed along unless it is -1. 0 or -errno (-EPIPE: nobody is there any more). */
int sync_send(int socket, enum sync_type type, int code, int fd);
int sync_send_error(int socket, const struct wharf_error *error);

/* Receives one message: 1, 0 at end of file (the peer has gone, or has executed its program), or
 * -errno. *ret_fd is -1 when nothing came along. */
int sync_receive(int socket, struct sync_message *ret, int *ret_fd);

/* Waits for one message of a kind and nothing else: 0, -EPIPE when the peer has gone, -EPROTO. */
int sync_expect(int socket, enum sync_type type);

#endif
