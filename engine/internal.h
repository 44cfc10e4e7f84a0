/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include <pthread.h>
#include "container.h"
#include "engine/engine.h"
#include "engine/oci.h"
#include "engine/shim-protocol.h"
#include "image.h"

#define CONTAINERS_DIR "containers"
#define SHIMS_DIR      "shims" /* below run: endpoints, named by id */
#define STATE_DIR      "state" /* below run: libcontainer's */

struct engine {
    char *root, *run, *shim; /* absolute */
    int root_fd, containers_fd;
    bool many_users;
    int lock_file; /* to ask lock_held; holds none itself */
    struct store *store;
    pthread_mutex_t opening;
    struct image_store *images; /* these are opened when first needed */
    struct volume_store *volumes;
};

/* repair.c: makes the record say what is true now, and sweeps what a killed process left. 0;
 * -ENOENT: it is gone (removed, or never finished). Takes the change lock itself, or not at all
 * when another engine holds it; `locked`: the caller has it. */
int record_repair(struct engine *en, struct record *r, bool locked, struct wharf_error *e);
/* Removes whatever the kernel still has of the container; nothing is fine. */
void container_sweep(struct engine *en, const char *id);
/* Deletes the container for good: its record must say STATE_REMOVING. */
int record_forget(struct engine *en, struct record *r, struct wharf_error *e);

/* container.c: finds and repairs; with `ret_lock` under the change lock. */
int container_find(struct engine *en, struct principal who, const char *reference,
                   struct record *ret, int *ret_lock, struct wharf_error *e);
int container_directory(struct engine *en, const char *id); /* descriptor or -errno */
bool record_is_running(const struct record *r);

/* The volumes of this root; the engine's. */
struct volume_store;
int engine_volumes(struct engine *en, struct volume_store **ret, struct wharf_error *e);

/* The principal may use this engine at all. */
int principal_check(const struct engine *en, struct principal who, struct wharf_error *e);

int64_t time_now_ns(void);

/* start.c: what building a specification needs, read from record and root. */
struct plan {
    struct arena *arena;
    struct settings settings;
    struct user user;
    struct oci_input input;
};
/* The root as a detached mount: descriptor or -errno. */
int container_mount_root(struct engine *en, const char *id, struct wharf_error *e);
int plan_make(struct engine *en, const struct record *r, int root_mount, const char *user,
              struct plan *ret, struct wharf_error *e);
void plan_done(struct plan *plan);
#define autoplan __attribute__((cleanup(plan_done)))

/* shim-client.c */
int shim_connect(struct engine *en, const char *id, struct wharf_error *e); /* socket or -errno */
/* Sends and waits for the answer, which goes to `ret` (may be NULL). -ETIMEDOUT: none came within
 * SHIM_ANSWER_MS, in which a shim answers anything, a start and an exec included. */
#define SHIM_ANSWER_MS 20000
int shim_call(int socket, const struct shim_message *m, struct shim_message *ret,
              struct wharf_error *e);
/* Connects, calls, closes. */
int shim_ask(struct engine *en, const char *id, const struct shim_message *m,
             struct wharf_error *e);
/* Starts a shim that waits for SHIM_START; its first connection and, for killing it, its pid.
 * root_mount, dir, alive: given to it. */
int shim_spawn(struct engine *en, const char *id, const struct shim_config *config, int root_mount,
               int dir, int alive, pid_t *ret_pid, struct wharf_error *e);
/* The endpoint's path into `b` */
void shim_endpoint(const struct engine *en, const char *id, struct buf *b);

/* wait.c: until the shim told of the end or is gone: 1 with its code, 0 gone, -ETIMEDOUT. */
int shim_wait_end(int socket, int64_t timeout_ms, int64_t *ret_code);

/* session.c: takes the socket; `streams` become the message's descriptors. */
int session_begin(int socket, struct session **ret, struct wharf_error *e);
void streams_fill(const struct engine_streams *streams, struct shim_message *m);

#endif
