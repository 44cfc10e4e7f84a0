/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of service of Intel RDT. See rdt.h. */
#include "libcontainer/rdt.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#ifndef RDTGROUP_SUPER_MAGIC
#define RDTGROUP_SUPER_MAGIC 0x7655821
#endif

enum { SCHEMATA_MAX = 64 * 1024 };

static const char *field_of(const struct spec_intel_rdt *spec)
{
    return spec->clos_id              ? "closID"
           : spec->schemata.count > 0 ? "schemata"
           : spec->l3_cache_schema    ? "l3CacheSchema"
           : spec->mem_bw_schema      ? "memBwSchema"
                                      : "enableMonitoring";
}

int rdt_open(const struct spec_intel_rdt *spec, struct wharf_error *e)
{
    autoclose int fd = open("/sys/fs/resctrl", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != RDTGROUP_SUPER_MAGIC)
        return err_unsupported(e,
                               "linux.intelRdt.%s: this host has no resctrl file system (mount -t "
                               "resctrl resctrl /sys/fs/resctrl, where the processor has RDT)",
                               field_of(spec));
    return take_fd(&fd);
}

static bool has_schemata(const struct spec_intel_rdt *spec)
{
    return spec->schemata.count > 0 || spec->l3_cache_schema || spec->mem_bw_schema;
}

int rdt_plan(int mount, const char *name, const struct spec_intel_rdt *spec, struct wharf_error *e)
{
    if (spec->enable_monitoring)
        return err_unsupported(e, "linux.intelRdt.enableMonitoring: not supported");
    if (faccessat(mount, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return err_sys(e, "linux.intelRdt.closID: cannot examine '%s'", name);
    if (spec->clos_id && !has_schemata(spec))
        return err_not_found(e,
                             "linux.intelRdt.closID: no class '%s' is there, and no schemata "
                             "say what it shall be",
                             name);
    return 1;
}

/* All lines that the specification gives, each ended by a newline. */
static int wanted_lines(const struct spec_intel_rdt *spec, struct buf *lines, struct wharf_error *e)
{
    const char *const old[] = { spec->l3_cache_schema, spec->mem_bw_schema };

    for (size_t i = 0; i < ARRAY_SIZE(old); i++) {
        if (old[i] && *old[i])
            buf_printf(lines, "%s\n", old[i]);
    }
    for (size_t i = 0; i < spec->schemata.count; i++)
        buf_printf(lines, "%s\n", spec->schemata.items[i]);
    return lines->error ? err_code(e, lines->error, "linux.intelRdt.schemata: too long") : 0;
}

static const char *trimmed(char *line)
{
    size_t n = strlen(line);

    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        line[--n] = 0;
    return line + strspn(line, " \t");
}

static bool has_line(const char *text, const char *line)
{
    autofree char *copy = strdup(text);

    for (char *rest = copy, *one; rest && (one = strsep(&rest, "\n"));) {
        if (streq(trimmed(one), line))
            return true;
    }
    return false;
}

/* A class of somebody else's must be what was asked for: writing would change it for all in it. */
static int compare(int group, const char *name, char *wanted, struct wharf_error *e)
{
    autofree char *have = NULL;
    ssize_t n = file_read(group, "schemata", SCHEMATA_MAX, &have);

    if (n < 0)
        return err_code(e, (int)n, "linux.intelRdt: cannot read the schemata of '%s'", name);
    for (char *rest = wanted, *line; (line = strsep(&rest, "\n"));) {
        const char *text = trimmed(line);

        if (*text && !has_line(have, text))
            return err_set(e, -EEXIST, WHARF_ERROR_CONFLICT,
                           "linux.intelRdt.closID: the class '%s' is there, and not '%s'", name,
                           text);
    }
    return 0;
}

static int fill(int group, const char *name, struct buf *lines, struct wharf_error *e)
{
    int r = lines->len > 0 ? file_write(group, "schemata", lines->data) : 0;

    return r < 0 ? err_code(e, r,
                            "linux.intelRdt: cannot write the schemata of '%s' (see "
                            "info/last_cmd_status of resctrl)",
                            name)
                 : 0;
}

int rdt_make(int mount, const char *name, const struct spec_intel_rdt *spec, struct wharf_error *e)
{
    bool made = mkdirat(mount, name, 0755) == 0;
    autobuf struct buf lines = BUF(SCHEMATA_MAX);
    autoclose int group = -1;
    int r;

    if (!made && errno != EEXIST)
        return err_sys(e,
                       "linux.intelRdt: cannot make the class '%s' (there are as many as "
                       "info/L3/num_closids of resctrl tells)",
                       name);
    group = path_open_plain(mount, name, O_RDONLY | O_DIRECTORY, 0);
    if (group < 0)
        return err_code(e, group, "linux.intelRdt: cannot open the class '%s'", name);
    r = wanted_lines(spec, &lines, e);
    if (r == 0)
        r = made            ? fill(group, name, &lines, e)
            : lines.len > 0 ? compare(group, name, lines.data, e)
                            : 0;
    if (r < 0 && made)
        unlinkat(mount, name, AT_REMOVEDIR);
    return r < 0 ? r : made;
}

int rdt_update(int mount, const char *name, const struct spec_intel_rdt *spec,
               struct wharf_error *e)
{
    autoclose int group = path_open_plain(mount, name, O_RDONLY | O_DIRECTORY, 0);
    autobuf struct buf lines = BUF(SCHEMATA_MAX);
    int r;

    if (group < 0)
        return err_code(e, group, "linux.intelRdt: cannot open the class '%s'", name);
    r = wanted_lines(spec, &lines, e);
    return r < 0 ? r : fill(group, name, &lines, e);
}

int rdt_attach(int mount, const char *name, pid_t pid, struct wharf_error *e)
{
    autoclose int group = path_open_plain(mount, name, O_RDONLY | O_DIRECTORY, 0);
    char text[16];
    int r;

    snprintf(text, sizeof(text), "%d", (int)pid);
    r = group < 0 ? group : file_write(group, "tasks", text);
    return r < 0 ? err_code(e, r, "linux.intelRdt: cannot put process %d into '%s'", (int)pid, name)
                 : 0;
}

int rdt_remove(int mount, const char *name, struct wharf_error *e)
{
    if (unlinkat(mount, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(e, "linux.intelRdt: cannot remove the class '%s'", name);
    return 0;
}
