/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Use of resources, in the form of `runc events --stats`: the "data" object. Single numbers are
 * rows of a table; block devices, huge pages, pressure and CPU lists are read by a function each.
 *
 * v1's units are runc's: nanoseconds, and swap counted together with memory. v2's microseconds and
 * its swap alone are turned into these. What a host does not have is left out or 0, never an error:
 * statistics of half a system are better than none. "max" and numbers past 2^63 become 2^63 - 1,
 * since readers of JSON take no more.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include "base/str.h"
#include "libcontainer/cgroup/group.h"

enum { STAT_TEXT_MAX = 64 * 1024, CPU_LIST_MAX = 8192 };

enum { MAX_IS_ZERO = 1u << 0 }; /* no limit is written as 0 */

static const struct stat_row {
    const char *path; /* in the document */
    enum controller controller;
    const char *v1, *v1_word; /* file, word in it (NULL: the file is one number) */
    const char *v2, *v2_word;
    unsigned v2_scale;
    unsigned flags;
} rows[] = {
    /* clang-format off */
    { "cpu.usage.total", CONTROLLER_CPUACCT, "cpuacct.usage", NULL, "cpu.stat", "usage_usec", 1000, 0 },
    { "cpu.usage.kernel", CONTROLLER_CPUACCT, "cpuacct.usage_sys", NULL, "cpu.stat", "system_usec", 1000, 0 },
    { "cpu.usage.user", CONTROLLER_CPUACCT, "cpuacct.usage_user", NULL, "cpu.stat", "user_usec", 1000, 0 },
    { "cpu.throttling.periods", CONTROLLER_CPU, "cpu.stat", "nr_periods", "cpu.stat", "nr_periods", 1, 0 },
    { "cpu.throttling.throttledPeriods", CONTROLLER_CPU, "cpu.stat", "nr_throttled", "cpu.stat", "nr_throttled", 1, 0 },
    { "cpu.throttling.throttledTime", CONTROLLER_CPU, "cpu.stat", "throttled_time", "cpu.stat", "throttled_usec", 1000, 0 },

    { "memory.cache", CONTROLLER_MEMORY, "memory.stat", "cache", "memory.stat", "file", 1, 0 },
    { "memory.usage.limit", CONTROLLER_MEMORY, "memory.limit_in_bytes", NULL, "memory.max", NULL, 1, 0 },
    { "memory.usage.usage", CONTROLLER_MEMORY, "memory.usage_in_bytes", NULL, "memory.current", NULL, 1, 0 },
    { "memory.usage.max", CONTROLLER_MEMORY, "memory.max_usage_in_bytes", NULL, "memory.peak", NULL, 1, 0 },
    { "memory.usage.failcnt", CONTROLLER_MEMORY, "memory.failcnt", NULL, "memory.events", "max", 1, 0 },
    { "memory.swap.limit", CONTROLLER_MEMORY, "memory.memsw.limit_in_bytes", NULL, "memory.swap.max", NULL, 1, 0 },
    { "memory.swap.usage", CONTROLLER_MEMORY, "memory.memsw.usage_in_bytes", NULL, "memory.swap.current", NULL, 1, 0 },
    { "memory.swap.max", CONTROLLER_MEMORY, "memory.memsw.max_usage_in_bytes", NULL, "memory.swap.peak", NULL, 1, 0 },
    { "memory.swap.failcnt", CONTROLLER_MEMORY, "memory.memsw.failcnt", NULL, "memory.swap.events", "max", 1, 0 },
    { "memory.kernel.limit", CONTROLLER_MEMORY, "memory.kmem.limit_in_bytes", NULL, NULL, NULL, 1, 0 },
    { "memory.kernel.usage", CONTROLLER_MEMORY, "memory.kmem.usage_in_bytes", NULL, "memory.stat", "kernel", 1, 0 },
    { "memory.kernel.max", CONTROLLER_MEMORY, "memory.kmem.max_usage_in_bytes", NULL, NULL, NULL, 1, 0 },
    { "memory.kernel.failcnt", CONTROLLER_MEMORY, "memory.kmem.failcnt", NULL, NULL, NULL, 1, 0 },
    { "memory.kernelTCP.limit", CONTROLLER_MEMORY, "memory.kmem.tcp.limit_in_bytes", NULL, NULL, NULL, 1, 0 },
    { "memory.kernelTCP.usage", CONTROLLER_MEMORY, "memory.kmem.tcp.usage_in_bytes", NULL, "memory.stat", "sock", 1, 0 },
    { "memory.kernelTCP.max", CONTROLLER_MEMORY, "memory.kmem.tcp.max_usage_in_bytes", NULL, NULL, NULL, 1, 0 },
    { "memory.kernelTCP.failcnt", CONTROLLER_MEMORY, "memory.kmem.tcp.failcnt", NULL, NULL, NULL, 1, 0 },

    { "pids.current", CONTROLLER_PIDS, "pids.current", NULL, "pids.current", NULL, 1, 0 },
    { "pids.limit", CONTROLLER_PIDS, "pids.max", NULL, "pids.max", NULL, 1, MAX_IS_ZERO },
    /* clang-format on */
};

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)MIN(value, (uint64_t)INT64_MAX));
}

/* The object at "a.b" below `root`, made where it is missing. */
static json_t *object_at(json_t *root, const char *path, size_t len)
{
    char name[64];

    for (const char *end = path + len; root && path < end;) {
        size_t n = MIN(strcspn(path, "."), (size_t)(end - path));
        json_t *below;

        snprintf(name, sizeof(name), "%.*s", (int)n, path);
        below = json_object_get(root, name);
        if (!below && json_object_set_new(root, name, json_object()) == 0)
            below = json_object_get(root, name);
        root = below;
        path += n + 1;
    }
    return root;
}

/* Takes over `value`. */
static void put(json_t *root, const char *path, json_t *value)
{
    const char *leaf = strrchr(path, '.');
    json_t *object = leaf ? object_at(root, path, (size_t)(leaf - path)) : root;

    if (!object)
        json_decref(value);
    else
        json_object_set_new(object, leaf ? leaf + 1 : path, value);
}

/* Rows of one file stand together, so the text of the last one is kept. */
struct reader {
    const struct group *group;
    const char *file;
    ssize_t len;
    char text[STAT_TEXT_MAX];
};

static const char *read_once(struct reader *r, struct group *g, const char *file)
{
    if (r->group != g || !r->file || !streq(r->file, file)) {
        r->len = group_read(g, file, r->text, sizeof(r->text));
        r->group = g;
        r->file = file;
    }
    return r->len < 0 ? NULL : r->text;
}

static int row_value(struct reader *r, struct group *g, const struct stat_row *row, uint64_t *ret)
{
    const char *word = g->v2 ? row->v2_word : row->v1_word;
    const char *file = g->v2 ? row->v2 : row->v1;
    const char *text = file ? read_once(r, g, file) : NULL;
    char one[32];

    if (!text)
        return -ENOENT;
    if (word)
        return keyed_value(text, word, ret);
    snprintf(one, sizeof(one), "%.*s", (int)MIN(strcspn(text, "\n"), sizeof(one) - 1), text);
    if (!streq(one, "max"))
        return parse_u64(one, 0, UINT64_MAX, ret);
    *ret = row->flags & MAX_IS_ZERO ? 0 : UINT64_MAX;
    return 0;
}

static void add_rows(struct cgroup *cg, struct reader *r, json_t *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct group *g = cgroup_owner(cg, rows[i].controller);
        uint64_t value;

        if (!g)
            g = rows[i].controller == CONTROLLER_CPUACCT ? cgroup_v2(cg) : NULL; /* always there */
        if (!g || row_value(r, g, &rows[i], &value) < 0)
            continue;
        if (g->v2 && value <= UINT64_MAX / rows[i].v2_scale)
            value *= rows[i].v2_scale;
        put(out, rows[i].path, number(value));
    }
}

static json_int_t int_at(json_t *out, const char *a, const char *b, const char *c)
{
    return json_integer_value(json_object_get(json_object_get(json_object_get(out, a), b), c));
}

/* runc reports memory and swap together, as v1 counts them. */
static void add_memory_to_swap(json_t *out)
{
    static const char *const fields[] = { "usage", "limit" };
    json_t *swap = json_object_get(json_object_get(out, "memory"), "swap");

    for (size_t i = 0; swap && i < ARRAY_SIZE(fields); i++) {
        json_int_t both, memory = int_at(out, "memory", "usage", fields[i]);

        if (!__builtin_add_overflow(int_at(out, "memory", "swap", fields[i]), memory, &both))
            json_object_set_new(swap, fields[i], json_integer(both));
    }
}

/* memory.raw: memory.stat as it is. */
static void add_raw(struct group *g, struct reader *r, json_t *out)
{
    const char *line = read_once(r, g, "memory.stat");

    for (; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t n = strcspn(line, " \n");
        char path[80];
        uint64_t value;

        if (n > 60 || line[n] != ' ')
            continue;
        snprintf(path, sizeof(path), "memory.raw.%.*s", (int)n, line);
        if (keyed_value(line, path + strlen("memory.raw."), &value) == 0)
            put(out, path, number(value));
    }
}

/* ---- pressure ---- */

static json_t *parse_pressure_line(const char *line)
{
    double avg10, avg60, avg300;
    unsigned long long total;

    if (sscanf(line, "%*s avg10=%lf avg60=%lf avg300=%lf total=%llu", &avg10, &avg60, &avg300,
               &total) != 4)
        return NULL;
    return json_pack("{s:f, s:f, s:f, s:I}", "avg10", avg10, "avg60", avg60, "avg300", avg300,
                     "total", (json_int_t)total);
}

static void add_pressure(struct group *g, json_t *out)
{
    static const struct {
        const char *file, *path;
    } files[] = {
        { "cpu.pressure", "cpu.psi" },
        { "memory.pressure", "memory.psi" },
        { "io.pressure", "blkio.psi" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char text[512];
        const char *line = text;

        if (group_read(g, files[i].file, text, sizeof(text)) <= 0)
            continue;
        for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
            char path[32];
            json_t *values = parse_pressure_line(line);

            snprintf(path, sizeof(path), "%s.%.4s", files[i].path, line); /* "some", "full" */
            if (values)
                put(out, path, values);
        }
    }
}

/* ---- block devices ---- */

static void add_io(json_t *out, const char *list, unsigned device_major, unsigned device_minor,
                   const char *op, unsigned long long value)
{
    json_t *blkio = object_at(out, "blkio", strlen("blkio"));
    json_t *entries = json_object_get(blkio, list);

    if (!entries && json_object_set_new(blkio, list, json_array()) == 0)
        entries = json_object_get(blkio, list);
    json_array_append_new(entries,
                          json_pack("{s:i, s:i, s:s, s:I}", "major", (int)device_major, "minor",
                                    (int)device_minor, "op", op, "value", (json_int_t)value));
}

/* "8:0 Read 1234", and "Total 1234" at the end */
static void add_io_v1(struct group *g, const char *file, const char *list, json_t *out)
{
    autofree char *text = NULL;
    const char *line;

    if (group_read_all(g, file, &text) < 0)
        return;
    for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        unsigned device_major, device_minor;
        unsigned long long value;
        char op[16];

        if (sscanf(line, "%u:%u %15s %llu", &device_major, &device_minor, op, &value) == 4)
            add_io(out, list, device_major, device_minor, op, value);
    }
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void add_io_v2(struct group *g, json_t *out)
{
    static const char bytes[] = "ioServiceBytesRecursive", ops[] = "ioServicedRecursive";
    static const struct {
        const char *word, *list, *op;
    } words[] = {
        { " rbytes=", bytes, "Read" },    { " wbytes=", bytes, "Write" },
        { " dbytes=", bytes, "Discard" }, { " rios=", ops, "Read" },
        { " wios=", ops, "Write" },       { " dios=", ops, "Discard" },
    };
    autofree char *text = NULL;
    char *rest;

    if (group_read_all(g, "io.stat", &text) < 0)
        return;
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        unsigned device_major, device_minor;
        unsigned long long value;

        if (sscanf(line, "%u:%u ", &device_major, &device_minor) != 2)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
            const char *at = strstr(line, words[i].word);

            if (at && sscanf(at + strlen(words[i].word), "%llu", &value) == 1)
                add_io(out, words[i].list, device_major, device_minor, words[i].op, value);
        }
    }
}

/* ---- huge pages: one set of files for each size, found by their names ---- */

static void add_hugetlb(struct group *g, json_t *out)
{
    static const struct {
        const char *field, *v1, *v2;
    } fields[] = {
        { "usage", "usage_in_bytes", "current" },
        { "max", "max_usage_in_bytes", NULL },
        { "failcnt", "failcnt", NULL },
    };
    const char *ending = g->v2 ? ".current" : ".usage_in_bytes";
    int dir = group_dir(g),
        fd = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (d && (entry = readdir(d)) != NULL) {
        const char *size = str_after(entry->d_name, "hugetlb.");
        size_t n = size ? strcspn(size, ".") : 0;

        if (!size || n > 16 || !streq(size + n, ending))
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
            const char *last = g->v2 ? fields[i].v2 : fields[i].v1;
            char file[80], path[64];
            uint64_t value = 0;

            snprintf(file, sizeof(file), "hugetlb.%.*s.%s", (int)n, size, last ? last : "");
            snprintf(path, sizeof(path), "hugetlb.%.*s.%s", (int)n, size, fields[i].field);
            if (last && group_read_u64(g, file, &value) == 0)
                put(out, path, number(value));
        }
    }
    if (d)
        closedir(d);
    else
        fd_close(fd);
}

/* ---- cpuset: "0-2,7" becomes [0, 1, 2, 7] ---- */

static json_t *parse_list(const char *text)
{
    json_t *out = json_array();
    unsigned first, last;
    int used;

    for (; out && sscanf(text, "%u%n", &first, &used) == 1; text += *text == ',') {
        text += used;
        last = first;
        if (*text == '-' && sscanf(text, "-%u%n", &last, &used) == 1)
            text += used;
        for (; first <= last && json_array_size(out) < CPU_LIST_MAX; first++)
            json_array_append_new(out, json_integer(first));
    }
    return out;
}

static void add_cpuset(struct group *g, json_t *out)
{
    static const struct {
        const char *path, *v1, *v2;
    } lists[] = {
        { "cpuset.cpus", "cpuset.cpus", "cpuset.cpus.effective" },
        { "cpuset.mems", "cpuset.mems", "cpuset.mems.effective" },
    };
    char text[4096];

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        if (group_read(g, g->v2 ? lists[i].v2 : lists[i].v1, text, sizeof(text)) > 0)
            put(out, lists[i].path, parse_list(text));
}

int cgroup_stats(struct cgroup *cg, json_t **ret, struct wharf_error *e)
{
    static const char *const parts[] = { "cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt" };
    autofree struct reader *r = calloc(1, sizeof(*r));
    autojson json_t *out = json_object();
    struct group *g;

    if (!out || !r)
        return err_nomem(e);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (!object_at(out, parts[i], strlen(parts[i])))
            return err_nomem(e);
    add_rows(cg, r, out);
    g = cgroup_owner(cg, CONTROLLER_MEMORY);
    if (g)
        add_raw(g, r, out);
    if (g && g->v2)
        add_memory_to_swap(out);
    g = cgroup_v2(cg);
    if (g)
        add_pressure(g, out);
    g = cgroup_owner(cg, CONTROLLER_IO);
    if (g && g->v2) {
        add_io_v2(g, out);
    } else if (g) {
        add_io_v1(g, "blkio.throttle.io_service_bytes_recursive", "ioServiceBytesRecursive", out);
        add_io_v1(g, "blkio.throttle.io_serviced_recursive", "ioServicedRecursive", out);
    }
    g = cgroup_owner(cg, CONTROLLER_HUGETLB);
    if (g)
        add_hugetlb(g, out);
    g = cgroup_owner(cg, CONTROLLER_CPUSET);
    if (g)
        add_cpuset(g, out);
    *ret = take_ptr(&out);
    return 0;
}
