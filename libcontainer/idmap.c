/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces made only to be named: an id-mapped mount (mount_setattr(2), MOUNT_ATTR_IDMAP)
 * takes its map from one. A child is cloned into a new one and does nothing but wait; its maps are
 * written, the namespace is opened, the child is killed. It shares no descriptor beyond those it is
 * born with, and is reaped by its pidfd, so a host's SIGCHLD handler never sees it.
 */
#include "libcontainer/mount.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "base/fd.h"

enum { IDMAP_ENTRIES_MAX = 340 }; /* user_namespaces(7): lines of a uid_map */

static int write_map(int proc, const char *file, const spec_id_maps *maps, struct wharf_error *e)
{
    struct buf text = BUF(64 * 1024);
    int r;

    if (maps->count == 0 || maps->count > IDMAP_ENTRIES_MAX)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "an id map needs 1 to %d entries, not %zu",
                       IDMAP_ENTRIES_MAX, maps->count);
    for (size_t i = 0; i < maps->count; i++)
        buf_printf(&text, "%u %u %u\n", maps->items[i].container_id, maps->items[i].host_id,
                   maps->items[i].size);
    r = text.error ? text.error : file_write(proc, file, text.data);
    buf_done(&text);
    return r < 0 ? err_code(e, r, "cannot write %s of an id-mapped mount", file) : 0;
}

/* Opens /proc/PID of the waiting child and takes its namespace. */
static int take_namespace(pid_t pid, const spec_id_maps *uids, const spec_id_maps *gids,
                          int *ret_fd, struct wharf_error *e)
{
    char path[32];
    autoclose int proc = -1;
    int r;

    snprintf(path, sizeof(path), "/proc/%d", pid);
    proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return err_sys(e, "cannot open '%s'", path);
    r = write_map(proc, "uid_map", uids, e);
    if (r == 0)
        r = write_map(proc, "gid_map", gids, e);
    if (r < 0)
        return r;
    r = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
    if (r < 0)
        return err_sys(e, "cannot open the user namespace of an id map");
    *ret_fd = r;
    return 0;
}

int idmap_namespace(const spec_id_maps *uids, const spec_id_maps *gids, int *ret_fd,
                    struct wharf_error *e)
{
    autoclose int pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
    };
    siginfo_t info;
    long pid;
    int r;

    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return err_sys(e, "cannot make a user namespace for an id-mapped mount");
    if (pid == 0) {
        for (;;)
            syscall(SYS_pause);
    }
    r = take_namespace((pid_t)pid, uids, gids, ret_fd, e);
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
        ;
    return r;
}
