/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See chan-server.h. Each session has an eventfd that becomes readable when it ends: it is the
 * gone_fd of its replies, so that a wait ends when nobody waits any more.
 */
#include "door/chan-server.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include "base/err.h"
#include "base/macros.h"
#include "libswarm/wire.h"

struct chan_server {
    struct chan_listener *listener;
    struct service *service;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* no session and no call is left */
    struct client *clients;
    unsigned client_count, call_count;
    bool stopping;
};

struct client { /* a session; freed with its last call */
    struct chan_server *server;
    struct chan_session *session;
    struct principal who;
    int gone; /* eventfd */
    unsigned references;
    struct client *next, **link;
};

struct call {
    struct client *client;
    struct chan_msg *in;
    struct chan_tx *tx;
    struct message *message;
};

/* ---- counting -------------------------------------------------------------------------------- */

static void client_unref(struct client *c)
{
    struct chan_server *s = c->server;

    pthread_mutex_lock(&s->lock);
    if (--c->references) {
        pthread_mutex_unlock(&s->lock);
        return;
    }
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    if (--s->client_count == 0)
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
    chan_session_unref(c->session);
    fd_close(c->gone);
    free(c);
}

static bool client_ref_for_call(struct client *c)
{
    struct chan_server *s = c->server;
    bool room;

    pthread_mutex_lock(&s->lock);
    room = s->call_count < CHAN_SERVER_CALLS_MAX;
    if (room) {
        s->call_count++;
        c->references++;
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

static void call_free(struct call *call)
{
    struct client *c = call->client;

    pthread_mutex_lock(&c->server->lock);
    c->server->call_count--;
    pthread_mutex_unlock(&c->server->lock);
    message_free(call->message);
    chan_tx_unref(call->tx);
    free(call);
    client_unref(c);
}

static int start_thread(void *(*run)(void *user), void *user)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256u << 10);
    r = -pthread_create(&thread, &attributes, run, user);
    pthread_attr_destroy(&attributes);
    return r;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void *run_call(void *user)
{
    struct call *call = user;
    struct wire_reply w;

    if (wire_reply_init(&w, call->tx) == 0) {
        w.reply.gone_fd = call->client->gone;
        service_call(call->client->server->service, call->message, &w.reply);
        wire_reply_done(&w);
    }
    call_free(call);
    return NULL;
}

/* What cannot become a message is answered where it can be: the return channel ends with why. */
static void take_message(struct client *c, struct chan_msg *in)
{
    struct wharf_error e = { 0 };
    struct call *call;

    if (!client_ref_for_call(c))
        return;
    call = calloc(1, sizeof *call);
    if (!call)
        return client_unref(c);
    call->client = c;
    if (wire_get_message(in, c->who, &call->message, &call->tx, &e) < 0) {
        if (call->tx)
            chan_abort(call->tx, &e);
        return call_free(call);
    }
    call->message->connection = "libchan";
    if (start_thread(run_call, call) < 0)
        call_free(call);
}

/* All messages of one channel; a caller opens one. */
static void serve_channel(struct client *c, struct chan_rx *rx)
{
    struct chan_msg *in = chan_msg_new();

    while (in && chan_recv(rx, in, CHAN_FOREVER, NULL) == 0) {
        take_message(c, in);
        chan_msg_clear(in);
    }
    chan_msg_free(in);
    chan_rx_unref(rx);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static int identify(struct chan_session *session, struct principal *ret)
{
    struct chan_peer peer = { .pidfd = -1 };
    int r = chan_session_peer(session, chan_after_ms(10000), &peer, NULL);

    if (r < 0)
        return r;
    fd_close(peer.pidfd);
    if (peer.has_credentials)
        *ret = principal_of_user(peer.uid, peer.pid);
    else if (!peer.subject[0])
        return -EACCES;
    else
        return principal_of_subject("certificate", peer.subject, ret);
    return 0;
}

static void *run_session(void *user)
{
    struct client *c = user;
    struct chan_rx *rx;

    if (identify(c->session, &c->who) == 0)
        while (chan_accept(c->session, CHAN_FOREVER, &rx, NULL) == 0)
            serve_channel(c, rx);
    eventfd_write(c->gone, 1);
    client_unref(c);
    return NULL;
}

/* False where there are as many as there may be. */
static bool link_client(struct chan_server *s, struct client *c)
{
    bool room;

    pthread_mutex_lock(&s->lock);
    room = s->client_count < CHAN_SERVER_SESSIONS_MAX;
    if (room) {
        c->next = s->clients;
        c->link = &s->clients;
        if (c->next)
            c->next->link = &c->next;
        s->clients = c;
        s->client_count++;
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

static void add_client(struct chan_server *s, struct chan_session *session)
{
    struct client *c = calloc(1, sizeof *c);

    if (c)
        *c = (struct client){
            .server = s, .session = session, .gone = eventfd(0, EFD_CLOEXEC), .references = 1
        };
    if (!c || c->gone < 0 || !link_client(s, c)) {
        if (c)
            fd_close(c->gone);
        free(c);
        chan_session_unref(session);
        return;
    }
    if (start_thread(run_session, c) < 0)
        client_unref(c);
}

static void *run_acceptor(void *user)
{
    struct chan_server *s = user;
    struct chan_session *session;

    while (!__atomic_load_n(&s->stopping, __ATOMIC_ACQUIRE))
        if (chan_listener_accept(s->listener, chan_after_ms(500), &session, NULL) == 0)
            add_client(s, session);
    return NULL;
}

int chan_server_start(const char *address, const struct chan_options *options,
                      struct service *service, struct chan_server **ret, struct wharf_error *e)
{
    struct chan_server *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return err_nomem(e);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    r = chan_listen(address, options, &s->listener, e);
    if (r == 0) {
        s->service = service_ref(service);
        r = -pthread_create(&s->acceptor, NULL, run_acceptor, s);
        if (r < 0)
            r = err_code(e, r, "cannot start a thread");
    }
    if (r < 0) {
        service_unref(s->service);
        chan_listener_free(s->listener);
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void chan_server_stop(struct chan_server *s)
{
    if (!s)
        return;
    __atomic_store_n(&s->stopping, true, __ATOMIC_RELEASE);
    pthread_join(s->acceptor, NULL);
    chan_listener_free(s->listener);
    pthread_mutex_lock(&s->lock);
    for (struct client *c = s->clients; c; c = c->next)
        chan_session_kill(c->session, NULL);
    while (s->client_count)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    service_unref(s->service);
    free(s);
}
