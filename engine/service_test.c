/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of the operation table gets one answer of the engine, in docker's words. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "engine/service.h"

static struct {
    char root[64];
    struct engine *engine;
    struct service *service;
} t;

static int setup(void **state)
{
    struct wharf_error e = { 0 };

    snprintf(t.root, sizeof t.root, "/tmp/wharf-service-XXXXXX");
    assert_non_null(mkdtemp(t.root));
    assert_int_equal(
        engine_open(&t.engine, &(struct engine_options){ .root = t.root, .shim = "/no/shim" }, &e),
        0);
    assert_int_equal(
        engine_service_new(t.engine, &(struct engine_service_options){ 0 }, &t.service, &e), 0);
    return 0;
}

static int teardown(void **state)
{
    service_unref(t.service);
    engine_close(t.engine);
    return path_remove_tree(AT_FDCWD, t.root);
}

static struct message *message(const char *operation)
{
    struct message *m;

    assert_int_equal(message_new(operation, principal_of_user(0, 0), &m, NULL), 0);
    return m;
}

static void absent_things(void **state)
{
    static const struct {
        const char *operation, *message;
        enum wharf_error_kind kind;
    } cases[] = {
        { "container.inspect", "No such container: nosuch", WHARF_ERROR_NOT_FOUND },
        { "container.start", "No such container: nosuch", WHARF_ERROR_NOT_FOUND },
        { "container.stop", "No such container: nosuch", WHARF_ERROR_NOT_FOUND },
        { "container.logs", "No such container: nosuch", WHARF_ERROR_NOT_FOUND },
        { "container.remove", "No such container: nosuch", WHARF_ERROR_NOT_FOUND },
        { "image.inspect", "No such image: nosuch:latest", WHARF_ERROR_NOT_FOUND },
        { "image.remove", "No such image: nosuch:latest", WHARF_ERROR_NOT_FOUND },
        { "volume.inspect", "get nosuch: no such volume", WHARF_ERROR_NOT_FOUND },
        { "volume.remove", "get nosuch: no such volume", WHARF_ERROR_NOT_FOUND },
        { "plugin.inspect", "plugin \"nosuch\" not found", WHARF_ERROR_NOT_FOUND },
        { "service.inspect", NULL, WHARF_ERROR_UNAVAILABLE },
        { "swarm.leave", "This node is not part of a swarm", WHARF_ERROR_UNAVAILABLE },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct message *m = message(cases[i].operation);
        struct wharf_error e = { 0 };

        message_set(m, "id", "nosuch", &e);
        message_set(m, "name", "nosuch", &e);
        message_set(m, "stdout", "1", &e);
        assert_true(service_ask(t.service, m, NULL, &e) < 0);
        if (cases[i].message)
            assert_string_equal(e.message, cases[i].message);
        assert_int_equal(e.kind, cases[i].kind);
    }
}

static void lists_are_empty(void **state)
{
    static const char *const lists[] = { "image.list", "plugin.list" };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        autojson json_t *answer = NULL;

        assert_int_equal(service_ask(t.service, message(lists[i]), &answer, NULL), 0);
        assert_true(json_is_array(answer) && json_array_size(answer) == 0);
    }
}

static void documents_are_whole(void **state)
{
    static const char *const documents[] = { "system.version", "system.info" };
    static const char *const members[] = { "ApiVersion", "ServerVersion" };

    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        autojson json_t *answer = NULL;

        assert_int_equal(service_ask(t.service, message(documents[i]), &answer, NULL), 0);
        assert_true(json_is_string(json_object_get(answer, members[i])));
    }
}

/* What would wait for ever, or is not this engine's to answer with nothing to work on. */
static bool waits(const struct operation *op)
{
    return operation_is(op, "system.events");
}

static void every_row_is_answered(void **state)
{
    size_t count;
    const struct operation *ops = operations(&count);

    for (size_t i = 0; i < count; i++) {
        struct message *m = message(ops[i].name);
        struct wharf_error e = { 0 };

        if (waits(&ops[i])) {
            message_free(m);
            continue;
        }
        for (const struct parameter *p = ops[i].parameters; p->name; p++)
            if (p->required)
                message_set(m, p->name, p->type == PARAMETER_INT ? "1" : "nosuch", &e);
        m->body = ops[i].request == FORM_JSON ? json_object() : NULL;
        if (service_ask(t.service, m, NULL, &e) < 0 && !e.message[0])
            fail_msg("%s: an error without a reason", ops[i].name);
        assert_null(strstr(e.message, "gave no answer"));
    }
}

static void a_create_needs_a_body(void **state)
{
    struct message *m = message("container.create");
    struct wharf_error e = { 0 };

    assert_true(service_ask(t.service, m, NULL, &e) < 0);
    assert_string_equal(e.message, "Config cannot be empty in order to create a container");
    m = message("container.create");
    m->body = json_pack("{ss}", "Image", "nosuch");
    assert_true(service_ask(t.service, m, NULL, &e) < 0);
    assert_string_equal(e.message, "No such image: nosuch:latest");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_things),         cmocka_unit_test(lists_are_empty),
        cmocka_unit_test(documents_are_whole),   cmocka_unit_test(every_row_is_answered),
        cmocka_unit_test(a_create_needs_a_body),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
