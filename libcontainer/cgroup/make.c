/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making one group: the directory, its ancestors, and what must stand in it before a process can
 * enter.
 *
 * v1: a new cpuset has no cpu and no memory node, and refuses processes with ENOSPC, until both are
 * written; they are copied from the parent, from the top down.
 * v2: a controller works in a group only if every ancestor passes it on in cgroup.subtree_control,
 * which a group that has processes of its own may not do (the no-internal-process rule, EBUSY).
 * The walk goes from the mount point down and touches only what lacks something.
 *
 * A group that exists already is taken over only if it is empty and not frozen: two containers in
 * one group would kill each other, and a process that enters a frozen group hangs.
 */
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

int cgroup_path_clean(const char *path, struct arena *arena, char **ret, struct wharf_error *e)
{
    autofree char *clean = path_clean(path + strspn(path, "/"));
    char *whole;

    if (!clean)
        return err_nomem(e);
    if (streq(clean, "..") || str_after(clean, "../"))
        return err_invalid(e, "linux.cgroupsPath '%s' leads out of the hierarchy", path);
    if (streq(clean, "."))
        return err_invalid(e, "linux.cgroupsPath '%s' is the hierarchy itself: name a group below",
                           path);
    if (strlen(clean) >= GROUP_PATH_MAX / 2)
        return err_set(e, -ENAMETOOLONG, WHARF_ERROR_LIMIT,
                       "linux.cgroupsPath is longer than %u bytes", GROUP_PATH_MAX / 2);
    whole = arena_format(arena, "/%s", clean);
    if (!whole)
        return err_nomem(e);
    *ret = whole;
    return 0;
}

/* Makes missing ancestors below the mount, counting those that were not there. `path` is a copy
 * that is cut and mended in place. */
static int make_ancestors(char *path, size_t mount_len, unsigned *made)
{
    for (char *slash = strchr(path + mount_len + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) == 0)
            ++*made;
        else if (errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

/* 1: made, 0: it was there, -errno. */
static int make_dir(struct group *g, unsigned *ancestors)
{
    char path[GROUP_PATH_MAX];
    int r;

    if (mkdir(g->path, 0755) == 0)
        return 1;
    if (errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    if ((size_t)snprintf(path, sizeof(path), "%s", g->path) >= sizeof(path))
        return -ENAMETOOLONG;
    r = make_ancestors(path, g->mount_len, ancestors);
    if (r < 0)
        return r;
    return mkdir(g->path, 0755) == 0 ? 1 : errno == EEXIST ? 0 : -errno;
}

void group_unmake(struct group *g, unsigned ancestors)
{
    char path[GROUP_PATH_MAX];

    if (g->made && rmdir(g->path) < 0)
        return;
    snprintf(path, sizeof(path), "%s", g->path);
    while (ancestors-- > 0) {
        *strrchr(path, '/') = 0;
        if (strlen(path) <= g->mount_len || rmdir(path) < 0)
            return;
    }
}

/* May a group that was there before be used? */
static int check_existing(struct group *g, struct wharf_error *e)
{
    autopids struct pid_list pids = { 0 };
    int r = group_pids(g, &pids);

    if (r < 0)
        return group_error(g, r, "read", "cgroup.procs", e);
    if (pids.count > 0)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT,
                       "cgroup '%s' is not empty: it holds process %d and %zu more", g->path,
                       (int)pids.items[0], pids.count - 1);
    if (!(g->controllers & CONTROLLER_BIT(CONTROLLER_FREEZER)) && !g->v2)
        return 0;
    r = group_is_frozen(g);
    if (r > 0)
        return err_set(e, -EBUSY, WHARF_ERROR_CONFLICT, "cgroup '%s' is frozen: thaw it first",
                       g->path);
    return 0;
}

/* Copies one cpuset file from the parent where it is empty. */
static int inherit(int parent, int dir, const char *file)
{
    autofree char *text = NULL;
    ssize_t n = file_read(parent, file, GROUP_FILE_MAX, &text);

    if (n < 0)
        return (int)n;
    return file_write(dir, file, text);
}

static bool cpuset_is_set(int dir, const char *file)
{
    autofree char *text = NULL;
    ssize_t n = file_read(dir, file, GROUP_FILE_MAX, &text);

    return n > 1;
}

/* Fills cpus and mems of the group at `path` and, before, of its ancestors. The recursion ends at
 * the first one that has them: the mount's root always does. */
static int fill_cpuset(struct group *g, const char *path, bool fresh)
{
    static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
    const char *slash = strrchr(path, '/');
    char parent_path[GROUP_PATH_MAX];
    autoclose int dir = -1, parent = -1;
    int r;

    if ((size_t)(slash - path) < g->mount_len)
        return 0;
    dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    if (!fresh && cpuset_is_set(dir, files[0]) && cpuset_is_set(dir, files[1]))
        return 0;
    snprintf(parent_path, sizeof(parent_path), "%.*s", (int)(slash - path), path);
    r = fill_cpuset(g, parent_path, false);
    if (r < 0)
        return r;
    parent = open(parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; parent >= 0 && i < ARRAY_SIZE(files) && r == 0; i++)
        r = inherit(parent, dir, files[i]);
    return parent < 0 ? -errno : r;
}

/* Writes "+a +b" to one ancestor; what the whole line cannot do is tried word by word (cpu is
 * refused while a realtime task runs somewhere, the others are not). */
static void pass_on(int dir, uint32_t wanted)
{
    char line[256];
    size_t len = 0;

    for (unsigned c = 0; c < CONTROLLER_COUNT; c++)
        if (wanted & CONTROLLER_BIT(c))
            len +=
                (size_t)snprintf(line + len, sizeof(line) - len, "+%s ", controller_name(c, true));
    if (len == 0 || file_write(dir, "cgroup.subtree_control", line) == 0)
        return;
    for (char *rest = line, *word; (word = strsep(&rest, " ")) != NULL && *word;)
        file_write(dir, "cgroup.subtree_control", word);
}

static uint32_t controllers_in(int dir, const char *file)
{
    char words[1024];
    autoclose int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, words, sizeof(words) - 1);

    if (n < 0)
        return 0;
    words[n] = 0;
    return controllers_parse(words);
}

uint32_t group_enable(struct group *g, uint32_t wanted)
{
    /* these are no words of subtree_control */
    const uint32_t virtual = CONTROLLERS_V2_CORE | CONTROLLER_BIT(CONTROLLER_CPUACCT);
    char path[GROUP_PATH_MAX];
    int dir = group_dir(g);
    uint32_t missing;

    wanted &= ~(virtual | g->enabled);
    if (wanted == 0 || dir < 0)
        return wanted;
    g->enabled |= controllers_in(dir, "cgroup.controllers");
    missing = wanted & ~g->enabled;
    if (!missing)
        return 0;
    snprintf(path, sizeof(path), "%s", g->path);
    for (char *slash = path + g->mount_len; slash; slash = strchr(slash + 1, '/')) {
        autoclose int ancestor = -1;

        *slash = 0;
        ancestor = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *slash = '/';
        if (ancestor >= 0)
            pass_on(ancestor, missing & ~controllers_in(ancestor, "cgroup.subtree_control"));
    }
    g->enabled |= controllers_in(dir, "cgroup.controllers");
    return wanted & ~g->enabled;
}

int group_make(struct group *g, bool adopt, unsigned *ret_ancestors, struct wharf_error *e)
{
    unsigned ancestors = 0;
    int made = make_dir(g, &ancestors), r = 0;

    *ret_ancestors = ancestors;
    if (made < 0)
        return err_code(e, made, "cannot make cgroup '%s'", g->path);
    g->made = made;
    if (!made && !adopt)
        r = check_existing(g, e);
    if (r < 0)
        return r;
    if (g->v2 && !adopt) {
        group_enable(g, g->controllers);
    } else if (g->controllers & CONTROLLER_BIT(CONTROLLER_CPUSET)) {
        r = fill_cpuset(g, g->path, made);
        if (r < 0)
            return err_code(e, r, "cannot copy cpuset.cpus and cpuset.mems to '%s'", g->path);
    }
    return 0;
}

static int give(int dir, const char *file, uint32_t uid)
{
    if (fchownat(dir, file, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0)
        return 0;
    return errno == ENOENT ? 0 : -errno; /* each kernel has its own set of files */
}

int group_delegate(struct group *g, uint32_t uid, struct wharf_error *e)
{
    /* the kernel's list is longer on newer kernels; these are in every one */
    static const char fallback[] = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";
    autofree char *list = NULL;
    ssize_t n = file_read(AT_FDCWD, "/sys/kernel/cgroup/delegate", 4096, &list);
    int dir = group_dir(g), r;

    if (dir < 0)
        return group_error(g, dir, "open", ".", e);
    if (n < 0 && !(list = strdup(fallback)))
        return err_nomem(e);
    r = give(dir, "", uid);
    for (char *rest = list, *file; r == 0 && (file = strsep(&rest, "\n")) != NULL;)
        if (*file && !strchr(file, '/'))
            r = give(dir, file, uid);
    return r < 0 ? err_code(e, r, "cannot give cgroup '%s' to user %u", g->path, uid) : 0;
}
