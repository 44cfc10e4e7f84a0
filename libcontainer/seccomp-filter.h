/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp filters: compiled by libseccomp in the parent, loaded by one raw system call in the
 * child.
 *
 *     struct seccomp_program p;
 *     seccomp_compile(spec->linux_->seccomp, cache, &p, NULL, NULL, e); // parent; cached by rules
 *     seccomp_load_program(&p, &listener);                              // child, just before exec
 *     seccomp_done(&p);
 */
#ifndef LIBCONTAINER_SECCOMP_FILTER_H
#define LIBCONTAINER_SECCOMP_FILTER_H

#include <linux/filter.h>
#include "libcontainer/config/spec.h"

struct seccomp_program {
    struct sock_filter *code; /* NULL: no filter */
    unsigned short count;
    unsigned flags; /* for seccomp(2): SECCOMP_FILTER_FLAG_*, NEW_LISTENER if notify is used */
    bool notify;
};

/* The directory for compiled programs below a state root, made if missing; its name is no container
 * id. -1 if there is none that only we can write: what stands in a slot is loaded unseen. */
int seccomp_open_cache(int state_root);

/* `cache` is a directory descriptor where compiled programs may be kept, or -1. Unknown system call
 * names are skipped (and told to `skipped`, which may be NULL); unknown anything else is an error.
 */
int seccomp_compile(const struct spec_seccomp *spec, int cache, struct seccomp_program *ret,
                    void (*skipped)(void *, const char *name), void *user, struct wharf_error *e);

/* Child-safe: raw system calls only. *ret_listener is the notify descriptor or -1. 0 or -errno. */
int seccomp_load_program(const struct seccomp_program *program, int *ret_listener);
void seccomp_done(struct seccomp_program *program);

/* Whether something listens at listenerPath, without troubling it: a listener that would see a
 * connection without a message might end. */
int seccomp_check_listener(const char *path, struct wharf_error *e);

/* Parent: sends the listener descriptor with the OCI container process state to listenerPath. */
int seccomp_send_listener(const char *path, int listener, const char *state_json,
                          struct wharf_error *e);

#endif
