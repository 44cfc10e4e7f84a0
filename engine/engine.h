/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: the containers of one root directory, as functions. It runs inside whoever calls it
 * (the command line today, a daemon tomorrow); any number of engines may work on one root at once,
 * and any of them may be killed at any moment: what is asked for is in the database (store.h), what
 * runs is told by shims' locks (lock.h), and every lookup first repairs what a killed process left
 * (repair.c).
 *
 *     engine_open(&engine, &(struct engine_options){ .root = "/var/lib/wharf" }, &e);
 *     engine_container_create(engine, who, "web", &settings, id, &e);
 *     engine_container_start(engine, who, id, NULL, NULL, &e);
 *     engine_container_wait(engine, who, id, &code, &e);
 *     engine_container_remove(engine, who, id, false, &e);
 *
 * Every call takes the principal that asks. What belongs to another is answered exactly like what
 * does not exist; root sees all. A `reference` is a name, an id, or the unique beginning of an id.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"
#include "engine/log-reader.h"
#include "engine/settings.h"
#include "engine/store.h"

#define ENGINE_ROOT_DEFAULT  "/var/lib/wharf"
#define STOP_TIMEOUT_DEFAULT 10 /* seconds between the stop signal and SIGKILL */

struct engine;
struct image_store;

struct principal { /* who asks; more kinds of it come with identity */
    uid_t uid;
};

struct engine_options {
    const char *root; /* NULL: ENGINE_ROOT_DEFAULT */
    const char *run;  /* sockets and libcontainer's state; NULL: /run/wharf for the default root,
                       * else  "run" below the root */
    const char *shim; /* the program; NULL: wharf-shim beside the running program */
};

int engine_open(struct engine **ret, const struct engine_options *options, struct wharf_error *e);
void engine_close(struct engine *engine);
DEFINE_AUTO(struct engine, engine_close)
const char *engine_root(const struct engine *engine);

/* The images of this root, for image.h's functions; the engine's. */
int engine_images(struct engine *engine, struct principal who, struct image_store **ret,
                  struct wharf_error *e);

/* ---- containers ------------------------------------------------------------------------------ */

/* `name` NULL: a random one. `ret_id` holds ID_LENGTH + 1 bytes. -ENOENT with "No such image: ...".
 */
int engine_container_create(struct engine *engine, struct principal who, const char *name,
                            const struct settings *settings, char *ret_id, struct wharf_error *e);

struct session;

/* Descriptors that become the container's streams; they stay the caller's. -1: none. */
struct engine_streams {
    int fd[3];
    const char *detach_keys; /* bytes; "": no detaching */
    uint64_t rows, columns;  /* of the terminal; 0: unknown */
};

/* Starts a created or exited container. With `streams` they are attached before its first
 * instruction and *ret_session tells of its end; both NULL: detached. -EALREADY: it runs. */
int engine_container_start(struct engine *engine, struct principal who, const char *reference,
                           const struct engine_streams *streams, struct session **ret_session,
                           struct wharf_error *e);

/* Joins the streams of a running container. */
int engine_container_attach(struct engine *engine, struct principal who, const char *reference,
                            const struct engine_streams *streams, struct session **ret_session,
                            struct wharf_error *e);

struct engine_exec {
    const char *const *argv;        /* ended by NULL */
    const char *const *env;         /* ended by NULL, may be NULL */
    const char *user, *working_dir; /* NULL: the container's */
    bool tty, privileged, detach;
};
/* One more process in a running container; `detach`: streams and session are NULL. */
int engine_container_exec(struct engine *engine, struct principal who, const char *reference,
                          const struct engine_exec *exec, const struct engine_streams *streams,
                          struct session **ret_session, struct wharf_error *e);

int engine_container_kill(struct engine *engine, struct principal who, const char *reference,
                          int signal, struct wharf_error *e);
/* `timeout` seconds, -1: wait for ever, -2: the container's own or STOP_TIMEOUT_DEFAULT. */
int engine_container_stop(struct engine *engine, struct principal who, const char *reference,
                          int64_t timeout, struct wharf_error *e);
int engine_container_pause(struct engine *engine, struct principal who, const char *reference,
                           bool pause, struct wharf_error *e);
/* Until it does not run. */
int engine_container_wait(struct engine *engine, struct principal who, const char *reference,
                          int64_t *ret_code, struct wharf_error *e);
int engine_container_remove(struct engine *engine, struct principal who, const char *reference,
                            bool force, struct wharf_error *e);
int engine_container_rename(struct engine *engine, struct principal who, const char *reference,
                            const char *name, struct wharf_error *e);

/* The record as it is now; record_done it. */
int engine_container_find(struct engine *engine, struct principal who, const char *reference,
                          struct record *ret, struct wharf_error *e);
/* Newest first, each as it is now. */
int engine_container_list(struct engine *engine, struct principal who,
                          int (*each)(void *user, struct record *r), void *user,
                          struct wharf_error *e);
/* Docker's inspect document of one container. */
int engine_container_inspect(struct engine *engine, struct principal who, const char *reference,
                             json_t **ret, struct wharf_error *e);

struct engine_logs {
    bool follow;
    uint64_t tail;              /* LOG_TAIL_ALL */
    int64_t since_ns, until_ns; /* 0: no bound */
    /* non-zero stops and is returned. `record` NULL: nothing more for now, show what there is */
    int (*each)(void *user, const struct log_record *record);
    void *user;
};
int engine_container_logs(struct engine *engine, struct principal who, const char *reference,
                          const struct engine_logs *logs, struct wharf_error *e);

/* ---- sessions -------------------------------------------------------------------------------- */

enum session_event {
    SESSION_NOTHING,  /* yet */
    SESSION_EXITED,   /* the process ended; the code is known */
    SESSION_DETACHED, /* by the detach keys */
    SESSION_LOST,     /* the shim is gone without a word */
};

int session_fd(const struct session *s); /* readable when something happened */
int session_next(struct session *s, enum session_event *ret, int64_t *ret_code);
void session_kill(struct session *s, int signal);
void session_resize(struct session *s, uint64_t rows, uint64_t columns);
void session_close(struct session *s);

#endif
