/* SPDX-License-Identifier: Apache-2.0 */
/* RUN --mount: what was asked for, its key, and the mounts that the runner is given. */
#ifndef LIBIMAGE_BUILD_MOUNTS_H
#define LIBIMAGE_BUILD_MOUNTS_H

#include "libimage/build/work.h"

enum { MOUNTS_MAX = 64, SECRET_MAX = 500 << 10 };

enum mount_type { MOUNT_BIND, MOUNT_CACHE, MOUNT_TMPFS, MOUNT_SECRET, MOUNT_SSH };
enum mount_sharing { SHARING_SHARED, SHARING_PRIVATE, SHARING_LOCKED };

struct mount_request {
    enum mount_type type;
    const char *target, *source, *from, *id, *env;
    enum mount_sharing sharing;
    bool read_only, required;
    int64_t size;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};
typedef LIST_OF(struct mount_request) mount_requests;

int run_mounts_parse(struct stage_work *s, const struct instruction *i, mount_requests *ret,
                     struct wharf_error *e);
/* Adds what the command can see through them to its key: digests of files, names of caches and
 * secrets, never what is in those. */
int run_mounts_key(struct stage_work *s, const mount_requests *requests, struct key *key,
                   struct wharf_error *e);

/* The mounts of one run. */
struct mounts {
    struct build_mount items[MOUNTS_MAX];
    size_t count;
    char *env[MOUNTS_MAX]; /* NAME=VALUE of secrets that are variables, SSH_AUTH_SOCK; of the arena
                            */
    size_t env_count;
    int fds[2 * MOUNTS_MAX]; /* to be closed */
    size_t fd_count;
    struct workspace spaces[MOUNTS_MAX]; /* where writes to a bind mount go, to be dropped */
    size_t space_count;
    void *memory[MOUNTS_MAX]; /* secrets */
    size_t memory_len[MOUNTS_MAX], memory_count;
};
int run_mounts_open(struct mounts *m, struct stage_work *s, const mount_requests *requests,
                    struct wharf_error *e);
void run_mounts_close(struct mounts *m);

#endif
