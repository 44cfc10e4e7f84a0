/* SPDX-License-Identifier: Apache-2.0 */
/* See security.h. Docker's rules and words. */
#include "engine/security.h"

#include <linux/capability.h>
#include <stdio.h>
#include <strings.h>
#include "base/str.h"
#include "libcontainer/credentials.h"

#define BIT(n)   (UINT64_C(1) << (n))
#define ALL_CAPS (BIT(CAP_LAST_CAP + 1) - 1)

static const uint64_t default_capabilities =
    BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) |
    BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) |
    BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);

/* "NET_ADMIN", "cap_net_admin" or "ALL" as a mask. */
static int capability_mask(const char *name, uint64_t *ret, struct wharf_error *e)
{
    const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

    if (strcasecmp(bare, "ALL") == 0) {
        *ret = ALL_CAPS;
        return 0;
    }
    for (unsigned n = 0; n <= CAP_LAST_CAP; n++) {
        const char *known = field_word_name(capability_words, (int64_t)BIT(n));

        if (known && strcasecmp(bare, known + 4) == 0) {
            *ret = BIT(n);
            return 0;
        }
    }
    return err_invalid(e, "invalid capability: '%s'", name);
}

/* Docker's rule: ALL in either list sets the ground, then the named ones of add win over drop's. */
static int capabilities(const struct settings_host *host, uint64_t *ret, struct wharf_error *e)
{
    uint64_t mask, add = 0, drop = 0;
    bool add_all = false, drop_all = false;

    for (size_t i = 0; i < host->cap_add.count; i++) {
        if (capability_mask(host->cap_add.items[i], &mask, e) < 0)
            return -EINVAL;
        add_all |= mask == ALL_CAPS;
        add |= mask == ALL_CAPS ? 0 : mask;
    }
    for (size_t i = 0; i < host->cap_drop.count; i++) {
        if (capability_mask(host->cap_drop.items[i], &mask, e) < 0)
            return -EINVAL;
        drop_all |= mask == ALL_CAPS;
        drop |= mask == ALL_CAPS ? 0 : mask;
    }
    if (host->privileged)
        *ret = ALL_CAPS;
    else if (add_all)
        *ret = ALL_CAPS & ~drop;
    else
        *ret = ((drop_all ? 0 : default_capabilities) & ~drop) | add;
    return 0;
}

/* "true", "false" or, where a bare word means true, nothing. */
static int read_switch(const char *option, const char *value, bool bare, bool *ret,
                       struct wharf_error *e)
{
    if (streq(value, "true") || (bare && !*value))
        *ret = true;
    else if (streq(value, "false"))
        *ret = false;
    else
        return err_invalid(e, "invalid --security-opt 2: \"%s\"", option);
    return 0;
}

/* One option: "name=value", the older "name:value", or "name" alone. */
static int parse_option(const char *option, struct security *s, struct wharf_error *e)
{
    size_t key = strcspn(option, "=:");
    const char *value = option[key] ? option + key + 1 : "";
    char name[32];

    snprintf(name, sizeof(name), "%.*s", (int)key, option);
    if (streq(name, "no-new-privileges"))
        return read_switch(option, value, true, &s->no_new_privileges, e);
    if (streq(name, "writable-cgroups"))
        return read_switch(option, value, false, &s->writable_cgroups, e);
    if (streq(name, "seccomp"))
        s->seccomp = streq(value, "unconfined") ? "" : streq(value, "builtin") ? NULL : value;
    else if (streq(name, "apparmor"))
        s->apparmor = streq(value, "unconfined") ? NULL : value;
    else if (streq(name, "systempaths") && streq(value, "unconfined"))
        s->system_paths = false;
    else if (streq(name, "label") && !streq(value, "disable"))
        return err_unsupported(e,
                               "security option '%s': this engine has no SELinux labels, only "
                               "label=disable",
                               option);
    else if (!streq(name, "label"))
        return err_invalid(e, "invalid --security-opt 1: \"%s\"", option);
    return 0;
}

int security_parse(const struct settings_host *host, struct security *ret, struct wharf_error *e)
{
    struct security s = { .system_paths = true };
    int r = capabilities(host, &s.capabilities, e);

    for (size_t i = 0; r == 0 && i < host->security_opt.count; i++)
        r = parse_option(host->security_opt.items[i], &s, e);
    if (r < 0)
        return r;
    if (host->privileged) {
        s.system_paths = s.no_new_privileges = false;
        s.writable_cgroups = true;
        s.apparmor = NULL;
        if (!s.seccomp)
            s.seccomp = "";
    }
    *ret = s;
    return 0;
}
