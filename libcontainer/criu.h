/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The criu program, as checkpoint.c and restore.c drive it: its command line, its run, its log.
 *
 * It is run as a program and not spoken to through its library, which Debian does not package for
 * development; nothing of it is needed where no checkpoint is asked for.
 */
#ifndef LIBCONTAINER_CRIU_H
#define LIBCONTAINER_CRIU_H

#include "libcontainer/config/spec.h"

#define CRIU_ARGUMENTS_MAX 1024
#define CRIU_DESCRIPTORS                                                                           \
    "descriptors.json" /* what stdin, stdout, stderr were; runc's name for it */

struct criu {
    struct arena *arena;
    const char *arguments[CRIU_ARGUMENTS_MAX + 1];
    unsigned count;
    int error;           /* sticks: -ENOMEM, -E2BIG */
    const char *log_dir; /* where the log goes: work path, else image path */
    const char *log;
    int images; /* the image directory */
};

/* There is such a program; whether it knows this kernel, only a run tells. */
bool criu_installed(void);

/* Begins a command ("dump", "restore"): directories opened, made for a dump, and the flags that
 * both share. The caller releases with criu_done. */
int criu_begin(struct criu *criu, const char *command, const struct container_checkpoint_options *o,
               struct arena *arena, bool make, struct wharf_error *e);
void criu_add(struct criu *criu, const char *format, ...) __attribute__((format(printf, 2, 3)));
void criu_done(struct criu *criu);

/* Names the mounts whose source is outside the container: binds, and files masked by null. A dump
 * says that they are outside, a restore where to find them now. */
void criu_add_mounts(struct criu *criu, const struct container_spec *spec, const char *rootfs,
                     bool restore);

/* The new process of criu_run, before it executes criu: system calls only. 0 or -errno. */
typedef int criu_prepare(void *user);

/* Runs it to its end. `started` (may be NULL) is called with its pid before it goes on, and
 * `prepare` (may be NULL) in it. keep[i] becomes its descriptor 3 + i. A failure carries the last
 * error of criu's log. -EOPNOTSUPP: there is no criu, or it is too old for this kernel. */
struct criu_run {
    int (*started)(void *user, pid_t pid, struct wharf_error *e);
    criu_prepare *prepare;
    void *user;
    const int *keep;
    unsigned keep_count;
};
int criu_run(struct criu *criu, const struct criu_run *run, struct wharf_error *e);

#endif
