/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/wharfd/daemon.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharfd/defaults.h"
#include "cmd/wharfd/options.h"
#include "door/docker-server.h"
#include "door/listen.h"
#include "door/tls.h"
#include "engine/service.h"
#include "libimage/build/fetch.h"
#include "libswarm/filters/authorize.h"
#include "network/network.h"

#define SPARE_NETWORKS 8  /* namespaces made ahead of need */
#define POOLS_MAX      64 /* default-address-pools */

/* Lists that requests may be reading: the ones of before a reload live as long as the daemon. */
struct registries {
    struct registries *before;
    const char **mirrors, **insecure;
    json_t *config; /* whose strings they are */
};

struct daemon {
    void (*tell)(const char *text);
    struct networks_options networks;
    struct ipam_pool pools[POOLS_MAX];
    char *bridge_ip;
    struct engine *engine;
    struct registries *registries;
    struct engine_remote remote;
    struct audit *audit;
    struct service *defaults, *top;
    struct listen_set *listen;
    struct docker_server *server;
    struct tls_context *tls; /* NULL: plain */
    int stop[2];             /* a connection: that [0] hangs up tells who waits on [1] of the end */
    pthread_t sweeper;
    bool sweeps;
};

/* ---- the engine ------------------------------------------------------------------------------ */

static int read_pools(struct daemon *d, const json_t *list, struct wharf_error *e)
{
    json_t *pool;
    size_t i;

    if (json_array_size(list) > POOLS_MAX)
        return err_invalid(e, "more than %d default-address-pools", POOLS_MAX);
    json_array_foreach (list, i, pool) {
        const char *base = json_string_value(json_object_get(pool, "base"));
        json_int_t size = json_integer_value(json_object_get(pool, "size"));
        struct ipam_pool *p = &d->pools[i];

        if (!base || subnet_parse(base, &p->base) < 0)
            return err_invalid(e, "invalid base of a default-address-pool: '%s'", base ? base : "");
        if (size < p->base.prefix || size > ipaddr_bits(&p->base.address))
            return err_invalid(e, "invalid size of the default-address-pool '%s': %lld", base,
                               (long long)size);
        p->size = (unsigned)size;
    }
    d->networks.pools = d->pools;
    d->networks.pool_count = json_array_size(list);
    return 0;
}

static int open_engine(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    struct engine_options options = { .root = options_text(config, "data-root"),
                                      .run = options_text(config, "exec-root"),
                                      .many_users = true,
                                      .networks = &d->networks,
                                      .spare_networks = SPARE_NETWORKS,
                                      .reaps = true };
    const char *bip = options_text(config, "bip");
    int64_t mtu = options_int(config, "mtu");
    int r = read_pools(d, json_object_get(config, "default-address-pools"), e);

    if (r < 0)
        return r;
    if (mtu < 0 || mtu > UINT16_MAX)
        return err_invalid(e, "invalid MTU: %lld", (long long)mtu);
    d->networks.mtu = (unsigned)mtu;
    d->bridge_ip = bip ? strdup(bip) : NULL;
    d->networks.bridge_ip = d->bridge_ip;
    return engine_open(&d->engine, &options, e);
}

static const char **strings_of(json_t *list)
{
    const char **strings = calloc(json_array_size(list) + 1, sizeof(*strings));
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (strings)
            strings[i] = json_is_string(item) ? json_string_value(item) : "";
    return strings;
}

static int set_registries(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    struct registries *now = calloc(1, sizeof(*now));

    if (!now)
        return err_nomem(e);
    now->config = json_incref((json_t *)(uintptr_t)config);
    now->mirrors = strings_of(json_object_get(config, "registry-mirrors"));
    now->insecure = strings_of(json_object_get(config, "insecure-registries"));
    now->before = d->registries;
    d->registries = now;
    if (!now->mirrors || !now->insecure)
        return err_nomem(e);
    __atomic_store_n(&d->remote.mirrors, (const char *const *)now->mirrors, __ATOMIC_RELEASE);
    __atomic_store_n(&d->remote.insecure, (const char *const *)now->insecure, __ATOMIC_RELEASE);
    return 0;
}

static void free_registries(struct registries *r)
{
    while (r) {
        struct registries *before = r->before;

        json_decref(r->config);
        free(r->mirrors);
        free(r->insecure);
        free(r);
        r = before;
    }
}

/* {"gc":{"enabled":true,"defaultKeepStorage":"20GB"}}: how much of the build cache stays. */
static int read_builder(const json_t *builder, int64_t *ret_keep, struct wharf_error *e)
{
    static const char *const names[] = { "defaultMaxUsedSpace", "defaultKeepStorage",
                                         "defaultReservedSpace" };
    const json_t *gc = json_object_get(builder, "gc");
    const char *text = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !text; i++)
        text = json_string_value(json_object_get(gc, names[i]));
    if (json_is_false(json_object_get(gc, "enabled")))
        *ret_keep = -1;
    else if (text && parse_size(text, ret_keep) < 0)
        return err_invalid(e, "builder.gc: '%.50s' is not a size", text);
    return 0;
}

/* The engine's service and the filters in front of it. */
static int make_services(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    struct engine_service_options with = { .remote = &d->remote };
    const char *log = options_text(config, "audit-log");
    struct service *engine;
    enum policy policy;
    int r = policy_parse(options_text(config, "policy"), &policy, e);

    d->remote.pull = image_pull;
    d->remote.push = image_push;
    d->remote.login = image_login;
    d->remote.distribution = image_distribution_json;
    d->remote.fetch = fetch_url;
    if (r == 0)
        r = set_registries(d, config, e);
    if (r == 0)
        r = read_builder(json_object_get(config, "builder"), &with.build_keep, e);
    if (r == 0 && log)
        r = audit_open(&d->audit, log, e);
    if (r == 0)
        r = engine_service_new(d->engine, &with, &engine, e);
    if (r < 0)
        return r;
    r = defaults_new(engine, config, &d->defaults, e);
    service_unref(engine);
    return r < 0 ? r : authorize_new(d->defaults, policy, d->audit, &d->top, e);
}

/* ---- what nobody asks for -------------------------------------------------------------------- */

/* A container of `run --rm` that ends is removed by the next who looks at it: so that it happens
 * at once, and its destroy event comes, somebody looks. */
static int look(void *user, const struct event *event)
{
    const struct principal root = { 0 };
    struct daemon *d = user;
    struct record record = { 0 };
    int64_t code;

    if (!event || engine_container_find(d->engine, root, event->actor, &record, NULL) < 0)
        return 0;
    bool goes = record.auto_remove;
    record_done(&record);
    if (goes)
        engine_container_wait(d->engine, root, event->actor, WAIT_REMOVED, &code, NULL);
    return 0;
}

static void *sweep(void *user)
{
    struct daemon *d = user;
    autojson json_t *filters = json_pack("{s[s]s[s]}", "type", "container", "event", "die");
    struct engine_events ask = {
        .filters = filters, .gone_fd = d->stop[1], .each = look, .user = d
    };
    struct wharf_error e = { 0 };

    if (engine_events(d->engine, (struct principal){ 0 }, &ask, &e) < 0)
        d->tell(e.message);
    return NULL;
}

static int begin_work(struct daemon *d, struct wharf_error *e)
{
    int r = engine_restart_all(d->engine, e);

    if (r < 0)
        return r;
    r = pthread_create(&d->sweeper, NULL, sweep, d);
    d->sweeps = r == 0;
    return r ? err_code(e, -r, "cannot start a thread") : 0;
}

/* ---- doors ----------------------------------------------------------------------------------- */

static void warn(void *user, const char *text)
{
    ((struct daemon *)user)->tell(text);
}

/* A file of TLS: where the option says, or as docker's clients have them. */
static char *tls_file(const json_t *config, const char *key, const char *name)
{
    const char *given = options_text(config, key), *folder = getenv("DOCKER_CERT_PATH");
    const char *home = getenv("HOME");

    if (given)
        return strdup(given);
    return folder && *folder ? str_format("%s/%s", folder, name)
                             : str_format("%s/.docker/%s", home ? home : "/root", name);
}

static int open_tls(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    autofree char *ca = tls_file(config, "tlscacert", "ca.pem");
    autofree char *cert = tls_file(config, "tlscert", "cert.pem");
    autofree char *key = tls_file(config, "tlskey", "key.pem");
    struct tls_options with = { .ca = ca, .cert = cert, .key = key };

    if (!ca || !cert || !key)
        return err_nomem(e);
    with.verify = options_bool(config, "tlsverify");
    if (!with.verify && !options_bool(config, "tls"))
        return 0;
    if (!with.verify)
        with.ca = options_text(config, "tlscacert");
    return tls_context_new(&d->tls, &with, e);
}

/* The API gives power over the machine: on TCP only for those whose certificate is checked, or
 * after an explicit no. */
static int check_tcp(struct daemon *d, const json_t *config, const struct listen_socket *s,
                     struct wharf_error *e)
{
    if (s->kind != LISTEN_TCP || options_bool(config, "tlsverify"))
        return 0;
    if (!options_bool(config, "plain-tcp"))
        return err_invalid(e,
                           "will not serve %s to whoever connects: use --tlsverify, or say "
                           "--tls%s=false if everybody there may be root here",
                           s->name, d->tls ? "verify" : "");
    autofree char *text = str_format(
        "[DEPRECATION NOTICE]: API is accessible on %s without %s. Access to the remote API is "
        "equivalent to root access on the host.",
        s->name, d->tls ? "client verification" : "encryption");
    d->tell(text ? text : "out of memory");
    return 0;
}

static int open_door(struct daemon *d, const json_t *config, struct listen_socket *s,
                     struct wharf_error *e)
{
    int r = check_tcp(d, config, s, e);

    if (r == 0)
        r = docker_server_listen(d->server, take_fd(&s->fd), s->kind == LISTEN_TCP ? d->tls : NULL,
                                 e);
    if (r < 0)
        return r;
    autofree char *text = str_format("API listen on %s", s->name);
    d->tell(text ? text : "out of memory");
    return 0;
}

static int open_doors(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    struct listen_options options = { .group = options_text(config, "group"),
                                      .warn = warn,
                                      .user = d };
    json_t *hosts = json_object_get(config, "hosts"), *host;
    int r = open_tls(d, config, e);
    size_t i;

    options.tls = d->tls != NULL;
    if (r == 0)
        r = docker_server_new(&d->server, d->top, e);

    d->listen = calloc(1, sizeof(*d->listen));
    if (!d->listen)
        return err_nomem(e);
    if (r == 0 && json_array_size(hosts) == 0)
        r = listen_add(d->listen, "", &options, e);
    json_array_foreach (hosts, i, host)
        if (r == 0)
            r = listen_add(d->listen, json_is_string(host) ? json_string_value(host) : "", &options,
                           e);
    for (size_t k = 0; r == 0 && k < d->listen->count; k++)
        r = open_door(d, config, &d->listen->sockets[k], e);
    return r < 0 ? r : docker_server_start(d->server, e);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int check_metrics(const json_t *config, struct wharf_error *e)
{
    if (options_text(config, "metrics-addr"))
        return err_unsupported(e, "metrics are not there yet");
    return 0;
}

int daemon_start(struct daemon **ret, const json_t *config, void (*tell)(const char *text),
                 struct wharf_error *e)
{
    struct daemon *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return err_nomem(e);
    d->tell = tell;
    d->stop[0] = d->stop[1] = -1;
    r = check_metrics(config, e);
    if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, d->stop) < 0)
        r = err_sys(e, "cannot make a socket");
    if (r == 0)
        r = open_engine(d, config, e);
    if (r == 0)
        r = make_services(d, config, e);
    if (r == 0)
        r = begin_work(d, e);
    if (r == 0)
        r = open_doors(d, config, e);
    if (r < 0) {
        daemon_stop(d);
        return r;
    }
    *ret = d;
    return 0;
}

int daemon_reload(struct daemon *d, const json_t *config, struct wharf_error *e)
{
    int r = defaults_set(d->defaults, config, e);

    return r < 0 ? r : set_registries(d, config, e);
}

void daemon_stop(struct daemon *d)
{
    d->stop[0] = fd_close(d->stop[0]);
    docker_server_free(d->server);
    if (d->listen)
        listen_done(d->listen);
    free(d->listen);
    tls_context_free(d->tls);
    if (d->sweeps)
        pthread_join(d->sweeper, NULL);
    service_unref(d->top);
    service_unref(d->defaults);
    audit_close(d->audit);
    engine_close(d->engine);
    free_registries(d->registries);
    fd_close(d->stop[1]);
    free(d->bridge_ip);
    free(d);
}
