/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock rulesets by raw system calls (Documentation/userspace-api/landlock.rst).
 *
 * What each ABI added stands in one table; Debian 12's headers know ABI 2 only, so the later
 * constants are given here. A demand beyond the kernel's ABI is refused in the parent, before
 * anything is made, unless the configuration says best effort.
 */
#include "libcontainer/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* struct landlock_ruleset_attr as of ABI 6 (Linux 6.12); older kernels take a shorter size. */
struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct net_port_attr {
    uint64_t allowed_access, port;
};
enum { RULE_NET_PORT = 2 };

/* The bits that appeared with each ABI version. */
static const struct {
    int abi;
    uint64_t fs, net, scoped;
} added[] = {
    { 1, 0x1fff, 0, 0 },   /* execute ... make_sym */
    { 2, 1u << 13, 0, 0 }, /* refer */
    { 3, 1u << 14, 0, 0 }, /* truncate */
    { 4, 0, 3, 0 },        /* bind_tcp, connect_tcp */
    { 5, 1u << 15, 0, 0 }, /* ioctl_dev */
    { 6, 0, 0, 3 },        /* abstract unix sockets, signals */
};

/* Rights that make sense on a file; the others only on a directory (landlock.rst, "access rights").
 */
#define FILE_RIGHTS                                                                                \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     1u << 14 | 1u << 15)

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return abi < 0 ? 0 : (int)abi;
}

static void supported(int abi, uint64_t *fs, uint64_t *net, uint64_t *scoped)
{
    *fs = *net = *scoped = 0;
    for (size_t i = 0; i < ARRAY_SIZE(added) && added[i].abi <= abi; i++) {
        *fs |= added[i].fs;
        *net |= added[i].net;
        *scoped |= added[i].scoped;
    }
}

/* Everything that the spec uses, to compare with what there is. */
static void used(const struct spec_landlock *spec, uint64_t *fs, uint64_t *net)
{
    *fs = spec->handled_fs;
    *net = spec->handled_net;
    for (size_t i = 0; i < spec->path_beneath.count; i++)
        *fs |= spec->path_beneath.items[i].access;
    for (size_t i = 0; i < spec->net_port.count; i++)
        *net |= spec->net_port.items[i].access;
}

static int mask(const struct spec_landlock *spec, uint64_t fs, uint64_t net, uint64_t scoped,
                struct arena *arena, const struct spec_landlock **ret)
{
    struct spec_landlock *cut = arena_alloc(arena, sizeof(*cut));

    if (!cut)
        return -ENOMEM;
    *cut = *spec;
    cut->handled_fs &= fs;
    cut->handled_net &= net;
    cut->scoped &= scoped;
    cut->path_beneath.items =
        arena_array(arena, spec->path_beneath.count, sizeof(*cut->path_beneath.items));
    cut->net_port.items = arena_array(arena, spec->net_port.count, sizeof(*cut->net_port.items));
    if (!cut->path_beneath.items || !cut->net_port.items)
        return -ENOMEM;
    for (size_t i = 0; i < spec->path_beneath.count; i++) {
        cut->path_beneath.items[i] = spec->path_beneath.items[i];
        cut->path_beneath.items[i].access &= fs;
    }
    for (size_t i = 0; i < spec->net_port.count; i++) {
        cut->net_port.items[i] = spec->net_port.items[i];
        cut->net_port.items[i].access &= net;
    }
    *ret = cut;
    return 0;
}

int landlock_prepare(const struct spec_landlock *spec, struct arena *arena,
                     const struct spec_landlock **ret, struct wharf_error *e)
{
    uint64_t fs, net, scoped, fs_used, net_used;
    int abi = landlock_abi();

    supported(abi, &fs, &net, &scoped);
    used(spec, &fs_used, &net_used);
    if (!(fs_used & ~fs) && !(net_used & ~net) && !(spec->scoped & ~scoped)) {
        *ret = spec;
        return 0;
    }
    if (!spec->best_effort)
        return err_unsupported(e,
                               "linux.landlock: this kernel has Landlock ABI %d, which lacks "
                               "rights that the configuration uses; set bestEffort to go without",
                               abi);
    if (mask(spec, fs, net, scoped, arena, ret) < 0)
        return err_nomem(e);
    return 0;
}

static int add_path(int ruleset, const char *path, uint64_t access, uint64_t handled,
                    struct wharf_error *e)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = access & handled };
    autoclose int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_sys(e, "landlock: cannot open '%s'", path);
    if (fstat(fd, &st) < 0)
        return err_sys(e, "landlock: cannot look at '%s'", path);
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= FILE_RIGHTS;
    if (!rule.allowed_access)
        return 0; /* the kernel refuses an empty rule (ENOMSG); it would allow nothing anyway */
    rule.parent_fd = fd;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_sys(e, "landlock: cannot add a rule for '%s'", path);
    return 0;
}

static int add_rules(int ruleset, const struct spec_landlock *spec, struct wharf_error *e)
{
    for (size_t i = 0; i < spec->path_beneath.count; i++) {
        const struct spec_landlock_path *rule = &spec->path_beneath.items[i];

        for (size_t p = 0; p < rule->paths.count; p++) {
            int r = add_path(ruleset, rule->paths.items[p], rule->access, spec->handled_fs, e);

            if (r < 0)
                return r;
        }
    }
    for (size_t i = 0; i < spec->net_port.count; i++) {
        const struct spec_landlock_port *rule = &spec->net_port.items[i];
        struct net_port_attr attr = { .allowed_access = rule->access & spec->handled_net };

        for (size_t p = 0; p < rule->ports.count && attr.allowed_access; p++) {
            attr.port = rule->ports.items[p];
            if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0) < 0)
                return err_sys(e, "landlock: cannot add a rule for port %llu",
                               (unsigned long long)rule->ports.items[p]);
        }
    }
    return 0;
}

int landlock_enforce(const struct spec_landlock *spec, struct wharf_error *e)
{
    struct ruleset_attr attr = {
        .handled_access_fs = spec->handled_fs,
        .handled_access_net = spec->handled_net,
        .scoped = spec->scoped,
    };
    /* an older kernel refuses a longer struct only if what it does not know is not zero */
    autoclose int ruleset = -1;
    int r;

    if (!attr.handled_access_fs && !attr.handled_access_net && !attr.scoped)
        return 0; /* best effort on a kernel that can do none of it */
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0)
        return err_sys(e, "cannot make a Landlock ruleset");
    r = add_rules(ruleset, spec, e);
    if (r < 0)
        return r;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_sys(e, "cannot enforce Landlock (it needs noNewPrivileges or CAP_SYS_ADMIN)");
    return 0;
}
