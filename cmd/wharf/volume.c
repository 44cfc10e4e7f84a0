/* SPDX-License-Identifier: Apache-2.0 */
/* wharf volume: ls, create, rm, inspect, prune. */
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"

int volume_create_command(struct cli *cli, void *options, int argc, char **argv)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct volume_create_options *o = options;
    autojson json_t *volume = NULL;
    struct volume_spec spec = { .name = argc > 0 ? argv[0] : NULL,
                                .driver = o->driver,
                                .owner = cli->who.uid };

    if (!arena || cli_pairs(o->labels, '=', arena, &spec.labels) < 0 ||
        cli_pairs(o->options, '=', arena, &spec.options) < 0)
        err_nomem(&cli->e);
    else if (engine_volume_create(cli->engine, cli->who, &spec, &volume, &cli->e) == 0)
        return printf("%s\n", json_string_value(json_object_get(volume, "Name"))) < 0;
    return cli_fail(cli);
}

static int print_list(const struct list_options *o, json_t *volumes, struct wharf_error *e)
{
    static const char *const names[] = { "Driver", "Name", "Scope", "Mountpoint", "Labels", NULL };
    static const char *const headings[] = { "DRIVER", "VOLUME NAME", NULL, NULL, NULL };
    struct output out = { .names = names, .headings = headings };
    json_t *v;
    size_t i;

    json_array_foreach (volumes, i, v) {
        autofree char *labels = cli_labels(json_object_get(v, "Labels"));
        const char *cells[] = { json_string_value(json_object_get(v, "Driver")),
                                json_string_value(json_object_get(v, "Name")),
                                json_string_value(json_object_get(v, "Scope")),
                                json_string_value(json_object_get(v, "Mountpoint")),
                                labels ? labels : "" };

        if (o->quiet)
            printf("%s\n", cells[1]);
        else
            output_row(&out, cells);
    }
    int r = o->quiet ? 0 : output_print(&out, o->format, e);
    output_done(&out);
    return r;
}

int volume_ls_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct list_options *o = options;
    autojson json_t *filters = NULL, *all = NULL;
    int r = cli_filters(o->filters, &filters, &cli->e);

    if (r == 0)
        r = engine_volume_list(cli->engine, cli->who, filters, &all, &cli->e);
    if (r == 0)
        r = print_list(o, json_object_get(all, "Volumes"), &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

static int rm_one(struct cli *cli, void *options, const char *name)
{
    struct rm_options *o = options;

    return engine_volume_remove(cli->engine, cli->who, name, o->force, &cli->e);
}

int volume_rm_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, rm_one, options);
}

int volume_inspect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct inspect_options *o = options;
    autojson json_t *list = json_array();
    int result = 0;

    for (int i = 0; i < argc; i++) {
        json_t *volume = NULL;
        int r = engine_volume_inspect(cli->engine, cli->who, argv[i], &volume, &cli->e);

        if (r == 0 && o->format)
            r = template_print(o->format, volume, &cli->e);
        if (r < 0)
            result = cli_fail(cli);
        json_array_append_new(list, volume);
    }
    autofree char *text = o->format ? NULL : json_dumps(list, JSON_INDENT(4));
    if (text)
        printf("%s\n", text);
    return result;
}

int volume_prune_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct prune_options *o = options;
    autojson json_t *filters = NULL, *answer = NULL;
    int r = cli_filters(o->filters, &filters, &cli->e);

    if (r == 0 && !o->force &&
        !cli_confirm(o->all ? "WARNING! This will remove all volumes not used by at least one "
                              "container."
                            : "WARNING! This will remove anonymous local volumes not used by at "
                              "least one container."))
        return 0;
    if (r == 0 && o->all)
        json_object_set_new(filters, "all", json_pack("[s]", "true"));
    if (r == 0)
        r = engine_volume_prune(cli->engine, cli->who, filters, &answer, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    cli_pruned("Volumes", json_object_get(answer, "VolumesDeleted"),
               json_object_get(answer, "SpaceReclaimed"));
    return 0;
}
