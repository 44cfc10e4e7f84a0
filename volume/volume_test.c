/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes in a temporary root: life, use, copies, filters, and what a kill leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "volume/volume.h"

static char root[] = "/tmp/wharf-volume-XXXXXX";
static struct volume_store *store;

static int set_up(void **state)
{
    return mkdtemp(root) && volume_store_open(&store, root, NULL) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    volume_store_close(store);
    return path_remove_tree(AT_FDCWD, root);
}

static void make(const char *name)
{
    struct volume_spec spec = { .name = name };

    assert_int_equal(volume_create(store, &spec, NULL, NULL, NULL), 0);
}

static void put(const char *path, const char *text)
{
    autofree char *full = str_format("%s/%s", root, path);

    assert_int_equal(file_replace(AT_FDCWD, full, text, strlen(text), 0640, false), 0);
}

static void test_life(void **state)
{
    struct wharf_error e = { 0 };
    struct volume v;
    bool fresh;

    assert_int_equal(volume_create(store, &(struct volume_spec){ .name = "one" }, &v, &fresh, &e),
                     0);
    assert_true(fresh);
    assert_true(str_ends(v.mountpoint, "/volumes/one/_data"));
    assert_int_equal(access(v.mountpoint, F_OK), 0);
    volume_done(&v);
    assert_int_equal(volume_create(store, &(struct volume_spec){ .name = "one" }, NULL, &fresh, &e),
                     0);
    assert_false(fresh);
    assert_int_equal(volume_use(store, "one", "c1", &e), 0);
    assert_int_equal(volume_use(store, "one", "c1", &e), 0);
    assert_int_equal(volume_use(store, "none", "c1", &e), -ENOENT);
    assert_string_equal(e.message, "get none: no such volume");
    assert_int_equal(volume_remove(store, 0, "one", true, &e), -EBUSY);
    assert_string_equal(e.message, "remove one: volume is in use - [c1]");
    assert_int_equal(volume_release(store, "c1", true, &e), 0);
    assert_int_equal(volume_remove(store, 0, "one", false, &e), 0);
    assert_int_equal(volume_remove(store, 0, "one", false, &e), -ENOENT);
    assert_int_equal(volume_remove(store, 0, "one", true, &e), 0);
}

static void test_names(void **state)
{
    static const char *const bad[] = { "a b", "a", "/x", ".x", "a/b", "-ab" };
    struct wharf_error e = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            volume_create(store, &(struct volume_spec){ .name = bad[i] }, NULL, NULL, &e), -EINVAL);
    volume_create(store, &(struct volume_spec){ .name = "a b" }, NULL, NULL, &e);
    assert_string_equal(e.message,
                        "create a b: \"a b\" includes invalid characters for a local volume name, "
                        "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a "
                        "host directory, use absolute path");
    assert_int_equal(
        volume_create(store, &(struct volume_spec){ .driver = "nodrv" }, NULL, NULL, &e), -ENOENT);
    struct field_pair frob = { (char *)"frob", (char *)"1" };
    assert_int_equal(volume_create(store,
                                   &(struct volume_spec){ .name = "opts", .options = { &frob, 1 } },
                                   NULL, NULL, &e),
                     -EINVAL);
    assert_string_equal(e.message, "create opts: invalid option: \"frob\"");
}

/* Another user's volume is not there, and its name is taken. */
static void test_owners(void **state)
{
    struct volume_spec spec = { .name = "mine", .owner = 7 };
    struct volume v;

    assert_int_equal(volume_create(store, &spec, NULL, NULL, NULL), 0);
    assert_int_equal(volume_find(store, 8, "mine", &v, NULL), -ENOENT);
    assert_int_equal(volume_remove(store, 8, "mine", false, NULL), -ENOENT);
    spec.owner = 8;
    assert_int_equal(volume_create(store, &spec, NULL, NULL, NULL), -EEXIST);
    assert_int_equal(volume_find(store, 0, "mine", &v, NULL), 0);
    volume_done(&v);
    assert_int_equal(volume_remove(store, 7, "mine", false, NULL), 0);
}

static void test_copy_up(void **state)
{
    autofree char *source = str_format("%s/image", root);
    autofree char *copied = str_format("%s/volumes/filled/_data/dir/file", root);
    struct stat st;

    assert_int_equal(path_make_dirs(source, 0750), 0);
    put("image/a", "one");
    autofree char *dir = str_format("%s/dir", source);
    assert_int_equal(mkdir(dir, 0700), 0);
    put("image/dir/file", "two");
    autofree char *from = str_format("%s/dir/file", source), *to = str_format("%s/b", source);
    assert_int_equal(linkat(AT_FDCWD, from, AT_FDCWD, to, 0), 0);
    autoclose int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make("filled");
    assert_int_equal(volume_copy_up(store, "filled", fd, NULL), 0);
    assert_int_equal(stat(copied, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_nlink, 2);
    put("image/c", "late"); /* it is not empty any more */
    assert_int_equal(volume_copy_up(store, "filled", fd, NULL), 0);
    autofree char *late = str_format("%s/volumes/filled/_data/c", root);
    assert_int_equal(access(late, F_OK), -1);
    autoclose int sub = volume_mount(store, "filled", "dir", NULL);
    assert_true(sub >= 0);
    assert_int_equal(faccessat(sub, "file", F_OK, 0), 0);
    assert_int_equal(volume_mount(store, "filled", "nodir", NULL), -ENOENT);
    autoclose int out = volume_mount(store, "filled", "../..", NULL);
    assert_int_equal(faccessat(out, "a", F_OK, 0), 0); /* the volume's own root */
    assert_int_equal(volume_remove(store, 0, "filled", false, NULL), 0);
}

static size_t count(const char *filters)
{
    autojson json_t *asked = filters ? json_loads(filters, 0, NULL) : NULL, *all = NULL;

    assert_int_equal(volume_list_json(store, 0, asked, false, &all, NULL), 0);
    return json_array_size(json_object_get(all, "Volumes"));
}

static void test_lists(void **state)
{
    struct field_pair label = { (char *)"k", (char *)"v" };
    struct volume_spec labelled = { .name = "lab", .labels = { &label, 1 } };
    autojson json_t *bad = json_loads("{\"frob\":[\"1\"]}", 0, NULL), *pruned = NULL, *all = NULL;
    struct wharf_error e = { 0 };

    make("plain");
    make(NULL);
    assert_int_equal(volume_create(store, &labelled, NULL, NULL, NULL), 0);
    assert_int_equal(volume_use(store, "plain", "c9", NULL), 0);
    assert_int_equal(count(NULL), 3);
    assert_int_equal(count("{\"label\":[\"k=v\"]}"), 1);
    assert_int_equal(count("{\"label\":[\"k=w\"]}"), 0);
    assert_int_equal(count("{\"dangling\":[\"true\"]}"), 2);
    assert_int_equal(count("{\"name\":[\"la\",\"zz\"]}"), 2);
    assert_int_equal(count("{\"driver\":[\"nfs\"]}"), 0);
    assert_int_equal(volume_list_json(store, 0, bad, false, &all, &e), -EINVAL);
    assert_string_equal(e.message, "invalid filter 'frob'");
    assert_int_equal(volume_prune_json(store, 0, NULL, &pruned, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(pruned, "VolumesDeleted")), 1);
    json_decref(pruned);
    autojson json_t *everything = json_loads("{\"all\":[\"true\"]}", 0, NULL);
    assert_int_equal(volume_prune_json(store, 0, everything, &pruned, NULL), 0);
    assert_int_equal(count(NULL), 1);
    assert_int_equal(volume_release(store, "c9", false, NULL), 0);
    assert_int_equal(volume_remove(store, 0, "plain", false, NULL), 0);
}

/* A kill between the directory's going and the row's: the volume is there, empty, and works. */
static void test_killed(void **state)
{
    autofree char *path = str_format("%s/volumes", root);
    autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    make("half");
    assert_int_equal(renameat(dir, "half", dir, ".trash-0"), 0);
    autoclose int fd = volume_mount(store, "half", NULL, NULL);
    assert_true(fd >= 0);
    autojson json_t *pruned = NULL;
    assert_int_equal(volume_prune_json(store, 0, NULL, &pruned, NULL), 0);
    assert_int_equal(faccessat(dir, ".trash-0", F_OK, 0), -1);
    assert_int_equal(volume_remove(store, 0, "half", false, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_names), cmocka_unit_test(test_owners),
        cmocka_unit_test(test_copy_up), cmocka_unit_test(test_lists), cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
