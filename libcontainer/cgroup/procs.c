/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a group: listing, signalling, waiting for their end.
 *
 * A container may have made groups of its own below, and may make and remove them while we walk:
 * what vanishes meanwhile is no error. Signalling all is done on a frozen group, so that neither
 * fork nor a reused pid can slip through; every way out thaws what was frozen here.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

static bool vanished(int code)
{
    return code == -ENOENT || code == -ENODEV;
}

static int add_pid(struct pid_list *pids, pid_t pid)
{
    if (pids->count == pids->cap) {
        size_t cap = MAX(pids->cap * 2, (size_t)16);
        pid_t *grown = reallocarray(pids->items, cap, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        pids->items = grown;
        pids->cap = cap;
    }
    pids->items[pids->count++] = pid;
    return 0;
}

/* cgroup.procs of one directory. A threaded v2 group refuses (EOPNOTSUPP); its processes stand in
 * the domain above. Pid 0 is a process of an outer pid namespace: not ours to name. */
static int read_procs(int dir, struct pid_list *pids)
{
    autofree char *text = NULL;
    ssize_t n = file_read(dir, "cgroup.procs", GROUP_FILE_MAX, &text);
    char *rest = text;
    int r = 0;

    if (n < 0)
        return n == -EOPNOTSUPP || vanished((int)n) ? 0 : (int)n;
    for (char *line; r == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        uint64_t pid;

        if (parse_u64(line, 1, INT32_MAX, &pid) == 0)
            r = add_pid(pids, (pid_t)pid);
    }
    return r;
}

static int walk(int dir, unsigned depth, struct pid_list *pids)
{
    autoclose int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_procs(fd, pids);
    struct dirent *entry;
    DIR *d;

    if (r < 0 || depth == GROUP_DEPTH_MAX)
        return vanished(r) ? 0 : r;
    d = fdopendir(fd);
    if (!d)
        return -errno;
    take_fd(&fd);
    while (r == 0 && (entry = readdir(d)) != NULL) {
        autoclose int child = -1;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        child = openat(dirfd(d), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (child >= 0)
            r = walk(child, depth + 1, pids);
    }
    closedir(d);
    return r;
}

/* A group that has no group below it has link count 2: no need to list its files. */
static bool has_children(int dir)
{
    struct stat st;

    return fstat(dir, &st) < 0 || st.st_nlink > 2;
}

int group_pids(struct group *g, struct pid_list *pids)
{
    int dir = group_dir(g);

    if (dir < 0)
        return vanished(dir) ? 0 : dir;
    return has_children(dir) ? walk(dir, 0, pids) : read_procs(dir, pids);
}

int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_count, struct wharf_error *e)
{
    struct group *g = cgroup_census(cg);
    autopids struct pid_list pids = { 0 };
    int r;

    if (!g)
        return err_unsupported(e, "the container has no cgroup, so its processes cannot be listed");
    r = group_pids(g, &pids);
    if (r < 0)
        return group_error(g, r, "read", "cgroup.procs", e);
    *ret_count = pids.count;
    *ret = take_ptr(&pids.items);
    return 0;
}

/* Sends the signal to every process that is there now; how many took it. */
static int signal_all(struct group *g, int signal, size_t *ret_sent)
{
    autopids struct pid_list pids = { 0 };
    int r = group_pids(g, &pids);

    *ret_sent = 0;
    for (size_t i = 0; i < pids.count; i++) {
        if (kill(pids.items[i], signal) == 0)
            ++*ret_sent;
        else if (errno != ESRCH && r == 0)
            r = -errno;
    }
    return r;
}

int cgroup_kill(struct cgroup *cg, int signal, struct wharf_error *e)
{
    struct group *g = cgroup_census(cg);
    bool was_frozen, froze;
    size_t sent;
    int r;

    if (!g)
        return err_unsupported(e, "the container has no cgroup: only its first process can be "
                                  "signalled");
    if (signal == SIGKILL && g->v2) {
        r = group_write(g, "cgroup.kill", "1"); /* Linux 5.14; forks cannot escape it */
        if (r == 0 || (vanished(r) && group_dir(g) < 0))
            return 0;
    }
    was_frozen = cgroup_is_frozen(cg) == 1;
    froze = !was_frozen && cgroup_freeze(cg, true, NULL) == 0;
    r = signal_all(g, signal, &sent);
    /* unfrozen processes may have forked in between: again, until nobody new is found */
    for (int rounds = 0; !froze && !was_frozen && signal == SIGKILL && sent > 0 && rounds < 32;
         rounds++)
        r = signal_all(g, signal, &sent);
    if (froze || (was_frozen && signal == SIGKILL))
        cgroup_freeze(cg, false, NULL);
    return r < 0 ? err_code(e, r, "cannot signal the processes of cgroup '%s'", g->path) : 0;
}

/* cgroup.events wakes a poll when "populated" changes, for the whole tree below. */
static int wait_events(struct group *g, int64_t deadline)
{
    int dir = group_dir(g);
    autoclose int fd = dir < 0 ? -1 : openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    struct pollfd p = { .fd = fd, .events = POLLPRI };

    for (;;) {
        uint64_t populated = 0;
        char text[256];
        ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
        int64_t left = deadline - clock_ms();

        if (n < 0)
            return vanished(-errno) ? 0 : -errno;
        text[n] = 0;
        if (keyed_value(text, "populated", &populated) < 0 || populated == 0)
            return 0;
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            return -errno;
    }
}

/* v1 has no such file: wait on one process after another. */
static int wait_processes(struct group *g, int64_t deadline)
{
    for (;;) {
        autopids struct pid_list pids = { 0 };
        int r = group_pids(g, &pids);

        if (r < 0 || pids.count == 0)
            return r;
        for (size_t i = 0; i < pids.count; i++) {
            autoclose int fd = (int)syscall(SYS_pidfd_open, pids.items[i], 0);
            struct pollfd p = { .fd = fd, .events = POLLIN };
            int64_t left = deadline - clock_ms();

            if (left <= 0 || (fd >= 0 && poll(&p, 1, (int)left) == 0))
                return -ETIMEDOUT;
        }
    }
}

int group_wait_empty(struct group *g, int64_t deadline_ms)
{
    return g->v2 ? wait_events(g, deadline_ms) : wait_processes(g, deadline_ms);
}
