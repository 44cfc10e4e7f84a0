/* SPDX-License-Identifier: Apache-2.0 */
/* Writes docs/api.md: the reference manual of all operations, from their table and nothing else. */
#include <stdio.h>
#include <string.h>
#include "swarm.h"

static const char *const form_names[] = {
    [FORM_NONE] = "nothing",
    [FORM_JSON] = "JSON",
    [FORM_JSON_LINES] = "JSON lines",
    [FORM_TEXT] = "text",
    [FORM_TAR] = "a byte stream (tar)",
    [FORM_MULTIPLEXED] = "frames of stdout and stderr, or raw with a terminal",
    [FORM_CONNECTION] = "the connection itself",
    [FORM_WEBSOCKET] = "the connection itself, as a websocket",
};

static const char *const route_names[] = {
    [ROUTE_HOME] = "where the object is",
    [ROUTE_ALL] = "to all; the replies are merged",
    [ROUTE_ANY] = "to any one",
    [ROUTE_PLACE] = "where the scheduler says",
};

static const char *const type_names[] = {
    [PARAMETER_BOOL] = "boolean", [PARAMETER_INT] = "integer",     [PARAMETER_STRING] = "text",
    [PARAMETER_LIST] = "list",    [PARAMETER_FILTERS] = "filters",
};

static const char *const place_names[] = {
    [IN_QUERY] = "query", [IN_PATH] = "path", [IN_HEADER] = "header"
};

static void print_parameters(const struct operation *op)
{
    if (!op->parameters[0].name)
        return;
    puts("\n| parameter | in | type | default | since |\n|---|---|---|---|---|");
    for (const struct parameter *p = op->parameters; p->name; p++) {
        printf("| `%s`%s | %s | %s | %s | ", p->name, p->required ? " (required)" : "",
               place_names[p->in], type_names[p->type], p->fallback ? p->fallback : "");
        if (p->since)
            printf("1.%u", p->since);
        puts(" |");
    }
    if (op->filters) {
        printf("\nFilters:");
        for (const char *const *f = op->filters; *f; f++)
            printf("%s `%s`", f == op->filters ? "" : ",", *f);
        puts(".");
    }
}

static void print_operation(const struct operation *op)
{
    printf("\n### %s\n`%s %s`: %s.\n\n", op->name, op->method, op->path, op->help);
    if (op->request != FORM_NONE)
        printf("Takes %s%s%s. ", form_names[op->request], op->document ? ": " : "",
               op->document ? op->document : "");
    printf("Answers %u with %s.", op->status, form_names[op->reply]);
    if (op->since > API_OLDEST)
        printf(" Since API 1.%u.", op->since);
    printf(" In a cluster it goes %s. Authorized as `%s` on `%s`.\n", route_names[op->route],
           op->action, op->resource);
    print_parameters(op);
}

int main(void)
{
    size_t count;
    const struct operation *ops = operations(&count);
    const char *chapter = "";

    printf("# Operations\n\nEverything that a service of wharf can be asked. Written by "
           "`build/libswarm/swarm-manual` from the operation\ntable (`libswarm/ops.c`); change the "
           "table, not this page. The paths are those of the Docker Engine API, 1.%u to\n1.%u, "
           "with or without `/v1.N` in front.\n",
           API_OLDEST, API_NEWEST);
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(ops[i].name, ".");

        if (strncmp(chapter, ops[i].name, len + 1))
            printf("\n## %.*s\n", (int)len, ops[i].name);
        chapter = ops[i].name;
        print_operation(&ops[i]);
    }
    return 0;
}
