/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on containers beside their life: top, stats, diff, update, restart, prune, df. */
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"

#define COMMAND_ARENA_MAX (1u << 20)

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* ---- top ------------------------------------------------------------------------------------- */

/* Columns as wide as their widest cell, but the last. */
static void print_columns(json_t *titles, json_t *rows)
{
    size_t columns = json_array_size(titles), width, column, n;
    json_t *row;

    json_array_insert(rows, 0, titles);
    json_array_foreach (rows, n, row) {
        for (column = 0; column < columns; column++) {
            const char *cell = json_string_value(json_array_get(row, column));
            json_t *other;
            size_t i;

            width = 0;
            json_array_foreach (rows, i, other)
                width = MAX(width, json_string_length(json_array_get(other, column)));
            if (column + 1 < columns)
                printf("%-*s   ", (int)width, cell ? cell : "");
            else
                printf("%s\n", cell ? cell : "");
        }
    }
}

int top_command(struct cli *cli, void *options, int argc, char **argv)
{
    autojson json_t *document = NULL;
    autobuf struct buf arguments = BUF(64u << 10);

    for (int i = 1; i < argc; i++)
        buf_printf(&arguments, "%s%s", i > 1 ? " " : "", argv[i]);
    if (engine_container_top(cli->engine, cli->who, argv[0], arguments.data, &document, &cli->e) <
        0)
        return cli_fail(cli);
    print_columns(json_object_get(document, "Titles"), json_object_get(document, "Processes"));
    return 0;
}

/* ---- stats ----------------------------------------------------------------------------------- */

static double number(const json_t *tree, const char *a, const char *b, const char *c)
{
    json_t *found = json_object_get(json_object_get(tree, a), b);

    return (double)json_integer_value(c ? json_object_get(found, c) : found);
}

/* Docker's arithmetic: share of the machine's time, times its CPUs. */
static double cpu_percent(const json_t *s)
{
    double own = number(s, "cpu_stats", "cpu_usage", "total_usage") -
                 number(s, "precpu_stats", "cpu_usage", "total_usage");
    double all = number(s, "cpu_stats", "system_cpu_usage", NULL) -
                 number(s, "precpu_stats", "system_cpu_usage", NULL);

    return own > 0 && all > 0 ? own / all * number(s, "cpu_stats", "online_cpus", NULL) * 100 : 0;
}

/* What the kernel would give back at once does not count. */
static double memory_used(const json_t *s)
{
    json_t *stats = json_object_get(json_object_get(s, "memory_stats"), "stats");
    json_t *idle = json_object_get(stats, "total_inactive_file");
    double used = number(s, "memory_stats", "usage", NULL);
    double inactive =
        (double)json_integer_value(idle ? idle : json_object_get(stats, "inactive_file"));

    return inactive < used ? used - inactive : used;
}

static void network_sums(const json_t *s, double *rx, double *tx)
{
    json_t *networks = json_object_get(s, "networks"), *one;
    const char *name;

    *rx = *tx = 0;
    json_object_foreach (networks, name, one) {
        *rx += (double)json_integer_value(json_object_get(one, "rx_bytes"));
        *tx += (double)json_integer_value(json_object_get(one, "tx_bytes"));
    }
}

static void block_sums(const json_t *s, double *in, double *out)
{
    json_t *list = json_object_get(json_object_get(s, "blkio_stats"), "io_service_bytes_recursive");
    json_t *one;
    size_t i;

    *in = *out = 0;
    json_array_foreach (list, i, one) {
        double value = (double)json_integer_value(json_object_get(one, "value"));

        if (strcasecmp(text_of(one, "op"), "read") == 0)
            *in += value;
        if (strcasecmp(text_of(one, "op"), "write") == 0)
            *out += value;
    }
}

/* In units of 1024, as docker shows memory. */
static void binary_text(double bytes, char *text, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;

    for (; bytes >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        bytes /= 1024;
    snprintf(text, size, "%.4g%s", bytes, units[unit]);
}

static void pair_text(double a, double b, char *text, size_t size)
{
    char first[32], second[32];

    size_text((int64_t)a, first, sizeof(first));
    size_text((int64_t)b, second, sizeof(second));
    snprintf(text, size, "%s / %s", first, second);
}

struct stats_row {
    struct output *out;
    bool whole;
};

static int stats_row(void *user, const json_t *s)
{
    struct stats_row *row = user;
    char id[ID_LENGTH + 1], cpu[32], memory[80], percent[32], net[80], block[80], pids[32];
    char used[32], limit[32];
    double rx, tx, in, out, most = number(s, "memory_stats", "limit", NULL);
    const char *name = text_of(s, "name");

    snprintf(id, sizeof(id), "%.*s", row->whole ? ID_LENGTH : 12, text_of(s, "id"));
    snprintf(cpu, sizeof(cpu), "%.2f%%", cpu_percent(s));
    binary_text(memory_used(s), used, sizeof(used));
    binary_text(most, limit, sizeof(limit));
    snprintf(memory, sizeof(memory), "%s / %s", used, limit);
    snprintf(percent, sizeof(percent), "%.2f%%", most > 0 ? memory_used(s) / most * 100 : 0);
    network_sums(s, &rx, &tx);
    pair_text(rx, tx, net, sizeof(net));
    block_sums(s, &in, &out);
    pair_text(in, out, block, sizeof(block));
    snprintf(pids, sizeof(pids), "%.0f", number(s, "pids_stats", "current", NULL));
    const char *cells[] = {
        id, name[0] == '/' ? name + 1 : name, cpu, memory, percent, net, block, pids, id
    };
    return output_row(row->out, cells) < 0 ? -ENOMEM : 1;
}

/* Of the containers that are named, or all that run: one sample over a second each. */
static int stats_rows(struct cli *cli, const struct stats_options *o, char **names,
                      struct output *out)
{
    struct stats_row row = { out, o->no_trunc };
    struct engine_stats ask = { .gone_fd = -1, .each = stats_row, .user = &row };
    int r = 0;

    for (; r >= 0 && *names; names++)
        r = engine_container_stats(cli->engine, cli->who, *names, &ask, &cli->e);
    return MIN(r, 0);
}

struct ids {
    char **list;
    bool all;
};

static int add_id(void *user, struct record *r)
{
    struct ids *ids = user;
    bool running = r->state == STATE_RUNNING || r->state == STATE_PAUSED;

    return running || ids->all ? strv_add(&ids->list, r->id) : 0;
}

int stats_command(struct cli *cli, void *options, int argc, char **argv)
{
    static const char *const names[] = { "ID",    "Name",    "CPUPerc", "MemUsage", "MemPerc",
                                         "NetIO", "BlockIO", "PIDs",    "Container" };
    static const char *const headings[] = { "CONTAINER ID",      "NAME",  "CPU %",
                                            "MEM USAGE / LIMIT", "MEM %", "NET I/O",
                                            "BLOCK I/O",         "PIDS",  NULL };
    struct stats_options *o = options;
    struct ids ids = { .all = o->all };
    int r = 0;

    do {
        struct output out = { names, headings, NULL, 0, ARRAY_SIZE(names) };

        if (argc == 0)
            r = engine_container_list(cli->engine, cli->who, add_id, &ids, &cli->e);
        char *none[] = { NULL };
        if (r == 0)
            r = stats_rows(cli, o, argc > 0 ? argv : ids.list ? ids.list : none, &out);
        if (r == 0 && !o->no_stream)
            printf("\033[2J\033[H");
        if (r == 0)
            r = output_print(&out, o->format, &cli->e);
        output_done(&out);
        strv_free(ids.list);
        ids.list = NULL;
    } while (r == 0 && !o->no_stream && fflush(stdout) == 0);
    return r < 0 ? cli_fail(cli) : 0;
}

/* ---- diff, update, restart ------------------------------------------------------------------- */

int diff_command(struct cli *cli, void *options, int argc, char **argv)
{
    autojson json_t *list = NULL;
    json_t *change;
    size_t i;

    if (engine_container_changes(cli->engine, cli->who, argv[0], &list, &cli->e) < 0)
        return cli_fail(cli);
    json_array_foreach (list, i, change)
        printf("%c %s\n", "CAD"[json_integer_value(json_object_get(change, "Kind")) % 3],
               text_of(change, "Path"));
    return 0;
}

static void set_number(json_t *body, const char *key, int64_t value)
{
    if (value != 0)
        json_object_set_new(body, key, json_integer(value));
}

static void set_text(json_t *body, const char *key, const char *value)
{
    if (value)
        json_object_set_new(body, key, json_string(value));
}

/* "on-failure:3" */
static int set_restart(json_t *body, const char *policy, struct wharf_error *e)
{
    size_t n = policy ? strcspn(policy, ":") : 0;
    autofree char *name = policy ? strndup(policy, n) : NULL;
    int64_t retries = 0;

    if (!policy)
        return 0;
    if (policy[n] && parse_i64(policy + n + 1, 0, INT32_MAX, &retries) < 0)
        return err_invalid(e, "invalid restart policy format: maximum retry count must be an "
                              "integer");
    json_object_set_new(
        body, "RestartPolicy",
        json_pack("{s:s s:I}", "Name", name, "MaximumRetryCount", (json_int_t)retries));
    return 0;
}

static json_t *update_body(const struct update_options *o, struct wharf_error *e)
{
    json_t *body = json_object();

    set_number(body, "Memory", o->memory);
    set_number(body, "MemorySwap", o->memory_swap);
    set_number(body, "MemoryReservation", o->memory_reservation);
    set_number(body, "NanoCpus", o->cpus);
    set_number(body, "CpuShares", o->cpu_shares);
    set_number(body, "CpuPeriod", o->cpu_period);
    set_number(body, "CpuQuota", o->cpu_quota);
    set_number(body, "BlkioWeight", o->blkio_weight);
    set_number(body, "PidsLimit", o->pids);
    set_text(body, "CpusetCpus", o->cpuset);
    set_text(body, "CpusetMems", o->cpuset_mems);
    if (set_restart(body, o->restart, e) < 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

static int update_one(struct cli *cli, void *options, const char *name)
{
    autojson json_t *body = update_body(options, &cli->e), *answer = NULL;

    if (!body)
        return -EINVAL;
    return engine_container_update(cli->engine, cli->who, name, body, &answer, &cli->e);
}

int update_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, update_one, options);
}

static int restart_one(struct cli *cli, void *options, const char *name)
{
    struct stop_options *o = options;
    int64_t timeout = -2;

    if (o->time && parse_i64(o->time, -1, INT32_MAX, &timeout) < 0)
        return err_invalid(&cli->e, "invalid argument \"%s\" for \"-t, --time\" flag", o->time);
    return engine_container_restart(cli->engine, cli->who, name, timeout, &cli->e);
}

int restart_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, restart_one, options);
}

/* ---- prune, df ------------------------------------------------------------------------------- */

int container_prune_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct prune_options *o = options;
    autojson json_t *filters = NULL, *answer = NULL;
    int r = cli_filters(o->filters, &filters, &cli->e);

    if (r == 0 && !o->force && !cli_confirm("WARNING! This will remove all stopped containers."))
        return 0;
    if (r == 0)
        r = engine_container_prune(cli->engine, cli->who, filters, &answer, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    cli_pruned("Containers", json_object_get(answer, "ContainersDeleted"),
               json_object_get(answer, "SpaceReclaimed"));
    return 0;
}

/* One line of df: how many, how many in use, how large, and how much of that could go. */
struct usage {
    int64_t total, active, size, reclaimable;
};

static struct usage usage_of(json_t *list, const char *size_key, const char *inner,
                             bool (*active)(const json_t *item))
{
    struct usage u = { 0 };
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        json_t *at = inner ? json_object_get(item, inner) : item;
        int64_t size = json_integer_value(json_object_get(at, size_key));

        u.total++;
        u.size += size;
        u.active += active(item);
        u.reclaimable += active(item) ? 0 : size;
    }
    return u;
}

static bool is_used(const json_t *item)
{
    json_t *usage = json_object_get(item, "UsageData");

    return json_integer_value(json_object_get(usage, "RefCount")) > 0;
}

static bool has_containers(const json_t *item)
{
    return json_integer_value(json_object_get(item, "Containers")) > 0;
}

static bool is_running(const json_t *item)
{
    const char *state = text_of(item, "State");

    return streq(state, "running") || streq(state, "paused") || streq(state, "restarting");
}

static int usage_row(struct output *out, const char *type, const struct usage *u)
{
    char total[24], active[24], size[32], less[32], reclaim[64];

    snprintf(total, sizeof(total), "%lld", (long long)u->total);
    snprintf(active, sizeof(active), "%lld", (long long)u->active);
    size_text(u->size, size, sizeof(size));
    size_text(u->reclaimable, less, sizeof(less));
    snprintf(reclaim, sizeof(reclaim), "%s (%lld%%)", less,
             u->size > 0 ? (long long)(u->reclaimable * 100 / u->size) : 0);
    const char *cells[] = { type, total, active, size, u->size > 0 ? reclaim : less };
    return output_row(out, cells);
}

int df_command(struct cli *cli, void *options, int argc, char **argv)
{
    static const char *const names[] = { "Type", "TotalCount", "Active", "Size", "Reclaimable" };
    static const char *const headings[] = { "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE" };
    struct version_options *o = options;
    struct output out = { names, headings, NULL, 0, ARRAY_SIZE(names) };
    autojson json_t *all = NULL;
    int r = engine_df(cli->engine, cli->who, NULL, &all, &cli->e);

    if (r < 0)
        return cli_fail(cli);
    struct usage images = usage_of(json_object_get(all, "Images"), "Size", NULL, has_containers);
    images.size = json_integer_value(json_object_get(all, "LayersSize"));
    images.reclaimable = MIN(images.reclaimable, images.size);
    struct usage containers =
        usage_of(json_object_get(all, "Containers"), "SizeRw", NULL, is_running);
    struct usage volumes = usage_of(json_object_get(all, "Volumes"), "Size", "UsageData", is_used);
    struct usage cache = { 0 };
    usage_row(&out, "Images", &images);
    usage_row(&out, "Containers", &containers);
    usage_row(&out, "Local Volumes", &volumes);
    usage_row(&out, "Build Cache", &cache);
    r = output_print(&out, o->format, &cli->e);
    output_done(&out);
    return r < 0 ? cli_fail(cli) : 0;
}
