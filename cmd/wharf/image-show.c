/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at images: history, image inspect, image prune, image tree. All are made from the answers
 * that a client of the API would get (image.h). */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/images.h"
#include "cmd/wharf/output.h"
#include "image.h"

/* Takes the text of an answer over. */
static int read_answer(char *text, json_t **ret, struct wharf_error *e)
{
    struct json_limits limits = { .size = 256 << 20, .depth = 64 };
    int r = json_read(text, strlen(text), limits, "answer", ret, e);

    free(text);
    return r;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* ---- history --------------------------------------------------------------------------------- */

enum { HISTORY_ID, HISTORY_CREATED, HISTORY_BY, HISTORY_SIZE, HISTORY_COMMENT, HISTORY_COLUMNS };

static const char *const history_columns[] = { "ID", "CreatedSince", "CreatedBy", "Size",
                                               "Comment" };
static const char *const history_headings[] = { "IMAGE", "CREATED", "CREATED BY", "SIZE",
                                                "COMMENT" };

/* 45 characters and an ellipsis, as docker cuts. */
static void cut_text(char *text, bool whole)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\t')
            text[i] = ' ';
    }
    if (whole || len <= 45)
        return;
    memcpy(text + 44, "\xe2\x80\xa6", 4);
}

static int history_row(struct output *output, const struct history_options *o, json_t *step)
{
    autofree char *by = strdup(text_of(step, "CreatedBy"));
    char age[64] = "N/A", size[32], id[IMAGE_DIGEST_MAX];
    const char *full = text_of(step, "Id"), *bare = str_after(full, "sha256:");
    int64_t created = json_integer_value(json_object_get(step, "Created"));
    int64_t bytes = json_integer_value(json_object_get(step, "Size"));

    if (!by)
        return -ENOMEM;
    if (strlen(by) > 45)
        cut_text(by, o->no_trunc);
    if (created > 0) {
        duration_text(time(NULL) - created, age, sizeof(age) - 4);
        memcpy(age + strlen(age), " ago", 5);
    }
    size_text(bytes, size, sizeof(size));
    if (o->no_trunc || !bare)
        snprintf(id, sizeof(id), "%s", full);
    else
        snprintf(id, sizeof(id), "%.12s", bare);
    const char *cells[HISTORY_COLUMNS] = { id, age, by, size, text_of(step, "Comment") };
    return output_row(output, cells);
}

int history_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct history_options *o = options;
    struct output output = { history_columns, history_headings, NULL, 0, HISTORY_COLUMNS };
    autojson json_t *steps = NULL;
    struct image_store *store;
    json_t *step;
    char *text;
    size_t i;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0)
        r = image_history_json(store, argv[0], &text, &cli->e);
    if (r == 0)
        r = read_answer(text, &steps, &cli->e);
    json_array_foreach (steps, i, step) {
        if (r == 0 && history_row(&output, o, step) < 0)
            r = err_nomem(&cli->e);
        if (r == 0 && o->quiet)
            printf("%s\n", output.cells[i * HISTORY_COLUMNS + HISTORY_ID]);
    }
    if (r == 0 && !o->quiet)
        r = output_print(&output, o->format, &cli->e);
    output_done(&output);
    return r < 0 ? cli_fail(cli) : 0;
}

/* ---- inspect --------------------------------------------------------------------------------- */

int image_inspect_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct inspect_options *o = options;
    autojson json_t *all = json_array();
    struct image_store *store;
    int code = engine_images(cli->engine, cli->who, &store, &cli->e) < 0 ? cli_fail(cli) : 0;

    for (int i = 0; i < argc && code == 0; i++) {
        json_t *one = NULL;
        char *text;
        int r = image_inspect_json(store, argv[i], &text, &cli->e);

        if (r == 0)
            r = read_answer(text, &one, &cli->e);
        if (r == 0 && o->format)
            r = template_print(o->format, one, &cli->e);
        else if (r == 0)
            json_array_append(all, one);
        json_decref(one);
        if (r < 0)
            code = cli_fail(cli);
    }
    if (!o->format) {
        json_dumpf(all, stdout, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    return code;
}

/* ---- prune ----------------------------------------------------------------------------------- */

static bool confirm(bool all)
{
    char answer[8] = "";

    printf("WARNING! This will remove all %s.\nAre you sure you want to continue? [y/N] ",
           all ? "images without at least one container associated to them" : "dangling images");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

static char *prune_filters(const struct prune_options *o)
{
    autojson json_t *filters = filters_tree(o->filters);

    json_object_set_new(filters, "dangling", json_pack("[s]", o->all ? "false" : "true"));
    return json_write(filters, JSON_COMPACT);
}

int image_prune_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct prune_options *o = options;
    autofree char *filters = prune_filters(o);
    autojson json_t *answer = NULL;
    json_t *list, *one;
    struct image_store *store;
    char *text, freed[32];
    size_t i;
    int r;

    if (!o->force && !confirm(o->all))
        return 0;
    r = filters ? engine_images(cli->engine, cli->who, &store, &cli->e) : err_nomem(&cli->e);
    if (r == 0)
        r = image_prune_json(store, filters, &text, &cli->e);
    if (r == 0)
        r = read_answer(text, &answer, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    list = json_object_get(answer, "ImagesDeleted");
    if (json_array_size(list))
        printf("Deleted Images:\n");
    json_array_foreach (list, i, one) {
        bool deleted = json_object_get(one, "Deleted");

        printf("%s: %s\n", deleted ? "deleted" : "untagged",
               text_of(one, deleted ? "Deleted" : "Untagged"));
    }
    size_text(json_integer_value(json_object_get(answer, "SpaceReclaimed")), freed, sizeof(freed));
    printf("%sTotal reclaimed space: %s\n", json_array_size(list) ? "\n" : "", freed);
    return 0;
}

/* ---- tree ------------------------------------------------------------------------------------ */

static void print_platforms(json_t *image)
{
    json_t *list = json_object_get(image, "Manifests"), *one;
    size_t i, n = json_array_size(list);

    json_array_foreach (list, i, one) {
        json_t *platform = json_object_get(json_object_get(one, "ImageData"), "Platform");
        const char *variant = text_of(platform, "variant");
        char size[32];

        if (!platform)
            continue; /* an attestation */
        size_text(json_integer_value(json_object_get(json_object_get(one, "Size"), "Content")),
                  size, sizeof(size));
        printf("%s %s/%s%s%s   %.19s   %s\n", i + 1 == n ? "└─" : "├─", text_of(platform, "os"),
               text_of(platform, "architecture"), *variant ? "/" : "", variant, text_of(one, "ID"),
               json_is_true(json_object_get(one, "Available")) ? size : "not here");
    }
}

static void print_image(json_t *image)
{
    json_t *tags = json_object_get(image, "RepoTags"), *tag;
    int64_t containers = json_integer_value(json_object_get(image, "Containers"));
    char size[32], shared[32];
    size_t i;

    size_text(json_integer_value(json_object_get(image, "Size")), size, sizeof(size));
    size_text(json_integer_value(json_object_get(image, "SharedSize")), shared, sizeof(shared));
    json_array_foreach (tags, i, tag)
        printf("%s\n", json_string_value(tag));
    if (json_array_size(tags) == 0)
        printf("<untagged>\n");
    printf("   %.12s   %s (%s shared)%s\n", text_of(image, "Id") + strlen("sha256:"), size, shared,
           containers ? "   in use" : "");
    print_platforms(image);
}

int image_tree_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct image_query query = { .size = sizeof(query), .shared_size = 1, .manifests = 1 };
    autojson json_t *list = NULL;
    struct image_store *store;
    json_t *image;
    char *text;
    size_t i;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0)
        r = image_list_json(store, &query, &text, &cli->e);
    if (r == 0)
        r = read_answer(text, &list, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    json_array_foreach (list, i, image)
        print_image(image);
    return 0;
}
