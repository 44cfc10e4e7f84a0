/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/wharfd/defaults.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharfd/options.h"

#define PROFILE_SIZE_MAX (1u << 20)

struct defaults {
    struct service service;
    struct service *inner;
    pthread_mutex_t lock;
    json_t *host; /* a HostConfig: what a container gets where its own says nothing */
    json_t *info; /* members of system.info */
    char *ip;     /* where ports without a host address are published; NULL: everywhere */
};

/* ---- from the configuration ------------------------------------------------------------------ */

static int shm_size(const json_t *config, int64_t *ret, struct wharf_error *e)
{
    const json_t *value = json_object_get(config, "default-shm-size");

    if (json_is_integer(value))
        *ret = json_integer_value(value);
    else if (value && parse_size(json_string_value(value), ret) < 0)
        return err_invalid(e, "invalid size: '%s'", json_string_value(value));
    return 0;
}

static int add_security(const json_t *config, json_t *host, struct wharf_error *e)
{
    const char *profile = options_text(config, "seccomp-profile");
    autojson json_t *list = json_array();

    if (!list)
        return err_nomem(e);
    if (options_bool(config, "no-new-privileges"))
        json_array_append_new(list, json_string("no-new-privileges"));
    if (profile && streq(profile, "unconfined")) {
        json_array_append_new(list, json_string("seccomp=unconfined"));
    } else if (profile && !streq(profile, "builtin")) {
        autofree char *text = NULL;
        ssize_t n = file_read(AT_FDCWD, profile, PROFILE_SIZE_MAX, &text);
        autofree char *option = n >= 0 ? str_format("seccomp=%s", text) : NULL;

        if (n < 0)
            return err_code(e, (int)n, "opening seccomp profile (%s) failed", profile);
        json_array_append_new(list, json_string(option ? option : ""));
    }
    return json_object_set(host, "SecurityOpt", list) < 0 ? err_nomem(e) : 0;
}

static int host_of(const json_t *config, json_t **ret, struct wharf_error *e)
{
    static const struct {
        const char *member, *key;
    } same[] = { { "Dns", "dns" },
                 { "DnsOptions", "dns-opts" },
                 { "DnsSearch", "dns-search" },
                 { "CgroupParent", "cgroup-parent" },
                 { "IpcMode", "default-ipc-mode" },
                 { "CgroupnsMode", "default-cgroupns-mode" },
                 { "Runtime", "default-runtime" } };
    autojson json_t *host = json_object();
    autojson json_t *log = json_pack("{s:O,s:O}", "Type", json_object_get(config, "log-driver"),
                                     "Config", json_object_get(config, "log-opts"));
    int64_t size = 0;
    int r = shm_size(config, &size, e);

    if (r == 0)
        r = host && log ? add_security(config, host, e) : err_nomem(e);
    if (r < 0)
        return r;
    json_object_set(host, "LogConfig", log);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        if (!json_is_empty(json_object_get(config, same[i].key)))
            json_object_set(host, same[i].member, json_object_get(config, same[i].key));
    if (size)
        json_object_set_new(host, "ShmSize", json_integer(size));
    if (options_bool(config, "init"))
        json_object_set_new(host, "Init", json_true());
    json_object_set(host, "Ulimits", json_object_get(config, "default-ulimits"));
    *ret = take_ptr(&host);
    return 0;
}

static json_t *insecure_of(const json_t *config)
{
    autojson json_t *indexes = json_object();
    json_t *host;
    size_t i;

    json_object_set_new(indexes, "docker.io",
                        json_pack("{ss s:O sb sb}", "Name", "docker.io", "Mirrors",
                                  json_object_get(config, "registry-mirrors"), "Secure", 1,
                                  "Official", 1));
    json_array_foreach (json_object_get(config, "insecure-registries"), i, host)
        if (json_is_string(host))
            json_object_set_new(
                indexes, json_string_value(host),
                json_pack("{s:O s[] sb sb}", "Name", host, "Mirrors", "Secure", 0, "Official", 0));
    return take_ptr(&indexes);
}

static json_t *info_of(const json_t *config)
{
    const char *runtime = options_text(config, "default-runtime");
    const char *http = options_text(config, "http-proxy");
    const char *https = options_text(config, "https-proxy");
    const char *no = options_text(config, "no-proxy");

    return json_pack("{sO sb ss s{s[s] so sO} sO ss ss ss sO}", "LoggingDriver",
                     json_object_get(config, "log-driver"), "Debug", options_bool(config, "debug"),
                     "DefaultRuntime", runtime ? runtime : "wharf", "RegistryConfig",
                     "InsecureRegistryCIDRs", "127.0.0.0/8", "IndexConfigs", insecure_of(config),
                     "Mirrors", json_object_get(config, "registry-mirrors"), "Labels",
                     json_object_get(config, "labels"), "HttpProxy", http ? http : "", "HttpsProxy",
                     https ? https : "", "NoProxy", no ? no : "", "DefaultAddressPools",
                     json_object_get(config, "default-address-pools"));
}

/* ---- into a container's settings ------------------------------------------------------------- */

/* The value to be filled in, under whatever case the client wrote its name in. */
static void fill(json_t *host, const char *name, const json_t *value)
{
    const char *key = json_key_nocase(host, name);

    if (!json_is_empty(value) && json_is_empty(json_object_get(host, key ? key : name)))
        json_object_set_new(host, key ? key : name, json_deep_copy(value));
}

/* dockerd's mergeLogConfig: options are for the driver that they were written for. */
static void fill_log(json_t *host, const json_t *log)
{
    json_t *own = json_member_nocase(host, "LogConfig"), *options;
    const char *type = json_string_value(json_member_nocase(own, "Type"));
    const char *driver = json_string_value(json_object_get(log, "Type"));

    if (!json_is_object(own)) {
        const char *key = json_key_nocase(host, "LogConfig");

        json_object_set_new(host, key ? key : "LogConfig", json_deep_copy(log));
        return;
    }
    if (type && *type && !streq(type, driver))
        return;
    fill(own, "Type", json_object_get(log, "Type"));
    fill(own, "Config", json_object_get(log, "Config"));
    options = json_member_nocase(own, "Config");
    if (json_is_object(options))
        json_object_update_missing(options, json_object_get(log, "Config"));
}

static void fill_ulimits(json_t *host, const json_t *ulimits)
{
    const char *key = json_key_nocase(host, "Ulimits"), *name;
    json_t *own = json_object_get(host, key ? key : "Ulimits"), *ulimit, *mine;
    size_t i;

    if (json_is_empty(ulimits))
        return;
    if (!json_is_array(own)) {
        json_object_set_new(host, key ? key : "Ulimits", json_array());
        own = json_object_get(host, key ? key : "Ulimits");
    }
    json_object_foreach ((json_t *)(uintptr_t)ulimits, name, ulimit) {
        bool said = false;

        json_array_foreach (own, i, mine) {
            const char *its = json_string_value(json_member_nocase(mine, "Name"));

            said = said || (its && streq(its, name));
        }
        if (!said)
            json_array_append_new(own, json_deep_copy(ulimit));
    }
}

static bool has_option(const json_t *list, const char *start)
{
    const json_t *option;
    size_t i;

    json_array_foreach (list, i, option)
        if (json_is_string(option) && str_after(json_string_value(option), start))
            return true;
    return false;
}

static void fill_security(json_t *host, const json_t *options)
{
    const char *key = json_key_nocase(host, "SecurityOpt");
    json_t *own = json_object_get(host, key ? key : "SecurityOpt"), *option;
    size_t i;

    if (json_is_empty(options) || json_is_true(json_member_nocase(host, "Privileged")))
        return;
    if (!json_is_array(own)) {
        json_object_set_new(host, key ? key : "SecurityOpt", json_array());
        own = json_object_get(host, key ? key : "SecurityOpt");
    }
    json_array_foreach (options, i, option) {
        autofree char *start =
            strndup(json_string_value(option), strcspn(json_string_value(option), "="));

        if (start && !has_option(own, start))
            json_array_append(own, option);
    }
}

static void fill_ports(json_t *host, const char *ip)
{
    const char *port;
    json_t *bindings, *binding;
    size_t i;

    if (!ip)
        return;
    json_object_foreach (json_member_nocase(host, "PortBindings"), port, bindings)
        json_array_foreach (bindings, i, binding)
            if (json_is_object(binding) && json_is_empty(json_member_nocase(binding, "HostIp")))
                json_object_set_new(binding, "HostIp", json_string(ip));
}

static int fill_container(struct defaults *d, json_t *body, struct wharf_error *e)
{
    static const char *const plain[] = { "Dns",          "DnsOptions", "DnsSearch",
                                         "CgroupParent", "IpcMode",    "CgroupnsMode",
                                         "Runtime",      "ShmSize",    "Init" };
    const char *key = json_key_nocase(body, "HostConfig");
    json_t *host = json_object_get(body, key ? key : "HostConfig");

    if (!json_is_object(host)) {
        if (!json_is_empty(host))
            return 0; /* the engine says what is wrong with it */
        if (json_object_set_new(body, key ? key : "HostConfig", json_object()) < 0)
            return err_nomem(e);
        host = json_object_get(body, key ? key : "HostConfig");
    }
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        if (!(streq(plain[i], "Init") && json_is_boolean(json_member_nocase(host, "Init"))))
            fill(host, plain[i], json_object_get(d->host, plain[i]));
    fill_log(host, json_object_get(d->host, "LogConfig"));
    fill_ulimits(host, json_object_get(d->host, "Ulimits"));
    fill_security(host, json_object_get(d->host, "SecurityOpt"));
    fill_ports(host, d->ip);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

/* ---- the filter ------------------------------------------------------------------------------ */

static int tell_info(struct defaults *d, struct message *m, struct reply *r, struct wharf_error *e)
{
    autojson json_t *info = NULL;
    struct message *ask;
    int n = message_new("system.info", m->principal, &ask, e);

    if (n == 0)
        n = service_ask(d->inner, ask, &info, e);
    if (n < 0)
        return n;
    pthread_mutex_lock(&d->lock);
    json_object_update(info, d->info);
    pthread_mutex_unlock(&d->lock);
    return reply_json(r, 200, info);
}

static int defaults_call(struct service *s, struct message *m, struct reply *r,
                         struct wharf_error *e)
{
    struct defaults *d = (struct defaults *)s;

    if (operation_is(m->op, "system.info"))
        return tell_info(d, m, r, e);
    if (operation_is(m->op, "container.create") && json_object_size(m->body) > 0) {
        int n = fill_container(d, m->body, e);

        if (n < 0)
            return n;
    }
    service_call(d->inner, m, r);
    return 0;
}

static void defaults_free(struct service *s)
{
    struct defaults *d = (struct defaults *)s;

    service_unref(d->inner);
    json_decref(d->host);
    json_decref(d->info);
    free(d->ip);
    pthread_mutex_destroy(&d->lock);
}

static const struct service_ops defaults_ops = { .name = "defaults",
                                                 .call = defaults_call,
                                                 .free = defaults_free };

int defaults_set(struct service *s, const json_t *config, struct wharf_error *e)
{
    struct defaults *d = (struct defaults *)s;
    const char *ip = options_text(config, "ip");
    autojson json_t *host = NULL, *info = info_of(config);
    autofree char *where = ip && !streq(ip, "0.0.0.0") ? strdup(ip) : NULL;
    int r = host_of(config, &host, e);

    if (r < 0)
        return r;
    if (!info)
        return err_nomem(e);
    pthread_mutex_lock(&d->lock);
    SWAP(d->host, host);
    SWAP(d->info, info);
    SWAP(d->ip, where);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int defaults_new(struct service *inner, const json_t *config, struct service **ret,
                 struct wharf_error *e)
{
    struct defaults *d = (struct defaults *)service_new(sizeof *d, &defaults_ops);
    int r;

    if (!d)
        return err_nomem(e);
    pthread_mutex_init(&d->lock, NULL);
    d->inner = service_ref(inner);
    r = defaults_set(&d->service, config, e);
    if (r < 0) {
        service_unref(&d->service);
        return r;
    }
    *ret = &d->service;
    return 0;
}
