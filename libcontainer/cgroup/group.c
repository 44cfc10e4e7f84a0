/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the files of a group. See group.h. */
#include "libcontainer/cgroup/group.h"

#include <fcntl.h>
#include <time.h>
#include "base/fd.h"
#include "base/str.h"

struct group *cgroup_owner(struct cgroup *cg, enum controller controller)
{
    for (size_t i = 0; i < cg->count; i++)
        if (cg->groups[i].controllers & CONTROLLER_BIT(controller))
            return &cg->groups[i];
    return NULL;
}

struct group *cgroup_v2(struct cgroup *cg)
{
    for (size_t i = 0; i < cg->count; i++)
        if (cg->groups[i].v2)
            return &cg->groups[i];
    return NULL;
}

struct group *cgroup_census(struct cgroup *cg)
{
    struct group *g = cgroup_v2(cg);

    if (!g)
        g = cgroup_owner(cg, CONTROLLER_FREEZER);
    if (!g && cg->count > 0)
        g = &cg->groups[0];
    return g;
}

int group_dir(struct group *g)
{
    if (g->dir < 0)
        g->dir = open(g->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return g->dir < 0 ? -errno : g->dir;
}

int group_write(struct group *g, const char *file, const char *text)
{
    int dir = group_dir(g);

    return dir < 0 ? dir : file_write(dir, file, text);
}

ssize_t group_read(struct group *g, const char *file, char *text, size_t size)
{
    int dir = group_dir(g);
    autoclose int fd = dir < 0 ? -1 : openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (dir < 0)
        return dir;
    n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n < 0)
        return -errno;
    text[n] = 0;
    return n;
}

ssize_t group_read_all(struct group *g, const char *file, char **ret)
{
    int dir = group_dir(g);

    return dir < 0 ? dir : file_read(dir, file, GROUP_FILE_MAX, ret);
}

int group_read_u64(struct group *g, const char *file, uint64_t *ret)
{
    char text[64];
    ssize_t n = group_read(g, file, text, sizeof(text));

    if (n < 0)
        return (int)n;
    text[strcspn(text, "\n")] = 0;
    if (streq(text, "max")) {
        *ret = UINT64_MAX;
        return 0;
    }
    return parse_u64(text, 0, UINT64_MAX, ret);
}

int keyed_value(const char *text, const char *word, uint64_t *ret)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *rest = str_after(line, word);
        char number[24] = { 0 };
        size_t n;

        if (!rest || *rest != ' ')
            continue;
        n = strcspn(++rest, "\n");
        memcpy(number, rest, MIN(n, sizeof(number) - 1));
        return parse_u64(number, 0, UINT64_MAX, ret);
    }
    return -ENOENT;
}

int group_read_keyed(struct group *g, const char *file, const char *word, uint64_t *ret)
{
    char text[8192];
    ssize_t n = group_read(g, file, text, sizeof(text));

    return n < 0 ? (int)n : keyed_value(text, word, ret);
}

int group_error(struct group *g, int code, const char *verb, const char *file,
                struct wharf_error *e)
{
    if (code == -ENOENT || code == -ENODEV)
        return err_set(e, code, WHARF_ERROR_NOT_FOUND,
                       "cannot %s '%s/%s': the group is gone, or this kernel lacks the file", verb,
                       g->path, file);
    return err_code(e, code, "cannot %s '%s/%s'", verb, g->path, file);
}

int64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
