/* SPDX-License-Identifier: Apache-2.0 */
/* Values of flags that several commands share, and what prune commands say. */
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"

int cli_pairs(char **list, char separator, struct arena *arena, field_pairs *ret)
{
    size_t count = list ? strv_count((const char *const *)list) : 0;

    ret->items = arena_array(arena, count ? count : 1, sizeof(*ret->items));
    for (size_t i = 0; i < count && ret->items; i++) {
        char *copy = arena_str(arena, list[i]), *at = copy ? strchr(copy, separator) : NULL;

        if (at)
            *at++ = '\0';
        ret->items[i].key = copy;
        ret->items[i].value = at ? at : arena_str(arena, "");
    }
    ret->count = count;
    return ret->items ? 0 : -ENOMEM;
}

int cli_filters(char **list, json_t **ret, struct wharf_error *e)
{
    autojson json_t *filters = json_object();

    for (; list && *list; list++) {
        size_t n = strcspn(*list, "=");
        autofree char *key = strndup(*list, n);
        json_t *values;

        if (!(*list)[n])
            return err_invalid(e,
                               "invalid argument \"%s\" for \"-f, --filter\" flag: bad format of "
                               "filter (expected name=value)",
                               *list);
        values = key ? json_object_get(filters, key) : NULL;
        if (key && !values) {
            values = json_array();
            json_object_set_new(filters, key, values);
        }
        if (json_array_append_new(values, json_string(*list + n + 1)) < 0)
            return err_nomem(e);
    }
    *ret = json_incref(filters);
    return 0;
}

char *cli_labels(json_t *labels)
{
    struct buf b = BUF(64u << 10);
    const char *key;
    json_t *value;

    json_object_foreach (labels, key, value)
        buf_printf(&b, "%s%s=%s", b.len ? "," : "", key, json_string_value(value));
    return buf_take(&b);
}

bool cli_confirm(const char *warning)
{
    char line[16];

    printf("%s\nAre you sure you want to continue? [y/N] ", warning);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y') &&
           (line[1] == '\n' || !line[1]);
}

void cli_pruned(const char *what, json_t *deleted, json_t *bytes)
{
    char size[32];
    json_t *name;
    size_t i;

    if (json_array_size(deleted) > 0)
        printf("Deleted %s:\n", what);
    json_array_foreach (deleted, i, name)
        printf("%s\n", json_string_value(name));
    size_text(json_integer_value(bytes), size, sizeof(size));
    printf("%sTotal reclaimed space: %s\n", json_array_size(deleted) > 0 ? "\n" : "", size);
}
