/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A door is a service too: it passes on what it is called with, and meanwhile serves whoever comes
 * to its address. It stops with its last reference.
 */
#include "cmd/swarmd/types.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/err.h"
#include "base/str.h"
#include "door/chan-server.h"
#include "door/docker-server.h"
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
    struct engine_options options = { .root = a->word_count ? a->words[0] : NULL, .reaps = true };
    struct engine_service_options with = { .remote = &remote };
    struct engine_holder *h;
    int r;

    if (a->word_count > 1 || a->inner_count)
        return err_invalid(e, "at most a root directory is expected");
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
    char *socket_path; /* removed at the end */
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
    if (d->socket_path)
        unlink(d->socket_path);
    free(d->socket_path);
    service_unref(d->inner);
}

static const struct service_ops door_ops = { .name = "door", .call = door_call, .free = door_free };

static int door_new(const struct service_arguments *a, struct door **ret, struct wharf_error *e)
{
    struct door *d;

    if (a->word_count != 1 || a->inner_count != 1)
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
    int r = door_new(a, &d, e);

    if (r == 0) {
        r = chan_server_start(a->words[0], NULL, d->inner, &d->chan, e);
        if (r < 0)
            service_unref(&d->service);
    }
    if (r == 0)
        *ret = &d->service;
    return r;
}

/* A socket of its own, for root and its group alone; a path that somebody listens on is taken. */
static int listen_at(const char *path, struct wharf_error *e)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(e, "cannot make a socket");
    if (strlen(path) >= sizeof address.sun_path)
        return err_invalid(e, "the path of a socket is too long: '%s'", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return err_set(e, -EADDRINUSE, WHARF_ERROR_CONFLICT, "somebody listens at '%s'", path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0660) < 0 ||
        listen(fd, SOMAXCONN) < 0)
        return err_sys(e, "cannot listen at '%s'", path);
    return take_fd(&fd);
}

static int docker_door_start(struct door *d, const char *path, struct wharf_error *e)
{
    int fd, r = docker_server_new(&d->docker, d->inner, e);

    if (r < 0)
        return r;
    fd = listen_at(path, e);
    if (fd < 0)
        return fd;
    d->socket_path = strdup(path);
    r = docker_server_listen(d->docker, fd, NULL, e);
    return r < 0 ? r : docker_server_start(d->docker, e);
}

static int docker_door_make(const struct service_arguments *a, struct service **ret,
                            struct wharf_error *e)
{
    const char *path = a->word_count == 1 ? str_after(a->words[0], "unix://") : NULL;
    struct door *d = NULL;
    int r;

    if (a->word_count == 1 && !path)
        return err_unsupported(e, "this door opens at unix://PATH only, not at '%s'", a->words[0]);
    r = door_new(a, &d, e);
    if (r == 0) {
        r = docker_door_start(d, path, e);
        if (r < 0)
            service_unref(&d->service);
    }
    if (r == 0)
        *ret = &d->service;
    return r;
}

const struct service_type swarmd_types[] = {
    { "aggregate", "aggregate (A) (B) ...", "many services as one", aggregate_make },
    { "chan", "chan unix:PATH", "a service over libchan, such as wharfd", chan_make },
    { "chanserver", "chanserver unix:PATH | A", "a door for libchan callers", chan_door_make },
    { "debug", "debug | A", "tells of each message and its reply", debug_make },
    { "docker", "docker unix://PATH | tcp://HOST:PORT", "any Docker daemon", docker_make },
    { "dockerclient", "dockerclient ...", "docker, by its name of 2014", docker_make },
    { "dockerserver", "dockerserver unix://PATH | A", "a door for Docker clients",
      docker_door_make },
    { "engine", "engine [ROOT]", "the containers of this machine", engine_make },
    { NULL, NULL, NULL, NULL },
};
