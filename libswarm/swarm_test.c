/* SPDX-License-Identifier: Apache-2.0 */
/* The table is whole; paths find their rows; parameters are typed; one message has one reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "base/json.h"
#include "base/str.h"
#include "swarm.h"

static const struct principal me = { .uid = 7, .name = "user:7" };

static struct message *message(const char *operation)
{
    struct wharf_error e = { 0 };
    struct message *m;

    assert_int_equal(message_new(operation, me, &m, &e), 0);
    return m;
}

static void every_row_is_whole(void **state)
{
    size_t count;
    const struct operation *ops = operations(&count);

    assert_int_equal(count, 108);
    for (size_t i = 0; i < count; i++) {
        autojson json_t *args = json_object();
        autofree char *path = strdup(ops[i].path);
        char *open = strchr(path, '{');

        assert_ptr_equal(operation_named(ops[i].name), &ops[i]);
        assert_int_equal(operation_index(&ops[i]), i);
        assert_true(ops[i].since >= API_OLDEST && ops[i].status >= 101 && ops[i].status <= 204);
        assert_true(ops[i].help && ops[i].resource && ops[i].action && ops[i].parameters);
        assert_int_equal(ops[i].document != NULL, ops[i].request == FORM_JSON);
        if (open) /* "/a/{id}/b" -> "/a/xid/b" */
            *open = 'x', *strchr(path, '}') = 'z';
        assert_ptr_equal(operation_find(ops[i].method, path, 99, args), &ops[i]);
    }
}

static void paths_find_their_rows(void **state)
{
    static const struct {
        const char *method, *path, *name, *key, *value;
    } cases[] = {
        { "GET", "/containers/json", "container.list", NULL, NULL },
        { "GET", "/containers/web/json", "container.inspect", "id", "web" },
        { "GET", "/containers/a/attach/ws", "container.attach_websocket", "id", "a" },
        { "GET", "/images/json", "image.list", NULL, NULL },
        { "GET", "/images/a/b/c:1/json", "image.inspect", "name", "a/b/c:1" },
        { "GET", "/images/docker.io%2Flibrary%2Fx/json", "image.inspect", "name",
          "docker.io/library/x" },
        { "DELETE", "/images/localhost:5000/x", "image.remove", "name", "localhost:5000/x" },
        { "GET", "/images/get", "image.save_all", NULL, NULL },
        { "GET", "/containers//json", NULL, NULL, NULL },
        { "GET", "/containers/a/b/json", NULL, NULL, NULL },
        { "GET", "/containers/a%00b/json", NULL, NULL, NULL },
        { "GET", "/containers/a%zz/json", NULL, NULL, NULL },
        { "PUT", "/containers/json", NULL, NULL, NULL },
        { "GET", "/nowhere", NULL, NULL, NULL },
        { "GET", "", NULL, NULL, NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autojson json_t *args = json_object();
        const struct operation *op = operation_find(cases[i].method, cases[i].path, 51, args);

        if (!cases[i].name) {
            assert_null(op);
            continue;
        }
        assert_non_null(op);
        assert_string_equal(op->name, cases[i].name);
        if (cases[i].key)
            assert_string_equal(json_string_value(json_object_get(args, cases[i].key)),
                                cases[i].value);
    }
}

static void rows_have_versions(void **state)
{
    autojson json_t *args = json_object();

    assert_null(operation_find("POST", "/session", 30, args));
    assert_non_null(operation_find("POST", "/session", 31, args));
}

static void parameters_are_typed(void **state)
{
    struct message *m = message("container.list");
    struct wharf_error e = { 0 };

    assert_int_equal(message_set(m, "all", "No", &e), 0);
    assert_int_equal(message_set(m, "size", "yes", &e), 0);
    assert_int_equal(message_set(m, "limit", "12", &e), 0);
    assert_int_equal(message_set(m, "nonsense", "12", &e), 0);
    assert_false(message_bool(m, "all"));
    assert_true(message_bool(m, "size"));
    assert_int_equal(message_int(m, "limit"), 12);
    assert_false(message_has(m, "nonsense"));
    message_free(m);

    m = message("container.list");
    assert_int_equal(message_set(m, "limit", "x", &e), -EINVAL);
    assert_int_equal(e.kind, WHARF_ERROR_INVALID);
    message_free(m);
}

static void filters_have_two_forms(void **state)
{
    static const char *const good[] = { "{\"label\":[\"a\",\"b\"]}",
                                        "{\"label\":{\"a\":true,\"b\":true,\"c\":false}}" };
    static const char *const bad[] = { "{\"nosuch\":[\"a\"]}", "x", "[]", "{\"label\":[1]}",
                                       "{\"label\":\"a\"}" };
    struct wharf_error e = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct message *m = message("container.list");
        json_t *list;

        assert_int_equal(message_set(m, "filters", good[i], &e), 0);
        list = json_object_get(json_object_get(m->args, "filters"), "label");
        assert_int_equal(json_array_size(list), 2);
        assert_string_equal(json_string_value(json_array_get(list, 1)), "b");
        message_free(m);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct message *m = message("container.list");

        assert_int_equal(message_set(m, "filters", bad[i], &e), -EINVAL);
        assert_non_null(strstr(e.message, "invalid filter"));
        message_free(m);
        e = (struct wharf_error){ 0 };
    }
}

static void defaults_and_required(void **state)
{
    struct message *m = message("container.top");
    struct wharf_error e = { 0 };

    assert_int_equal(message_check(m, &e), -EINVAL); /* id */
    json_object_set_new(m->args, "id", json_string("web"));
    assert_int_equal(message_check(m, &e), 0);
    assert_string_equal(message_string(m, "ps_args"), "-ef");
    message_free(m);
}

static int answer(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    if (operation_is(m->op, "system.version"))
        return reply_json_text(r, 200, "{\"Version\":\"1\"}", 15);
    if (operation_is(m->op, "system.info"))
        return err_not_found(e, "no such thing");
    if (operation_is(m->op, "system.df"))
        return 0;                               /* forgets to answer */
    if (operation_is(m->op, "system.events")) { /* fails in the middle */
        reply_begin(r, 200, FORM_JSON_LINES);
        return err_set(e, -EIO, WHARF_ERROR_INTERNAL, "broke");
    }
    return service_unknown(s, m, e);
}

static void one_message_has_one_reply(void **state)
{
    static const struct service_ops ops = { .name = "fake", .call = answer };
    static const struct {
        const char *operation, *message;
        enum wharf_error_kind kind;
    } cases[] = {
        { "system.info", "no such thing", WHARF_ERROR_NOT_FOUND },
        { "system.df", "fake gave no answer to system.df", WHARF_ERROR_INTERNAL },
        { "system.events", "broke", WHARF_ERROR_INTERNAL },
        { "swarm.inspect", "fake does not do swarm.inspect", WHARF_ERROR_UNSUPPORTED },
    };
    struct service *s = service_new(sizeof *s, &ops);
    autojson json_t *tree = NULL;

    assert_int_equal(service_ask(s, message("system.version"), &tree, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(tree, "Version")), "1");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wharf_error e = { 0 };

        assert_true(service_ask(s, message(cases[i].operation), NULL, &e) < 0);
        assert_string_equal(e.message, cases[i].message);
        assert_int_equal(e.kind, cases[i].kind);
    }
    service_unref(s);
}

/* Composition: "box" writes what it was made of into a text. */
static char made[256];

static int make_box(const struct service_arguments *a, struct service **ret, struct wharf_error *e)
{
    static const struct service_ops ops = { .name = "box", .call = answer };
    size_t len = strlen(made);

    snprintf(made + len, sizeof made - len, "[%zu words, %zu inner%s%s]", a->word_count,
             a->inner_count, a->word_count ? ", first " : "", a->word_count ? a->words[0] : "");
    *ret = service_new(sizeof **ret, &ops);
    return 0;
}

static void compositions(void **state)
{
    static const struct service_type types[] = { { .name = "box", .make = make_box }, { 0 } };
    static const struct {
        const char *text, *made, *fault;
    } cases[] = {
        { "box", "[0 words, 0 inner]", NULL },
        { " box 'a b' \"c\"d ", "[2 words, 0 inner, first a b]", NULL },
        { "box | box x", "[1 words, 0 inner, first x][0 words, 1 inner]", NULL },
        { "box (box) (n=box y) z | box",
          "[0 words, 0 inner][1 words, 0 inner, first y][0 words, 0 inner][1 words, 3 inner, first "
          "z]",
          NULL },
        { "", NULL, "column 1: the name of a service is expected" },
        { "box |", NULL, "column 6: the name of a service is expected" },
        { "box (box", NULL, "column 5: a parenthesis is never closed" },
        { "box )", NULL, "column 5: a parenthesis was never opened" },
        { "box 'a", NULL, "column 5: a quote is never closed" },
        { "box | trunk", NULL, "column 7: no such service: 'trunk'" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wharf_error e = { 0 };
        struct service *s = NULL;
        int r;

        made[0] = '\0';
        r = compose(cases[i].text, types, NULL, &s, &e);
        assert_int_equal(r == 0, cases[i].fault == NULL);
        if (cases[i].fault)
            assert_non_null(strstr(e.message, cases[i].fault));
        else
            assert_string_equal(made, cases[i].made);
        service_unref(s);
    }
}

static void principals(void **state)
{
    struct principal a, b;

    assert_string_equal(principal_of_user(1000, 1).name, "user:1000");
    assert_int_equal(principal_of_subject("certificate", "CN=a", &a), 0);
    assert_int_equal(principal_of_subject("certificate", "CN=b", &b), 0);
    assert_true(a.uid > UINT32_MAX && b.uid > UINT32_MAX && a.uid != b.uid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(paths_find_their_rows),
        cmocka_unit_test(rows_have_versions),
        cmocka_unit_test(parameters_are_typed),
        cmocka_unit_test(filters_have_two_forms),
        cmocka_unit_test(defaults_and_required),
        cmocka_unit_test(one_message_has_one_reply),
        cmocka_unit_test(compositions),
        cmocka_unit_test(principals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
