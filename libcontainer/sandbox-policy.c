/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a policy to a root: an empty tmpfs into which the given paths are bound at the place they
 * have outside, an own /tmp, /proc and /dev; and the same list once more as a Landlock ruleset, so
 * that neither of the two walls stands alone. Parents are mounted before what lies in them.
 */
#include "libcontainer/sandbox-policy.h"

#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"

#define READ_RIGHTS                                                                                \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* ABI 5 of Landlock, that newer headers call ..._TRUNCATE, ..._IOCTL_DEV and so on */
#define ALL_RIGHTS 0xffffu
#define DEV_RIGHTS                                                                                 \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |  \
     1u << 14 | 1u << 15)
#define CONNECT_TCP (1u << 1)
#define ALL_NET     3u
#define ALL_SCOPES  3u /* abstract unix sockets, signals: ABI 6 */

/* What every sandbox has beside the given paths. */
static const struct {
    const char *destination, *type, *options;
    uint64_t rights;
} own[] = {
    { "/proc", "proc", "nosuid,nodev,noexec", READ_RIGHTS },
    { "/dev", "tmpfs", "nosuid,noexec,mode=755,size=64k", DEV_RIGHTS },
    { "/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620", 0 },
    { "/dev/shm", "tmpfs", "nosuid,nodev,noexec,mode=1777,size=64m", ALL_RIGHTS },
    { "/tmp", "tmpfs", "nosuid,nodev,mode=1777,size=256m", ALL_RIGHTS },
};

static const char *const namespaces[] = { "user", "mount", "pid", "ipc", "uts", "cgroup" };

struct given {
    const char *path;
    bool writable;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct given *)a)->path, ((const struct given *)b)->path);
}

static int add_given(const char *const *paths, bool writable, struct given *list, size_t *count,
                     struct wharf_error *e)
{
    for (; paths && *paths; paths++) {
        if (**paths != '/' || streq(*paths, "/"))
            return err_invalid(e, "path '%s' of the policy: give absolute paths, not the whole '/'",
                               *paths);
        if (*count == SANDBOX_PATHS_MAX)
            return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "a policy may hold %d paths",
                           SANDBOX_PATHS_MAX);
        list[(*count)++] = (struct given){ *paths, writable };
    }
    return 0;
}

static int allow(struct spec_landlock *l, struct arena *arena, const char *path, uint64_t access)
{
    struct spec_landlock_path *rule = &l->path_beneath.items[l->path_beneath.count++];

    rule->access = access;
    rule->paths.items = arena_array(arena, 1, sizeof(char *));
    if (!rule->paths.items)
        return -ENOMEM;
    rule->paths.items[0] = arena_str(arena, path);
    rule->paths.count = 1;
    return rule->paths.items[0] ? 0 : -ENOMEM;
}

static int add_paths(struct sandbox *s, struct spec_landlock *l, struct wharf_error *e)
{
    struct arena *arena = s->spec->arena;
    struct given *list = arena_array(arena, SANDBOX_PATHS_MAX, sizeof(*list));
    size_t count = 0;
    int r;

    l->path_beneath.items =
        arena_array(arena, SANDBOX_PATHS_MAX + ARRAY_SIZE(own), sizeof(*l->path_beneath.items));
    if (!list || !l->path_beneath.items)
        return err_nomem(e);
    r = add_given(s->policy->read_paths, false, list, &count, e);
    if (r == 0)
        r = add_given(s->policy->write_paths, true, list, &count, e);
    for (size_t i = 0; i < ARRAY_SIZE(own) && r == 0; i++) {
        r = container_spec_add_mount(s->spec, own[i].type, own[i].destination, own[i].type,
                                     own[i].options, e);
        if (r == 0 && own[i].rights)
            r = allow(l, arena, own[i].destination, own[i].rights);
    }
    qsort(list, count, sizeof(*list), by_path);
    for (size_t i = 0; i < count && r == 0; i++) {
        r = container_spec_add_mount(
            s->spec, list[i].path, list[i].path, "bind",
            list[i].writable ? "rbind,rnosuid,rnodev" : "rbind,rnosuid,rnodev,rro", e);
        if (r == 0)
            r = allow(l, arena, list[i].path, list[i].writable ? ALL_RIGHTS : READ_RIGHTS);
    }
    return r;
}

/* "tcp:443" */
static int add_ports(struct sandbox *s, struct spec_landlock *l, struct wharf_error *e)
{
    const char *const *list = s->policy->net_allow;
    size_t count = strv_count(list);
    struct spec_landlock_port *rule;

    if (landlock_abi() < 4)
        return err_unsupported(e, "net_allow needs Landlock ABI 4 (Linux 6.7); this kernel has %d",
                               landlock_abi());
    if (count > SANDBOX_PORTS_MAX)
        return err_set(e, -E2BIG, WHARF_ERROR_LIMIT, "net_allow may hold %d entries",
                       SANDBOX_PORTS_MAX);
    rule = arena_alloc(s->spec->arena, sizeof(*rule));
    if (!rule)
        return err_nomem(e);
    rule->access = CONNECT_TCP;
    rule->ports.items = arena_array(s->spec->arena, count + 1, sizeof(uint64_t));
    if (!rule->ports.items)
        return err_nomem(e);
    for (size_t i = 0; i < count; i++) {
        const char *port = str_after(list[i], "tcp:");

        if (!port || parse_u64(port, 1, 65535, &rule->ports.items[i]) < 0)
            return err_invalid(e, "net_allow '%s': only tcp:PORT is known", list[i]);
        rule->ports.count++;
    }
    l->handled_net = ALL_NET;
    l->net_port.items = rule;
    l->net_port.count = 1;
    return 0;
}

static int make_landlock(struct sandbox *s, struct wharf_error *e)
{
    struct spec_landlock *l = arena_alloc(s->spec->arena, sizeof(*l));
    int r;

    if (!l)
        return err_nomem(e);
    *l = (struct spec_landlock){ .best_effort = true,
                                 .handled_fs = ALL_RIGHTS,
                                 .scoped = ALL_SCOPES };
    /* never NULL, for best effort copies the list */
    l->net_port.items = arena_alloc(s->spec->arena, sizeof(*l->net_port.items));
    if (!l->net_port.items)
        return err_nomem(e);
    r = add_paths(s, l, e);
    if (r == 0 && s->network)
        r = add_ports(s, l, e);
    return r < 0 ? r : landlock_prepare(l, s->spec->arena, &s->landlock, e);
}

/* The default spec without its mounts and capabilities, in a user namespace. */
static int make_spec(struct sandbox *s, struct wharf_error *e)
{
    int r = container_spec_new(&s->spec, e);

    if (r < 0)
        return r;
    s->spec->mounts.count = 0;
    s->spec->linux_->namespaces.count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(namespaces) && r == 0; i++)
        r = container_spec_set_namespace(s->spec, namespaces[i], NULL, 0, e);
    if (r == 0 && !s->network)
        r = container_spec_set_namespace(s->spec, "network", NULL, 0, e);
    if (r == 0)
        r = container_spec_set(s->spec, "root.readonly", "true", e);
    return r;
}

int sandbox_prepare(const struct container_policy *policy, struct sandbox *ret,
                    struct wharf_error *e)
{
    struct sandbox s = { .policy = policy, .network = policy->net_allow != NULL };
    struct rootfs_options options = {
        .bundle_fd = -1, .root_fd = -1, .empty_root = true, .rootless = geteuid() != 0
    };
    struct spec_seccomp *seccomp = NULL;
    int r = make_spec(&s, e);

    if (r == 0)
        r = make_landlock(&s, e);
    if (r == 0)
        r = sandbox_seccomp(policy->seccomp_preset, s.network, s.spec->arena, &seccomp, e);
    if (r == 0 && seccomp)
        r = seccomp_compile(seccomp, -1, &s.seccomp, NULL, NULL, e);
    if (r == 0)
        r = rootfs_prepare(s.spec, &options, s.spec->arena, &s.rootfs, e);
    if (r < 0) {
        sandbox_done(&s);
        return r;
    }
    *ret = s;
    return 0;
}

void sandbox_done(struct sandbox *s)
{
    rootfs_done(s->rootfs);
    seccomp_done(&s->seccomp);
    container_spec_free(s->spec);
}
