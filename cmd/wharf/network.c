/* SPDX-License-Identifier: Apache-2.0 */
/* wharf network: ls, create, rm, inspect, connect, disconnect, prune. */
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"

/* ---- create ---------------------------------------------------------------------------------- */

static json_t *pairs_json(char **list, struct arena *arena)
{
    json_t *object = json_object();
    field_pairs pairs = { 0 };

    if (cli_pairs(list, '=', arena, &pairs) < 0) {
        json_decref(object);
        return NULL;
    }
    for (size_t i = 0; i < pairs.count; i++)
        json_object_set_new(object, pairs.items[i].key, json_string(pairs.items[i].value));
    return object;
}

/* --ip-range, --gateway and --aux-address go with the subnet at the same place, as most give one.
 */
static json_t *ipam_json(const struct network_create_options *o, struct arena *arena)
{
    json_t *config = json_array();
    char **range = o->ranges, **gateway = o->gateways;
    bool first = true;

    for (char **subnet = o->subnets; subnet && *subnet; subnet++) {
        json_t *pool = json_pack("{s:s}", "Subnet", *subnet);

        if (range && *range)
            json_object_set_new(pool, "IPRange", json_string(*range++));
        if (gateway && *gateway)
            json_object_set_new(pool, "Gateway", json_string(*gateway++));
        if (first && o->auxiliary)
            json_object_set_new(pool, "AuxiliaryAddresses", pairs_json(o->auxiliary, arena));
        first = false;
        json_array_append_new(config, pool);
    }
    return json_pack("{s:s,s:o}", "Driver", o->ipam_driver ? o->ipam_driver : "default", "Config",
                     config);
}

int network_create_command(struct cli *cli, void *options, int argc, char **argv)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct network_create_options *o = options;
    autojson json_t *body = NULL, *reply = NULL;

    if (arena)
        body =
            json_pack("{s:s,s:s,s:b,s:b,s:b,s:o,s:o,s:o}", "Name", argv[0], "Driver",
                      o->driver ? o->driver : "bridge", "Internal", o->internal, "EnableIPv6",
                      o->ipv6, "Attachable", o->attachable, "IPAM", ipam_json(o, arena), "Options",
                      pairs_json(o->options, arena), "Labels", pairs_json(o->labels, arena));
    if (!body)
        err_nomem(&cli->e);
    else if ((o->ranges || o->gateways || o->auxiliary) && !o->subnets)
        err_invalid(&cli->e, "no matching subnet: --ip-range, --gateway and --aux-address need "
                             "--subnet");
    else if (engine_network_create(cli->engine, cli->who, body, &reply, &cli->e) == 0)
        return printf("%s\n", json_string_value(json_object_get(reply, "Id"))) < 0;
    return cli_fail(cli);
}

/* ---- ls, inspect ----------------------------------------------------------------------------- */

static int print_list(const struct list_options *o, json_t *networks, struct wharf_error *e)
{
    static const char *const names[] = { "ID",   "Name",     "Driver", "Scope",
                                         "IPv6", "Internal", "Labels", NULL };
    static const char *const headings[] = { "NETWORK ID", "NAME", "DRIVER", "SCOPE",
                                            NULL,         NULL,   NULL };
    struct output out = { .names = names, .headings = headings, .columns = ARRAY_SIZE(names) - 1 };
    json_t *n;
    size_t i;

    json_array_foreach (networks, i, n) {
        autofree char *labels = cli_labels(json_object_get(n, "Labels"));
        autofree char *id =
            str_format("%.*s", o->no_trunc ? 64 : 12, json_string_value(json_object_get(n, "Id")));
        const char *cells[] = {
            id ? id : "",
            json_string_value(json_object_get(n, "Name")),
            json_string_value(json_object_get(n, "Driver")),
            json_string_value(json_object_get(n, "Scope")),
            json_is_true(json_object_get(n, "EnableIPv6")) ? "true" : "false",
            json_is_true(json_object_get(n, "Internal")) ? "true" : "false",
            labels ? labels : "",
        };

        if (o->quiet)
            printf("%s\n", cells[0]);
        else
            output_row(&out, cells);
    }
    int r = o->quiet ? 0 : output_print(&out, o->format, e);
    output_done(&out);
    return r;
}

int network_ls_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct list_options *o = options;
    autojson json_t *filters = NULL, *all = NULL;
    int r = cli_filters(o->filters, &filters, &cli->e);

    if (r == 0)
        r = engine_network_list(cli->engine, cli->who, filters, false, &all, &cli->e);
    if (r == 0)
        r = print_list(o, all, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

int network_inspect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct inspect_options *o = options;
    autojson json_t *list = json_array();
    int result = 0;

    for (int i = 0; i < argc; i++) {
        json_t *network = NULL;
        int r = engine_network_inspect(cli->engine, cli->who, argv[i], &network, &cli->e);

        if (r == 0 && o->format)
            r = template_print(o->format, network, &cli->e);
        if (r < 0)
            result = cli_fail(cli);
        json_array_append_new(list, network);
    }
    autofree char *text = o->format ? NULL : json_dumps(list, JSON_INDENT(4));
    if (text)
        printf("%s\n", text);
    return result;
}

/* ---- connect, disconnect --------------------------------------------------------------------- */

static json_t *list_json(char **list)
{
    json_t *array = list ? json_array() : json_null();

    for (; list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

int network_connect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct network_connect_options *o = options;
    autojson json_t *settings =
        json_pack("{s:o,s:o}", "Aliases", list_json(o->aliases), "Links", list_json(o->links));

    if (o->ip || o->ip6)
        json_object_set_new(settings, "IPAMConfig",
                            json_pack("{s:s*,s:s*}", "IPv4Address", o->ip, "IPv6Address", o->ip6));
    int r = engine_network_connect(cli->engine, cli->who, argv[0], argv[1], settings, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

int network_disconnect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct rm_options *o = options;
    int r = engine_network_disconnect(cli->engine, cli->who, argv[0], argv[1], o->force, &cli->e);

    return r < 0 ? cli_fail(cli) : 0;
}

/* ---- rm, prune ------------------------------------------------------------------------------- */

static int rm_one(struct cli *cli, void *options, const char *name)
{
    struct rm_options *o = options;
    int r = engine_network_remove(cli->engine, cli->who, name, &cli->e);

    return r == -ENOENT && o->force ? 0 : r;
}

int network_rm_command(struct cli *cli, void *options, int argc, char **argv)
{
    return cli_each(cli, argc, argv, rm_one, options);
}

int network_prune_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct prune_options *o = options;
    autojson json_t *filters = NULL, *answer = NULL;
    json_t *name;
    size_t i;
    int r = cli_filters(o->filters, &filters, &cli->e);

    if (r == 0 && !o->force &&
        !cli_confirm("WARNING! This will remove all custom networks not used by at least one "
                     "container."))
        return 0;
    if (r == 0)
        r = engine_network_prune(cli->engine, cli->who, filters, &answer, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    json_t *deleted = json_object_get(answer, "NetworksDeleted");
    if (json_array_size(deleted) > 0)
        printf("Deleted Networks:\n");
    json_array_foreach (deleted, i, name)
        printf("%s\n", json_string_value(name));
    return 0;
}
