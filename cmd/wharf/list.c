/* SPDX-License-Identifier: Apache-2.0 */
/* What there is and what it says: ps, logs, inspect. */
#include <stdio.h>
#include <time.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"
#include "image.h"

enum {
    PS_ID,
    PS_IMAGE,
    PS_COMMAND,
    PS_CREATED,
    PS_STATUS,
    PS_PORTS,
    PS_NAMES,
    PS_STATE,
    PS_COLUMNS
};

static const char *const ps_names[] = { "ID",     "Image", "Command", "RunningFor",
                                        "Status", "Ports", "Names",   "State" };
static const char *const ps_headings[] = { "CONTAINER ID", "IMAGE", "COMMAND", "CREATED",
                                           "STATUS",       "PORTS", "NAMES",   NULL };

#define PORTS_TEXT_MAX (4u << 20)

struct ps {
    struct engine *engine;
    struct ps_options *o;
    struct output output;
    struct wharf_error *e;
    int64_t left;
};

static bool shown_by_filter(const struct record *r, const char *filter, int *ret_error)
{
    const char *value = strchr(filter, '=');
    size_t key = value ? (size_t)(value - filter) : 0;
    char code[24];

    value = value ? value + 1 : "";
    snprintf(code, sizeof(code), "%lld", (long long)r->exit_code);
    if (key == 2 && str_after(filter, "id"))
        return str_after(r->id, value);
    if (key == 4 && str_after(filter, "name"))
        return strstr(r->name, *value == '/' ? value + 1 : value);
    if (key == 6 && str_after(filter, "status"))
        return streq(state_name((enum state)r->state), value);
    if (key == 6 && str_after(filter, "exited"))
        return r->state == STATE_EXITED && streq(code, value);
    if (key == 8 && str_after(filter, "ancestor"))
        return streq(r->image, value) || str_after(r->image_id, value);
    if (key == 5 && str_after(filter, "label")) {
        autojson json_t *tree = json_loads(r->settings, 0, NULL);
        size_t name = strcspn(value, "=");
        autofree char *label = strndup(value, name);
        const char *has =
            json_string_value(json_object_get(json_object_get(tree, "Labels"), label));

        return has && (!value[name] || streq(has, value + name + 1));
    }
    *ret_error = -EINVAL;
    return false;
}

static void status_text(const struct record *r, int64_t now, char *text, size_t size)
{
    char time[64];

    if (r->state == STATE_RUNNING || r->state == STATE_PAUSED) {
        duration_text((now - r->started_ns) / 1000000000, time, sizeof(time));
        snprintf(text, size, "Up %s%s", time, r->state == STATE_PAUSED ? " (Paused)" : "");
    } else if (r->state == STATE_EXITED) {
        duration_text((now - r->finished_ns) / 1000000000, time, sizeof(time));
        snprintf(text, size, "Exited (%lld) %s ago", (long long)r->exit_code, time);
    } else {
        snprintf(text, size, r->state == STATE_REMOVING ? "Removal In Progress" : "Created");
    }
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* "0.0.0.0:8080->80/tcp, 443/tcp" */
static char *ports_text(struct engine *engine, const struct record *r)
{
    autojson json_t *ports = engine_container_ports(engine, r);
    struct buf b = BUF(PORTS_TEXT_MAX);
    json_t *p;
    size_t i;

    json_array_foreach (ports, i, p) {
        const char *ip = json_string_value(json_object_get(p, "IP"));
        bool six = ip && strchr(ip, ':');

        buf_str(&b, i ? ", " : "");
        if (ip)
            buf_printf(&b, "%s%s%s:%d->", six ? "[" : "", ip, six ? "]" : "",
                       (int)json_integer_value(json_object_get(p, "PublicPort")));
        buf_printf(&b, "%d/%s", (int)json_integer_value(json_object_get(p, "PrivatePort")),
                   json_string_value(json_object_get(p, "Type")));
    }
    return buf_take(&b);
}

static int ps_row(struct ps *ps, const struct record *r)
{
    autofree char *ports = ports_text(ps->engine, r);
    char id[ID_LENGTH + 1], created[72], status[128];
    int64_t now = now_ns();
    bool whole = ps->o->no_trunc || strlen(r->command) <= 20;
    autofree char *command =
        whole ? str_format("\"%s\"", r->command) : str_format("\"%.19s\xe2\x80\xa6\"", r->command);

    snprintf(id, sizeof(id), "%.*s", ps->o->no_trunc ? ID_LENGTH : 12, r->id);
    duration_text((now - r->created_ns) / 1000000000, created, sizeof(created) - 5);
    memcpy(created + strlen(created), " ago", 5);
    status_text(r, now, status, sizeof(status));
    const char *cells[PS_COLUMNS] = { id,
                                      r->image,
                                      command ? command : "",
                                      created,
                                      status,
                                      ports ? ports : "",
                                      r->name,
                                      state_name((enum state)r->state) };
    return output_row(&ps->output, cells);
}

static int ps_one(void *user, struct record *r)
{
    struct ps *ps = user;
    bool running = r->state == STATE_RUNNING || r->state == STATE_PAUSED;
    bool by_status = false;
    int error = 0;

    for (char **f = ps->o->filters; f && *f; f++) {
        by_status |= str_after(*f, "status=") || str_after(*f, "exited=");
        if (!shown_by_filter(r, *f, &error))
            return error ? err_invalid(ps->e, "invalid filter '%s'", *f) : 0;
    }
    if (!running && !ps->o->all && !by_status && ps->left < 0)
        return 0;
    if (ps->left == 0)
        return 1;
    if (ps->left > 0)
        ps->left--;
    return ps_row(ps, r);
}

int ps_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct ps_options *o = options;
    struct ps ps = { .o = o,
                     .engine = cli->engine,
                     .e = &cli->e,
                     .left = o->latest     ? 1
                             : o->last > 0 ? o->last
                                           : -1,
                     .output = { ps_names, ps_headings, NULL, 0, PS_COLUMNS } };
    int r = engine_container_list(cli->engine, cli->who, ps_one, &ps, &cli->e);

    if (r >= 0 && o->quiet) {
        for (size_t i = 0; i < ps.output.count; i++)
            printf("%s\n", ps.output.cells[i * PS_COLUMNS + PS_ID]);
    } else if (r >= 0) {
        r = output_print(&ps.output, o->format, &cli->e);
    }
    output_done(&ps.output);
    return r < 0 ? cli_fail(cli) : 0;
}

/* ---- logs ------------------------------------------------------------------------------------ */

static int show_record(void *user, const struct log_record *record)
{
    const struct logs_options *o = user;
    FILE *to = record && record->stream == LOG_STDERR ? stderr : stdout;

    if (!record)
        return fflush(stdout) == 0 ? 0 : -EPIPE;
    if (o->timestamps)
        fprintf(to, "%.*s ", (int)record->time_len, record->time);
    if (to == stderr) /* keeps the order where both go to one place */
        fflush(stdout);
    return fwrite(record->text, 1, record->len, to) == record->len ? 0 : -EPIPE;
}

int logs_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct logs_options *o = options;
    struct engine_logs logs = {
        .follow = o->follow, .tail = LOG_TAIL_ALL, .each = show_record, .user = o
    };
    int r = 0;

    /* junk and negative numbers mean all, as in docker */
    if (o->tail && parse_u64(o->tail, 0, UINT64_MAX - 1, &logs.tail) < 0)
        logs.tail = LOG_TAIL_ALL;
    if (o->since)
        r = when_parse(o->since, &logs.since_ns, &cli->e);
    if (r == 0 && o->until)
        r = when_parse(o->until, &logs.until_ns, &cli->e);
    if (r == 0)
        r = engine_container_logs(cli->engine, cli->who, argv[0], &logs, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

/* ---- inspect --------------------------------------------------------------------------------- */

/* The stored configuration with what the store knows beside it. */
static int inspect_image(struct cli *cli, const char *name, json_t **ret)
{
    struct image_store *store;
    struct image *image;
    size_t len;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0)
        r = image_open(store, name, &image, &cli->e);
    if (r < 0)
        return r;
    const struct image_info *info = image_info(image);
    const char *text = image_config(image, &len);
    json_t *config = json_loadb(text, len, 0, NULL), *tags = json_array();
    for (char **n = info->names; *n; n++) {
        struct image_reference reference;
        char shown[IMAGE_REFERENCE_MAX];

        if (image_reference_parse(&reference, *n, NULL) < 0)
            continue;
        image_reference_format(&reference, 1, shown);
        json_array_append_new(tags, json_string(shown));
    }
    json_t *inner = json_incref(json_object_get(config, "config"));
    *ret = json_pack("{s:s s:o s:[] s:s s:s s:s s:s s:I s:o}", "Id", info->id, "RepoTags", tags,
                     "RepoDigests", "Created", info->created, "Author", info->author,
                     "Architecture", info->architecture, "Os", info->os, "Size",
                     (json_int_t)info->size, "Config", inner ? inner : json_object());
    json_decref(config);
    image_free(image);
    return *ret ? 0 : err_nomem(&cli->e);
}

static int inspect_one(struct cli *cli, const struct inspect_options *o, const char *name,
                       json_t **ret)
{
    int r = -ENOENT;

    if (!o->type || streq(o->type, "container"))
        r = engine_container_inspect(cli->engine, cli->who, name, ret, &cli->e);
    if (r == -ENOENT && (!o->type || streq(o->type, "image")))
        r = inspect_image(cli, name, ret);
    return r == -ENOENT ? err_not_found(&cli->e, "No such object: %s", name) : r;
}

int inspect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct inspect_options *o = options;
    autojson json_t *all = json_array();
    int code = 0;

    for (int i = 0; i < argc; i++) {
        json_t *one = NULL;

        cli->e = (struct wharf_error){ 0 };
        if (inspect_one(cli, o, argv[i], &one) < 0)
            code = cli_fail(cli);
        else if (!o->format)
            json_array_append(all, one);
        else if (template_print(o->format, one, &cli->e) < 0)
            code = cli_fail(cli);
        json_decref(one);
    }
    if (!o->format) {
        json_dumpf(all, stdout, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    return code;
}
