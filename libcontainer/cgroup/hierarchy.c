/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding hierarchies: /proc/self/mountinfo (proc_pid_mountinfo(5)) tells the v1 mounts with their
 * controllers in the super block options, and the v2 mount, whose cgroup.controllers tells the
 * rest.
 *
 * The trap: one hierarchy may be mounted several times (bind mounts below a chroot, a container's
 * tree that leaked into this namespace). The first mount that shows it wins; later ones own nothing
 * new and are dropped.
 */
#include "libcontainer/cgroup/hierarchy.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include "base/fd.h"
#include "base/str.h"
#include "libcontainer/cgroup/cgroup.h"

#define DEFAULT_MOUNT "/sys/fs/cgroup"
#define MOUNTINFO_MAX (64u << 20)
#define WORDS_MAX     4096

static const struct {
    const char *v1, *v2;
} names[CONTROLLER_COUNT] = {
    [CONTROLLER_CPU] = { "cpu", "cpu" },
    [CONTROLLER_CPUACCT] = { "cpuacct", "cpu" },
    [CONTROLLER_CPUSET] = { "cpuset", "cpuset" },
    [CONTROLLER_MEMORY] = { "memory", "memory" },
    [CONTROLLER_DEVICES] = { "devices", "devices" },
    [CONTROLLER_FREEZER] = { "freezer", "freezer" },
    [CONTROLLER_IO] = { "blkio", "io" },
    [CONTROLLER_PIDS] = { "pids", "pids" },
    [CONTROLLER_HUGETLB] = { "hugetlb", "hugetlb" },
    [CONTROLLER_NET_CLS] = { "net_cls", "net_cls" },
    [CONTROLLER_NET_PRIO] = { "net_prio", "net_prio" },
    [CONTROLLER_PERF_EVENT] = { "perf_event", "perf_event" },
    [CONTROLLER_RDMA] = { "rdma", "rdma" },
    [CONTROLLER_MISC] = { "misc", "misc" },
    [CONTROLLER_DMEM] = { "dmem", "dmem" },
};

const char *controller_name(enum controller controller, bool v2)
{
    return v2 ? names[controller].v2 : names[controller].v1;
}

static uint32_t controller_bit(const char *word, size_t len)
{
    for (unsigned i = 0; i < CONTROLLER_COUNT; i++) {
        const char *sides[] = { names[i].v1, names[i].v2 };

        for (size_t s = 0; s < 2; s++)
            if (strlen(sides[s]) == len && memcmp(sides[s], word, len) == 0)
                return CONTROLLER_BIT(i);
    }
    return 0;
}

uint32_t controllers_parse(const char *words)
{
    static const char separators[] = " ,\n";
    uint32_t found = 0;

    for (words += strspn(words, separators); *words; words += strspn(words, separators)) {
        size_t n = strcspn(words, separators);

        found |= controller_bit(words, n);
        words += n;
    }
    return found;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++, out++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *out = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *out = *s;
        }
    }
    *out = 0;
}

/* Keeps of the super block options what names the hierarchy: controllers and "name=...". */
static char *naming_options(char *super, struct arena *arena)
{
    char *kept = arena_alloc(arena, strlen(super) + 1), *end = kept;

    if (!kept)
        return NULL;
    for (char *word; (word = strsep(&super, ",")) != NULL;) {
        size_t n = strlen(word);

        if (!controller_bit(word, n) && !str_after(word, "name="))
            continue;
        if (end > kept)
            *end++ = ',';
        memcpy(end, word, n + 1);
        end += n;
    }
    return kept;
}

static bool known(const struct hierarchies *h, const struct hierarchy *item)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].v2 == item->v2 && streq_null(h->items[i].options, item->options))
            return true;
    return false;
}

/* 36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,memory */
static int parse_line(struct hierarchies *h, char *line, struct arena *arena)
{
    struct hierarchy item = { 0 };
    char *tail = strstr(line, " - "), *mount = NULL, *type, *super;

    if (!tail)
        return 0;
    *tail = 0;
    tail += 3;
    type = strsep(&tail, " ");
    item.v2 = streq(type, "cgroup2");
    if (!item.v2 && !streq(type, "cgroup"))
        return 0;
    strsep(&tail, " "); /* the source says nothing */
    super = tail ? tail : (char[]){ "" };
    for (int field = 0; field < 5; field++)
        mount = strsep(&line, " ");
    if (!mount)
        return 0;
    unescape(mount);
    item.mount = arena_str(arena, mount);
    if (!item.v2) {
        item.options = naming_options(super, arena);
        item.controllers = item.options ? controllers_parse(item.options) : 0;
    }
    if (!item.mount || (!item.v2 && !item.options))
        return -ENOMEM;
    if (known(h, &item))
        return 0;
    if (h->count == CGROUP_HIERARCHIES_MAX)
        return -E2BIG;
    h->items[h->count++] = item;
    return 0;
}

/* Callers take the v2 tree as the last one: what it owns is what no v1 hierarchy does. */
static void v2_last(struct hierarchies *h)
{
    for (size_t i = 0; i + 1 < h->count; i++) {
        struct hierarchy item = h->items[i];

        if (!item.v2)
            continue;
        memmove(&h->items[i], &h->items[i + 1], (h->count - i - 1) * sizeof(item));
        h->items[h->count - 1] = item;
        return;
    }
}

int hierarchies_parse(struct hierarchies *ret, char *mountinfo, struct arena *arena,
                      struct wharf_error *e)
{
    struct hierarchies h = { .count = 0 };

    for (char *line; (line = strsep(&mountinfo, "\n")) != NULL;) {
        int r = parse_line(&h, line, arena);

        if (r == -ENOMEM)
            return err_nomem(e);
        if (r < 0)
            return err_set(e, r, WHARF_ERROR_LIMIT, "more than %d cgroup hierarchies are mounted",
                           CGROUP_HIERARCHIES_MAX);
    }
    if (h.count == 0)
        return err_set(e, -ENOENT, WHARF_ERROR_UNSUPPORTED,
                       "no cgroup file system is mounted: mount one at '%s'", DEFAULT_MOUNT);
    v2_last(&h);
    *ret = h;
    return 0;
}

/* Completes the v2 tree's row with what its root announces. */
static int read_controllers(struct hierarchy *h, struct wharf_error *e)
{
    char path[4096], words[WORDS_MAX];
    autoclose int fd = -1;
    ssize_t n;

    if ((size_t)snprintf(path, sizeof(path), "%s/cgroup.controllers", h->mount) >= sizeof(path))
        return err_code(e, -ENAMETOOLONG, "cannot open '%s'", h->mount);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, words, sizeof(words) - 1);
    if (n < 0)
        return err_sys(e, "cannot read '%s'", path);
    words[n] = 0;
    h->controllers = controllers_parse(words) | CONTROLLERS_V2_CORE;
    if (h->controllers & CONTROLLER_BIT(CONTROLLER_CPU))
        h->controllers |= CONTROLLER_BIT(CONTROLLER_CPUACCT);
    return 0;
}

static bool is_v2(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

bool cgroup_host_is_v2(void)
{
    return is_v2(DEFAULT_MOUNT);
}

static int read_mounts(struct hierarchies *h, struct arena *arena, struct wharf_error *e)
{
    autofree char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text);

    if (n < 0)
        return err_code(e, (int)n, "cannot read '/proc/self/mountinfo'");
    return hierarchies_parse(h, text, arena, e);
}

int hierarchies_find(struct hierarchies *ret, struct arena *arena, struct wharf_error *e)
{
    struct hierarchies h = { .count = 1,
                             .items[0] = { .mount = (char *)DEFAULT_MOUNT, .v2 = true } };
    struct hierarchy *last;
    int r = is_v2(DEFAULT_MOUNT) ? 0 : read_mounts(&h, arena, e);

    if (r < 0)
        return r;
    last = &h.items[h.count - 1];
    r = last->v2 ? read_controllers(last, e) : 0;
    if (r < 0)
        return r;
    /* devices and freezer belong to a v1 hierarchy where one is mounted */
    for (size_t i = 0; i + 1 < h.count && last->v2; i++)
        last->controllers &= ~h.items[i].controllers;
    *ret = h;
    return 0;
}

/* Lines are "ID:controllers:/path"; v2 is "0::/path". */
char *hierarchy_own_group(const struct hierarchy *h, const char *proc_cgroup, struct arena *arena)
{
    for (const char *line = proc_cgroup; *line;) {
        size_t len = strcspn(line, "\n");
        const char *name = memchr(line, ':', len);
        const char *path = name ? memchr(name + 1, ':', len - (size_t)(name + 1 - line)) : NULL;

        if (path) {
            size_t n = (size_t)(path - name - 1);
            const char *wanted = h->v2 ? "" : h->options;

            if (n == strlen(wanted) && memcmp(name + 1, wanted, n) == 0)
                return arena_strn(arena, path + 1, len - (size_t)(path + 1 - line));
        }
        line += len;
        line += *line == '\n';
    }
    return NULL;
}
