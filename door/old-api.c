/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row a difference: below its version a member of the body is dropped, as the daemons of that
 * version did, who did not know it; or it gets the value that was then the default.
 */
#include "door/old-api.h"

#include <string.h>
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

struct difference {
    unsigned below;
    const char *operation;
    const char *path;  /* "HostConfig.IpcMode"; "[]": each element of a list */
    const char *value; /* set where absent; NULL: dropped */
};

static const struct difference differences[] = {
    { 25, "container.create", "HostConfig.AutoRemove", NULL },
    { 40, "container.create", "HostConfig.IpcMode", "shareable" },
    { 40, "container.create", "HostConfig.Mounts[].BindOptions.NonRecursive", NULL },
    { 40, "container.create", "HostConfig.KernelMemoryTCP", NULL },
    { 40, "container.update", "PidsLimit", NULL },
    { 42, "container.create", "HostConfig.ConsoleSize", NULL },
    { 42, "container.create", "HostConfig.Mounts[].BindOptions.CreateMountpoint", NULL },
    { 42, "exec.create", "ConsoleSize", NULL },
    { 42, "exec.start", "ConsoleSize", NULL },
    { 43, "container.create", "HostConfig.Annotations", NULL },
    { 44, "container.create", "Healthcheck.StartInterval", NULL },
};

static void apply(json_t *at, const char *path, const char *value);

static void apply_each(json_t *list, const char *path, const char *value)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        apply(item, path, value);
}

static void apply(json_t *at, const char *path, const char *value)
{
    size_t len = strcspn(path, ".[");
    autofree char *key = strndup(path, len);
    json_t *member = key && json_is_object(at) ? json_object_get(at, key) : NULL;

    if (!key || !json_is_object(at))
        return;
    if (str_after(path + len, "[]."))
        apply_each(member, path + len + 3, value);
    else if (path[len] == '.')
        apply(member, path + len + 1, value);
    else if (!value)
        json_object_del(at, key);
    else if (!member || json_is_null(member) || streq_null(json_string_value(member), ""))
        json_object_set_new(at, key, json_string(value));
}

/* Options of another type of mount than the mount's: refused since 1.42, dropped before. */
static void drop_foreign_options(json_t *mounts)
{
    static const char *const options[][2] = { { "bind", "BindOptions" },
                                              { "volume", "VolumeOptions" },
                                              { "tmpfs", "TmpfsOptions" } };
    json_t *mount;
    size_t i;

    json_array_foreach (mounts, i, mount)
        for (size_t j = 0; j < ARRAY_SIZE(options); j++)
            if (!streq_null(json_string_value(json_object_get(mount, "Type")), options[j][0]))
                json_object_del(mount, options[j][1]);
}

static int check_mounts(unsigned api, const json_t *mounts, struct wharf_error *e)
{
    const json_t *mount, *volume;
    size_t i;

    json_array_foreach (mounts, i, mount) {
        volume = json_object_get(mount, "VolumeOptions");
        if (api < 45 && json_string_length(json_object_get(volume, "Subpath")))
            return err_invalid(e, "VolumeOptions.Subpath needs API v1.45 or newer");
        if (api < 48 && streq_null(json_string_value(json_object_get(mount, "Type")), "image"))
            return err_invalid(e, "Mount type \"image\" needs API v1.48 or newer");
        if (api < 44 && json_is_true(json_object_get(json_object_get(mount, "BindOptions"),
                                                     "ReadOnlyForceRecursive")))
            return err_invalid(e, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
        /* before 1.44 a read-only bind mount was so at its top alone */
        if (api < 44 && json_is_true(json_object_get(mount, "ReadOnly")) &&
            json_is_object(json_object_get(mount, "BindOptions")))
            json_object_set_new(json_object_get(mount, "BindOptions"), "ReadOnlyNonRecursive",
                                json_true());
    }
    return 0;
}

/* One endpoint at create before 1.44; its MacAddress stood beside the endpoints. */
static int check_endpoints(json_t *body, struct wharf_error *e)
{
    json_t *config = json_object_get(body, "NetworkingConfig");
    json_t *endpoints = json_object_get(config, "EndpointsConfig"), *endpoint;
    char names[256] = "";
    const char *name;
    size_t len = 0;

    json_object_foreach (endpoints, name, endpoint) {
        json_object_del(endpoint, "MacAddress");
        if (len < sizeof names)
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", name);
    }
    return json_object_size(endpoints) > 1
               ? err_invalid(e, "Container cannot be created with multiple network endpoints: %s",
                             names)
               : 0;
}

static int create_body(const struct message *m, json_t *body, struct wharf_error *e)
{
    json_t *host = json_object_get(body, "HostConfig");
    json_t *mounts = json_object_get(host, "Mounts");
    int r;

    if (m->api < 42)
        drop_foreign_options(mounts);
    r = check_mounts(m->api, mounts, e);
    return r == 0 && m->api < 44 ? check_endpoints(body, e) : r;
}

int old_api_body(const struct message *m, json_t *body, struct wharf_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(differences); i++)
        if (m->api < differences[i].below && operation_is(m->op, differences[i].operation))
            apply(body, differences[i].path, differences[i].value);
    return operation_is(m->op, "container.create") && m->api < API_NEWEST ? create_body(m, body, e)
                                                                          : 0;
}
