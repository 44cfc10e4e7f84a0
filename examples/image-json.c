/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-json STORE list|inspect|history|remove|prune|df [REFERENCE|FILTERS]: what the store answers
 * in the Docker API's forms. Built against image.h and libimage alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "image.h"

static int answer(struct image_store *store, const char *what, const char *arg, char **json,
                  struct wharf_error *e)
{
    struct image_query query = { .size = sizeof(query), .shared_size = 1, .manifests = 1 };

    query.filters = arg;
    if (strcmp(what, "list") == 0)
        return image_list_json(store, &query, json, e);
    if (strcmp(what, "prune") == 0)
        return image_prune_json(store, arg, json, e);
    if (strcmp(what, "df") == 0)
        return image_df_json(store, json, e);
    arg = arg ? arg : "";
    if (strcmp(what, "history") == 0)
        return image_history_json(store, arg, json, e);
    if (strcmp(what, "remove") == 0)
        return image_remove_json(store, arg, 0, json, e);
    return image_inspect_json(store, arg, json, e);
}

int main(int argc, char **argv)
{
    struct wharf_error e = { 0 };
    struct image_store *store = NULL;
    char *json = NULL;
    int r;

    if (argc < 3) {
        fprintf(stderr, "usage: %s STORE list|inspect|history|remove|prune|df [REFERENCE]\n",
                argv[0]);
        return 2;
    }
    r = image_store_open(&store, argv[1], NULL, &e);
    if (r == 0)
        r = answer(store, argv[2], argc > 3 ? argv[3] : NULL, &json, &e);
    if (r < 0)
        fprintf(stderr, "error: %s\n", e.message);
    else
        puts(json);
    free(json);
    image_store_free(store);
    return r < 0 ? wharf_error_exit(&e) : 0;
}
