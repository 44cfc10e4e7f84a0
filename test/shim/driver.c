/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a door does with an engine, as a command for tests: each line of stdin is a step, each is
 * answered by a line on stdout ("ok ..." or "error KIND MESSAGE"). Descriptors that steps name are
 * those the driver was started with.
 *
 *     driver ROOT
 *     attach NAME FLAGS [KEYS]   FLAGS of i o e (streams) l (logs) s (stream) r (raw)
 *     exec NAME FLAGS WORD...    FLAGS of i o e t p; answers the id
 *     begin ID | run ID          starts an exec: in two steps, or with nobody attached
 *     connect FD [EARLY]         the session that attach or begin made
 *     start NAME | stop NAME | resize NAME ROWS COLUMNS | inspect ID | execs ID
 *     wait NAME CONDITION        registers; answers ok
 *     await                      answers the code
 *     logs NAME FLAGS [TAIL]     FLAGS of o e t d f; writes to descriptor 3
 *     events SINCE UNTIL [FILTERS]
 *     restart-all                as a daemon that begins; answers how many
 */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "base/fd.h"
#include "base/str.h"
#include "engine/engine.h"

#define WORDS_MAX 32

static struct engine *engine;
static const struct principal root = { 0 };
static struct session *session;
static struct engine_wait *waiting;
static struct wharf_error e;

static void say(int r, const char *text)
{
    if (r < 0)
        printf("error %s %s\n", wharf_error_kind_name(e.kind), e.message);
    else
        printf("ok%s%s\n", *text ? " " : "", text);
    fflush(stdout);
}

static bool has(const char *flags, char c)
{
    return strchr(flags, c) != NULL;
}

static int do_attach(char **w)
{
    char keys[DETACH_KEYS_MAX];
    struct engine_attach ask = { .streams = { has(w[2], 'i'), has(w[2], 'o'), has(w[2], 'e') },
                                 .logs = has(w[2], 'l'),
                                 .stream = has(w[2], 's'),
                                 .raw = has(w[2], 'r'),
                                 .detach_keys = keys };
    int r = detach_keys_parse(w[3], keys, &e);

    return r < 0 ? r : engine_container_attach_begin(engine, root, w[1], &ask, &session, &e);
}

static int do_exec(char **w, char *ret_id)
{
    struct engine_exec x = { .argv = (const char *const *)w + 3,
                             .tty = has(w[2], 't'),
                             .privileged = has(w[2], 'p'),
                             .streams = { has(w[2], 'i'), has(w[2], 'o'), has(w[2], 'e') },
                             .detach_keys = "\x10\x11" };

    return engine_exec_create(engine, root, w[1], &x, ret_id, &e);
}

static int do_connect(char **w)
{
    uint64_t fd;

    assert(session && parse_u64(w[1], 0, 1000, &fd) == 0);
    int r = session_connect(session, (int)fd, w[2], w[2] ? strlen(w[2]) : 0, &e);
    session_close(session);
    session = NULL;
    close((int)fd);
    return r;
}

static int do_await(int64_t *code)
{
    int r;

    while ((r = engine_wait_next(waiting, code, &e)) == 0) {
        struct pollfd p = { engine_wait_fd(waiting), POLLIN, 0 };

        poll(&p, 1, -1);
    }
    engine_wait_end(waiting);
    waiting = NULL;
    return r;
}

static int do_wait(char **w)
{
    enum engine_wait_condition condition;
    int r = engine_wait_parse(w[2], &condition, &e);

    return r < 0 ? r : engine_wait_begin(engine, root, w[1], condition, &waiting, &e);
}

static int put(void *user, const void *data, size_t len)
{
    return fd_write_all(3, data, len);
}

static int do_logs(char **w)
{
    struct engine_logs logs = { .follow = has(w[2], 'f'), .tail = LOG_TAIL_ALL };
    struct engine_log_form form = { .streams = { false, has(w[2], 'o'), has(w[2], 'e') },
                                    .timestamps = has(w[2], 't'),
                                    .details = has(w[2], 'd'),
                                    .framed = has(w[2], 'm'),
                                    .write = put };

    if (w[3])
        parse_u64(w[3], 0, UINT64_MAX, &logs.tail);
    return engine_container_log_stream(engine, root, w[1], &logs, &form, &e);
}

static int show(void *user, const struct event *event)
{
    if (event)
        printf("%s\n", event->text);
    fflush(stdout);
    return 0;
}

static int do_events(char **w)
{
    autojson json_t *filters = w[3] ? json_loads(w[3], 0, NULL) : NULL;
    struct engine_events ask = { .filters = filters, .gone_fd = -1, .each = show };

    assert(parse_i64(w[1], 0, INT64_MAX, &ask.since_ns) == 0 &&
           parse_i64(w[2], 0, INT64_MAX, &ask.until_ns) == 0);
    return engine_events(engine, root, &ask, &e);
}

static int do_json(json_t *tree, int r, char *text, size_t size)
{
    autofree char *json = r == 0 ? json_dumps(tree, JSON_COMPACT) : NULL;

    snprintf(text, size, "%s", json ? json : "");
    json_decref(tree);
    return r;
}

static int step(char **w, char *text, size_t size)
{
    json_t *tree = NULL;
    uint64_t rows, columns;
    int64_t code = 0;
    int r;

    if (streq(w[0], "attach"))
        return do_attach(w);
    if (streq(w[0], "exec"))
        return do_exec(w, text);
    if (streq(w[0], "run"))
        return engine_exec_start(engine, root, w[1], &e);
    if (streq(w[0], "begin"))
        return engine_exec_start_begin(engine, root, w[1], 0, 0, &session, &e);
    if (streq(w[0], "connect"))
        return do_connect(w);
    if (streq(w[0], "start"))
        return engine_container_start(engine, root, w[1], NULL, NULL, &e);
    if (streq(w[0], "stop"))
        return engine_container_stop(engine, root, w[1], 1, &e);
    if (streq(w[0], "wait"))
        return do_wait(w);
    if (streq(w[0], "restart-all")) {
        r = engine_restart_all(engine, &e);
        snprintf(text, size, "%d", r);
        return r;
    }
    if (streq(w[0], "logs"))
        return do_logs(w);
    if (streq(w[0], "events"))
        return do_events(w);
    if (streq(w[0], "resize")) {
        assert(parse_u64(w[2], 0, 999, &rows) == 0 && parse_u64(w[3], 0, 999, &columns) == 0);
        return strlen(w[1]) == 64 ? engine_exec_resize(engine, root, w[1], rows, columns, &e)
                                  : engine_container_resize(engine, root, w[1], rows, columns, &e);
    }
    if (streq(w[0], "inspect")) {
        r = engine_exec_inspect(engine, root, w[1], &tree, &e);
        return do_json(tree, r, text, size);
    }
    if (streq(w[0], "execs"))
        return do_json(json_pack("[o]", engine_exec_ids(engine, w[1])), 0, text, size);
    assert(streq(w[0], "await"));
    r = do_await(&code);
    snprintf(text, size, "%lld", (long long)code);
    return r;
}

int main(int argc, char **argv)
{
    struct engine_options options = { .root = argv[1], .shim = argv[2] };
    char line[4096], text[16384];

    for (int fd = 3; fd < 100; fd++) /* not for the shims that are started from here */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (engine_open(&engine, &options, &e) < 0) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin)) {
        char *words[WORDS_MAX + 1] = { 0 }, *rest = line;
        size_t count = 0;

        line[strcspn(line, "\n")] = '\0';
        for (char *word; count < WORDS_MAX && (word = strsep(&rest, "\t"));)
            words[count++] = word;
        text[0] = '\0';
        memset(&e, 0, sizeof(e));
        say(step(words, text, sizeof(text)), text);
    }
    session_close(session);
    engine_close(engine);
    return 0;
}
