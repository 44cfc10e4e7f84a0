/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of what stands alone in the engine: ids and names, locks, records, the shim's messages and
 * configuration, logs written and read back, users, settings, specifications. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/channels.h"
#include "engine/lock.h"
#include "engine/log-reader.h"
#include "engine/merge.h"
#include "engine/mounts.h"
#include "engine/names.h"
#include "engine/oci.h"
#include "engine/seccomp-profile.h"
#include "engine/shim-protocol.h"
#include "engine/store.h"

static char directory[] = "/tmp/wharf-engine-XXXXXX";
static int dir = -1;

static int set_up(void **state)
{
    if (!mkdtemp(directory))
        return -1;
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    close(dir);
    return path_remove_tree(AT_FDCWD, directory);
}

static void test_names(void **state)
{
    char id[ID_LENGTH + 1], name[NAME_RANDOM_MAX];
    struct wharf_error e = { 0 };

    assert_int_equal(id_random(id), 0);
    assert_int_equal(strlen(id), ID_LENGTH);
    assert_true(strspn(id, "0123456789") < 12);
    for (unsigned n = 0; n < 30; n++) {
        assert_int_equal(name_random(name, sizeof(name), n % 4), 0);
        assert_int_equal(name_check(name, &e), 0);
    }
    const char *bad[] = { "", "a", "-a", "a b", "a/b", ".x", "ä1" };
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_int_equal(name_check(bad[n], &e), -EINVAL);
    assert_string_equal(e.message,
                        "Invalid container name (ä1), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
}

static void test_locks(void **state)
{
    static const char one[] = "a100000000000000", two[] = "a200000000000000";
    int asker = openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int change = lock_take(dir, one, LOCK_CHANGE, false);

    assert_true(asker >= 0 && change >= 0);
    assert_true(lock_held(asker, one, LOCK_CHANGE));
    assert_false(lock_held(asker, one, LOCK_ALIVE));
    assert_false(lock_held(asker, two, LOCK_CHANGE));
    assert_int_equal(lock_take(dir, one, LOCK_CHANGE, false), -EAGAIN);
    int alive = lock_take(dir, one, LOCK_ALIVE, false), copy = dup(alive);
    close(alive); /* the copy, as a shim has it, keeps it */
    assert_true(lock_held(asker, one, LOCK_ALIVE));
    close(copy);
    assert_false(lock_held(asker, one, LOCK_ALIVE));
    close(change);
    close(asker);
}

static struct record sample(char *id, char *name)
{
    struct record r = { .name = name,
                        .image = (char *)"img",
                        .image_id = (char *)"sha256:1",
                        .command = (char *)"sh",
                        .settings = (char *)"{}",
                        .owner = 1000 };

    snprintf(r.id, sizeof(r.id), "%s", id);
    return r;
}

static int count_records(void *user, struct record *r)
{
    ++*(int *)user;
    return 0;
}

static void test_store(void **state)
{
    autofree char *path = str_format("%s/t.db", directory);
    char first[] = "abc1111111111111111111111111111111111111111111111111111111111111";
    char second[] = "abc2111111111111111111111111111111111111111111111111111111111111";
    char holder[ID_LENGTH + 1], web[] = "web", db[] = "db";
    struct record r = sample(first, web), found = { 0 };
    struct wharf_error e = { 0 };
    struct store *s;
    int count = 0;

    assert_int_equal(store_open(&s, path, &e), 0);
    assert_int_equal(store_insert(s, &r, holder, &e), 0);
    r = sample(second, web);
    assert_int_equal(store_insert(s, &r, holder, &e), -EEXIST);
    assert_string_equal(holder, first);
    assert_int_equal(e.kind, WHARF_ERROR_CONFLICT);
    r = sample(second, db);
    assert_int_equal(store_insert(s, &r, holder, &e), 0);
    assert_int_equal(store_find(s, "abc", 0, &found, &e), -ENOTUNIQ);
    assert_int_equal(store_find(s, "abc2", 0, &found, &e), 0);
    assert_string_equal(found.name, "db");
    found.state = STATE_EXITED;
    found.exit_code = 3;
    assert_int_equal(store_update(s, &found, &e), 0);
    record_done(&found);
    assert_int_equal(store_find(s, "/db", 1000, &found, &e), 0);
    assert_int_equal(found.exit_code, 3);
    record_done(&found);
    /* another user's container is one that does not exist */
    assert_int_equal(store_find(s, "db", 1001, &found, &e), -ENOENT);
    assert_string_equal(e.message, "No such container: db");
    assert_int_equal(store_each(s, 0, count_records, &count, &e), 0);
    assert_int_equal(count, 2);
    assert_int_equal(store_delete(s, first, &e), 0);
    store_close(s);
    assert_int_equal(store_open(&s, path, &e), 0); /* the log was kept without a checkpoint */
    assert_int_equal(store_find(s, "db", 0, &found, &e), 0);
    record_done(&found);
    store_close(s);
}

/* A database of version 1 gets the columns that came later; its records stay. */
static void test_store_grows(void **state)
{
    static const char old[] =
        "CREATE TABLE container(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT "
        "NULL, image_id TEXT NOT NULL, command TEXT NOT NULL, settings TEXT NOT NULL, error TEXT, "
        "owner INTEGER, state INTEGER, generation INTEGER, created_ns INTEGER, started_ns INTEGER, "
        "finished_ns INTEGER, exit_code INTEGER, pid INTEGER, oom_killed INTEGER, auto_remove "
        "INTEGER) WITHOUT ROWID; INSERT INTO container VALUES('aa','one','i','i','c','{}','',0,1,"
        "0,1,0,0,7,0,0,0); PRAGMA user_version=1;";
    autofree char *path = str_format("%s/old.db", directory);
    autorecord struct record r = { 0 };
    struct store *s;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(store_open(&s, path, NULL), 0);
    assert_int_equal(store_find(s, "one", 0, &r, NULL), 0);
    assert_int_equal(r.exit_code, 7);
    assert_string_equal(r.mounts, "");
    assert_int_equal(store_update(s, &r, NULL), 0);
    record_done(&r);
    assert_int_equal(store_find(s, "aa", 0, &r, NULL), 0);
    assert_int_equal(r.revision, 1);
    store_close(s);
}

static void test_messages(void **state)
{
    struct shim_message m = { .op = SHIM_EXEC, .flags = SHIM_STDOUT, .value = { 24, -1 } }, got;
    char packet[SHIM_PACKET_MAX];
    int pair[2];

    snprintf(m.text, sizeof(m.text), "%s", "\x10\x11");
    m.fds[m.fd_count++] = dir;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(shim_send(pair[0], &m), 0);
    assert_int_equal(shim_receive(pair[1], &got), 1);
    assert_int_equal(got.op, SHIM_EXEC);
    assert_true(got.value[0] == 24 && got.value[1] == -1);
    assert_string_equal(got.text, "\x10\x11");
    assert_int_equal(got.fd_count, 1);
    assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
    shim_message_done(&got);
    close(pair[0]);
    assert_int_equal(shim_receive(pair[1], &got), 0);
    close(pair[1]);

    size_t len = shim_message_encode(&m, packet);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(shim_message_decode(packet, n, &got), -EBADMSG);
    packet[len - 1] = '\0'; /* text with a NUL inside */
    assert_int_equal(shim_message_decode(packet, len, &got), -EBADMSG);
}

static void test_shim_config(void **state)
{
    struct shim_config config = { .state_root = "/s",
                                  .name = "x",
                                  .spec = "{}",
                                  .spec_len = 2,
                                  .generation = 7,
                                  .tty = 1 },
                       got = { 0 };
    autobuf struct buf text = BUF(4096);
    int fd = shim_config_seal(&config);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1); /* sealed */
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(fd_read_all(fd, &text), 0);
    close(fd);
    assert_int_equal(shim_config_decode(text.data, text.len, &got), 0);
    assert_string_equal(got.name, "x");
    assert_string_equal(got.health, "");
    assert_true(got.generation == 7 && got.tty == 1 && got.rows == 0);
    assert_string_equal(got.spec, "{}");
    for (size_t n = 0; n + 3 < text.len; n++) { /* cut anywhere before the specification */
        autofree char *cut = calloc(1, n + 1);

        memcpy(cut, text.data, n);
        assert_int_equal(shim_config_decode(cut, n, &got), -EBADMSG);
    }
}

static void test_exit_file(void **state)
{
    struct shim_exit in = { 3, 137, 1234567890123, 1, 1, 4 }, out;

    assert_int_equal(shim_exit_read(dir, &out), -ENOENT);
    assert_int_equal(shim_exit_write(dir, &in), 0);
    assert_int_equal(shim_exit_read(dir, &out), 0);
    assert_true(out.generation == 3 && out.code == 137 && out.finished_ns == in.finished_ns &&
                out.oom_killed == 1 && out.manual == 1 && out.restarts == 4);
    assert_int_equal(file_replace(dir, SHIM_EXIT_FILE, "3 13", 4, 0600, false), 0);
    assert_int_equal(shim_exit_read(dir, &out), -EBADMSG);
}

/* ---- logs ------------------------------------------------------------------------------------ */

static struct log_writer writer;

static void log_write(const char *name, uint64_t max_size, uint64_t files,
                      const char *const *chunks)
{
    assert_int_equal(
        log_writer_open(&writer, dir, name,
                        &(struct log_options){ .max_size = max_size, .max_files = files }),
        0);
    for (size_t i = 0; chunks[i]; i++)
        log_writer_add(&writer, LOG_STDOUT, chunks[i], strlen(chunks[i]));
    log_writer_close(&writer);
    assert_int_equal(writer.error, 0);
}

static void read_back(const char *name, uint64_t tail, struct buf *b)
{
    struct log_reader *reader;
    struct log_record record;

    assert_int_equal(log_reader_open(&reader, dir, name, LOG_DRIVER_JSON, tail), 0);
    while (log_reader_next(reader, &record) == 1) {
        assert_true(record.time_ns > 0);
        buf_add(b, record.text, record.len);
    }
    log_reader_close(reader);
}

static void test_log_round(void **state)
{
    static const char *const chunks[] = { "one\nt", "wo \"\\\t<&>\x01\xff\xe2\x80\xa8\xc3\xa4\n",
                                          "end", NULL };
    autobuf struct buf all = BUF(4096), last = BUF(4096);
    autofree char *file = NULL;

    log_write("a.log", 0, 1, chunks);
    read_back("a.log", LOG_TAIL_ALL, &all);
    assert_string_equal(all.data, "one\ntwo \"\\\t<&>\x01\xef\xbf\xbd\xe2\x80\xa8\xc3\xa4\nend");
    read_back("a.log", 1, &last);
    assert_string_equal(last.data, "end");
    assert_true(file_read(dir, "a.log", 4096, &file) > 0);
    assert_non_null(strstr(file, "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2"));
    assert_non_null(
        strstr(file, "two \\\"\\\\\\t\\u003c\\u0026\\u003e\\u0001\\ufffd\\u2028\xc3\xa4\\n"));
}

static void test_log_long_line(void **state)
{
    autofree char *line = malloc(40002);
    struct log_reader *reader;
    struct log_record record;
    size_t lengths[4], count = 0;

    memset(line, 'x', 40000);
    memcpy(line + 40000, "\n", 2);
    log_write("long.log", 0, 1, (const char *const[]){ line, NULL });
    assert_int_equal(log_reader_open(&reader, dir, "long.log", LOG_DRIVER_JSON, LOG_TAIL_ALL), 0);
    while (log_reader_next(reader, &record) == 1 && count < ARRAY_SIZE(lengths))
        lengths[count++] = record.len;
    log_reader_close(reader);
    assert_int_equal(count, 3);
    assert_true(lengths[0] == LOG_LINE_MAX && lengths[1] == LOG_LINE_MAX &&
                lengths[2] == 40001 - 32768);
}

static void test_log_rotation(void **state)
{
    autobuf struct buf all = BUF(65536), tail = BUF(65536);
    autofree char *gone = NULL;

    assert_int_equal(log_writer_open(&writer, dir, "r.log",
                                     &(struct log_options){ .max_size = 500, .max_files = 3 }),
                     0);
    for (int i = 0; i < 40; i++) {
        char line[16];
        int n = snprintf(line, sizeof(line), "%02d\n", i);
        log_writer_add(&writer, LOG_STDERR, line, (size_t)n);
    }
    log_writer_close(&writer);
    assert_int_equal(file_read(dir, "r.log.3", 4096, &gone), -ENOENT); /* 3 files: r.log, .1, .2 */
    read_back("r.log", LOG_TAIL_ALL, &all);
    assert_true(all.len >= 6 * 3 && str_ends(all.data, "38\n39\n"));
    read_back("r.log", 9, &tail); /* over more than one file */
    assert_string_equal(tail.data, "31\n32\n33\n34\n35\n36\n37\n38\n39\n");
}

static void test_log_torn(void **state)
{
    static const char *const more[] = { "after\n", NULL };
    static const char torn[] =
        "garbage\n{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-"
        "23T19:39:34.5Z\"}\n{\"log\":\"cut";
    autobuf struct buf all = BUF(4096);

    assert_int_equal(file_replace(dir, "t.log", torn, sizeof(torn) - 1, 0600, false), 0);
    log_write("t.log", 0, 1, more);
    read_back("t.log", LOG_TAIL_ALL, &all);
    assert_string_equal(all.data, "a\nafter\n");
}

static void test_log_parse(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"log\":\"a\"}",
        "{\"log\":\"\\x\",\"time\":\"2026-11-23T19:39:34Z\"}",
        "{\"log\":\"a\",\"time\":\"2026-11-23 19:39:34Z\"}",
        "{\"log\":\"a\\u12",
        "{\"log\":\"a\",\"time\":\"2026-11-23T19:39:34Z\"}x",
        "{\"log\":{\"a\":",
        "[",
    };
    char good[] =
        "{\"log\":\"\\ud83d\\ude00\",\"attrs\":{\"a\":[1,\"}\"]},\"stream\":\"stderr\",\"time\":"
        "\"2026-11-23T20:39:34.5+01:00\"}";
    struct log_record record;
    char stamp[LOG_TIME_MAX];

    assert_int_equal(log_record_parse(good, strlen(good), &record), 0);
    assert_memory_equal(record.text, "\xf0\x9f\x98\x80", 4);
    assert_int_equal(record.stream, LOG_STDERR);
    log_time(stamp, record.time_ns);
    assert_string_equal(stamp, "2026-11-23T19:39:34.500000000Z");
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        autofree char *line = strdup(bad[n]);
        assert_int_equal(log_record_parse(line, strlen(line), &record), -EBADMSG);
    }
}

/* ---- users ----------------------------------------------------------------------------------- */

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:44::/srv:/bin/sh\n"
                             "1000:x:0:0::/:/bin/sh\n";
static const char group[] =
    "root:x:0:\n1000:x:0:\nstaff:x:50:web,other\nwheel:x:10:root,web\nnet:x:77:\n";

static void test_users(void **state)
{
    static const char *const bad[] = { "nobody",     "web:nothing", "web:", "-1",
                                       "4294967295", " 0",          "0x0" };
    char net[] = "net", *extra[] = { net };
    static struct user user;
    struct wharf_error e = { 0 };

    assert_int_equal(user_resolve_in(passwd, group, "web", extra, 1, &user, &e), 0);
    assert_true(user.uid == 33 && user.gid == 44 && user.group_count == 3);
    assert_true(user.groups[0] == 50 && user.groups[1] == 10 && user.groups[2] == 77);
    assert_string_equal(user.home, "/srv");
    assert_int_equal(user_resolve_in(passwd, group, "33:staff", NULL, 0, &user, &e), 0);
    assert_true(user.uid == 33 && user.gid == 50 && user.group_count == 0);
    assert_int_equal(user_resolve_in(NULL, NULL, "5:6", NULL, 0, &user, &e), 0);
    assert_true(user.uid == 5 && user.gid == 6);
    assert_string_equal(user.home, "/");
    assert_int_equal(user_resolve_in(passwd, group, "1000:1000", NULL, 0, &user, &e), 0);
    assert_true(user.uid == 1000 && user.gid == 1000); /* an id, whoever is called so */
    assert_int_equal(user_resolve_in(passwd, group, "", NULL, 0, &user, &e), 0);
    assert_string_equal(user.home, "/root");
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_int_equal(user_resolve_in(passwd, group, bad[n], NULL, 0, &user, &e), -EINVAL);
}

/* ---- settings and specifications ------------------------------------------------------------- */

static int read_settings(const char *json, struct arena *arena, struct settings *s,
                         struct wharf_error *e)
{
    int r = settings_read(json, strlen(json), arena, s, e);

    return r == 0 ? settings_check(s, e) : r;
}

/* Any case; lists that are given as their only string; maps of lists; lists of lists. */
static void test_folded(struct arena *arena)
{
    const char *text = "{\"IMAGE\":\"x\",\"cmd\":\"ls\",\"labels\":{\"a\":\"1\",\"A\":\"2\"},"
                       "\"exposedports\":{\"80/tcp\":{}},\"hostconfig\":{\"portbindings\":{"
                       "\"80/tcp\":[{\"hostport\":\"8080\"}],\"81/udp\":null},\"mounts\":[{"
                       "\"type\":\"tmpfs\",\"TmpfsOptions\":{\"Options\":[[\"uid\",\"7\"]]}}]},"
                       "\"NetworkingConfig\":{\"endpointsconfig\":{\"Net\":{\"aliases\":[\"b\"],"
                       "\"NetworkID\":\"\"},\"other\":null}}}";
    struct wharf_error e = { 0 };
    struct settings s;

    assert_int_equal(settings_read(text, strlen(text), arena, &s, &e), 0);
    assert_string_equal(s.image, "x");
    assert_int_equal(s.cmd.count, 1);
    assert_int_equal(s.labels.count, 2);
    assert_string_equal(s.exposed_ports.items[0], "80/tcp");
    assert_int_equal(s.host->port_bindings.count, 2);
    assert_string_equal(s.host->port_bindings.items[0].bindings.items[0].host_port, "8080");
    assert_int_equal(s.host->port_bindings.items[1].bindings.count, 0);
    assert_string_equal(s.host->mounts.items[0].tmpfs->options.items[0].items[1], "7");
    assert_int_equal(s.networking->endpoints.count, 2);
    assert_string_equal(s.networking->endpoints.items[0].network, "Net");
    assert_string_equal(s.networking->endpoints.items[0].aliases.items[0], "b");
    autojson json_t *all = settings_to_json(&s);
    assert_true(json_is_null(json_object_get(all, "Env")));
    json_t *host = json_object_get(all, "HostConfig");
    assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 0);
    assert_true(json_is_array(json_object_get(json_object_get(host, "PortBindings"), "80/tcp")));
    assert_true(json_is_null(json_object_get(json_object_get(host, "PortBindings"), "81/udp")));
}

static void test_settings(void **state)
{
    static const struct {
        const char *json, *message;
    } bad[] = {
        { "{\"Image\":\"x\",\"HostConfig\":{\"Capabilities\":[\"x\"]}}",
          "HostConfig.Capabilities is not supported" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"PidMode\":\"container:\"}}",
          "invalid PID mode: container:" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"CpuCount\":1}}",
          "HostConfig.CpuCount: is for another platform; a Linux container cannot follow it" },
        { "{\"image\":\"x\",\"Image\":\"y\"}",
          "key 'image' stands twice (keys are compared without case)" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"},"
          "\"AutoRemove\":true}}",
          "can't create 'AutoRemove' container with restart policy" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"Mounts\":[{\"Type\":\"image\",\"ClusterOptions\":{"
          "\"x\":1}}]}}",
          "HostConfig.Mounts.ClusterOptions is not supported" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"PortBindings\":{\"80/xcp\":null}}}",
          "invalid proto: xcp" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"Runtime\":\"kata\"}}",
          "unknown or invalid runtime name: kata" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"Memory\":1000}}",
          "Minimum memory limit allowed is 6MB" },
        { "{\"Image\":\"x\",\"StopSignal\":\"SIGFOO\"}", "Invalid signal: SIGFOO" },
        { "{\"Image\":\"x\",\"HostConfig\":{\"Devices\":[{}]}}",
          "HostConfig.Devices[0].PathOnHost: is missing" },
    };
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct settings s;
    struct wharf_error e = { 0 };
    autofree char *text = NULL;

    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_true(read_settings(bad[n].json, arena, &s, &e) < 0);
        assert_string_equal(e.message, bad[n].message);
    }
    const char *good =
        "{\"Env\":[\"A=1\"],\"Image\":\"x\",\"Labels\":{\"a\":\"b\"},\"Healthcheck\":null,"
        "\"HostConfig\":{\"Memory\":8388608,\"Links\":[],\"AutoRemove\":true}}";
    assert_int_equal(read_settings(good, arena, &s, &e), 0);
    assert_int_equal(settings_write(&s, &text, &e), 0);
    assert_string_equal(text, "{\"Env\":[\"A=1\"],\"Image\":\"x\",\"Labels\":{\"a\":\"b\"},"
                              "\"HostConfig\":{\"Memory\":8388608,\"RestartPolicy\":{},"
                              "\"AutoRemove\":true}}");
    test_folded(arena);
    assert_int_equal(signal_parse("kill", &e), 9);
    assert_int_equal(signal_parse("SIGTERM", &e), 15);
    assert_int_equal(signal_parse("0", &e), -EINVAL);
}

static char *no_strings[] = { NULL };

/* config.json for these settings; NULL: refused */
static json_t *make_spec(const char *json, struct arena *arena, struct wharf_error *e)
{
    static struct user user;
    struct settings s;
    autobuf struct buf b = BUF(OCI_TEXT_MAX);
    json_t *tree = NULL;

    if (read_settings(json, arena, &s, e) < 0 ||
        user_resolve_in(passwd, group, s.user, NULL, 0, &user, e) < 0)
        return NULL;
    struct oci_input in = {
        .id = "0123", .hostname = "h", .etc = "/c", .settings = &s, .user = &user
    };
    if (oci_config(&in, arena, &b, e) < 0)
        return NULL;
    assert_int_equal(json_read(b.data, b.len, JSON_LIMITS, "spec", &tree, e), 0);
    return tree;
}

static void assert_json(json_t *tree, const char *path, const char *expected)
{
    autofree char *copy = strdup(path);

    for (char *p = copy, *dot; p; p = dot) {
        dot = strchr(p, '.');
        if (dot)
            *dot++ = '\0';
        tree = json_object_get(tree, p);
    }
    autofree char *text =
        tree ? json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("(none)");
    assert_string_equal(text, expected);
}

static void test_channels(void **state)
{
    static const char *const bad[] = { "", "A", "../x", "a/b", ":ro", "x:rw", "-x", "." };
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct channel c;

    assert_int_equal(channel_parse("my-chan.1", arena, &c, NULL), 0);
    assert_string_equal(c.name, "my-chan.1");
    assert_false(c.read_only);
    assert_int_equal(channel_parse("x:ro", arena, &c, NULL), 0);
    assert_string_equal(c.name, "x");
    assert_true(c.read_only);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(channel_parse(bad[i], arena, &c, NULL), -EINVAL);
}

static void test_spec(void **state)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct wharf_error e = { 0 };
    autojson json_t *spec =
        make_spec("{\"Image\":\"x\",\"Cmd\":[\"echo\",\"a "
                  "b\"],\"User\":\"web\",\"Env\":[\"A=\\\"\",\"HOME\"],"
                  "\"HostConfig\":{\"Memory\":67108864,\"NanoCpus\":500000000,\"PidsLimit\":20,"
                  "\"CapDrop\":[\"ALL\"],"
                  "\"CapAdd\":[\"net_admin\",\"CAP_KILL\"],\"SecurityOpt\":[\"no-new-privileges\","
                  "\"seccomp=unconfined\"],\"NetworkMode\":\"host\",\"ReadonlyRootfs\":true,"
                  "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":100,\"Hard\":200}]}}",
                  arena, &e);

    assert_non_null(spec);
    assert_json(spec, "process.args", "[\"echo\",\"a b\"]");
    assert_json(
        spec, "process.env",
        "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"HOSTNAME=h\","
        "\"A=\\\"\"]");
    assert_json(spec, "process.user", "{\"uid\":33,\"gid\":44,\"additionalGids\":[50,10]}");
    assert_json(spec, "process.capabilities",
                "{\"bounding\":[\"CAP_KILL\",\"CAP_NET_ADMIN\"],\"effective\":[],\"permitted\":[],"
                "\"inheritable\":[]}");
    assert_json(spec, "process.noNewPrivileges", "true");
    assert_json(spec, "process.rlimits",
                "[{\"type\":\"RLIMIT_NOFILE\",\"soft\":100,\"hard\":200}]");
    assert_json(spec, "linux.namespaces",
                "[{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},"
                "{\"type\":\"cgroup\"}]");
    assert_json(spec, "linux.resources.memory", "{\"limit\":67108864}");
    assert_json(spec, "linux.resources.cpu", "{\"quota\":50000,\"period\":100000}");
    assert_json(spec, "linux.resources.pids", "{\"limit\":20}");
    assert_json(spec, "linux.seccomp", "(none)");
    assert_json(spec, "linux.cgroupsPath", "\"/wharf-0123\"");
    assert_json(spec, "root", "{\"path\":\"/\",\"readonly\":true}");
}

static void test_spec_defaults(void **state)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct wharf_error e = { 0 };
    autojson json_t *spec =
        make_spec("{\"Image\":\"x\",\"Cmd\":[\"sh\"],\"HostConfig\":{\"Binds\":["
                  "\"/a:/b:ro\"]}}",
                  arena, &e);

    assert_non_null(spec);
    json_t *process = json_object_get(spec, "process"), *linux_ = json_object_get(spec, "linux");
    json_t *caps = json_object_get(process, "capabilities");
    assert_int_equal(json_array_size(json_object_get(caps, "effective")), 14);
    assert_int_equal(json_array_size(json_object_get(linux_, "namespaces")), 6);
    assert_json(spec, "linux.seccomp.defaultAction", "\"SCMP_ACT_ERRNO\"");
    autojson json_t *free_one = make_spec("{\"Image\":\"x\",\"Cmd\":[\"sh\"],\"HostConfig\":{"
                                          "\"Privileged\":true}}",
                                          arena, &e);
    assert_json(free_one, "linux.seccomp", "(none)");
    assert_json(free_one, "linux.maskedPaths", "(none)");
    assert_json(free_one, "linux.resources.devices", "[{\"allow\":true,\"access\":\"rwm\"}]");

    assert_null(make_spec("{\"Image\":\"x\",\"HostConfig\":{}}", arena, &e));
    assert_string_equal(e.message, "No command specified");
    assert_null(make_spec("{\"Image\":\"x\",\"Cmd\":[\"a\"],\"HostConfig\":{\"CapAdd\":[\"FLY\"]}}",
                          arena, &e));
    assert_string_equal(e.message, "invalid capability: 'FLY'");
}

/* What the user said stands; the rest is the image's; "" clears the image's entrypoint. */
static void test_merge(void **state)
{
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    char ep[] = "/entry", arg[] = "arg", own[] = "own", empty[] = "", a[] = "A=1", a2[] = "A=2",
         b[] = "B=1", data[] = "/data";
    char *entry[] = { ep, NULL }, *cmd[] = { arg, NULL }, *owns[] = { own }, *empties[] = { empty };
    char *image_env[] = { a, b, NULL }, *own_env[] = { a2 }, *volumes[] = { data, NULL };
    struct image_pair labels[] = { { "k", "image" }, { "l", "image" }, { NULL, NULL } };
    struct field_pair own_labels[] = { { (char *)"k", (char *)"own" } };
    struct image_info image = { .entrypoint = entry,
                                .cmd = cmd,
                                .env = image_env,
                                .shell = no_strings,
                                .volumes = volumes,
                                .exposed_ports = no_strings,
                                .labels = labels,
                                .user = "u",
                                .working_dir = "/w",
                                .stop_signal = "" };
    struct settings_host host = { .memory = 8 << 20 };
    struct settings s = { .host = &host, .env = { own_env, 1 }, .labels = { own_labels, 1 } }, t;
    field_strings got;

    t = s;
    assert_int_equal(settings_merge(&t, &image, arena, NULL), 0);
    assert_int_equal(oci_command(&t, arena, &got, NULL), 0);
    assert_true(got.count == 2 && streq(got.items[0], "/entry") && streq(got.items[1], "arg"));
    assert_true(t.env.count == 2 && streq(t.env.items[0], "A=2") && streq(t.env.items[1], "B=1"));
    assert_true(t.labels.count == 2 && streq(t.labels.items[0].value, "own"));
    assert_true(t.volumes.count == 1 && streq(t.user, "u") && streq(t.working_dir, "/w"));
    t = s;
    t.cmd = (field_strings){ owns, 1 };
    assert_int_equal(settings_merge(&t, &image, arena, NULL), 0);
    assert_int_equal(oci_command(&t, arena, &got, NULL), 0);
    assert_true(got.count == 2 && streq(got.items[1], "own"));
    t = s;
    t.cmd = (field_strings){ owns, 1 };
    t.entrypoint = (field_strings){ empties, 1 }; /* --entrypoint "" */
    assert_int_equal(settings_merge(&t, &image, arena, NULL), 0);
    assert_int_equal(oci_command(&t, arena, &got, NULL), 0);
    assert_true(got.count == 1 && streq(got.items[0], "own"));
    t.cmd.count = 0;
    assert_int_equal(oci_command(&t, arena, &got, NULL), -EINVAL);
    assert_int_equal(settings_defaults(&s, "0123456789abcdef", arena, NULL), 0);
    assert_string_equal(s.hostname, "0123456789ab");
    assert_int_equal(host.shm_size, 64 << 20);
    assert_string_equal(host.restart.name, "no");
}

static void test_binds(void **state)
{
    static const struct {
        const char *text, *type, *name, *source, *target, *mode, *options;
    } good[] = {
        { "/a/../b:/c/", "bind", "", "/b", "/c", "", "rbind,rprivate" },
        { "/a:/c:ro,rslave", "bind", "", "/a", "/c", "ro,rslave", "rbind,rslave,rro" },
        { "v:/c", "volume", "v", "", "/c", "z", "rbind,rprivate" },
        { "v:/c:ro,nocopy", "volume", "v", "", "/c", "ro,nocopy", "rbind,rprivate,rro" },
        { "/c", "volume", "", "", "/c", "", "rbind,rprivate" },
        { "/c:ro", "volume", "", "", "/c", "ro", "rbind,rprivate,rro" },
    };
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "", "invalid volume specification: ''" },
        { "a:b:c:d", "invalid volume specification: 'a:b:c:d'" },
        { "/a:/b:rx", "invalid mode: rx" },
        { "/a:/b:ro,rw", "invalid mode: ro,rw" },
        { "v:/b:rslave", "invalid mode: rslave" },
        { "/a:/", "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
                  "invalid specification: destination can't be '/'" },
        { "/a:b", "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
                  "invalid mount path: 'b' mount path must be absolute" },
    };
    auto_of(arena_free) struct arena *arena = arena_new(SETTINGS_ARENA_MAX);
    struct wharf_error e = { 0 };
    struct mount_point m;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(mount_parse_bind(good[i].text, NULL, arena, &m, &e), 0);
        assert_string_equal(m.type, good[i].type);
        assert_string_equal(m.name, good[i].name);
        assert_string_equal(m.source, good[i].source);
        assert_string_equal(m.destination, good[i].target);
        assert_string_equal(m.mode, good[i].mode);
        assert_string_equal(m.options, good[i].options);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(mount_parse_bind(bad[i].text, NULL, arena, &m, &e), -EINVAL);
        assert_string_equal(e.message, bad[i].message);
    }
}

/* Docker's own form of a profile: conditions are decided, what is left is OCI's. */
static void test_profile(void **state)
{
    static const char text[] =
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\","
        "\"subArchitectures\":[\"SCMP_ARCH_X86\"]},{\"architecture\":\"SCMP_ARCH_AARCH64\"}],"
        "\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_ALLOW\",\"comment\":\"x\"},"
        "{\"names\":[\"bpf\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_CHOWN\"]}"
        "},"
        "{\"names\":[\"x\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_BPF\"]}},"
        "{\"names\":[\"y\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"999.0\"}},"
        "{\"names\":[\"z\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":[\"CAP_CHOWN\"]}}]"
        "}";
    autobuf struct buf b = BUF(65536);

    assert_int_equal(seccomp_profile(text, 1 /* CAP_CHOWN */, &b, NULL), 0);
    assert_string_equal(strstr(b.data, "\"syscalls\""),
                        "\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"read\"]},"
                        "{\"names\":[\"bpf\"],\"action\":\"SCMP_ACT_ALLOW\"}],"
                        "\"architectures\":["
#ifdef __x86_64__
                        "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"]}"
#else
                        "\"SCMP_ARCH_AARCH64\"]}"
#endif
    );
    assert_int_equal(seccomp_profile("{}", 0, &b, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_locks),
        cmocka_unit_test(test_store),         cmocka_unit_test(test_store_grows),
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_shim_config),
        cmocka_unit_test(test_exit_file),     cmocka_unit_test(test_log_round),
        cmocka_unit_test(test_log_long_line), cmocka_unit_test(test_log_rotation),
        cmocka_unit_test(test_log_torn),      cmocka_unit_test(test_log_parse),
        cmocka_unit_test(test_users),         cmocka_unit_test(test_settings),
        cmocka_unit_test(test_channels),      cmocka_unit_test(test_spec),
        cmocka_unit_test(test_spec_defaults), cmocka_unit_test(test_merge),
        cmocka_unit_test(test_binds),         cmocka_unit_test(test_profile),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
