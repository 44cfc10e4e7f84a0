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
 *     engine_container_remove(engine, who, id, false, false, &e);
 *
 * Every call takes the principal that asks. What belongs to another is answered exactly like what
 * does not exist; root sees all. A `reference` is a name, an id, or the unique beginning of an id.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"
#include "engine/events.h"
#include "engine/log-reader.h"
#include "engine/settings.h"
#include "engine/store.h"
#include "volume/volume.h"
#include "swarm.h"

#define ENGINE_ROOT_DEFAULT  "/var/lib/wharf"
#define STOP_TIMEOUT_DEFAULT 10 /* seconds between the stop signal and SIGKILL */

struct engine;
struct image_store;
struct networks_options;

struct engine_options {
    const char *root; /* NULL: ENGINE_ROOT_DEFAULT */
    const char *run;  /* sockets and libcontainer's state; NULL: /run/wharf for the default root,
                       * else  "run" below the root */
    bool many_users;  /* a filter in front decides who may come; else root and the root's owner */
    /* of networks: bridge_ip, mtu, pools (network/network.h); NULL: docker's defaults. Stays the
     * caller's. */
    const struct networks_options *networks;
    size_t spare_networks; /* namespaces made ahead of need, for a process that lives long */
    bool reaps;            /* the process lives long: shims that end are waited for */
    const char *shim;      /* the program; NULL: wharf-shim beside the running program */
};

int engine_open(struct engine **ret, const struct engine_options *options, struct wharf_error *e);
void engine_close(struct engine *engine);
DEFINE_AUTO(struct engine, engine_close)
const char *engine_root(const struct engine *engine);

/* The images of this root, for image.h's functions; the engine's. */
int engine_images(struct engine *engine, struct principal who, struct image_store **ret,
                  struct wharf_error *e);

/* Docker's documents about the engine: GET /version (NULL: no memory) and GET /info. */
json_t *engine_version(void);
int engine_info(struct engine *engine, struct principal who, json_t **ret, struct wharf_error *e);

/* What restart policies ask for after the machine's restart; for the daemon, once, when it begins.
 * While a shim lives it needs nobody for that. How many were started. */
int engine_restart_all(struct engine *engine, struct wharf_error *e);

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

/* A client's own connection, in two steps, since the client must hear "yes" before the container's
 * first byte, and not one byte may be lost in between:
 *
 *     engine_container_attach_begin(en, who, id, &attach, &session, &e);   from here on all is kept
 *     ... write the reply's head into the socket; session_has_terminal says which kind ...
 *     session_connect(session, fd, early, early_len, &e);                  now the shim speaks
 *     session_close(session); close(fd);
 *
 * A container that does not run gets its shim now, which waits for the start as long as somebody is
 * attached. Output comes raw from a terminal, else in frames (docker-api 3.4). The client shutting
 * down its half ends stdin; the shim closes when the output has ended. */
struct engine_attach {
    bool streams[3];         /* stdin, stdout, stderr */
    bool logs;               /* first what the log has */
    bool stream;             /* then what comes; without it the connection ends behind the logs */
    bool raw;                /* no frames though there is no terminal (websocket) */
    const char *detach_keys; /* bytes (detach_keys_parse); NULL or "": no detaching */
};
int engine_container_attach_begin(struct engine *engine, struct principal who,
                                  const char *reference, const struct engine_attach *attach,
                                  struct session **ret_session, struct wharf_error *e);

#define DETACH_KEYS_MAX 16 /* bytes of a detach sequence, with the NUL */
/* "ctrl-p,ctrl-q" -> bytes; NULL or "": docker's default, which is that. -EINVAL with its text. */
int detach_keys_parse(const char *text, char ret[DETACH_KEYS_MAX], struct wharf_error *e);

struct engine_exec {
    const char *const *argv;        /* ended by NULL */
    const char *const *env;         /* ended by NULL, may be NULL */
    const char *user, *working_dir; /* NULL: the container's */
    bool tty, privileged, detach;
    bool streams[3];         /* of an exec object: what a client of it will be attached to */
    const char *detach_keys; /* the same: bytes, as in engine_attach */
    uint64_t rows, columns;  /* the same; 0: unknown */
};
/* One more process in a running container; `detach`: streams and session are NULL. */
int engine_container_exec(struct engine *engine, struct principal who, const char *reference,
                          const struct engine_exec *exec, const struct engine_streams *streams,
                          struct session **ret_session, struct wharf_error *e);

/* The same as an object that a later call starts, once. Its id (ID_LENGTH + 1 bytes) begins with
 * its container's; it is gone with the container, or EXEC_SWEEP_S after its end. */
#define EXEC_SWEEP_S 300
int engine_exec_create(struct engine *engine, struct principal who, const char *reference,
                       const struct engine_exec *exec, char *ret_id, struct wharf_error *e);
/* Starts it with nobody attached. -EALREADY, -ENOENT; a program that cannot be run is an error and
 * recorded. */
int engine_exec_start(struct engine *engine, struct principal who, const char *exec_id,
                      struct wharf_error *e);
/* The two steps of an attachment; session_connect starts it. A program that cannot be run is then
 * no error of the call: the client reads why, and the exec has exit code 126 or 127.
 * `rows`, `columns` as the start's own ConsoleSize, 0: those of the create. */
int engine_exec_start_begin(struct engine *engine, struct principal who, const char *exec_id,
                            uint64_t rows, uint64_t columns, struct session **ret_session,
                            struct wharf_error *e);
int engine_exec_resize(struct engine *engine, struct principal who, const char *exec_id,
                       uint64_t rows, uint64_t columns, struct wharf_error *e);
/* Docker's inspect document of it. */
int engine_exec_inspect(struct engine *engine, struct principal who, const char *exec_id,
                        json_t **ret, struct wharf_error *e);
/* Ids of a container's execs that have not been swept, as a JSON array; null when there are none.
 * NULL when out of memory. */
json_t *engine_exec_ids(struct engine *engine, const char *id);

int engine_container_kill(struct engine *engine, struct principal who, const char *reference,
                          int signal, struct wharf_error *e);
/* `timeout` seconds, -1: wait for ever, -2: the container's own or STOP_TIMEOUT_DEFAULT. */
int engine_container_stop(struct engine *engine, struct principal who, const char *reference,
                          int64_t timeout, struct wharf_error *e);
/* Stop, if it runs, and start. */
int engine_container_restart(struct engine *engine, struct principal who, const char *reference,
                             int64_t timeout, struct wharf_error *e);
int engine_container_pause(struct engine *engine, struct principal who, const char *reference,
                           bool pause, struct wharf_error *e);
/* The terminal's size; without a terminal nothing happens. */
int engine_container_resize(struct engine *engine, struct principal who, const char *reference,
                            uint64_t rows, uint64_t columns, struct wharf_error *e);

enum engine_wait_condition {
    WAIT_NOT_RUNNING, /* at once when it does not run */
    WAIT_NEXT_EXIT,   /* of a start that may be still to come */
    WAIT_REMOVED,
};
/* "" or NULL, "not-running", "next-exit", "removed"; -EINVAL with docker's text. */
int engine_wait_parse(const char *text, enum engine_wait_condition *ret, struct wharf_error *e);
/* Blocks until it is so. -ENOENT: no such container. */
int engine_container_wait(struct engine *engine, struct principal who, const char *reference,
                          enum engine_wait_condition condition, int64_t *ret_code,
                          struct wharf_error *e);
/* The same for who must wait for other things too: registered when begin returns; whenever the
 * descriptor is readable, ask: 1 with the code, 0 not yet, or an error. */
struct engine_wait;
int engine_wait_begin(struct engine *engine, struct principal who, const char *reference,
                      enum engine_wait_condition condition, struct engine_wait **ret,
                      struct wharf_error *e);
int engine_wait_fd(const struct engine_wait *w);
int engine_wait_next(struct engine_wait *w, int64_t *ret_code, struct wharf_error *e);
void engine_wait_end(struct engine_wait *w);
DEFINE_AUTO(struct engine_wait, engine_wait_end)

/* `volumes`: with its anonymous ones. */
int engine_container_remove(struct engine *engine, struct principal who, const char *reference,
                            bool force, bool volumes, struct wharf_error *e);
int engine_container_rename(struct engine *engine, struct principal who, const char *reference,
                            const char *name, struct wharf_error *e);

/* The record as it is now; record_done it. */
int engine_container_find(struct engine *engine, struct principal who, const char *reference,
                          struct record *ret, struct wharf_error *e);
/* Newest first, each as it is now. */
int engine_container_list(struct engine *engine, struct principal who,
                          int (*each)(void *user, struct record *r), void *user,
                          struct wharf_error *e);
/* Docker's list, newest first, as JSON text appended to `ret`: fast (listing.h). */
struct engine_list {
    bool all;              /* also those that do not run */
    bool size;             /* with SizeRw and SizeRootFs: slow */
    int64_t limit;         /* > 0: the newest so many, in any state */
    const json_t *filters; /* {"name": ["value", ..]} or NULL */
};
int engine_container_list_json(struct engine *engine, struct principal who,
                               const struct engine_list *ask, struct buf *ret,
                               struct wharf_error *e);
/* Docker's inspect document of one container; `size`: with SizeRw and SizeRootFs. */
int engine_container_inspect(struct engine *engine, struct principal who, const char *reference,
                             bool size, json_t **ret, struct wharf_error *e);

/* "Ports" of a list entry: [{"IP","PrivatePort","PublicPort","Type"}]. NULL when out of memory. */
json_t *engine_container_ports(struct engine *engine, const struct record *r);

/* Docker's documents: processes as the host's ps tells them (`arguments` NULL: -ef). -ESRCH: it
 * does not run. */
int engine_container_top(struct engine *engine, struct principal who, const char *reference,
                         const char *arguments, json_t **ret, struct wharf_error *e);

/* Use of resources: one document from two samples, with `one_shot` from one, with `stream` one a
 * second until `each` returns non-zero (which is returned) or `gone_fd` (-1: none) is readable. */
struct engine_stats {
    bool stream, one_shot;
    int gone_fd;
    int (*each)(void *user, const json_t *document);
    void *user;
};
int engine_container_stats(struct engine *engine, struct principal who, const char *reference,
                           const struct engine_stats *ask, struct wharf_error *e);

/* Limits and restart policy, from the body of docker's update, which changes. */
int engine_container_update(struct engine *engine, struct principal who, const char *reference,
                            json_t *body, json_t **ret, struct wharf_error *e);

/* Removes those that do not run; filters: label, label!, until. */
int engine_container_prune(struct engine *engine, struct principal who, const json_t *filters,
                           json_t **ret, struct wharf_error *e);
/* What takes space on the disk; `types`: a list of image, container, volume, build-cache; or NULL.
 */
int engine_df(struct engine *engine, struct principal who, const json_t *types, json_t **ret,
              struct wharf_error *e);

/* An image of a container: its image's layers, one more of what it changed, and its configuration.
 */
struct engine_commit {
    const char *name; /* of the image; NULL or "": none */
    const char *comment, *author;
    bool pause;                 /* while files are read */
    const char *const *changes; /* Dockerfile lines ended by NULL, or NULL */
    const json_t *config;       /* members of Config that replace the container's, or NULL */
};
/* {"Id": "sha256:.."} */
int engine_container_commit(struct engine *engine, struct principal who, const char *reference,
                            const struct engine_commit *ask, json_t **ret, struct wharf_error *e);

/* ---- files ----------------------------------------------------------------------------------- */

/* [{"Path": "/x", "Kind": 0 modified, 1 added, 2 deleted}, ..] */
int engine_container_changes(struct engine *engine, struct principal who, const char *reference,
                             json_t **ret, struct wharf_error *e);
/* The root as a tar into `fd`, without what is mounted in it. */
int engine_container_export(struct engine *engine, struct principal who, const char *reference,
                            int fd, struct wharf_error *e);

/* One path of a container (of a stopped one too, volumes included): what it is, {"name", "size",
 * "mode" (Go's), "mtime", "linkTarget"}; as a tar into `fd`, below its last name
 * or `as` (NULL: its own; "": what is in it). -ENOENT "Could
 * not find the file .." */
int engine_archive_stat(struct engine *engine, struct principal who, const char *reference,
                        const char *path, json_t **ret, struct wharf_error *e);
int engine_archive_get(struct engine *engine, struct principal who, const char *reference,
                       const char *path, const char *as, int fd, struct wharf_error *e);
/* The document as X-Docker-Container-Path-Stat has it; free() it. NULL: no memory. */
char *archive_stat_header(const json_t *stat);

/* Unpacks a tar, plain or compressed, into the directory `path`. */
struct engine_archive_put {
    const char *path;
    int fd;
    bool keep_kind;  /* a directory does not become something else, nor the reverse */
    bool copy_owner; /* everything belongs to the container's user */
};
int engine_archive_put(struct engine *engine, struct principal who, const char *reference,
                       const struct engine_archive_put *ask, struct wharf_error *e);

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

/* The same as the bytes that docker's API sends, in large pieces; `logs` without `each`. */
struct engine_log_form {
    bool streams[3];          /* [1] stdout, [2] stderr */
    bool timestamps, details; /* in front of each line */
    bool framed;              /* 8-byte frames: the container has no terminal */
    /* non-zero stops and is returned; `len` 0: nothing more for now */
    int (*write)(void *user, const void *data, size_t len);
    void *user;
};
int engine_container_log_stream(struct engine *engine, struct principal who, const char *reference,
                                const struct engine_logs *logs, const struct engine_log_form *form,
                                struct wharf_error *e);

/* ---- volumes --------------------------------------------------------------------------------- */

/* Results in docker's forms; filters as {"name": ["value", ..]} or NULL (volume.h). */
int engine_volume_create(struct engine *engine, struct principal who,
                         const struct volume_spec *spec, json_t **ret, struct wharf_error *e);
int engine_volume_inspect(struct engine *engine, struct principal who, const char *name,
                          json_t **ret, struct wharf_error *e);
int engine_volume_list(struct engine *engine, struct principal who, const json_t *filters,
                       json_t **ret, struct wharf_error *e);
int engine_volume_remove(struct engine *engine, struct principal who, const char *name, bool force,
                         struct wharf_error *e);
int engine_volume_prune(struct engine *engine, struct principal who, const json_t *filters,
                        json_t **ret, struct wharf_error *e);

/* ---- networks -------------------------------------------------------------------------------- */

/* Bodies and results in docker's forms (docker-api section "Networks", network/network.h); filters
 * as above. */
int engine_network_create(struct engine *engine, struct principal who, json_t *body, json_t **ret,
                          struct wharf_error *e);
int engine_network_inspect(struct engine *engine, struct principal who, const char *reference,
                           json_t **ret, struct wharf_error *e);
/* `containers`: with those that are in them. */
int engine_network_list(struct engine *engine, struct principal who, json_t *filters,
                        bool containers, json_t **ret, struct wharf_error *e);
int engine_network_remove(struct engine *engine, struct principal who, const char *reference,
                          struct wharf_error *e);
int engine_network_prune(struct engine *engine, struct principal who, json_t *filters, json_t **ret,
                         struct wharf_error *e);
/* `settings`: EndpointConfig or NULL. Of a running container too. */
int engine_network_connect(struct engine *engine, struct principal who, const char *reference,
                           const char *container, json_t *settings, struct wharf_error *e);
int engine_network_disconnect(struct engine *engine, struct principal who, const char *reference,
                              const char *container, bool force, struct wharf_error *e);

/* ---- events ---------------------------------------------------------------------------------- */

/* What happens to the objects of this root, whichever process does it: those that `who` may see,
 * from `since` (0: only new ones) to `until` (0: for ever, else it ends then). `filters` by
 * docker's names, NULL: all. `gone_fd` ends it when readable or hung up (-1: none). Returns what
 * `each` returned if not 0. `event` NULL: nothing more for now, show what there is. */
struct engine_events {
    int64_t since_ns, until_ns;
    const json_t *filters; /* {"type": ["container"], ..}, checked: -EINVAL */
    int gone_fd;
    int (*each)(void *user, const struct event *event);
    void *user;
};
int engine_events(struct engine *engine, struct principal who, const struct engine_events *ask,
                  struct wharf_error *e);
/* Tells of something that was done to a container. `extra`: attributes beside docker's own for
 * containers, as pairs "key", "value", ..., NULL; may be NULL. */
void engine_emit(struct engine *engine, const struct record *r, const char *action,
                 const char *const *extra);

/* ---- sessions -------------------------------------------------------------------------------- */

enum session_event {
    SESSION_NOTHING,  /* yet */
    SESSION_EXITED,   /* the process ended; the code is known */
    SESSION_DETACHED, /* by the detach keys */
    SESSION_LOST,     /* the shim is gone without a word */
};

/* See engine_container_attach_begin. The socket stays the caller's: the shim has its own copy. */
int session_connect(struct session *s, int fd, const void *early, size_t early_len,
                    struct wharf_error *e);
bool session_has_terminal(const struct session *s); /* then no frames */
int session_fd(const struct session *s);            /* readable when something happened */
int session_next(struct session *s, enum session_event *ret, int64_t *ret_code);
void session_kill(struct session *s, int signal);
void session_resize(struct session *s, uint64_t rows, uint64_t columns);
void session_close(struct session *s);

#endif
