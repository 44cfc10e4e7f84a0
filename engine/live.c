/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in a container, and what that uses: top and stats. */
#include "engine/live.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/fd.h"
#include "base/str.h"

#define PS_TEXT_MAX   (16u << 20)
#define PS_WORDS_MAX  64
#define PROC_TEXT_MAX (1u << 20)
#define SECOND_NS     INT64_C(1000000000)

extern char **environ;

/* ---- libcontainer's view --------------------------------------------------------------------- */

int live_open(struct engine *en, const struct record *r, struct live *ret, struct wharf_error *e)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    autofree char *state = str_format("%s/%s", en->run, STATE_DIR);
    struct live l = { 0 };

    if (!state)
        return err_nomem(e);
    if (!record_is_running(r))
        return err_set(e, -ESRCH, WHARF_ERROR_CONFLICT, "Container %s is not running", r->id);
    options.root = state;
    int code = container_engine_open(&l.engine, &options, e);
    if (code == 0)
        code = container_open(l.engine, r->id, &l.container, e);
    if (code < 0) {
        live_done(&l);
        return code;
    }
    *ret = l;
    return 0;
}

void live_done(struct live *l)
{
    if (l->container)
        container_close(l->container);
    if (l->engine)
        container_engine_close(l->engine);
    *l = (struct live){ 0 };
}

/* ---- top ------------------------------------------------------------------------------------- */

/* The host's ps with these arguments: its output in `ret`. */
static int run_ps(const char *arguments, struct buf *ret, struct wharf_error *e)
{
    autofree char *words = strdup(arguments);
    char *argv[PS_WORDS_MAX + 2] = { (char *)"ps" }, *save = NULL;
    posix_spawn_file_actions_t actions;
    int pipe_fds[2], status, argc = 1;
    pid_t pid;

    if (!words || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_sys(e, "cannot run ps");
    for (char *w = strtok_r(words, " ", &save); w && argc <= PS_WORDS_MAX;
         w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
    int r = -posix_spawnp(&pid, "ps", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    int n = r < 0 ? 0 : fd_read_all(pipe_fds[0], ret);
    close(pipe_fds[0]);
    if (r < 0)
        return err_code(e, r, "cannot run ps");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return err_code(e, n, "cannot read what ps says");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_invalid(e, "Error running ps: %s", ret->data ? ret->data : "");
    return 0;
}

/* The words of a line; the last of `most` takes the rest. */
static json_t *split_line(const char *line, size_t len, size_t most)
{
    json_t *words = json_array();
    const char *end = line + len;

    while (line < end) {
        while (line < end && *line == ' ')
            line++;
        const char *stop = line;
        while (stop < end && *stop != ' ')
            stop++;
        if (json_array_size(words) + 1 == most)
            for (stop = end; stop > line && stop[-1] == ' ';)
                stop--;
        if (stop > line)
            json_array_append_new(words, json_stringn(line, (size_t)(stop - line)));
        line = json_array_size(words) == most ? end : stop;
    }
    return words;
}

static bool has_pid(const char *text, const pid_t *pids, size_t count)
{
    int64_t pid;

    if (!text || parse_i64(text, 1, INT32_MAX, &pid) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (pids[i] == pid)
            return true;
    }
    return false;
}

/* ps's table without the lines of other processes. */
static int top_document(const char *text, const pid_t *pids, size_t count, json_t **ret,
                        struct wharf_error *e)
{
    size_t len = strcspn(text, "\n"), column = 0, i;
    json_t *titles = split_line(text, len, SIZE_MAX), *rows = json_array(), *title;

    json_array_foreach (titles, i, title) {
        if (streq(json_string_value(title), "PID"))
            break;
    }
    column = i;
    if (column == json_array_size(titles)) {
        json_decref(titles);
        json_decref(rows);
        return err_invalid(e, "Couldn't find PID field in ps output");
    }
    for (text += len + (text[len] != 0); *text; text += len + (text[len] != 0)) {
        len = strcspn(text, "\n");
        json_t *row = split_line(text, len, json_array_size(titles));
        if (has_pid(json_string_value(json_array_get(row, column)), pids, count))
            json_array_append(rows, row);
        json_decref(row);
    }
    *ret = json_pack("{s:o s:o}", "Titles", titles, "Processes", rows);
    return *ret ? 0 : err_nomem(e);
}

int engine_container_top(struct engine *en, struct principal who, const char *reference,
                         const char *arguments, json_t **ret, struct wharf_error *e)
{
    autobuf struct buf text = BUF(PS_TEXT_MAX);
    autorecord struct record r = { 0 };
    autolive struct live live = { 0 };
    autofree pid_t *pids = NULL;
    size_t count = 0;
    int code = container_find(en, who, reference, &r, NULL, e);

    if (code == 0)
        code = live_open(en, &r, &live, e);
    if (code == 0)
        code = run_ps(settings_text(arguments) ? arguments : "-ef", &text, e);
    if (code == 0)
        code = container_pids(live.container, &pids, &count, e);
    return code < 0 ? code : top_document(text.data ? text.data : "", pids, count, ret, e);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static json_t *at(json_t *tree, const char *a, const char *b, const char *c)
{
    json_t *found = json_object_get(json_object_get(tree, a), b);

    return c ? json_object_get(found, c) : found;
}

static json_t *copy_or(json_t *value, json_t *other /* taken */)
{
    if (!value)
        return other;
    json_decref(other);
    return json_incref(value);
}

/* CPU time of the whole machine in ns, and its CPUs: the first lines of /proc/stat. */
static void system_cpu(int64_t *ret_ns, int *ret_cpus)
{
    autofree char *text = NULL;
    int64_t sum = 0, hz = sysconf(_SC_CLK_TCK);
    char *p, *save = NULL;

    *ret_ns = 0;
    *ret_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (file_read(AT_FDCWD, "/proc/stat", PROC_TEXT_MAX, &text) <= 0)
        return;
    p = strtok_r(text, " \n", &save);
    for (int i = 0; p && i < 7; i++) {
        uint64_t n = 0;

        p = strtok_r(NULL, " \n", &save);
        if (p && parse_u64(p, 0, INT64_MAX, &n) == 0)
            sum += (int64_t)n;
    }
    *ret_ns = sum * (SECOND_NS / hz);
}

static json_t *cpu_json(json_t *data, bool v1, int64_t *ret_total)
{
    int64_t machine;
    int cpus;

    system_cpu(&machine, &cpus);
    json_t *usage = json_pack(
        "{s:o s:o s:o}", "total_usage", copy_or(at(data, "cpu", "usage", "total"), json_integer(0)),
        "usage_in_kernelmode", copy_or(at(data, "cpu", "usage", "kernel"), json_integer(0)),
        "usage_in_usermode", copy_or(at(data, "cpu", "usage", "user"), json_integer(0)));
    json_t *percpu = at(data, "cpu", "usage", "percpu");
    if (v1 && percpu)
        json_object_set(usage, "percpu_usage", percpu);
    if (ret_total)
        *ret_total = json_integer_value(json_object_get(usage, "total_usage"));
    return json_pack(
        "{s:o s:I s:i s:{s:o s:o s:o}}", "cpu_usage", usage, "system_cpu_usage",
        (json_int_t)machine, "online_cpus", cpus, "throttling_data", "periods",
        copy_or(at(data, "cpu", "throttling", "periods"), json_integer(0)), "throttled_periods",
        copy_or(at(data, "cpu", "throttling", "throttledPeriods"), json_integer(0)),
        "throttled_time", copy_or(at(data, "cpu", "throttling", "throttledTime"), json_integer(0)));
}

static int64_t memory_total(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static json_t *memory_json(json_t *data, bool v1)
{
    json_t *memory = json_object_get(data, "memory");
    json_t *usage = json_object_get(memory, "usage"), *raw = json_object_get(memory, "raw");
    int64_t limit = json_integer_value(json_object_get(usage, "limit"));
    json_t *all = json_pack(
        "{s:o s:o s:I}", "usage", copy_or(json_object_get(usage, "usage"), json_integer(0)),
        "stats", copy_or(raw, json_object()), "limit",
        (json_int_t)(limit <= 0 || limit > memory_total() ? memory_total() : limit));
    if (v1) {
        json_object_set_new(all, "max_usage",
                            copy_or(json_object_get(usage, "max"), json_integer(0)));
        if (json_integer_value(json_object_get(usage, "failcnt")) > 0)
            json_object_set(all, "failcnt", json_object_get(usage, "failcnt"));
    }
    return all;
}

static json_t *blkio_json(json_t *data, bool v1)
{
    static const struct {
        const char *name, *from;
        bool v2;
    } lists[] = {
        { "io_service_bytes_recursive", "ioServiceBytesRecursive", true },
        { "io_serviced_recursive", "ioServicedRecursive", true },
        { "io_queue_recursive", "ioQueueRecursive", false },
        { "io_service_time_recursive", "ioServiceTimeRecursive", false },
        { "io_wait_time_recursive", "ioWaitTimeRecursive", false },
        { "io_merged_recursive", "ioMergedRecursive", false },
        { "io_time_recursive", "ioTimeRecursive", false },
        { "sectors_recursive", "sectorsRecursive", false },
    };
    json_t *all = json_object(), *blkio = json_object_get(data, "blkio");

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        json_t *list = json_object_get(blkio, lists[i].from);

        json_object_set_new(all, lists[i].name,
                            list                       ? json_incref(list)
                            : v1 && json_is_null(list) ? json_array()
                                                       : json_null());
    }
    return all;
}

/* One line of /proc/PID/net/dev behind the name: eight numbers in, eight out. */
static json_t *interface_json(char *numbers)
{
    static const char *const in[] = { "rx_bytes", "rx_packets", "rx_errors", "rx_dropped" };
    static const char *const out[] = { "tx_bytes", "tx_packets", "tx_errors", "tx_dropped" };
    json_t *all = json_object();
    char *save = NULL, *p = strtok_r(numbers, " ", &save);

    for (int i = 0; p && i < 12; i++, p = strtok_r(NULL, " ", &save)) {
        uint64_t n = 0;

        parse_u64(p, 0, INT64_MAX, &n);
        if (i < 4 || i >= 8)
            json_object_set_new(all, i < 4 ? in[i] : out[i - 8], json_integer((json_int_t)n));
    }
    return all;
}

/* NULL: the container has no network of its own. */
static json_t *networks_json(const struct record *r)
{
    autofree char *path = str_format("/proc/%lld/net/dev", (long long)r->pid), *text = NULL;
    json_t *all = json_object();
    char *save = NULL;

    if (!path || file_read(AT_FDCWD, path, PROC_TEXT_MAX, &text) <= 0)
        return all;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strchr(line, ':');
        char *name = line + strspn(line, " ");

        if (!colon)
            continue;
        *colon = '\0';
        if (!streq(name, "lo"))
            json_object_set_new(all, name, interface_json(colon + 1));
    }
    if (json_object_size(all) > 0)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *stamp_json(int64_t ns)
{
    char text[LOG_TIME_MAX] = "0001-01-01T00:00:00Z";

    if (ns > 0)
        log_time(text, ns);
    return json_string(text);
}

static json_t *pids_json(json_t *data)
{
    json_t *current = at(data, "pids", "current", NULL), *limit = at(data, "pids", "limit", NULL);
    json_t *all = json_object();

    if (current)
        json_object_set(all, "current", current);
    /* docker: no limit is the largest number */
    if (json_integer_value(limit) > 0)
        json_object_set(all, "limit", limit);
    return all;
}

struct sample {
    json_t *cpu;
    int64_t ns;
};

/* One document; the CPU's part becomes the next one's "precpu". */
static json_t *sample_json(const struct record *r, json_t *data, struct sample *before)
{
    bool v1 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0;
    int64_t now = time_now_ns();
    json_t *cpu =
        data ? cpu_json(data, v1, NULL)
             : json_pack("{s:{s:i s:i s:i} s:{s:i s:i s:i}}", "cpu_usage", "total_usage", 0,
                         "usage_in_kernelmode", 0, "usage_in_usermode", 0, "throttling_data",
                         "periods", 0, "throttled_periods", 0, "throttled_time", 0);
    json_t *empty = json_pack("{s:{s:i s:i s:i} s:{s:i s:i s:i}}", "cpu_usage", "total_usage", 0,
                              "usage_in_kernelmode", 0, "usage_in_usermode", 0, "throttling_data",
                              "periods", 0, "throttled_periods", 0, "throttled_time", 0);
    json_t *networks = data ? networks_json(r) : NULL;
    json_t *all = json_pack(
        "{s:o s:o s:o s:o s:i s:{} s:O s:o s:o s:s s:s}", "read", stamp_json(data ? now : 0),
        "preread", stamp_json(before->ns), "pids_stats", data ? pids_json(data) : json_object(),
        "blkio_stats", data ? blkio_json(data, v1) : json_object(), "num_procs", 0, "storage_stats",
        "cpu_stats", cpu, "precpu_stats",
        before->cpu ? json_incref(before->cpu) : json_incref(empty), "memory_stats",
        data ? memory_json(data, v1) : json_object(), "name", "", "id", r->id);
    json_object_set_new(all, "name", json_sprintf("/%s", r->name));
    if (networks)
        json_object_set_new(all, "networks", networks);
    json_decref(empty);
    json_decref(before->cpu);
    *before = (struct sample){ cpu, data ? now : 0 };
    return all;
}

/* NULL data: it does not run. */
static int read_data(struct engine *en, const char *id, struct record *r, json_t **ret,
                     struct wharf_error *e)
{
    autolive struct live live = { 0 };
    autofree char *text = NULL;
    int code = container_find(en, (struct principal){ 0 }, id, r, NULL, e);

    *ret = NULL;
    if (code < 0 || !record_is_running(r))
        return code;
    if (live_open(en, r, &live, NULL) < 0 || container_stats_json(live.container, &text, NULL) < 0)
        return 0; /* it is ending */
    *ret = json_loads(text, 0, NULL);
    return *ret ? 0 : err_nomem(e);
}

/* Waits a second, or until the caller is gone: 1 then. */
static int wait_second(int gone_fd)
{
    struct pollfd p = { gone_fd, POLLIN, 0 };

    return poll(&p, 1, 1000) > 0 && p.revents != 0;
}

int engine_container_stats(struct engine *en, struct principal who, const char *reference,
                           const struct engine_stats *ask, struct wharf_error *e)
{
    autorecord struct record first = { 0 };
    struct sample before = { 0 };
    int code = container_find(en, who, reference, &first, NULL, e);

    if (code == 0 && ask->stream && ask->one_shot)
        code = err_invalid(e, "cannot have stream=true and one-shot=true");
    for (int n = 0; code == 0; n++) {
        autorecord struct record r = { 0 };
        autojson json_t *data = NULL, *document = NULL;

        code = read_data(en, first.id, &r, &data, e);
        if (code < 0)
            break;
        document = sample_json(&r, data, &before);
        bool shown = ask->stream || ask->one_shot || n == 1 || !data;
        code = !document ? err_nomem(e) : shown ? ask->each(ask->user, document) : 0;
        if (code != 0 || (!ask->stream && shown) || wait_second(ask->gone_fd))
            break;
    }
    json_decref(before.cpu);
    return code == -ENOENT && first.id[0] ? 0 : code;
}
