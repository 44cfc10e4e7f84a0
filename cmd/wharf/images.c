/* SPDX-License-Identifier: Apache-2.0 */
/* images: the list of images, a row a name, from the answer that a client of the API would get. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/images.h"
#include "cmd/wharf/output.h"
#include "image.h"

enum {
    IMAGE_REPOSITORY,
    IMAGE_TAG,
    IMAGE_DIGEST,
    IMAGE_ID,
    IMAGE_CREATED,
    IMAGE_SIZE,
    IMAGE_COLUMNS
};

static const char *const columns[] = {
    "Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"
};

json_t *filters_tree(char **filters)
{
    json_t *all = json_object();

    for (char **f = filters; f && *f; f++) {
        autofree char *name = strndup(*f, strcspn(*f, "="));
        const char *value = strchr(*f, '=');
        json_t *list = json_object_get(all, name);

        if (!list) {
            list = json_array();
            json_object_set_new(all, name, list);
        }
        json_array_append_new(list, json_string(value ? value + 1 : ""));
    }
    return all;
}

static char *list_filters(char **filters, const char *reference)
{
    autojson json_t *all = filters_tree(filters);

    if (reference)
        json_object_set_new(all, "reference", json_pack("[s]", reference));
    return json_write(all, JSON_COMPACT);
}

/* The part behind the `@` of the digest in the same repository; "<none>". */
static const char *digest_of_name(json_t *image, const char *repository)
{
    json_t *list = json_object_get(image, "RepoDigests"), *one;
    size_t i;

    json_array_foreach (list, i, one) {
        const char *rest = str_after(json_string_value(one), repository);

        if (rest && *rest == '@')
            return rest + 1;
    }
    return "<none>";
}

/* `name` NULL: an image without. */
static int add_row(struct output *output, const struct images_options *o, json_t *image,
                   const char *name)
{
    char age[64] = "N/A", size[32], id[IMAGE_DIGEST_MAX], repository[IMAGE_REFERENCE_MAX];
    const char *full = json_string_value(json_object_get(image, "Id")), *tag = "<none>";
    int64_t created = json_integer_value(json_object_get(image, "Created"));
    const char *bare = str_after(full, "sha256:");
    char *colon;

    snprintf(repository, sizeof(repository), "%s", name ? name : "<none>");
    colon = strrchr(repository, ':');
    if (colon && !strchr(colon, '/')) {
        *colon = '\0';
        tag = colon + 1;
    }
    if (created > 0) {
        duration_text(time(NULL) - created, age, sizeof(age) - 4);
        memcpy(age + strlen(age), " ago", 5);
    }
    size_text(json_integer_value(json_object_get(image, "Size")), size, sizeof(size));
    snprintf(id, sizeof(id), "%.*s", o->no_trunc || !bare ? IMAGE_DIGEST_MAX : 12,
             o->no_trunc || !bare ? full : bare);
    const char *cells[IMAGE_COLUMNS] = { repository, tag, digest_of_name(image, repository),
                                         id,         age, size };
    return output_row(output, cells);
}

static int add_rows(struct output *output, const struct images_options *o, json_t *list)
{
    json_t *image, *name;
    size_t i, k;
    int r = 0;

    json_array_foreach (list, i, image) {
        json_t *names = json_object_get(image, "RepoTags");

        if (json_array_size(names) == 0)
            r = add_row(output, o, image, NULL);
        json_array_foreach (names, k, name) {
            if (r == 0)
                r = add_row(output, o, image, json_string_value(name));
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_list(struct cli *cli, const struct images_options *o, const char *reference,
                     json_t **ret)
{
    struct json_limits limits = { .size = 256 << 20, .depth = 64 };
    struct image_query query = { .size = sizeof(query), .all = o->all };
    autofree char *filters = list_filters(o->filters, reference), *text = NULL;
    struct image_store *store;
    int r = filters ? engine_images(cli->engine, cli->who, &store, &cli->e) : err_nomem(&cli->e);

    query.filters = filters;
    if (r == 0)
        r = image_list_json(store, &query, &text, &cli->e);
    return r < 0 ? r : json_read(text, strlen(text), limits, "answer", ret, &cli->e);
}

int images_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct images_options *o = options;
    const char *headings[] = { "REPOSITORY", "TAG",     o->digests ? "DIGEST" : NULL,
                               "IMAGE ID",   "CREATED", "SIZE" };
    struct output output = { columns, headings, NULL, 0, IMAGE_COLUMNS };
    autojson json_t *list = NULL;
    int r;

    if (o->tree)
        return image_tree_command(cli, NULL, 0, NULL);
    r = read_list(cli, o, argc > 0 ? argv[0] : NULL, &list);
    if (r == 0 && add_rows(&output, o, list) < 0)
        r = err_nomem(&cli->e);
    for (size_t i = 0; r == 0 && o->quiet && i < output.count; i++)
        printf("%s\n", output.cells[i * IMAGE_COLUMNS + IMAGE_ID]);
    if (r == 0 && !o->quiet)
        r = output_print(&output, o->format, &cli->e);
    output_done(&output);
    return r < 0 ? cli_fail(cli) : 0;
}
