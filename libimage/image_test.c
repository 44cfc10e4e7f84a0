/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of libimage's parsers: references, digests, documents, changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "libimage/changes.h"
#include "libimage/document.h"
#include "base/str.h"

#define HEX "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

static void test_references(void **state)
{
    static const struct {
        const char *text, *full, *shown;
    } good[] = {
        { "busybox", "docker.io/library/busybox:latest", "busybox:latest" },
        { "busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36" },
        { "index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest" },
        { "user/app", "docker.io/user/app:latest", "user/app:latest" },
        { "ghcr.io/a/b__c-d.e:V1", "ghcr.io/a/b__c-d.e:V1", "ghcr.io/a/b__c-d.e:V1" },
        { "localhost/x", "localhost/x:latest", "localhost/x:latest" },
        { "localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y" },
        { "[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest" },
        { "a@sha256:" HEX, "docker.io/library/a@sha256:" HEX, "a@sha256:" HEX },
        { "a:b@sha256:" HEX, "docker.io/library/a:b@sha256:" HEX, "a:b@sha256:" HEX },
    };
    char text[IMAGE_REFERENCE_MAX];
    struct image_reference r;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(image_reference_parse(&r, good[i].text, NULL), 0);
        image_reference_format(&r, 0, text);
        assert_string_equal(text, good[i].full);
        image_reference_format(&r, 1, text);
        assert_string_equal(text, good[i].shown);
    }
}

static void test_bad_references(void **state)
{
    static const char *const bad[] = {
        "",       "Busybox", "a:",  "a b",    "a/",  "/a",    "a//b",           "a:-x", "a___b",
        "a..b",   "-a",      "a-",  "a/../b", "a@",  "a@x",   "a@sha256:12",    HEX,    "-.io/a",
        "x.y:/a", "[::1/a",  "a\n", "..",     "./a", "a:b:c", "host.io:port/a",
    };
    struct image_reference r = { .path = "untouched" };
    struct wharf_error e = { 0 };
    char text[400];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(image_reference_parse(&r, bad[i], &e), -EINVAL);
        assert_int_not_equal(e.message[0], 0);
    }
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(image_reference_parse(&r, text, &e), -EINVAL);
    assert_int_equal(e.kind, WHARF_ERROR_LIMIT);
    assert_string_equal(r.path, "untouched");
}

static void test_digests(void **state)
{
    struct digest d, chain;

    assert_int_equal(digest_of("{}", 2, &d), 0);
    assert_string_equal(d.text, "sha256:" HEX);
    assert_int_equal(digest_parse(&d, "sha256:" HEX "0", "x", NULL), -EINVAL);
    assert_int_equal(digest_parse(&d, "sha256:../../etc", "x", NULL), -EINVAL);
    assert_int_equal(digest_parse(&d, "blake3:" HEX, "x", NULL), -EOPNOTSUPP);
    assert_int_equal(digest_parse(&d, "nothing", "x", NULL), -EINVAL);
    assert_int_equal(digest_parse(&d, "sha256:" HEX, "x", NULL), 0);
    digest_chain(NULL, &d, &chain);
    assert_string_equal(chain.text, d.text);
    /* printf 'sha256:HEX sha256:HEX' | sha256sum, as the specification's example is made */
    digest_chain(&d, &d, &chain);
    digest_of("sha256:" HEX " sha256:" HEX, 143, &d);
    assert_string_equal(chain.text, d.text);
}

#define DESCRIPTOR(type) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX "\",\"size\":2}"
#define MANIFEST                                                                                   \
    "\"schemaVersion\":2,\"config\":" DESCRIPTOR(MEDIA_CONFIG) ",\"layers\":[" DESCRIPTOR(         \
        MEDIA_LAYER) "]"

static int parse(const char *text, struct wharf_error *e)
{
    struct document d = { 0 };
    int r = document_parse(&d, text, strlen(text), "test", e);

    if (r == 0)
        document_done(&d);
    return r;
}

static void test_documents(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{" MANIFEST ",\"manifests\":[]}",                  /* both kinds */
        "{" MANIFEST ",\"mediaType\":\"" MEDIA_INDEX "\"}", /* says the other kind */
        "{" MANIFEST ",\"layers\":[]}",                     /* a key twice */
        "{" MANIFEST ",\"Layers\":[]}",                     /* twice but for case */
        "{\"schemaVersion\":1,\"manifests\":[]}",
        "{\"schemaVersion\":2,\"manifests\":{}}",
        "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:" HEX "\",\"size\":-1}]}",
        "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:x\",\"size\":1}]}",
        "{\"schemaVersion\":2,\"manifests\":[{\"size\":1}]}",
        "{\"schemaVersion\":2,\"manifests\":[1]}",
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"schemaVersion\":2,\"fsLayers\":[]}",
    };
    struct wharf_error e = { 0 };

    assert_int_equal(parse("{" MANIFEST "}", &e), 0);
    assert_int_equal(parse("{\"schemaVersion\":2,\"manifests\":[]}", &e), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(parse(bad[i], &e) < 0);
}

static void test_changes(void **state)
{
    static const struct {
        const char *line, *config;
    } good[] = {
        { "CMD [\"a\", \"b\"]", "{\"Cmd\":[\"a\",\"b\"]}" },
        { "cmd a b", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a b\"]}" },
        { "ENV A=1 B=\"x y\"", "{\"Env\":[\"A=1\",\"B=x y\"]}" },
        { "ENV A x y", "{\"Env\":[\"A=x y\"]}" },
        { "ENV A=1 A=2", "{\"Env\":[\"A=2\"]}" },
        { "EXPOSE 80 53/udp", "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}" },
        { "VOLUME [\"/a\"]", "{\"Volumes\":{\"/a\":{}}}" },
        { "LABEL k=v", "{\"Labels\":{\"k\":\"v\"}}" },
        { "WORKDIR /x", "{\"WorkingDir\":\"/x\"}" },
        { "HEALTHCHECK CMD x", "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x\"]}}" },
    };
    static const char *const bad[] = { "RUN x",    "",      "CMD",      "EXPOSE 99999",
                                       "EXPOSE a", "ENV A", "LABEL =x", "HEALTHCHECK x" };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        autojson json_t *config = json_object();
        autofree char *text = NULL;

        assert_int_equal(change_apply(config, good[i].line, NULL), 0);
        text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, good[i].config);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        autojson json_t *config = json_object();

        assert_int_equal(change_apply(config, bad[i], NULL), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_bad_references),
        cmocka_unit_test(test_digests),    cmocka_unit_test(test_documents),
        cmocka_unit_test(test_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
