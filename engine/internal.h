/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include <pthread.h>
#include "container.h"
#include "engine/engine.h"
#include "engine/oci.h"
#include "engine/reaper.h"
#include "engine/shim-protocol.h"
#include "image.h"

#define CONTAINERS_DIR "containers"
#define STATE_DIR      "state" /* below run: libcontainer's */

struct listing;

struct engine {
    char *root, *run, *shim, *init; /* absolute */
    int root_fd, containers_fd;
    bool many_users;
    int lock_file; /* to ask lock_held; holds none itself */
    struct store *store;
    pthread_mutex_t opening;
    struct image_store *images; /* these are opened when first needed */
    struct volume_store *volumes;
    const struct networks_options *network_options;
    size_t spare_networks;
    struct netns_pool *spare;
    struct networks *networks;
    struct listing *listing; /* listing.h */
    struct reaper *reaper;   /* of a process that lives long; or NULL */
};

/* create.c: hosts, hostname and resolv.conf, which are mounted over the image's. */
int etc_write(int dir, const struct settings *s, const char *id, struct wharf_error *e);

/* repair.c: makes the record say what is true now, and sweeps what a killed process left. 0;
 * -ENOENT: it is gone (removed, or never finished). Takes the change lock itself, or not at all
 * when another engine holds it; `locked`: the caller has it. */
int record_repair(struct engine *en, struct record *r, bool locked, struct wharf_error *e);
/* The part of it that only looks: what the shim of a running container says. */
void record_read_state(struct engine *en, struct record *r);
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
/* "1700000000", "1700000000.5", RFC 3339, or "10m" (ago): ns since the epoch. -EINVAL */
int api_time_parse(const char *text, int64_t *ret_ns, struct wharf_error *e);

/* inspect.c */
const char *record_health(const struct record *r); /* starting healthy unhealthy none */
/* sizes.c: bytes of its own layer, and of all layers. */
int container_sizes(struct engine *en, const char *id, int64_t *ret_own, int64_t *ret_all);

/* start.c: what building a specification needs, read from record and root. */
struct plan {
    struct arena *arena;
    struct settings settings;
    struct user user;
    struct oci_input input;
};
/* The root as a detached mount: descriptor or -errno. `lower` (may be NULL): what it is an overlay
 * of,
 * ':' between the directories. */
int container_mount_root(struct engine *en, const char *id, struct buf *lower,
                         struct wharf_error *e);
/* archive.c: the root with what is mounted in it while it runs, else the layers alone. */
int container_root(struct engine *en, const struct record *r, struct wharf_error *e);
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
/* A connection to the container's shim, which waits for SHIM_START: the one that somebody attached
 * to already, or a new one (then *ret_pid is its pid, for killing it, else 0). The caller holds the
 * change lock and knows that the container does not run. */
int shim_ready(struct engine *en, const char *id, int dir, pid_t *ret_pid, struct wharf_error *e);
/* The endpoint's path into `b` */
void shim_endpoint(const struct engine *en, const char *id, struct buf *b);

/* shim-config.c: everything but the specification; strings are the plan's or the record's. */
int shim_configure(struct engine *en, const struct record *r, const struct plan *plan,
                   struct shim_config *ret, struct wharf_error *e);
int log_driver_parse(const struct settings_host *host, enum log_driver *ret, struct wharf_error *e);
/* Checks --log-driver and --log-opt too, for create. */
int log_configure(const struct settings_host *host, struct shim_config *c, struct wharf_error *e);
enum shim_policy restart_policy(const struct settings_host *host);
/* restart.c: how often its policy has started it since somebody did. */
int64_t record_restarts(struct engine *en, const struct record *r);
/* Attributes of its events but the name, as members of a JSON object. */
void record_attributes(const struct record *r, const struct settings *s, struct buf *b);

/* events.c: an event of any object; attributes: the text of a JSON object. */
int engine_tell(struct engine *en, int64_t owner, const char *type, const char *action,
                const char *actor, const char *attributes);

/* wait.c: until the shim told of the end or is gone: 1 with its code, 0 gone, -ETIMEDOUT. */
int shim_wait_end(int socket, int64_t timeout_ms, int64_t *ret_code);

/* session.c: a connection to the container's shim, running or waiting; one that does not run is
 * held under the change lock. */
int shim_waiting(struct engine *en, const struct record *r, struct wharf_error *e);

struct session {
    int socket;
    bool terminal;
    struct exec_begun *exec; /* an exec object that starts when the socket comes; NULL: none */
};

/* exec.c */
struct exec_begun {
    struct engine *engine;
    struct record record; /* of the container */
    char id[ID_LENGTH + 1], *command;
    int dir;                   /* the container's */
    struct shim_message start; /* with the process document */
};
/* Starts it, with `fd` as its client; that it could not be started is told to the client. */
int exec_connect(struct exec_begun *x, int socket, int fd, struct wharf_error *e);
void exec_begun_free(struct exec_begun *x);

/* session.c: takes the socket; `streams` become the message's descriptors. */
int session_begin(int socket, struct session **ret, struct wharf_error *e);
void streams_fill(const struct engine_streams *streams, struct shim_message *m);

#endif
