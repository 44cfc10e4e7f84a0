/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel parameters of the container's namespaces. The write goes through a procfs of our own, with
 * no link and no mount on the way: a root that brings its own /proc, or a mount over it, could send
 * it to another file (CVE-2019-19921, CVE-2025-52881). That a name belongs to a namespace of the
 * container is spec_check's rule.
 */
#include "libcontainer/sysctl.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/fd.h"
#include "base/str.h"

/* In place: the first separator that occurs parts the components, the other one is a plain
 * character in them, written the other way round. */
static void name_to_path(char *name)
{
    const char *first = strpbrk(name, "./");

    if (!first || *first == '/')
        return;
    for (char *c = name; *c; c++) {
        if (*c == '.')
            *c = '/';
        else if (*c == '/')
            *c = '.';
    }
}

int sysctl_plan(const field_pairs *names, struct arena *arena, field_pairs *ret,
                struct wharf_error *e)
{
    field_pairs paths = { .count = names->count };

    paths.items = arena_array(arena, names->count, sizeof(*paths.items));
    if (names->count > 0 && !paths.items)
        return err_nomem(e);
    for (size_t i = 0; i < names->count; i++) {
        char *path = arena_format(arena, "sys/%s", names->items[i].key);
        autofree char *clean = NULL;

        if (!path)
            return err_nomem(e);
        name_to_path(path + strlen("sys/"));
        clean = path_clean(path);
        if (!clean)
            return err_nomem(e);
        if (!streq(clean, path))
            return err_invalid(e, "sysctl '%s' is no kernel parameter's name", names->items[i].key);
        paths.items[i] = (struct field_pair){ path, names->items[i].value };
    }
    *ret = paths;
    return 0;
}

static int write_one(int proc, const char *path, const char *value)
{
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    autoclose int fd = (int)syscall(SYS_openat2, proc, path, &how, sizeof(how));
    size_t len = strlen(value);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = write(fd, value, len);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

int sysctl_write(int proc, const field_pairs *paths, struct wharf_error *e)
{
    for (size_t i = 0; i < paths->count; i++) {
        const struct field_pair *p = &paths->items[i];
        int r = write_one(proc, p->key, p->value);

        if (r < 0)
            return err_code(e, r, "cannot write '%s' to sysctl '%s'", p->value,
                            p->key + strlen("sys/"));
    }
    return 0;
}
