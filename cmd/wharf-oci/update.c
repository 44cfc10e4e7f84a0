/* SPDX-License-Identifier: Apache-2.0 */
/* update: limits from the command line or a file, as a linux.resources object. Only what is given
 * changes. */
#include <fcntl.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "options.h"

enum { RESOURCES_TEXT_MAX = 1 << 20 };

DEFINE_AUTO(struct container, container_close)

enum form { NUMBER, SIZE, WORDS, RDT, OBSOLETE };
enum { L3_CACHE = UPDATE_OPTIONS - 2, MEM_BW }; /* these are no part of linux.resources */

/* Where each number goes; the order is that of the options in options.c. */
static const struct {
    const char *option, *group, *member;
    enum form form;
} table[UPDATE_OPTIONS] = {
    { "blkio-weight", "blockIO", "weight", NUMBER },
    { "cpu-period", "cpu", "period", NUMBER },
    { "cpu-quota", "cpu", "quota", NUMBER },
    { "cpu-burst", "cpu", "burst", NUMBER },
    { "cpu-share", "cpu", "shares", NUMBER },
    { "cpu-rt-period", "cpu", "realtimePeriod", NUMBER },
    { "cpu-rt-runtime", "cpu", "realtimeRuntime", NUMBER },
    { "cpu-idle", "cpu", "idle", NUMBER },
    { "cpuset-cpus", "cpu", "cpus", WORDS },
    { "cpuset-mems", "cpu", "mems", WORDS },
    { "memory", "memory", "limit", SIZE },
    { "memory-reservation", "memory", "reservation", SIZE },
    { "memory-swap", "memory", "swap", SIZE },
    { "kernel-memory", NULL, NULL, OBSOLETE },
    { "kernel-memory-tcp", NULL, NULL, OBSOLETE },
    { "pids-limit", "pids", "limit", NUMBER },
    [L3_CACHE] = { "l3-cache-schema", NULL, NULL, RDT },
    [MEM_BW] = { "mem-bw-schema", NULL, NULL, RDT },
};

static int add(json_t *resources, size_t i, const char *text, struct wharf_error *e)
{
    json_t *group, *value;
    int64_t number;

    if (table[i].form == OBSOLETE || table[i].form == RDT)
        return 0;
    if (table[i].form == WORDS)
        value = json_string(text);
    else if (parse_i64(text, INT64_MIN, INT64_MAX, &number) == 0 ||
             (table[i].form == SIZE && parse_size(text, &number) == 0))
        value = json_integer(number);
    else
        return err_invalid(e, "--%s: '%s' is not a %s", table[i].option, text,
                           table[i].form == SIZE ? "size" : "number");
    group = json_object_get(resources, table[i].group);
    if (!group)
        json_object_set_new(resources, table[i].group, group = json_object());
    return json_object_set_new(group, table[i].member, value) < 0 ? err_nomem(e) : 0;
}

static int from_options(const struct options *o, char **ret, struct wharf_error *e)
{
    autojson json_t *resources = json_object();
    int r = 0;

    for (size_t i = 0; r == 0 && i < UPDATE_OPTIONS; i++) {
        if (o->update[i])
            r = add(resources, i, o->update[i], e);
    }
    if (r == 0 && !(*ret = json_write(resources, JSON_COMPACT)))
        r = err_nomem(e);
    return r;
}

static int from_file(const char *path, char **ret, struct wharf_error *e)
{
    autobuf struct buf text = BUF(RESOURCES_TEXT_MAX);
    autoclose int opened = -1;
    int fd = STDIN_FILENO, r;

    if (!streq(path, "-") && (fd = opened = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return err_sys(e, "cannot open '%s'", path);
    r = fd_read_all(fd, &text);
    if (r < 0)
        return err_code(e, r, "cannot read '%s'", path);
    *ret = buf_take(&text);
    return *ret ? 0 : err_nomem(e);
}

int command_update(struct container_engine *engine, const struct options *o, struct wharf_error *e)
{
    auto_of(container_close) struct container *c = NULL;
    autofree char *resources = NULL;
    int r = container_open(engine, o->args[0], &c, e);

    if (r == 0)
        r = o->resources ? from_file(o->resources, &resources, e) : from_options(o, &resources, e);
    if (r == 0 && (o->update[L3_CACHE] || o->update[MEM_BW]))
        r = container_update_rdt(c, o->update[L3_CACHE], o->update[MEM_BW], e);
    return r < 0 ? r : container_update(c, resources, e);
}
