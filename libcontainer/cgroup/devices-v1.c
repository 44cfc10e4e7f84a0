/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules on v1 (cgroup-v1/devices.rst): lines into devices.allow and devices.deny.
 *
 * The kernel keeps a default and a list of exceptions, and an exception that denies can only take
 * away one that stands there in exactly that form: "allow c 1:*, deny c 1:3" cannot be said. Such a
 * rule is an error here, since to ignore it would leave the device open.
 */
#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "libcontainer/cgroup/devices.h"

static bool number_overlaps(int64_t a, int64_t b)
{
    return a < 0 || b < 0 || a == b;
}

static bool overlaps(const struct device_rule *a, const struct device_rule *b)
{
    return (a->type == 'a' || b->type == 'a' || a->type == b->type) &&
           number_overlaps(a->major, b->major) && number_overlaps(a->minor, b->minor) &&
           (a->access & b->access);
}

static bool same_devices(const struct device_rule *a, const struct device_rule *b)
{
    return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/* Does rule `i` take away a part of an exception that stands? */
static bool cannot_be_said(const struct device_rules *rules, size_t i)
{
    const struct device_rule *rule = &rules->items[i];
    bool denies = true; /* the default behind the exceptions: our first line is "deny all" */
    size_t from = 0;

    for (size_t j = 0; j <= i; j++) {
        if (rules->items[j].type != 'a')
            continue;
        denies = !rules->items[j].allow;
        from = j + 1;
    }
    if (rule->type == 'a' || rule->allow == denies)
        return false;
    for (size_t j = from; j < i; j++)
        if (rules->items[j].allow == denies && overlaps(&rules->items[j], rule) &&
            !same_devices(&rules->items[j], rule))
            return true;
    return false;
}

int devices_v1_apply(struct group *g, const struct device_rules *rules, struct wharf_error *e)
{
    static const char *const files[] = { "devices.deny", "devices.allow" };
    int dir = group_dir(g);
    autoclose int deny = dir < 0 ? -1 : openat(dir, files[0], O_WRONLY | O_CLOEXEC);
    autoclose int allow = dir < 0 ? -1 : openat(dir, files[1], O_WRONLY | O_CLOEXEC);
    bool cleared = rules->count > 0 && rules->items[0].type == 'a';
    int r = 0;

    if (deny < 0 || allow < 0)
        return group_error(g, dir < 0 ? dir : -errno, "open", files[deny >= 0], e);
    if (!cleared)
        r = fd_write_all(deny, "a", 1);
    if (r < 0)
        return group_error(g, r, "write", files[0], e);
    for (size_t i = 0; i < rules->count; i++) {
        const struct device_rule *rule = &rules->items[i];
        char line[64];

        device_rule_format(rule, line, sizeof(line));
        if (cannot_be_said(rules, i))
            return err_unsupported(e,
                                   "linux.resources.devices: '%s' is a part of an earlier rule, "
                                   "which cgroup v1 cannot tell apart: name the devices one by "
                                   "one",
                                   line);
        r = fd_write_all(rule->allow ? allow : deny, line, strlen(line));
        if (r < 0) {
            group_error(g, r, "write", files[rule->allow], e);
            return err_wrap(e, r, "device rule '%s'", line);
        }
    }
    return 0;
}
