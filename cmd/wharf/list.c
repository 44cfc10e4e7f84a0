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
    PS_SIZE,
    PS_STATE,
    PS_LABELS,
    PS_MOUNTS,
    PS_CREATED_AT,
    PS_COLUMNS
};

static const char *const ps_names[] = { "ID",     "Image",  "Command", "RunningFor",
                                        "Status", "Ports",  "Names",   "Size",
                                        "State",  "Labels", "Mounts",  "CreatedAt" };
static const char *const ps_headings[] = { "CONTAINER ID", "IMAGE", "COMMAND", "CREATED",
                                           "STATUS",       "PORTS", "NAMES",   NULL,
                                           NULL,           NULL,    NULL,      NULL };
static const char *const ps_headings_size[] = { "CONTAINER ID", "IMAGE", "COMMAND", "CREATED",
                                                "STATUS",       "PORTS", "NAMES",   "SIZE",
                                                NULL,           NULL,    NULL,      NULL };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* "0.0.0.0:8080->80/tcp, 81/udp" */
static char *ports_text(const json_t *ports)
{
    struct buf b = BUF(64u << 10);
    json_t *port;
    size_t i;

    json_array_foreach (ports, i, port) {
        const char *ip = text_of(port, "IP");
        json_int_t public = json_integer_value(json_object_get(port, "PublicPort"));

        buf_str(&b, b.len ? ", " : "");
        if (public)
            buf_printf(&b, strchr(ip, ':') ? "[%s]:%lld->" : "%s:%lld->", ip, (long long)public);
        buf_printf(&b, "%lld/%s",
                   (long long)json_integer_value(json_object_get(port, "PrivatePort")),
                   text_of(port, "Type"));
    }
    return buf_take(&b);
}

static char *mounts_text(const json_t *mounts, bool whole)
{
    struct buf b = BUF(64u << 10);
    json_t *mount;
    size_t i;

    json_array_foreach (mounts, i, mount) {
        const char *name = text_of(mount, "Name");

        name = *name ? name : text_of(mount, "Source");
        buf_printf(&b, whole || strlen(name) <= 15 ? "%s%s" : "%s%.14s\xe2\x80\xa6",
                   b.len ? "," : "", name);
    }
    return buf_take(&b);
}

static char *sizes_text(const json_t *c)
{
    char own[32], all[32];

    size_text(json_integer_value(json_object_get(c, "SizeRw")), own, sizeof(own));
    size_text(json_integer_value(json_object_get(c, "SizeRootFs")), all, sizeof(all));
    return str_format("%s (virtual %s)", own, all);
}

static int ps_row(const struct ps_options *o, const json_t *c, struct output *output)
{
    char id[ID_LENGTH + 1], created[72], stamp[64] = "";
    time_t at = (time_t)json_integer_value(json_object_get(c, "Created"));
    const char *line = text_of(c, "Command");
    bool whole = o->no_trunc || strlen(line) <= 20;
    autofree char *command =
        whole ? str_format("\"%s\"", line) : str_format("\"%.19s\xe2\x80\xa6\"", line);
    autofree char *ports = ports_text(json_object_get(c, "Ports"));
    autofree char *mounts = mounts_text(json_object_get(c, "Mounts"), o->no_trunc);
    autofree char *labels = cli_labels(json_object_get(c, "Labels"));
    autofree char *sizes = o->size ? sizes_text(c) : strdup("");
    struct tm tm;

    snprintf(id, sizeof(id), "%.*s", o->no_trunc ? ID_LENGTH : 12, text_of(c, "Id"));
    duration_text(time(NULL) - at, created, sizeof(created) - 5);
    memcpy(created + strlen(created), " ago", 5);
    if (gmtime_r(&at, &tm))
        strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
    const char *name = json_string_value(json_array_get(json_object_get(c, "Names"), 0));
    const char *cells[PS_COLUMNS] = {
        [PS_ID] = id,
        [PS_IMAGE] = text_of(c, "Image"),
        [PS_COMMAND] = command ? command : "",
        [PS_CREATED] = created,
        [PS_STATUS] = text_of(c, "Status"),
        [PS_PORTS] = ports ? ports : "",
        [PS_NAMES] = name ? name + 1 : "",
        [PS_SIZE] = sizes ? sizes : "",
        [PS_STATE] = text_of(c, "State"),
        [PS_LABELS] = labels ? labels : "",
        [PS_MOUNTS] = mounts ? mounts : "",
        [PS_CREATED_AT] = stamp,
    };
    return output_row(output, cells);
}

static int ps_print(const struct ps_options *o, const json_t *list, struct wharf_error *e)
{
    struct output output = { ps_names, o->size ? ps_headings_size : ps_headings, NULL, 0,
                             PS_COLUMNS };
    json_t *container;
    size_t i;
    int r = 0;

    json_array_foreach (list, i, container)
        r = r < 0 ? r : ps_row(o, container, &output);
    if (r >= 0 && o->quiet) {
        for (i = 0; i < output.count; i++)
            printf("%s\n", output.cells[i * PS_COLUMNS + PS_ID]);
    } else if (r >= 0) {
        r = output_print(&output, o->format, e);
    }
    output_done(&output);
    return r;
}

int ps_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct ps_options *o = options;
    autojson json_t *filters = NULL, *list = NULL;
    autobuf struct buf text = BUF(64u << 20);
    struct engine_list ask = { .all = o->all, .size = o->size, .limit = o->latest ? 1 : o->last };
    int r = cli_filters(o->filters, &filters, &cli->e);

    ask.filters = filters;
    if (r == 0)
        r = engine_container_list_json(cli->engine, cli->who, &ask, &text, &cli->e);
    if (r == 0)
        list = json_loadb(text.data, text.len, 0, NULL);
    if (r == 0)
        r = list ? ps_print(o, list, &cli->e) : err_nomem(&cli->e);
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
        r = engine_container_inspect(cli->engine, cli->who, name, o->size, ret, &cli->e);
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
