/* SPDX-License-Identifier: Apache-2.0 */
#include "libswarm/adapters/merge.h"

static void merge_objects(json_t *sum, json_t *more)
{
    const char *name;
    json_t *value;

    json_object_foreach (more, name, value) {
        json_t *mine = json_incref(json_object_get(sum, name));

        merge_json(&mine, value);
        json_object_set_new(sum, name, mine);
    }
}

void merge_json(json_t **sum, json_t *more)
{
    if (!*sum || json_is_null(*sum)) {
        json_decref(*sum);
        *sum = json_deep_copy(more);
        return;
    }
    if (json_is_array(*sum) && json_is_array(more)) {
        json_array_extend(*sum, more);
    } else if (json_is_object(*sum) && json_is_object(more)) {
        merge_objects(*sum, more);
    } else if (json_is_integer(*sum) && json_is_integer(more)) {
        json_int_t total = json_integer_value(*sum) + json_integer_value(more);

        json_decref(*sum);
        *sum = json_integer(total);
    } else if (json_is_boolean(*sum) && json_is_true(more)) {
        json_decref(*sum);
        *sum = json_true();
    }
}
