/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last mile's plan: what stub.c does between the end of init and the container's program. It
 * is written by launch.c behind the stub's code into one sealed memfd, which the kernel maps at a
 * fixed address. Variable parts follow the struct, at offsets from its beginning.
 */
#ifndef LIBCONTAINER_STUB_STUB_H
#define LIBCONTAINER_STUB_STUB_H

#include <stdint.h>

/* The steps of stub.c in their order; launch.c turns the one that failed into a message. */
enum stub_step {
    STUB_DUMPABLE,
    STUB_FILTER,
    STUB_LISTENER,
    STUB_GROUPS,
    STUB_GID,
    STUB_UID,
    STUB_CAPABILITIES,
    STUB_DEATH,
    STUB_NO_NEW_PRIVS,
    STUB_LABEL,
    STUB_EXEC,
    STUB_STEPS
};

enum {
    STUB_NO_NEW_PRIVILEGES = 1u << 0,
    STUB_SET_GROUPS = 1u << 1,      /* not where a user namespace denies setgroups(2) */
    STUB_LISTENER_WANTED = 1u << 2, /* the filter notifies: its descriptor goes to the parent */
    STUB_DIE_WITH_PARENT = 1u << 3,
};

struct stub_plan {
    int32_t sync; /* seqpacket socket: hears of a failure, is closed by the final execve */
    int32_t proc; /* a checked /proc for the LSM label, or -1 */
    uint32_t flags;
    uint32_t uid, gid, group_count;
    uint64_t permitted, effective, inheritable, ambient;
    uint32_t filter_flags, filter_count;
    /* offsets, 0: none */
    uint32_t path;             /* of the program, a string */
    uint32_t groups;           /* group_count of uint32_t */
    uint32_t filter;           /* filter_count of struct sock_filter */
    uint32_t attribute, label; /* strings: "thread-self/attr/exec" and what goes into it */
};

/* What the stub says on `sync`; a prefix of struct sync_message (sync.h). */
struct stub_report {
    uint32_t type;
    int32_t code; /* negative errno */
    uint32_t step;
};
enum { STUB_REPORT_FAILED = 1, STUB_REPORT_LISTENER = 2 };

#endif
