/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swarm.h - libswarm: everything is a service, and one table says what a service can be asked
 *
 * A MESSAGE asks for one OPERATION (a row of the operation table, `container.create`), with
 * parameters, perhaps a JSON document or a byte stream, and the PRINCIPAL who asks. A SERVICE takes
 * messages and gives each exactly one REPLY. A FILTER is a service that wraps another; a DOOR turns
 * something outside (an HTTP request) into messages; an ADAPTER is a service that turns messages
 * into something outside (a Docker daemon). They compose: who calls cannot tell an engine from a
 * cluster of engines, or from somebody else's cloud.
 *
 * A whole service, which answers `system.ping` and nothing else:
 *
 *     static int hello(struct service *s, struct message *m, struct reply *r, struct wharf_error
 * *e)
 *     {
 *         if (operation_is(m->op, "system.ping"))
 *             return reply_text(r, 200, "OK", 2);
 *         return service_unknown(s, m, e);
 *     }
 *     static const struct service_ops ops = { .name = "hello", .call = hello };
 *     struct service *s = service_new(sizeof *s, &ops);
 *
 * RETURNS    0 or a count on success, a negative errno on failure with the reason in `e` (may be
 *            NULL). A failed call changes nothing and leaves out-parameters untouched.
 * THREADS    service_call may be used from any number of threads at once, and blocks the caller's
 *            thread until the reply has ended. A message and a reply belong to one thread at a
 * time. OWNERSHIP  What a function hands out through `ret_x` is the caller's. A message's trees and
 *            descriptors belong to the message; a handler that keeps one takes it (json_incref,
 *            message_take_stream).
 */
#ifndef SWARM_H
#define SWARM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "wharf-error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SWARM_API __attribute__((visibility("default")))

/* ---- who asks --------------------------------------------------------------------------------- */

#define PRINCIPAL_NAME_MAX 128 /* bytes, with the NUL */

/* Made by a door from the connection alone (never from the request), passed to every lookup. */
struct principal {
    /* What an object's immutable owner is compared with: the Unix user's id, or for others a number
     * above 2^32 that is computed from the name. 0, root, sees all. */
    int64_t uid;
    pid_t pid;                     /* of the process at the other end of a unix socket, else 0 */
    char name[PRINCIPAL_NAME_MAX]; /* "user:1000", "certificate:CN=alice", for people and the audit
                                    */
};

SWARM_API struct principal principal_of_user(uid_t uid, pid_t pid);
/* `kind`: "certificate", ...; a subject that does not fit is refused with -E2BIG. */
SWARM_API int principal_of_subject(const char *kind, const char *subject, struct principal *ret);

/* ---- the operation table ------------------------------------------------------------------------ */

enum form { /* of a request's or a reply's body */
            FORM_NONE,
            FORM_JSON,        /* one document */
            FORM_JSON_LINES,  /* a document a line, each sent at once */
            FORM_TEXT,        /* plain */
            FORM_TAR,         /* a byte stream */
            FORM_MULTIPLEXED, /* frames of stdout and stderr, or raw where there is a terminal */
            FORM_CONNECTION,  /* the connection itself, both ways, from the reply's head on */
            FORM_WEBSOCKET,   /* the same in frames of RFC 6455 */
};

enum route {              /* where a cluster sends it */
             ROUTE_HOME,  /* to the home of the object that `id` or `name` means */
             ROUTE_ALL,   /* everywhere; the replies are merged */
             ROUTE_ANY,   /* to any one */
             ROUTE_PLACE, /* where the scheduler says */
};

enum parameter_type {
    PARAMETER_BOOL, /* docker's: "", 0, no, false, none are false, all else is true */
    PARAMETER_INT,
    PARAMETER_STRING,
    PARAMETER_LIST,    /* repeated: an array of strings */
    PARAMETER_FILTERS, /* JSON {"name": ["value", ..]}; the old {"name": {"value": true}} is
                          translated */
};

enum parameter_place { IN_QUERY, IN_PATH, IN_HEADER };

struct parameter {
    const char *name;
    enum parameter_type type;
    enum parameter_place in;
    bool required;
    unsigned since;       /* ignored when the caller speaks an older version; 0: always */
    const char *fallback; /* text, as it would stand in the query; NULL: absent */
};

struct operation {
    const char *name;      /* "container.create" */
    const char *method;    /* of the Docker API */
    const char *path;      /* "/containers/{id}/json": {id} and {name} take what stands there */
    unsigned since, until; /* minor versions of API 1.x that have it; until 0: today's too */
    enum form request, reply;
    unsigned status; /* of success */
    enum route route;
    const char *resource, *action; /* for authorize: "container", "create" */
    const char *document;          /* of the request, by Docker's name: "ContainerCreateRequest" */
    const struct parameter *parameters; /* ended by a NULL name */
    const char *const *filters;         /* names that `filters` may hold, ended by NULL */
    const char *help;                   /* one line for the manual */
};

#define API_NEWEST 51 /* 1.51: what replies are shaped as unless the caller asks for less */
#define API_OLDEST 24

/* All rows, in the order of the manual; *ret_count of them. */
SWARM_API const struct operation *operations(size_t *ret_count);
/* NULL: there is none of that name. */
SWARM_API const struct operation *operation_named(const char *name);
/* The row's number, 0 to the count: for tables beside this one. */
SWARM_API size_t operation_index(const struct operation *op);
SWARM_API bool operation_is(const struct operation *op, const char *name);
/* The row for a path without its /vX.Y; the values of {..} go into `args` (an object). A path that
 * exists under another method is like one that does not: NULL. */
SWARM_API const struct operation *operation_find(const char *method, const char *path, unsigned api,
                                                 json_t *args);

/* ---- messages ----------------------------------------------------------------------------------- */

struct message {
    const struct operation *op;
    json_t *args; /* an object: parameters by name, of the types in the table, defaults filled in */
    json_t *body; /* the JSON document; NULL: none came */
    int stream;   /* read the request's bytes (FORM_TAR) here, to its end; -1: none */
    unsigned api; /* minor version that the caller speaks */
    struct principal principal;
    const char *connection; /* what it came by, for the audit: "unix", "tcp 127.0.0.1:5000", ... */
};

/* An empty message for the operation of that name; -ENOENT. */
SWARM_API int message_new(const char *operation, struct principal who, struct message **ret,
                          struct wharf_error *e);
SWARM_API void message_free(struct message *m);
SWARM_API int message_take_stream(struct message *m); /* the descriptor, now yours; -1 */

/* Parameters as the table types them. Absent: NULL, 0, false. */
SWARM_API const char *message_string(const struct message *m, const char *name);
SWARM_API int64_t message_int(const struct message *m, const char *name);
SWARM_API bool message_bool(const struct message *m, const char *name);
SWARM_API bool message_has(const struct message *m, const char *name);
/* Sets one from text, checked against the table: -EINVAL with docker's text; a name that the table
 * does not have is dropped, as docker does. */
SWARM_API int message_set(struct message *m, const char *name, const char *text,
                          struct wharf_error *e);
/* Fills in defaults; -EINVAL when something required is absent. Doors call it once all is set. */
SWARM_API int message_check(struct message *m, struct wharf_error *e);

/* ---- replies ------------------------------------------------------------------------------------ */

struct reply;

/* A connection that a service took over: from now on the service speaks with the client. */
struct connection {
    int fd;      /* stream socket (or one end of a relay), blocking or not; yours to close */
    void *early; /* bytes that the client sent already; free() it; may be NULL */
    size_t early_len;
};

/* What somebody who wants replies implements: a door, a client. Return codes: a negative errno says
 * that whoever asked is gone; the service then stops. */
struct reply_ops {
    /* once, before any byte */
    int (*head)(struct reply *r, unsigned status, enum form form);
    int (*write)(struct reply *r, const void *data, size_t len);
    /* once, last; `e` not NULL: it failed in the middle */
    void (*end)(struct reply *r, const struct wharf_error *e);
    /* instead of head, write and end; NULL: cannot (-EOPNOTSUPP) */
    int (*take)(struct reply *r, enum form form, struct connection *ret);
};

#define REPLY_HEADERS_MAX 4

struct reply { /* embed it; reply_init first */
    const struct reply_ops *ops;
    unsigned api; /* what the caller speaks, as message.api */
    int gone_fd;  /* readable or hung up when the caller is gone; -1: not known. Poll it in waits */
    enum { REPLY_OPEN, REPLY_BEGUN, REPLY_ENDED } state;
    enum form form; /* once begun */
    bool whole;     /* for head: one write follows at once and then the end, as reply_json does */
    struct {
        const char *name; /* static */
        char *value;
    } headers[REPLY_HEADERS_MAX];
    size_t header_count;
};

SWARM_API void reply_init(struct reply *r, const struct reply_ops *ops);
SWARM_API void reply_done(struct reply *r);

/* One whole answer. The tree is not taken. */
SWARM_API int reply_json(struct reply *r, unsigned status, const json_t *document);
/* As JSON text that is there already. */
SWARM_API int reply_json_text(struct reply *r, unsigned status, const char *text, size_t len);
SWARM_API int reply_text(struct reply *r, unsigned status, const char *text, size_t len);
SWARM_API int reply_empty(struct reply *r, unsigned status); /* 204, 304 */
/* Docker's {"message": ...} with the status of the error's kind; in the middle of JSON lines the
 * last line, {"errorDetail": .., "error": ..}. */
SWARM_API int reply_error(struct reply *r, const struct wharf_error *e);

/* A stream: begin sends the head at once, each write is sent at once and blocks while the caller is
 * slow. */
SWARM_API int reply_begin(struct reply *r, unsigned status, enum form form);
SWARM_API int reply_write(struct reply *r, const void *data, size_t len);
SWARM_API int reply_line(struct reply *r, const json_t *document); /* FORM_JSON_LINES */
SWARM_API int reply_end(struct reply *r);
/* Takes the caller's connection; the answer is then given. `form`: what will be written into it,
 * FORM_CONNECTION (raw), FORM_MULTIPLEXED or FORM_WEBSOCKET. */
SWARM_API int reply_take(struct reply *r, enum form form, struct connection *ret,
                         struct wharf_error *e);
/* A header of the answer beside those of the form; before it begins. */
SWARM_API int reply_header(struct reply *r, const char *name, const char *value);

/* ---- services ----------------------------------------------------------------------------------- */

struct service;

struct service_ops {
    const char *name;
    /* Answers through `r` and returns 0, or returns a negative errno with `e` set and lets
     * service_call answer. May be called by many threads at once. */
    int (*call)(struct service *s, struct message *m, struct reply *r, struct wharf_error *e);
    void (*free)(struct service *s); /* members, not the service; NULL: nothing to do */
};

struct service { /* embed it as the first member */
    const struct service_ops *ops;
    int references;
};

/* Zeroed memory of `size` bytes that starts with a service; NULL when out of memory. */
SWARM_API struct service *service_new(size_t size, const struct service_ops *ops);
SWARM_API struct service *service_ref(struct service *s);
SWARM_API void service_unref(struct service *s);

/* One message, one reply, whatever the handler does: an error that it returns becomes an error
 * reply, and a handler that forgets to answer is answered for (500). */
SWARM_API void service_call(struct service *s, struct message *m, struct reply *r);
/* For use at the end of a handler: -EOPNOTSUPP, "hello does not do container.create". */
SWARM_API int service_unknown(struct service *s, const struct message *m, struct wharf_error *e);

/* A call from a program: the JSON reply as a tree in *ret (NULL: no body). An error status becomes
 * the error that it stands for. `m` is freed. */
SWARM_API int service_ask(struct service *s, struct message *m, json_t **ret,
                          struct wharf_error *e);

/* ---- composition -------------------------------------------------------------------------------- */

/*
 *     pipeline  = service *( "|" service )        the left one wraps the right one
 *     service   = type *( word | "(" [ name "=" ] pipeline ")" )
 *     word      = characters, '...' or "..."
 *
 * `docker unix:///run/docker.sock`, `debug | aggregate (a=engine) (b=docker tcp://10.0.0.2:2375)`.
 */
struct service_arguments {
    const char *const *words; /* after the type's name */
    size_t word_count;
    struct service *const *inner;   /* in parentheses, then the one to the right; not yours */
    const char *const *inner_names; /* NULL where none was given */
    size_t inner_count;
    const struct service_type *types; /* for words that are compositions themselves */
    void *user;                       /* what compose was given */
};

struct service_type {
    const char *name;  /* first word */
    const char *usage; /* "docker unix://PATH | tcp://HOST:PORT" */
    const char *help;  /* one line */
    int (*make)(const struct service_arguments *arguments, struct service **ret,
                struct wharf_error *e);
};

/* Makes what `text` says of `types` (ended by a NULL name); -EINVAL points at the column. */
SWARM_API int compose(const char *text, const struct service_type *types, void *user,
                      struct service **ret, struct wharf_error *e);

#ifdef __cplusplus
}
#endif
#endif
