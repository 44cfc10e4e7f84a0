/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUN. The key: the chain below, the words of the command, the variables it sees, user, directory,
 * network, mounts. Never the time or what a network said: a command is taken to do the same again.
 */
#include <fcntl.h>
#include <sys/random.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/mounts.h"
#include "libimage/build/words.h"

/* What every container has something mounted on. */
static const char *const standard_points[] = { "dev",        "proc",          "sys",
                                               "etc/hosts:", "etc/hostname:", "etc/resolv.conf:" };

struct run {
    struct stage_work *s;
    const struct instruction *i;
    char **argv, **args; /* args: variables beside Env, sorted */
    const char *script;  /* a here-document with an interpreter of its own; NULL: none */
    const char *script_path;
    mount_requests requests;
    struct mounts *mounts;
    enum build_network network;
    bool insecure;
    const char *cwd, *user;
};

/* ---- the command ----------------------------------------------------------------------------- */

static int shell_command(struct run *run, const char *text, struct wharf_error *e)
{
    char **shell = stage_shell(run->s);
    size_t n = strv_count((const char *const *)shell);
    char **argv = arena_array(run->s->arena, n + 2, sizeof(*argv));

    if (!argv || !text)
        return err_nomem(e);
    memcpy(argv, shell, n * sizeof(*argv));
    argv[n] = (char *)(uintptr_t)text;
    run->argv = argv;
    return 0;
}

/* Only `RUN <<EOF`: the text is the script. Anything before it: the shell reads the documents. */
static int heredoc_command(struct run *run, struct wharf_error *e)
{
    const struct instruction *i = run->i;
    autobuf struct buf b = BUF(DOCKERFILE_MAX);
    struct heredoc doc;
    int r = heredoc_word(i->args[0], run->s->arena, &doc, e);

    if (r < 0)
        return r;
    if (r > 0 && str_after(i->docs.items[0].content, "#!")) {
        run->script = i->docs.items[0].content;
        run->script_path = arena_format(run->s->arena, "/dev/pipes/%s", doc.name);
        run->argv = arena_array(run->s->arena, 2, sizeof(char *));
        if (!run->argv || !run->script_path)
            return err_nomem(e);
        run->argv[0] = (char *)(uintptr_t)run->script_path;
        return 0;
    }
    if (r > 0)
        return shell_command(run, i->docs.items[0].content, e);
    buf_str(&b, i->args[0]);
    for (size_t n = 0; n < i->docs.count; n++)
        buf_printf(&b, "\n%s%s", i->docs.items[n].content, i->docs.items[n].name);
    return b.error ? err_nomem(e) : shell_command(run, arena_str(run->s->arena, b.data), e);
}

static int find_command(struct run *run, struct wharf_error *e)
{
    const struct instruction *i = run->i;

    if (!i->json && i->docs.count > 0)
        return heredoc_command(run, e);
    if (!i->json)
        return shell_command(run, i->args[0], e);
    run->argv = arena_array(run->s->arena, i->count + 1, sizeof(char *));
    if (!run->argv)
        return err_nomem(e);
    memcpy(run->argv, i->args, i->count * sizeof(char *));
    return 0;
}

static int find_network(struct run *run, struct wharf_error *e)
{
    static const struct field_word networks[] = { { "default", BUILD_NETWORK_DEFAULT },
                                                  { "none", BUILD_NETWORK_NONE },
                                                  { "host", BUILD_NETWORK_HOST },
                                                  { NULL, 0 } };
    const struct instruction_flags *f = &run->i->flags;
    const char *security = f->security ? f->security : "sandbox";
    int64_t word = run->s->job->o.network;

    if (f->network && field_word_find(networks, f->network, &word) < 0)
        return err_invalid(e, "unsupported network mode \"%.50s\"", f->network);
    if (!streq(security, "sandbox") && !streq(security, "insecure"))
        return err_invalid(e, "security \"%.50s\" is not valid", security);
    run->network = f->network && word == BUILD_NETWORK_DEFAULT ? run->s->job->o.network
                                                               : (enum build_network)word;
    run->insecure = streq(security, "insecure");
    return 0;
}

static const char *config_text(struct stage_work *s, const char *member, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(s->state.config, member));

    return text && *text ? text : otherwise;
}

static int prepare(struct run *run, struct wharf_error *e)
{
    struct stage_work *s = run->s;
    int r = find_command(run, e);

    if (r == 0)
        r = find_network(run, e);
    if (r == 0)
        r = run_mounts_parse(s, run->i, &run->requests, e);
    if (r < 0)
        return r;
    run->cwd = config_text(s, "WorkingDir", "/");
    run->user = config_text(s, "User", "");
    run->args = stage_run_args(s, false);
    return run->args ? 0 : err_nomem(e);
}

/* `|2 A=1 B=2 /bin/sh -c command`, as docker's history has it. */
static const char *history_text(struct run *run)
{
    autobuf struct buf b = BUF(DOCKERFILE_MAX);
    size_t n = strv_count((const char *const *)run->args);

    if (!run->s->job->o.classic)
        buf_str(&b, "RUN ");
    if (n > 0)
        buf_printf(&b, "|%zu ", n);
    for (char **p = run->args; *p; p++)
        buf_printf(&b, "%s ", *p);
    for (char **p = run->argv; *p; p++)
        buf_printf(&b, "%s%s", p == run->argv ? "" : " ", *p);
    return b.error ? NULL : arena_str(run->s->arena, b.data);
}

static int make_key(struct run *run, char ret[KEY_MAX], struct wharf_error *e)
{
    json_t *env = json_object_get(run->s->state.config, "Env"), *item;
    char text[64];
    struct key k;
    size_t i;
    int r;

    key_begin(&k, "RUN");
    key_add(&k, layer_stack_chain(&run->s->state.layers));
    for (char **p = run->argv; *p; p++)
        key_add(&k, *p);
    key_add(&k, NULL);
    for (char **p = run->args; *p; p++)
        key_add(&k, *p);
    key_add(&k, NULL);
    json_array_foreach (env, i, item)
        key_add(&k, json_string_value(item));
    key_add(&k, NULL);
    key_add(&k, run->script);
    key_add(&k, run->cwd);
    key_add(&k, run->user);
    snprintf(text, sizeof(text), "%d %d %lld", run->network, run->insecure,
             (long long)run->s->job->epoch);
    key_add(&k, text);
    r = run_mounts_key(run->s, &run->requests, &k, e);
    key_end(&k, ret);
    return r;
}

/* ---- running --------------------------------------------------------------------------------- */

static int take_output(int stream, const void *data, size_t len, void *arg)
{
    struct run *run = arg;

    job_tell(run->s->job, (struct build_event){ .type = BUILD_EVENT_OUTPUT,
                                                .number = run->s->step,
                                                .stage = run->s->index,
                                                .stream = stream,
                                                .text = data,
                                                .len = len });
    return job_check(run->s->job, NULL) < 0;
}

static int is_cancelled(void *arg)
{
    struct run *run = arg;

    return job_check(run->s->job, NULL) < 0;
}

/* Env, then the arguments, then what mounts bring; HOME is the runner's business. */
static int make_env(struct run *run, field_strings *env, struct wharf_error *e)
{
    json_t *list = json_object_get(run->s->state.config, "Env"), *item;
    struct arena *arena = run->s->arena;
    char **args = stage_run_args(run->s, true);
    size_t i;
    int r = args ? 0 : -ENOMEM;

    json_array_foreach (list, i, item) {
        if (r == 0 && json_is_string(item))
            r = words_add(arena, env, json_string_value(item), json_string_length(item));
    }
    for (; r == 0 && *args; args++)
        r = words_add(arena, env, *args, strlen(*args));
    for (i = 0; i < run->mounts->env_count && r == 0; i++)
        r = words_add(arena, env, run->mounts->env[i], strlen(run->mounts->env[i]));
    char **end = r == 0 ? LIST_ADD(arena, env, WORDS_MAX) : NULL;
    if (!end)
        return err_nomem(e);
    *end = NULL;
    return 0;
}

/* Mount points in the form of workspace_open. Below /dev there is a file system of its own. */
static const char **mount_points(struct run *run)
{
    size_t count = ARRAY_SIZE(standard_points) + run->mounts->count, n = 0;
    const char **list = arena_array(run->s->arena, count + 1, sizeof(*list));

    for (size_t i = 0; list && i < ARRAY_SIZE(standard_points); i++)
        list[n++] = standard_points[i];
    for (size_t i = 0; list && i < run->mounts->count; i++) {
        const struct build_mount *m = &run->mounts->items[i];
        bool file = m->kind == BUILD_MOUNT_SECRET || m->kind == BUILD_MOUNT_SOCKET;
        struct stat st;

        if (m->kind == BUILD_MOUNT_BIND && fstat(m->tree, &st) == 0)
            file = !S_ISDIR(st.st_mode);
        if (str_after(m->target, "/dev/") || str_after(m->target, "/proc/"))
            continue;
        list[n] = arena_format(run->s->arena, "%s%s", m->target + 1, file ? ":" : "");
        if (!list[n++])
            return NULL;
    }
    return list;
}

static int call_runner(struct run *run, struct workspace *w, const char *id, struct wharf_error *e)
{
    struct job *job = run->s->job;
    field_strings env = { 0 };
    int status = 0, r = make_env(run, &env, e);
    struct build_command command = {
        .id = id,
        .root = w->mount,
        .argv = (const char *const *)run->argv,
        .env = (const char *const *)env.items,
        .user = run->user,
        .working_dir = run->cwd,
        .mounts = run->mounts->items,
        .mount_count = run->mounts->count,
        .network = run->network,
        .insecure = run->insecure,
        .extra_hosts = job->o.extra_hosts,
        .host = job->o.host,
        .output = take_output,
        .cancelled = is_cancelled,
        .arg = run,
    };

    if (r < 0)
        return r;
    if (!job->o.runner)
        return err_unsupported(e, "this program cannot run commands: RUN is not possible");
    autoclose int cwd = path_make_dirs_in(w->mount, run->cwd, 0755);
    if (cwd < 0)
        return err_code(e, cwd, "cannot make the working directory '%.200s'", run->cwd);
    cwd = fd_close(cwd);
    r = job->o.runner->run(job->o.runner->self, &command, &status, e);
    if (r == 0)
        r = job_check(job, e);
    if (r < 0 || status == 0)
        return r;
    run->s->exit_code = status;
    return err_set(e, -ECHILD, WHARF_ERROR_INVALID, RUN_FAILED, run->s->command, status);
}

void place_id(char ret[PLACE_ID_MAX])
{
    unsigned char random[32] = { 0 };

    /* so few bytes come all at once (getrandom(2)) */
    while (getrandom(random, sizeof(random), 0) < 0 && errno == EINTR)
        ;
    hex_encode(random, sizeof(random), ret);
}

static int make(struct run *run, struct outcome *o, struct wharf_error *e)
{
    const struct layer_stack *layers = &run->s->state.layers;
    autoworkspace struct workspace w = WORKSPACE;
    char id[PLACE_ID_MAX];
    int r = run_mounts_open(run->mounts, run->s, &run->requests, e);

    if (r < 0)
        return r;
    if (run->script)
        run->mounts->items[run->mounts->count++] = (struct build_mount){ .kind = BUILD_MOUNT_SECRET,
                                                                         .target = run->script_path,
                                                                         .tree = -1,
                                                                         .data = run->script,
                                                                         .len = strlen(run->script),
                                                                         .mode = 0755 };
    const char **points = mount_points(run);
    if (!points)
        return err_nomem(e);
    place_id(id);
    job_tell(run->s->job, (struct build_event){ .type = BUILD_EVENT_RUNNING,
                                                .number = run->s->step,
                                                .stage = run->s->index,
                                                .id = id });
    r = workspace_open(&w, run->s->job, layers, points, e);
    if (r == 0)
        r = call_runner(run, &w, id, e);
    job_tell(run->s->job, (struct build_event){ .type = BUILD_EVENT_REMOVED,
                                                .number = run->s->step,
                                                .stage = run->s->index,
                                                .id = id });
    return r < 0 ? r : workspace_commit(&w, layers, &o->record, e);
}

static const char *joined(struct stage_work *s, char **words)
{
    autobuf struct buf b = BUF(DOCKERFILE_MAX);

    for (char **p = words; *p; p++)
        buf_printf(&b, "%s%s", p == words ? "" : " ", *p);
    return b.error ? NULL : arena_str(s->arena, b.data ? b.data : "");
}

int stage_run(struct stage_work *s, const struct instruction *i, struct outcome *o,
              struct wharf_error *e)
{
    struct run run = { .s = s, .i = i };
    autofree struct mounts *mounts = calloc(1, sizeof(*mounts));
    char key[KEY_MAX];
    int r;

    if (!mounts)
        return err_nomem(e);
    run.mounts = mounts;
    r = prepare(&run, e);
    if (r == 0)
        r = make_key(&run, key, e);
    if (r < 0)
        return r;
    o->files = true;
    o->text = history_text(&run);
    s->command = joined(s, run.argv);
    if (!o->text || !s->command)
        return err_nomem(e);
    o->cached = cache_find(s->job, key, &o->record);
    if (o->cached)
        return 0;
    r = make(&run, o, e);
    run_mounts_close(mounts);
    return r < 0 ? r : cache_add(s->job, key, &o->record, e);
}
