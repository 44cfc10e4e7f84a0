/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup in the container's state file, and back:
 *
 *     {"driver": "files", "path": "/wharf/demo", "groups":
 *         [{"mount": "/sys/fs/cgroup/memory", "options": "memory", "made": true}, ...]}
 *
 * The controllers of a v1 group follow from its options; a v2 group ("options" is absent) lists
 * them in "controllers". Loading opens nothing: `state` and `list` never look at a cgroup.
 */
#include <string.h>
#include "base/str.h"
#include "libcontainer/cgroup/group.h"
#include "libcontainer/cgroup/systemd.h"

static const char *const drivers[] = {
    [CONTAINER_CGROUPS_FILES] = "files",
    [CONTAINER_CGROUPS_SYSTEMD] = "systemd",
    [CONTAINER_CGROUPS_NONE] = "none",
};

static json_t *save_controllers(uint32_t controllers)
{
    char words[256] = "";
    size_t len = 0;

    for (unsigned c = 0; c < CONTROLLER_COUNT; c++)
        if ((controllers & CONTROLLER_BIT(c)) && c != CONTROLLER_CPUACCT)
            len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", len ? " " : "",
                                    controller_name(c, true));
    return json_string(words);
}

static json_t *save_group(const struct group *g)
{
    json_t *out = json_pack("{s:s%, s:b}", "mount", g->path, g->mount_len, "made", g->made);

    if (!out)
        return NULL;
    if (g->options)
        json_object_set_new(out, "options", json_string(g->options));
    else
        json_object_set_new(out, "controllers", save_controllers(g->controllers));
    return out;
}

int cgroup_save(const struct cgroup *cg, json_t **ret, struct wharf_error *e)
{
    autojson json_t *out = json_pack("{s:s, s:[]}", "driver", drivers[cg->driver], "groups");
    json_t *groups = json_object_get(out, "groups");

    if (!out)
        return err_nomem(e);
    for (size_t i = 0; i < cg->count; i++)
        if (json_array_append_new(groups, save_group(&cg->groups[i])) < 0)
            return err_nomem(e);
    if (cg->path && json_object_set_new(out, "path", json_string(cg->path)) < 0)
        return err_nomem(e);
    if (cg->unit && json_object_set_new(out, "unit", systemd_unit_save(cg->unit)) < 0)
        return err_nomem(e);
    *ret = take_ptr(&out);
    return 0;
}

static int load_group(struct cgroup *cg, json_t *saved, struct wharf_error *e)
{
    const char *mount = json_string_value(json_object_get(saved, "mount"));
    const char *options = json_string_value(json_object_get(saved, "options"));
    const char *controllers = json_string_value(json_object_get(saved, "controllers"));
    struct group *g = &cg->groups[cg->count];

    if (!mount || *mount != '/' || !cg->path || cg->count == CGROUP_HIERARCHIES_MAX ||
        (!options && !controllers))
        return err_set(e, -EINVAL, WHARF_ERROR_CORRUPT, "the saved cgroup is damaged");
    *g = (struct group){
        .path = arena_format(cg->arena, "%s%s", mount, cg->path),
        .mount_len = strlen(mount),
        .options = options ? arena_str(cg->arena, options) : NULL,
        .controllers = controllers_parse(options ? options : controllers),
        .v2 = !options,
        .made = json_is_true(json_object_get(saved, "made")),
        .dir = -1,
    };
    if (!g->path || (options && !g->options))
        return err_nomem(e);
    if (g->v2 && (g->controllers & CONTROLLER_BIT(CONTROLLER_CPU)))
        g->controllers |= CONTROLLER_BIT(CONTROLLER_CPUACCT);
    cg->count++;
    return 0;
}

int cgroup_load(struct cgroup **ret, json_t *saved, struct wharf_error *e)
{
    const char *driver = json_string_value(json_object_get(saved, "driver"));
    const char *path = json_string_value(json_object_get(saved, "path"));
    json_t *unit = json_object_get(saved, "unit"), *group;
    auto_of(cgroup_close) struct cgroup *cg = NULL;
    size_t which = CONTAINER_CGROUPS_FILES, i;
    int r;

    while (which < ARRAY_SIZE(drivers) && !(driver && streq(drivers[which], driver)))
        which++;
    if (which == ARRAY_SIZE(drivers))
        return err_set(e, -EINVAL, WHARF_ERROR_CORRUPT, "the saved cgroup names no known driver");
    cg = cgroup_new((enum container_cgroups)which);
    if (!cg)
        return err_nomem(e);
    if (path) {
        r = cgroup_path_clean(path, cg->arena, &cg->path, e);
        if (r < 0)
            return r;
    }
    json_array_foreach (json_object_get(saved, "groups"), i, group) {
        r = load_group(cg, group, e);
        if (r < 0)
            return r;
    }
    r = unit ? systemd_unit_load(&cg->unit, unit, e) : 0;
    if (r < 0)
        return r;
    *ret = take_ptr(&cg);
    return 0;
}
