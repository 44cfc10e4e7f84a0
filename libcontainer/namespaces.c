/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces and id maps. See namespaces.h; the child's half is below the line that says so. */
#include "libcontainer/namespaces.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
    int type;
    const char *name;
} names[NAMESPACE_TYPES] = {
    { CLONE_NEWUSER, "user" }, { CLONE_NEWPID, "pid" },       { CLONE_NEWNET, "network" },
    { CLONE_NEWIPC, "ipc" },   { CLONE_NEWUTS, "uts" },       { CLONE_NEWNS, "mount" },
    { CLONE_NEWTIME, "time" }, { CLONE_NEWCGROUP, "cgroup" },
};

static const char *name_of(int type)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].type == type)
            return names[i].name;
    }
    return "unknown";
}

/* ---- parent ---- */

static int open_join(struct namespaces *n, const struct spec_namespace *s, struct wharf_error *e)
{
    struct namespace_join *j = &n->joins[n->join_count];

    j->type = s->type;
    j->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (j->fd < 0)
        return err_sys(e, "cannot open the %s namespace '%s'", name_of(s->type), s->path);
    n->join_count++;
    return 0;
}

/* A namespace that is given by path and is the runtime's own gives no right to its sysctls: they
 * are the host's. */
static int check_sysctls(const struct namespaces *n, const struct spec_linux *linux_,
                         struct wharf_error *e)
{
    for (size_t i = 0; i < linux_->sysctl.count; i++) {
        const char *key = linux_->sysctl.items[i].key;
        int type = spec_sysctl_namespace(key), fd = namespaces_join_fd(n, type);
        struct stat joined, own;
        char path[32];

        if (fd < 0)
            continue;
        snprintf(path, sizeof(path), "/proc/self/ns/%s",
                 type == CLONE_NEWNET ? "net" : name_of(type));
        if (fstat(fd, &joined) < 0 || stat(path, &own) < 0)
            return err_sys(e, "cannot examine the %s namespace", name_of(type));
        if (joined.st_dev == own.st_dev && joined.st_ino == own.st_ino)
            return err_invalid(e,
                               "linux.sysctl: '%s' would change the host: the %s namespace to join "
                               "is its own",
                               key, name_of(type));
    }
    return 0;
}

static int format_offsets(struct namespaces *n, const struct spec_linux *linux_,
                          struct wharf_error *e)
{
    size_t len = 0;

    for (size_t i = 0; i < linux_->time_offsets.count; i++) {
        const struct spec_time_offset *o = &linux_->time_offsets.items[i];
        int w = snprintf(n->offsets + len, sizeof(n->offsets) - len, "%s %lld %u\n", o->clock,
                         (long long)o->secs, o->nanosecs);

        if (w < 0 || (size_t)w >= sizeof(n->offsets) - len)
            return err_invalid(e, "linux.timeOffsets: too many clocks");
        len += (size_t)w;
    }
    return 0;
}

int namespaces_prepare(const struct container_spec *spec, struct namespaces *ret,
                       struct wharf_error *e)
{
    struct namespaces n = { 0 };
    int r = 0;

    /* in the order of `names`, so that a user namespace is joined first */
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
        const struct spec_namespace *s = spec_namespace_find(spec, names[i].type);

        if (!s)
            continue;
        n.listed |= (uint64_t)(unsigned)s->type;
        if (s->path)
            r = open_join(&n, s, e);
        else if (s->type == CLONE_NEWCGROUP)
            n.cgroup = true;
        else if (s->type == CLONE_NEWTIME && spec->linux_->time_offsets.count > 0)
            n.time = true;
        else
            n.made |= (uint64_t)(unsigned)s->type;
    }
    if (r == 0 && n.time)
        r = format_offsets(&n, spec->linux_, e);
    if (r == 0)
        r = check_sysctls(&n, spec->linux_, e);
    if (r < 0) {
        namespaces_done(&n);
        return r;
    }
    *ret = n;
    return 0;
}

void namespaces_done(struct namespaces *n)
{
    while (n->join_count > 0)
        fd_close(n->joins[--n->join_count].fd);
}

int namespaces_join_fd(const struct namespaces *n, int type)
{
    for (size_t i = 0; i < n->join_count; i++) {
        if (n->joins[i].type == type)
            return n->joins[i].fd;
    }
    return -1;
}

/* Unprivileged, the kernel takes one line that maps our own id, and no group map before setgroups
 * is denied: a group that a file refuses must not be droppable (CVE-2014-8989). */
static bool maps_own_id(const spec_id_maps *maps, uint32_t own)
{
    return maps->count == 1 && maps->items[0].size == 1 && maps->items[0].host_id == own;
}

bool namespaces_allow_groups(const struct container_spec *spec)
{
    const struct spec_namespace *user = spec_namespace_find(spec, CLONE_NEWUSER);

    return geteuid() == 0 || !user || user->path ||
           !maps_own_id(&spec->linux_->gid_mappings, getegid());
}

static int write_map(pid_t pid, const char *file, const spec_id_maps *maps, struct wharf_error *e)
{
    autobuf struct buf text = BUF(64 * 1024);
    char path[64];
    int r;

    for (size_t i = 0; i < maps->count; i++)
        buf_printf(&text, "%u %u %u\n", maps->items[i].container_id, maps->items[i].host_id,
                   maps->items[i].size);
    if (text.error)
        return err_code(e, text.error, "linux.uidMappings: too many");
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    r = file_write(AT_FDCWD, path, text.data ? text.data : "");
    return r < 0 ? err_code(e, r, "cannot write the container's %s", file) : 0;
}

/* newuidmap(1) and newgidmap(1) are set-uid: they get numbers that we formatted, nothing else. */
static int run_map_helper(const char *helper, pid_t pid, const spec_id_maps *maps,
                          struct wharf_error *e)
{
    char *environment[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    autostrv char **argv = NULL;
    autofree char *number = str_format("%d", (int)pid);
    int status = 0, r = number ? strv_add(&argv, helper) : -ENOMEM;
    pid_t child;

    if (r == 0)
        r = strv_add(&argv, number);
    for (size_t i = 0; r == 0 && i < maps->count; i++) {
        const struct spec_id_map *m = &maps->items[i];
        const uint32_t values[3] = { m->container_id, m->host_id, m->size };

        for (int v = 0; r == 0 && v < 3; v++) {
            autofree char *value = str_format("%u", values[v]);

            r = value ? strv_add(&argv, value) : -ENOMEM;
        }
    }
    if (r < 0)
        return err_nomem(e);
    r = posix_spawnp(&child, helper, NULL, NULL, argv, environment);
    if (r != 0)
        return err_code(e, -r, "cannot run '%s' (install the package uidmap)", helper);
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return err_sys(e, "cannot wait for '%s'", helper);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, -EPERM, WHARF_ERROR_FORBIDDEN,
                       "'%s' refused the id mappings: look at /etc/subuid and /etc/subgid", helper);
    return 0;
}

int namespaces_write_maps(pid_t pid, const struct spec_linux *linux_, struct wharf_error *e)
{
    bool privileged = geteuid() == 0;
    bool own_gid = maps_own_id(&linux_->gid_mappings, getegid());
    int r;

    if (privileged || maps_own_id(&linux_->uid_mappings, geteuid()))
        r = write_map(pid, "uid_map", &linux_->uid_mappings, e);
    else
        r = run_map_helper("newuidmap", pid, &linux_->uid_mappings, e);
    if (r == 0 && !privileged && own_gid) {
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
        r = file_write(AT_FDCWD, path, "deny");
        if (r < 0)
            err_code(e, r, "cannot deny setgroups to the container");
    }
    if (r < 0)
        return r;
    if (privileged || own_gid)
        return write_map(pid, "gid_map", &linux_->gid_mappings, e);
    return run_map_helper("newgidmap", pid, &linux_->gid_mappings, e);
}

/* ---- CHILD SIDE: system calls only ---- */

int namespaces_join(const struct namespaces *n, struct wharf_error *e)
{
    for (size_t i = 0; i < n->join_count; i++) {
        const struct namespace_join *j = &n->joins[i];

        if (j->type == CLONE_NEWPID || j->type == CLONE_NEWUSER)
            continue; /* we were born into these */
        if (setns(j->fd, j->type) < 0)
            return err_sys(e, "cannot join the %s namespace", name_of(j->type));
    }
    return 0;
}

/* Raw calls: glibc's wrappers would want the other threads, which this clone has not. EINVAL: the
 * namespace maps no 0; we then have its capabilities all the same. */
int namespaces_become_root(struct wharf_error *e)
{
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 && errno != EINVAL)
        return err_sys(e, "cannot become group 0 of the user namespace");
    if (syscall(SYS_setresuid, 0, 0, 0) < 0 && errno != EINVAL)
        return err_sys(e, "cannot become user 0 of the user namespace");
    return 0;
}

int namespaces_make_cgroup(const struct namespaces *n, struct wharf_error *e)
{
    if (n->cgroup && unshare(CLONE_NEWCGROUP) < 0)
        return err_sys(e, "cannot make a cgroup namespace");
    return 0;
}

static int open_self(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    struct statfs fs;

    if (fd >= 0 && (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)) {
        fd = fd_close(fd);
        errno = EXDEV;
    }
    return fd;
}

/* Still in the runtime's mount namespace or a copy of it, so /proc is the host's. */
int namespaces_make_time(const struct namespaces *n, struct wharf_error *e)
{
    autoclose int offsets = -1, mine = -1;

    if (!n->time)
        return 0;
    if (unshare(CLONE_NEWTIME) < 0)
        return err_sys(e, "cannot make a time namespace");
    /* root of a user namespace does not own this file while we are not dumpable; nothing of a
     * container that holds as many capabilities as we do is there yet to make use of it */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    offsets = open_self("/proc/self/timens_offsets", O_WRONLY);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (offsets < 0 || write(offsets, n->offsets, strlen(n->offsets)) < 0)
        return err_sys(e, "linux.timeOffsets: cannot set the offsets");
    mine = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    if (mine < 0 || setns(mine, CLONE_NEWTIME) < 0)
        return err_sys(e, "cannot enter the time namespace");
    return 0;
}

int namespaces_raise_loopback(struct wharf_error *e)
{
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return err_sys(e, "cannot set the loopback interface up");
    return 0;
}
