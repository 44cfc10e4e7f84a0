/* SPDX-License-Identifier: Apache-2.0 */
/* Flags and daemon.json come together as dockerd's do; containers get what they leave open. */
#include "cmd/wharfd/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/str.h"
#include "cmd/wharfd/defaults.h"

/* Writes daemon.json, loads it with the flags, and gives the configuration or leaves the error. */
static json_t *load(const char *file, const char *const *words, struct wharf_error *e)
{
    char path[] = "/tmp/wharfd-options-XXXXXX";
    int fd = mkstemp(path), count = 0;
    autofree char *named = str_format("--config-file=%s", path);
    char *argv[16] = { (char *)(uintptr_t) "wharfd" };
    autostrv char **copies = NULL;
    autojson json_t *flags = NULL;
    json_t *config = NULL;
    enum options_what what;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, file, strlen(file)), strlen(file));
    close(fd);
    assert_int_equal(strv_add(&copies, named), 0);
    for (; *words; words++)
        assert_int_equal(strv_add(&copies, *words), 0);
    for (; copies[count]; count++)
        argv[count + 1] = copies[count];
    if (options_parse(count + 1, argv, &flags, &what, e) == 0)
        options_load(flags, &config, e);
    unlink(path);
    return config;
}

#define LOAD(file, ...) load(file, (const char *const[]){ __VA_ARGS__, NULL }, &e)

static void test_flags(void **state)
{
    struct wharf_error e = { 0 };
    autojson json_t *c =
        LOAD("{}", "-H", "unix:///a", "--host=unix:///b", "-Dl", "debug", "--log-opt",
             "max-size=1m", "--icc=true", "--default-ulimit", "nofile=10:20", "--mtu=1400",
             "--default-address-pool", "base=172.80.0.0/16,size=24");

    assert_non_null(c);
    assert_int_equal(json_array_size(json_object_get(c, "hosts")), 2);
    assert_true(options_bool(c, "debug"));
    assert_string_equal(options_text(c, "log-level"), "debug");
    assert_string_equal(options_text(json_object_get(c, "log-opts"), "max-size"), "1m");
    assert_int_equal(options_int(c, "mtu"), 1400);
    assert_int_equal(
        options_int(json_object_get(json_object_get(c, "default-ulimits"), "nofile"), "Hard"), 20);
    assert_int_equal(json_array_size(json_object_get(c, "default-address-pools")), 1);
    assert_string_equal(options_text(c, "data-root"), "/var/lib/wharf");
    assert_false(options_bool(c, "plain-tcp"));
}

static void test_file(void **state)
{
    struct wharf_error e = { 0 };
    autojson json_t *c =
        LOAD("{\"hosts\":[\"fd://\"],\"log-driver\":\"none\",\"tls\":false}", "--label", "a=b");

    assert_non_null(c);
    assert_string_equal(options_text(c, "log-driver"), "none");
    assert_true(options_bool(c, "plain-tcp"));
}

static void test_errors(void **state)
{
    static const struct {
        const char *file, *flag, *error;
    } cases[] = {
        { "{}", "--nonsense", "unknown flag: --nonsense" },
        { "{}", "-z", "unknown shorthand flag: 'z' in -z" },
        { "{}", "--mtu=big", "invalid argument \"big\" for \"--mtu\" flag" },
        { "{}", "word", "accepts no arguments" },
        { "{}", "--bip", "flag needs an argument: --bip" },
        { "{\"nonsense\":1}", "-D",
          "the following directives don't match any configuration option: nonsense" },
        { "{\"debug\":\"yes\"}", "--mtu=1", "of another type" },
        { "{\"debug\":true}", "-D",
          "specified both as a flag and in the configuration file: debug: (from flag: true, from "
          "file: true)" },
        { "{", "-D", "unable to configure the daemon with file" },
        { "{}", "--icc=false", "cannot do what 'icc' asks for" },
        { "{}", "--add-runtime=x=/bin/x", "cannot do what 'runtimes' asks for" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wharf_error e = { 0 };

        assert_null(LOAD(cases[i].file, cases[i].flag));
        if (!strstr(e.message, cases[i].error))
            fail_msg("'%s' is not in '%s'", cases[i].error, e.message);
    }
}

/* ---- defaults -------------------------------------------------------------------------------- */

struct seen {
    struct service service;
    json_t *body;
};

static int seen_call(struct service *s, struct message *m, struct reply *r, struct wharf_error *e)
{
    json_decref(((struct seen *)s)->body);
    ((struct seen *)s)->body = json_incref(m->body);
    return reply_json_text(r, 201, "{\"Driver\":\"x\"}", 14);
}

static void seen_free(struct service *s)
{
    json_decref(((struct seen *)s)->body);
}

static const struct service_ops seen_ops = { .name = "seen", .call = seen_call, .free = seen_free };

static void test_defaults(void **state)
{
    struct wharf_error e = { 0 };
    autojson json_t *config =
        LOAD("{\"log-opts\":{\"max-size\":\"1m\",\"max-file\":\"2\"},\"dns\":[\"10.0.0.1\"],"
             "\"default-ulimits\":{\"nofile\":{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}},"
             "\"init\":true,\"default-shm-size\":\"1m\",\"ip\":\"127.0.0.1\",\"labels\":[\"a=b\"]}",
             "--no-new-privileges");
    struct seen *seen = (struct seen *)service_new(sizeof *seen, &seen_ops);
    struct service *defaults;
    struct message *m;
    autojson json_t *info = NULL;

    assert_non_null(config);
    assert_int_equal(defaults_new(&seen->service, config, &defaults, &e), 0);
    assert_int_equal(message_new("container.create", (struct principal){ 0 }, &m, &e), 0);
    m->body = json_pack("{s{s{s{ss}}s[{sssisi}]sbs{s[{ss}]}}}", "hostconfig", "LogConfig", "Config",
                        "max-size", "9m", "Ulimits", "Name", "core", "Soft", 0, "Hard", 0, "init",
                        0, "PortBindings", "80/tcp", "HostPort", "1");
    assert_int_equal(service_ask(defaults, m, NULL, &e), 0);
    autofree char *got = json_write(json_object_get(seen->body, "hostconfig"), JSON_SORT_KEYS);
    assert_string_equal(
        got, "{\"Dns\": [\"10.0.0.1\"], \"LogConfig\": {\"Config\": {\"max-file\": \"2\", "
             "\"max-size\": \"9m\"}, \"Type\": \"json-file\"}, \"PortBindings\": {\"80/tcp\": "
             "[{\"HostIp\": \"127.0.0.1\", \"HostPort\": \"1\"}]}, \"SecurityOpt\": "
             "[\"no-new-privileges\"], \"ShmSize\": 1048576, \"Ulimits\": [{\"Hard\": 0, \"Name\": "
             "\"core\", \"Soft\": 0}, {\"Hard\": 2, \"Name\": \"nofile\", \"Soft\": 1}], "
             "\"init\": false}");
    assert_int_equal(message_new("system.info", (struct principal){ 0 }, &m, &e), 0);
    assert_int_equal(service_ask(defaults, m, &info, &e), 0);
    assert_string_equal(options_text(info, "Driver"), "x");
    assert_string_equal(options_text(info, "LoggingDriver"), "json-file");
    assert_int_equal(json_array_size(json_object_get(info, "Labels")), 1);
    service_unref(defaults);
    service_unref(&seen->service);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_flags), cmocka_unit_test(test_file),
                                        cmocka_unit_test(test_errors),
                                        cmocka_unit_test(test_defaults) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
