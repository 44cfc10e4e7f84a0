/* SPDX-License-Identifier: Apache-2.0 */
#include "libswarm/filters/authorize.h"

#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "base/str.h"

struct authorize {
    struct service service;
    struct service *inner;
    struct audit *audit;
    enum policy policy;
};

int policy_parse(const char *text, enum policy *ret, struct wharf_error *e)
{
    if (streq(text, "single-user"))
        *ret = POLICY_SINGLE_USER;
    else if (streq(text, "owner"))
        *ret = POLICY_OWNER;
    else
        return err_invalid(e, "no such policy: '%s': there are 'single-user' and 'owner'", text);
    return 0;
}

/* ---- the owner policy ------------------------------------------------------------------------ */

/* Members of HostConfig that a principal without power over the host may not set. */
static const struct {
    const char *member;
    enum { ANY, TRUE, HOST_WORD, HOST_PATHS, HOST_MOUNTS, UNSAFE_OPTIONS } refused_when;
} host_power[] = {
    { "Privileged", TRUE },
    { "Binds", HOST_PATHS },
    { "Mounts", HOST_MOUNTS },
    { "Devices", ANY },
    { "DeviceCgroupRules", ANY },
    { "DeviceRequests", ANY },
    { "CapAdd", ANY },
    { "Sysctls", ANY },
    { "SecurityOpt", UNSAFE_OPTIONS },
    { "NetworkMode", HOST_WORD },
    { "PidMode", HOST_WORD },
    { "IpcMode", HOST_WORD },
    { "UTSMode", HOST_WORD },
    { "UsernsMode", HOST_WORD },
    { "CgroupnsMode", HOST_WORD },
    { "CgroupParent", ANY },
    { "OomKillDisable", TRUE },
    { "OomScoreAdj", ANY },
    { "MaskedPaths", ANY },
    { "ReadonlyPaths", ANY },
    { "Runtime", ANY },
};

static bool has_host_path(const json_t *binds)
{
    const json_t *bind;
    size_t i;

    json_array_foreach (binds, i, bind) {
        const char *text = json_string_value(bind);

        if (!text || *text == '/' || *text == '.' || *text == '~')
            return true;
    }
    return !json_is_array(binds);
}

static bool has_host_mount(const json_t *mounts)
{
    const json_t *mount;
    size_t i;

    json_array_foreach (mounts, i, mount) {
        const char *type = json_string_value(json_member_nocase(mount, "Type"));
        const json_t *options = json_member_nocase(mount, "VolumeOptions");

        if (!type || (strcmp(type, "volume") && strcmp(type, "tmpfs") && strcmp(type, "image")))
            return true;
        if (!json_is_empty(json_member_nocase(options, "DriverConfig"))) /* o=bind */
            return true;
    }
    return !json_is_array(mounts);
}

static bool has_unsafe_option(const json_t *list)
{
    const json_t *option;
    size_t i;

    json_array_foreach (list, i, option) {
        const char *text = json_string_value(option);

        if (!text || !str_after(text, "no-new-privileges"))
            return true;
    }
    return !json_is_array(list);
}

static bool is_refused(const json_t *value, int when)
{
    if (json_is_empty(value))
        return false;
    switch (when) {
    case HOST_WORD:
        return !json_is_string(value) || !strcasecmp(json_string_value(value), "host");
    case HOST_PATHS:
        return has_host_path(value);
    case HOST_MOUNTS:
        return has_host_mount(value);
    case UNSAFE_OPTIONS:
        return has_unsafe_option(value);
    }
    return true;
}

const char *host_power_of(const json_t *body)
{
    const json_t *host = json_member_nocase(body, "HostConfig");

    for (size_t i = 0; i < ARRAY_SIZE(host_power); i++)
        if (is_refused(json_member_nocase(host, host_power[i].member), host_power[i].refused_when))
            return host_power[i].member;
    return NULL;
}

/* Operations that concern what all users share, or the engine itself. */
static bool is_for_root(const struct operation *op)
{
    static const char *const names[] = { "image.remove", "image.prune",   "build.prune",
                                         "plugin.pull",  "plugin.create", "plugin.remove",
                                         "plugin.set",   "plugin.enable", "plugin.disable",
                                         "swarm.init",   "swarm.join",    "swarm.leave",
                                         "swarm.update", "swarm.unlock" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (operation_is(op, names[i]))
            return true;
    return false;
}

static int decide_owner(const struct message *m, struct wharf_error *e)
{
    const char *power;

    if (m->principal.uid == 0)
        return 0;
    if (is_for_root(m->op))
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN, "%s may not do %s: it concerns all users",
                       m->principal.name, m->op->name);
    if (operation_is(m->op, "volume.create") &&
        !json_is_empty(json_member_nocase(m->body, "DriverOpts")))
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN,
                       "%s may not set DriverOpts: it gives power over the host",
                       m->principal.name);
    if (operation_is(m->op, "exec.create") &&
        json_is_true(json_member_nocase(m->body, "Privileged")))
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN,
                       "%s may not set Privileged: it gives power over the host",
                       m->principal.name);
    power = operation_is(m->op, "container.create") ? host_power_of(m->body) : NULL;
    if (power)
        return err_set(e, -EACCES, WHARF_ERROR_FORBIDDEN,
                       "%s may not set HostConfig.%s: it gives power over the host",
                       m->principal.name, power);
    return 0;
}

/* ---- the filter ------------------------------------------------------------------------------ */

/* `_ping` says nothing but that somebody is there (docker-api 1.6: never authorized away). */
static bool is_ping(const struct operation *op)
{
    return operation_is(op, "system.ping") || operation_is(op, "system.ping_head");
}

static int authorize_call(struct service *s, struct message *m, struct reply *r,
                          struct wharf_error *e)
{
    struct authorize *a = (struct authorize *)s;
    struct wharf_error reason = { 0 };
    int n = a->policy == POLICY_OWNER ? decide_owner(m, &reason) : 0;

    if (is_ping(m->op)) {
        service_call(a->inner, m, r);
        return 0;
    }
    if (a->audit) {
        int written = audit_write(a->audit, m, n == 0, reason.message, e);

        if (written < 0)
            return err_wrap(e, written, "the decision cannot be recorded");
    }
    if (n < 0) {
        if (e)
            *e = reason;
        return n;
    }
    if (a->policy == POLICY_SINGLE_USER)
        m->principal.uid = 0; /* the engine's one user; the name stays who it was */
    service_call(a->inner, m, r);
    return 0;
}

static void authorize_free(struct service *s)
{
    service_unref(((struct authorize *)s)->inner);
}

static const struct service_ops authorize_ops = { .name = "authorize",
                                                  .call = authorize_call,
                                                  .free = authorize_free };

int authorize_new(struct service *inner, enum policy policy, struct audit *audit,
                  struct service **ret, struct wharf_error *e)
{
    struct authorize *a = (struct authorize *)service_new(sizeof *a, &authorize_ops);

    if (!a)
        return err_nomem(e);
    a->inner = service_ref(inner);
    a->policy = policy;
    a->audit = audit;
    *ret = &a->service;
    return 0;
}
