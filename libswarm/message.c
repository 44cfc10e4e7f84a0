/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: parameters as the operation table types them, and what else a request carries. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/json.h"
#include "base/str.h"
#include "swarm.h"

#define FILTERS_LIMITS ((struct json_limits){ .size = 64u << 10, .depth = 3 })

int message_new(const char *operation, struct principal who, struct message **ret,
                struct wharf_error *e)
{
    const struct operation *op = operation_named(operation);
    struct message *m;

    if (!op)
        return err_not_found(e, "no such operation: '%s'", operation);
    m = calloc(1, sizeof *m);
    if (!m || !(m->args = json_object())) {
        free(m);
        return err_nomem(e);
    }
    m->op = op;
    m->stream = -1;
    m->api = API_NEWEST;
    m->principal = who;
    m->connection = "program";
    *ret = m;
    return 0;
}

void message_free(struct message *m)
{
    if (!m)
        return;
    json_decref(m->args);
    json_decref(m->body);
    fd_close(m->stream);
    free(m);
}

int message_take_stream(struct message *m)
{
    return take_fd(&m->stream);
}

bool message_has(const struct message *m, const char *name)
{
    return json_object_get(m->args, name) != NULL;
}

const char *message_string(const struct message *m, const char *name)
{
    return json_string_value(json_object_get(m->args, name));
}

int64_t message_int(const struct message *m, const char *name)
{
    return json_integer_value(json_object_get(m->args, name));
}

bool message_bool(const struct message *m, const char *name)
{
    return json_is_true(json_object_get(m->args, name));
}

static const struct parameter *parameter_of(const struct message *m, const char *name)
{
    const struct parameter *p = m->op->parameters;

    /* names of headers do not depend on case (RFC 9110 section 5.1), others do */
    while (p->name && (p->in == IN_HEADER ? strcasecmp(p->name, name) : strcmp(p->name, name)))
        p++;
    return p->name && p->since <= m->api ? p : NULL;
}

/* docker: httputils.BoolValue */
static bool text_is_true(const char *text)
{
    static const char *const false_words[] = { "", "0", "no", "false", "none" };

    for (size_t i = 0; i < ARRAY_SIZE(false_words); i++)
        if (!strcasecmp(text, false_words[i]))
            return false;
    return true;
}

static bool filter_is_known(const struct operation *op, const char *name)
{
    const char *const *f = op->filters;

    while (f && *f && strcmp(*f, name))
        f++;
    return f && *f;
}

/* One filter's values as an array of strings, from either of docker's forms; NULL: neither. */
static json_t *filter_values(json_t *value)
{
    json_t *list, *item;
    const char *key;
    size_t i;

    if (json_is_array(value)) {
        json_array_foreach (value, i, item)
            if (!json_is_text(item))
                return NULL;
        return json_incref(value);
    }
    if (!json_is_object(value) || !(list = json_array()))
        return NULL;
    json_object_foreach (value, key, item)
        if (json_is_true(item))
            json_array_append_new(list, json_string(key));
    return list;
}

static int read_filters(const struct message *m, const char *text, json_t **ret,
                        struct wharf_error *e)
{
    autojson json_t *tree = NULL, *filters = json_object();
    json_t *value, *values;
    const char *name;
    int r = *text ? json_read(text, strlen(text), FILTERS_LIMITS, "filters", &tree, e) : 0;

    if (r < 0)
        return err_wrap(e, r, "invalid filter");
    if (tree && !json_is_object(tree))
        return err_invalid(e, "invalid filter: not an object: '%s'", text);
    json_object_foreach (tree, name, value) {
        if (!filter_is_known(m->op, name))
            return err_invalid(e, "invalid filter '%s'", name);
        values = filter_values(value);
        if (!values)
            return err_invalid(e, "invalid filter '%s': not a list of strings", name);
        json_object_set_new(filters, name, values);
    }
    *ret = json_incref(filters);
    return 0;
}

static int read_value(const struct message *m, const struct parameter *p, const char *text,
                      json_t **ret, struct wharf_error *e)
{
    int64_t number;

    switch (p->type) {
    case PARAMETER_BOOL:
        *ret = json_boolean(text_is_true(text));
        return 0;
    case PARAMETER_INT:
        if (parse_i64(text, INT64_MIN, INT64_MAX, &number) < 0)
            return err_invalid(e, "invalid parameter '%s': not a whole number: '%s'", p->name,
                               text);
        *ret = json_integer(number);
        return 0;
    case PARAMETER_FILTERS:
        return read_filters(m, text, ret, e);
    case PARAMETER_STRING:
    case PARAMETER_LIST:
        *ret = json_string(text);
        return *ret ? 0 : err_invalid(e, "invalid parameter '%s': not UTF-8", p->name);
    }
    return -EINVAL;
}

int message_set(struct message *m, const char *name, const char *text, struct wharf_error *e)
{
    const struct parameter *p = parameter_of(m, name);
    json_t *value = NULL, *list;
    int r;

    if (!p)
        return 0;
    /* dockerd takes `limit=` for absent */
    if (p->type == PARAMETER_INT && !*text)
        return 0;
    r = read_value(m, p, text, &value, e);
    if (r < 0)
        return r;
    if (p->type == PARAMETER_LIST) {
        list = json_object_get(m->args, p->name);
        if (list)
            return json_array_append_new(list, value) < 0 ? err_nomem(e) : 0;
        value = json_pack("[o]", value);
    } else if (json_object_get(m->args, p->name)) {
        json_decref(value); /* Go's url.Values.Get: the first one counts */
        return 0;
    }
    return json_object_set_new(m->args, p->name, value) < 0 ? err_nomem(e) : 0;
}

int message_check(struct message *m, struct wharf_error *e)
{
    for (const struct parameter *p = m->op->parameters; p->name; p++) {
        if (message_has(m, p->name) || p->since > m->api)
            continue;
        if (p->required)
            return err_invalid(e, "invalid parameter '%s': it is required", p->name);
        if (p->fallback && message_set(m, p->name, p->fallback, e) < 0)
            return -EINVAL;
    }
    return 0;
}
