/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A door is a service too: it passes on what it is called with, and meanwhile serves whoever comes
 * to its address. It stops with its last reference.
 */
#include "cmd/swarmd/types.h"

#include <stdlib.h>
#include "base/err.h"
#include "base/str.h"
#include "door/chan-server.h"
#include "door/docker-server.h"
#include "door/listen.h"
#include "engine/service.h"
#include "libimage/build/fetch.h"
#include "libswarm/adapters/adapters.h"

/* ---- engine ---------------------------------------------------------------------------------- */

struct engine_holder { /* the engine's service does not own its engine: this does */
    struct service service;
    struct service *inner;
    struct engine *engine;
};

static int holder_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    service_call(((struct engine_holder *)s)->inner, m, r);
    return 0;
}

static void holder_free(struct service *s)
{
    struct engine_holder *h = (struct engine_holder *)s;

    service_unref(h->inner);
    engine_close(h->engine);
}

static const struct service_ops holder_ops = { .name = "engine",
                                               .call = holder_call,
                                               .free = holder_free };

static const struct engine_remote remote = { .pull = image_pull,
                                             .push = image_push,
                                             .login = image_login,
                                             .distribution = image_distribution_json,
                                             .fetch = fetch_url };

static int engine_make(const struct service_arguments *a, struct service **ret,
                       struct wharf_error *e)
{
    bool shared = a->word_count && streq(a->words[a->word_count - 1], "many-users");
    size_t count = a->word_count - shared;
    struct engine_options options = { .root = count ? a->words[0] : NULL,
                                      .reaps = true,
                                      .many_users = shared };
    struct engine_service_options with = { .remote = &remote };
    struct engine_holder *h;
    int r;

    if (count > 1 || a->inner_count)
        return err_invalid(e, "at most a root directory and 'many-users' are expected");
    h = (struct engine_holder *)service_new(sizeof *h, &holder_ops);
    if (!h)
        return err_nomem(e);
    r = engine_open(&h->engine, &options, e);
    if (r == 0)
        r = engine_service_new(h->engine, &with, &h->inner, e);
    if (r < 0) {
        service_unref(&h->service);
        return r;
    }
    *ret = &h->service;
    return 0;
}

/* ---- doors ----------------------------------------------------------------------------------- */

struct door {
    struct service service;
    struct service *inner;
    struct chan_server *chan;
    struct docker_server *docker;
    struct listen_set *listen; /* what the Docker door opened */
};

static int door_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    service_call(((struct door *)s)->inner, m, r);
    return 0;
}

static void door_free(struct service *s)
{
    struct door *d = (struct door *)s;

    chan_server_stop(d->chan);
    docker_server_free(d->docker);
    if (d->listen)
        listen_done(d->listen);
    free(d->listen);
    service_unref(d->inner);
}

static const struct service_ops door_ops = { .name = "door", .call = door_call, .free = door_free };

static int door_new(const struct service_arguments *a, struct door **ret, struct wharf_error *e)
{
    struct door *d;

    if (a->word_count == 0 || a->inner_count != 1)
        return err_invalid(e, "an address and one service behind it are expected");
    d = (struct door *)service_new(sizeof *d, &door_ops);
    if (!d)
        return err_nomem(e);
    d->inner = service_ref(a->inner[0]);
    *ret = d;
    return 0;
}

static int chan_door_make(const struct service_arguments *a, struct service **ret,
                          struct wharf_error *e)
{
    struct door *d = NULL;
    int r = a->word_count == 1 ? door_new(a, &d, e) : err_invalid(e, "one address is expected");

    if (r == 0) {
        r = chan_server_start(a->words[0], NULL, d->inner, &d->chan, e);
        if (r < 0)
            service_unref(&d->service);
    }
    if (r == 0)
        *ret = &d->service;
    return r;
}

/* dockerd's addresses (door/listen.h). The API gives power over the machine, and over TCP anybody
 * who reaches it is the engine's user: only where the composition says so. */
static int listen_to(struct door *d, const struct service_arguments *a, struct wharf_error *e)
{
    const struct listen_options options = { 0 };
    bool plain = a->word_count == 2;
    int r = listen_add(d->listen, a->words[0], &options, e);

    for (size_t i = 0; r == 0 && i < d->listen->count; i++) {
        struct listen_socket *s = &d->listen->sockets[i];

        if (s->kind == LISTEN_TCP && !plain)
            r = err_invalid(e,
                            "will not serve %s without TLS: say 'insecure' behind the address if "
                            "whoever reaches it may do all that the service can",
                            s->name);
        else
            r = docker_server_listen(d->docker, take_fd(&s->fd), NULL, e);
    }
    return r < 0 ? r : docker_server_start(d->docker, e);
}

static int docker_door_make(const struct service_arguments *a, struct service **ret,
                            struct wharf_error *e)
{
    struct door *d = NULL;
    int r;

    if (a->word_count < 1 || a->word_count > 2 ||
        (a->word_count == 2 && !streq(a->words[1], "insecure")))
        return err_invalid(e, "an address is expected, and for TCP without TLS 'insecure'");
    r = door_new(a, &d, e);
    if (r < 0)
        return r;
    d->listen = calloc(1, sizeof *d->listen);
    r = d->listen ? docker_server_new(&d->docker, d->inner, e) : err_nomem(e);
    if (r == 0)
        r = listen_to(d, a, e);
    if (r < 0)
        service_unref(&d->service);
    else
        *ret = &d->service;
    return r;
}

const struct service_type swarmd_types[] = {
    { "aggregate", "aggregate (A) (B) ...", "many services as one", aggregate_make },
    { "authorize", "authorize single-user | owner [AUDIT-LOG] | A", "who may do what", guard_make },
    { "chan", "chan unix:PATH", "a service over libchan, such as wharfd", chan_make },
    { "chanserver", "chanserver unix:PATH | A", "a door for libchan callers", chan_door_make },
    { "debug", "debug | A", "tells of each message and its reply", debug_make },
    { "docker", "docker unix://PATH | tcp://HOST:PORT", "any Docker daemon", docker_make },
    { "dockerclient", "dockerclient ...", "docker, by its name of 2014", docker_make },
    { "dockerserver", "dockerserver ADDRESS [insecure] | A", "a door for Docker clients",
      docker_door_make },
    { "engine", "engine [ROOT] [many-users]", "the containers of this machine", engine_make },
    { NULL, NULL, NULL, NULL },
};
