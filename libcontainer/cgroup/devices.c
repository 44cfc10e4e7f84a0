/* SPDX-License-Identifier: Apache-2.0 */
/* The list of device rules: from the specification, checked, with the defaults behind. */
#include "libcontainer/cgroup/devices.h"

#include <stdio.h>
#include "base/str.h"

/* runtime-spec, "Default Devices", pts and ptmx (major 136 and 5:2), /dev/net/tun as runc and
 * docker have it, and mknod of anything: a node gives no access by itself. */
static const struct device_rule defaults[] = {
    { true, 'c', -1, -1, DEVICE_MKNOD }, { true, 'b', -1, -1, DEVICE_MKNOD },
    { true, 'c', 1, 3, DEVICE_ALL },    /* null */
    { true, 'c', 1, 8, DEVICE_ALL },    /* random */
    { true, 'c', 1, 7, DEVICE_ALL },    /* full */
    { true, 'c', 5, 0, DEVICE_ALL },    /* tty */
    { true, 'c', 1, 5, DEVICE_ALL },    /* zero */
    { true, 'c', 1, 9, DEVICE_ALL },    /* urandom */
    { true, 'c', 5, 1, DEVICE_ALL },    /* console */
    { true, 'c', 136, -1, DEVICE_ALL }, /* pts */
    { true, 'c', 5, 2, DEVICE_ALL },    /* ptmx */
};

static int parse_access(const char *text, unsigned *ret)
{
    unsigned access = 0;

    for (; *text; text++) {
        if (*text == 'r')
            access |= DEVICE_READ;
        else if (*text == 'w')
            access |= DEVICE_WRITE;
        else if (*text == 'm')
            access |= DEVICE_MKNOD;
        else
            return -EINVAL;
    }
    *ret = access;
    return 0;
}

static int parse_rule(const struct spec_device_rule *in, size_t index, struct device_rule *out,
                      struct wharf_error *e)
{
    const char *type = in->type && *in->type ? in->type : "a";

    *out = (struct device_rule){
        .allow = in->allow,
        .type = type[0],
        .major = in->major.set ? in->major.value : -1,
        .minor = in->minor.set ? in->minor.value : -1,
        .access = DEVICE_ALL,
    };
    if (!strchr("abc", type[0]) || type[1])
        return err_invalid(e, "linux.resources.devices[%zu].type: '%s' is none of a, b, c", index,
                           type);
    if (out->major < -1 || out->major > UINT32_MAX || out->minor < -1 || out->minor > UINT32_MAX)
        return err_invalid(e, "linux.resources.devices[%zu]: %lld:%lld is no device number", index,
                           (long long)out->major, (long long)out->minor);
    if (in->access && *in->access && parse_access(in->access, &out->access) < 0)
        return err_invalid(e, "linux.resources.devices[%zu].access: '%s' has more than r, w and m",
                           index, in->access);
    /* the kernel's "a" stands for all of all: other parts of such a rule never counted */
    if (out->type == 'a')
        out->major = out->minor = -1, out->access = DEVICE_ALL;
    return 0;
}

int device_rules_make(const struct spec_resources *resources, struct arena *arena,
                      struct device_rules *ret, struct wharf_error *e)
{
    size_t given = resources ? resources->devices.count : 0;
    struct device_rule *rules;

    if (given > DEVICE_RULES_MAX)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT,
                       "linux.resources.devices has %zu rules, %d at "
                       "most",
                       given, DEVICE_RULES_MAX);
    rules = arena_array(arena, given + ARRAY_SIZE(defaults), sizeof(*rules));
    if (!rules)
        return err_nomem(e);
    for (size_t i = 0; i < given; i++) {
        int r = parse_rule(&resources->devices.items[i], i, &rules[i], e);

        if (r < 0)
            return r;
    }
    memcpy(rules + given, defaults, sizeof(defaults));
    ret->items = rules;
    ret->count = given + ARRAY_SIZE(defaults);
    return 0;
}

static void format_number(int64_t number, char *text, size_t size)
{
    if (number < 0)
        snprintf(text, size, "*");
    else
        snprintf(text, size, "%lld", (long long)number);
}

void device_rule_format(const struct device_rule *rule, char *text, size_t size)
{
    char major[24], minor[24];

    format_number(rule->major, major, sizeof(major));
    format_number(rule->minor, minor, sizeof(minor));
    snprintf(text, size, "%c %s:%s %s%s%s", rule->type, major, minor,
             rule->access & DEVICE_READ ? "r" : "", rule->access & DEVICE_WRITE ? "w" : "",
             rule->access & DEVICE_MKNOD ? "m" : "");
}

int devices_apply(struct cgroup *cg, const struct spec_resources *resources, bool fresh,
                  struct wharf_error *e)
{
    struct group *g = cgroup_owner(cg, CONTROLLER_DEVICES);
    struct arena *arena;
    struct device_rules rules;
    int r;

    if (!g)
        return 0; /* nothing here governs devices; a rootless container can open none anyway */
    arena = arena_new(1u << 20);
    if (!arena)
        return err_nomem(e);
    r = device_rules_make(resources, arena, &rules, e);
    if (r == 0)
        r = g->v2 ? devices_ebpf_apply(g, &rules, fresh, e) : devices_v1_apply(g, &rules, e);
    arena_free(arena);
    /* in a user namespace neither side may be changed, and mknod and foreign devices are refused */
    return cg->rootless && (r == -EPERM || r == -EACCES) ? 0 : r;
}
