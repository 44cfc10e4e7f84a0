/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what; and that no line of the audit log can be changed unseen. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "libswarm/filters/authorize.h"

static struct {
    char dir[64], path[128];
    int64_t seen_uid; /* of the principal that the inner service saw; -1: it was not asked */
    struct service *inner;
} t;

static int inner_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    t.seen_uid = m->principal.uid;
    return reply_empty(r, 200);
}

static int setup(void **state)
{
    static const struct service_ops ops = { .name = "inner", .call = inner_call };

    snprintf(t.dir, sizeof t.dir, "/tmp/wharf-audit-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.path, sizeof t.path, "%s/audit.log", t.dir);
    t.inner = service_new(sizeof *t.inner, &ops);
    return 0;
}

static int teardown(void **state)
{
    service_unref(t.inner);
    return path_remove_tree(AT_FDCWD, t.dir);
}

/* 0 allowed, else the error's code. */
static int ask(struct service *s, const char *operation, uid_t uid, const char *body)
{
    struct wharf_error e = { 0 };
    struct message *m;

    assert_int_equal(message_new(operation, principal_of_user(uid, 1), &m, &e), 0);
    for (const struct parameter *p = m->op->parameters; p->name; p++)
        if (p->required)
            message_set(m, p->name, p->type == PARAMETER_INT ? "1" : "x", &e);
    m->body = body ? json_loads(body, 0, NULL) : NULL;
    t.seen_uid = -1;
    return service_ask(s, m, NULL, &e) < 0 ? (int)e.kind : 0;
}

static void one_user_acts_as_root(void **state)
{
    struct service *s;

    assert_int_equal(authorize_new(t.inner, POLICY_SINGLE_USER, NULL, &s, NULL), 0);
    assert_int_equal(ask(s, "container.create", 1000, "{\"HostConfig\":{\"Privileged\":true}}"), 0);
    assert_int_equal(t.seen_uid, 0);
    service_unref(s);
}

static void owners_have_no_power_over_the_host(void **state)
{
    static const char *const refused[] = {
        "{\"HostConfig\":{\"Privileged\":true}}",
        "{\"hostconfig\":{\"privileged\":true}}",
        "{\"HostConfig\":{\"Binds\":[\"/etc:/x\"]}}",
        "{\"HostConfig\":{\"Binds\":[\"v:/v\",\"/:/x\"]}}",
        "{\"HostConfig\":{\"Binds\":\"/:/x\"}}",
        "{\"HostConfig\":{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/\"}]}}",
        ("{\"HostConfig\":{\"Mounts\":[{\"Type\":\"volume\",\"VolumeOptions\":{\"DriverConfig\":"
         "{\"Options\":{\"o\":\"bind\"}}}}]}}"),
        "{\"HostConfig\":{\"PidMode\":\"host\"}}",
        "{\"HostConfig\":{\"NetworkMode\":\"host\"}}",
        "{\"HostConfig\":{\"CapAdd\":[\"SYS_ADMIN\"]}}",
        "{\"HostConfig\":{\"SecurityOpt\":[\"seccomp=unconfined\"]}}",
        "{\"HostConfig\":{\"Devices\":[{\"PathOnHost\":\"/dev/sda\"}]}}",
    };
    static const char *const allowed[] = {
        "{\"HostConfig\":{}}",
        "{\"Image\":\"x\"}",
        "{\"HostConfig\":{\"Privileged\":false,\"Binds\":null,\"CapAdd\":[],\"PidMode\":\"\"}}",
        "{\"HostConfig\":{\"Binds\":[\"v:/v:ro\"],\"NetworkMode\":\"bridge\"}}",
        "{\"HostConfig\":{\"SecurityOpt\":[\"no-new-privileges:true\"]}}",
        "{\"HostConfig\":{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/x\"}]}}",
    };
    struct service *s;

    assert_int_equal(authorize_new(t.inner, POLICY_OWNER, NULL, &s, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_int_equal(ask(s, "container.create", 1000, refused[i]), WHARF_ERROR_FORBIDDEN);
        assert_int_equal(t.seen_uid, -1);
        assert_int_equal(ask(s, "container.create", 0, refused[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
        assert_int_equal(ask(s, "container.create", 1000, allowed[i]), 0);
        assert_int_equal(t.seen_uid, 1000);
    }
    assert_int_equal(ask(s, "image.remove", 1000, NULL), WHARF_ERROR_FORBIDDEN);
    assert_int_equal(ask(s, "exec.create", 1000, "{\"Privileged\":true}"), WHARF_ERROR_FORBIDDEN);
    assert_int_equal(ask(s, "volume.create", 1000, "{\"DriverOpts\":{\"o\":\"bind\"}}"),
                     WHARF_ERROR_FORBIDDEN);
    service_unref(s);
}

static void decisions_form_a_chain(void **state)
{
    struct wharf_error e = { 0 };
    struct audit *audit, *second;
    struct service *s;
    uint64_t lines = 0;
    autofree char *text = NULL;
    ssize_t len;

    for (int round = 0; round < 2; round++) { /* a reopened log goes on */
        assert_int_equal(audit_open(&audit, t.path, &e), 0);
        assert_int_equal(audit_open(&second, t.path, &e), -EBUSY);
        assert_int_equal(authorize_new(t.inner, POLICY_OWNER, audit, &s, NULL), 0);
        assert_int_equal(ask(s, "container.list", 1000, NULL), 0);
        assert_int_equal(ask(s, "image.remove", 1000, NULL), WHARF_ERROR_FORBIDDEN);
        assert_int_equal(ask(s, "system.ping", 1000, NULL), 0);
        service_unref(s);
        audit_close(audit);
    }
    assert_int_equal(audit_verify(t.path, &lines, &e), 0);
    assert_int_equal(lines, 4); /* pings are no decisions */

    len = file_read(AT_FDCWD, t.path, 1 << 16, &text);
    assert_true(len > 0 && strstr(text, "\"seq\":4,"));
    assert_non_null(strstr(text, "\"decision\":\"deny\",\"reason\":\"user:1000 may not do"));
    *strstr(text, "user:1000") = 'U'; /* one letter of the first line */
    assert_int_equal(file_replace(AT_FDCWD, t.path, text, (size_t)len, 0600, false), 0);
    assert_int_equal(audit_verify(t.path, &lines, &e), -EBADMSG);
    assert_non_null(strstr(e.message, "line 2"));
}

static void a_full_disk_is_a_no(void **state)
{
    struct wharf_error e = { 0 };
    struct audit *audit;
    struct service *s;

    assert_int_equal(audit_open(&audit, "/dev/full", &e), 0);
    assert_int_equal(authorize_new(t.inner, POLICY_SINGLE_USER, audit, &s, NULL), 0);
    assert_int_not_equal(ask(s, "container.list", 0, NULL), 0);
    assert_int_equal(t.seen_uid, -1);
    service_unref(s);
    audit_close(audit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_user_acts_as_root),
        cmocka_unit_test(owners_have_no_power_over_the_host),
        cmocka_unit_test(decisions_form_a_chain),
        cmocka_unit_test(a_full_disk_is_a_no),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
