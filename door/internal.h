/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door's inside: who touches what.
 *
 * The LOOP is the one thread that runs libmicrohttpd, accepts, and feeds uploads to their readers.
 * A WORKER runs service_call for one exchange. An exchange lives as long as either holds it.
 *
 * While a worker runs, MHD has the connection suspended ("parked"): it neither reads nor writes nor
 * closes the socket, so the worker may write to it. Only an upload (FORM_TAR) goes on being read
 * while the worker runs; its exchange therefore has a socket of its own (a dup).
 *
 * How an answer leaves:
 *   - whole (reply_json and the like): as an MHD response, the connection is kept alive;
 *   - a stream, or anything while the upload goes on ("direct"): the worker writes head and body to
 *     the socket itself, and MHD then closes;
 *   - taken: MHD is given another socket in place of the client's, writes its own idea of a 101
 *     into that, and so lets go of the connection and of the bytes that it had read too far.
 */
#ifndef DOOR_INTERNAL_H
#define DOOR_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <sys/epoll.h>
#include "base/buf.h"
#include "base/macros.h"
#include "door/client.h"
#include "door/docker-server.h"
#include "door/request.h"
#include "door/tls-relay.h"
#include "door/worker.h"

#define DRAIN_MAX (16u << 20) /* bytes of a body that nobody wants, read for politeness */

struct exchange;

struct docker_server {
    struct service *service;
    struct workers *workers;
    struct MHD_Daemon *mhd;
    struct client *incoming;       /* of the connection that MHD is just being given */
    struct watch http, stop, wake; /* wake: a worker has told MHD something */
    struct listener *listeners;
    struct clients clients;
    struct tls_relay *tls; /* NULL: no listener has TLS */
    int epoll, spare;      /* spare: see accept.h */
    pthread_t thread;
    bool started;         /* the thread runs */
    pthread_mutex_t lock; /* of the lists below */
    struct exchange *running;
    struct client *arrived; /* through TLS, not yet in the loop */
};

struct exchange {
    struct reply reply; /* first */
    struct docker_server *server;
    struct exchange *next, **link; /* among the running */
    struct MHD_Connection *connection;
    struct client *client; /* the loop's, while MHD has the connection */
    char came_by[PEER_CONNECTION_MAX];
    int references;

    /* the request */
    char *target;
    struct message *message;
    struct wharf_error refusal; /* code 0: none */
    bool begun, old_http;       /* HTTP/1.0 */
    struct buf body;            /* FORM_JSON */
    uint64_t drained;
    int fd; /* the client's socket; own_fd: ours to close */
    bool own_fd;

    /* an upload, by the loop alone */
    bool uploading;
    struct watch upload; /* our end of the socket pair that the service reads */
    bool upload_watched;

    /* the answer; with the lock from here to `parked`, the rest is the worker's until answered */
    pthread_mutex_t lock;
    pthread_cond_t taken;
    bool answered, parked;
    bool direct, chunked;
    unsigned status;
    enum form form;
    struct MHD_Response *response;
    bool upgrading;   /* MHD is told to let go of the connection: take.c */
    int upgraded;     /* 0: not yet; 1, or a negative errno */
    int upgrade_keep; /* keeps MHD's other socket alive until it has written into it */
    struct connection *early;
};

/* exchange.c */
struct exchange *exchange_new(struct docker_server *s, const char *target);
void exchange_unref(struct exchange *x);
void exchange_work(void *x); /* the worker's part */
/* The whole answer for what never reaches a service. */
void exchange_refuse(struct exchange *x, const struct wharf_error *e);
extern const struct reply_ops exchange_reply_ops;

/* take.c */
int exchange_take(struct reply *r, enum form form, struct connection *ret);
/* By the loop: MHD is done with the connection, one way (1) or the other. */
void exchange_upgraded(struct exchange *x, int result, const void *early, size_t early_len);

/* websocket.c */
#define WEBSOCKET_KEY_MAX 64
/* The key of a request for a websocket: 0, or -EINVAL: it is none. */
int websocket_key(struct exchange *x, char key[WEBSOCKET_KEY_MAX]);
/* Answers the handshake and relays in a thread; c->fd becomes the service's end. On failure it is
 * as it was. */
int websocket_start(struct docker_server *s, const char *key, unsigned api, struct connection *c);

/* head.c: heads of replies */
#define HEAD_MAX 2048
/* The value of Content-Type; NULL: none. */
const char *head_content_type(enum form form, unsigned api);
struct MHD_Response *head_response(struct exchange *x, const void *data, size_t len);
/* A head for the socket itself; `length` -1: not known, chunked where the client speaks 1.1. */
void head_write(const struct exchange *x, struct buf *b, int64_t length);

/* loop.c */
int loop_watch(struct docker_server *s, struct watch *w, uint32_t events);
void loop_forget(struct docker_server *s, struct watch *w);
/* From any thread: MHD goes on with a connection that it has suspended. */
void loop_resume(struct docker_server *s, struct MHD_Connection *connection);

/* http.c: libmicrohttpd's callbacks */
int http_start(struct docker_server *s, struct wharf_error *e);

#endif
