/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wharf build. The builder is libimage's, commands are run by the engine in this process, images
 * and URLs are fetched by modules. The Dockerfile is read here when it lies beside or outside of
 * the context, so that a fault can show its lines.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/wharf/build-progress.h"
#include "cmd/wharf/cli.h"
#include "engine/build-runner.h"
#include "libimage/build/fetch.h"

enum { DOCKERFILE_SIZE_MAX = 4 << 20, ARENA_SIZE_MAX = 64 << 20 };

struct build {
    struct cli *cli;
    const struct build_command_options *o;
    struct arena *arena;
    struct build_options options;
    struct build_user user;
    struct build_runner runner;
    struct build_fetcher fetcher;
    struct progress progress;
    const char *dockerfile; /* its name, for messages */
    char *text, *host;
    int context;
    bool interrupted;
};

/* ---- values of flags ------------------------------------------------------------------------- */

static int pairs(struct build *b, char **list, bool from_env, const struct build_pair **ret)
{
    size_t n = list ? strv_count((const char *const *)list) : 0;
    struct build_pair *out = arena_array(b->arena, n + 1, sizeof(*out));

    for (size_t i = 0; out && i < n; i++) {
        char *copy = arena_str(b->arena, list[i]), *at = copy ? strchr(copy, '=') : NULL;

        if (!copy)
            return -ENOMEM;
        if (at)
            *at++ = '\0';
        out[i] = (struct build_pair){ copy, at ? at : from_env ? getenv(copy) : "" };
    }
    *ret = n ? out : NULL;
    return out ? 0 : -ENOMEM;
}

/* The part `key=` of "id=x,src=y"; NULL: not there. */
static const char *field(struct build *b, const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *p = text; *p; p += strcspn(p, ","), p += *p == ',') {
        if (strncmp(p, key, len) == 0 && p[len] == '=')
            return arena_strn(b->arena, p + len + 1, strcspn(p + len + 1, ","));
    }
    return NULL;
}

static int secrets(struct build *b, struct wharf_error *e)
{
    size_t n = b->o->secrets ? strv_count((const char *const *)b->o->secrets) : 0;
    struct build_secret *out = arena_array(b->arena, n + 1, sizeof(*out));

    for (size_t i = 0; out && i < n; i++) {
        const char *text = b->o->secrets[i], *path = field(b, text, "src");

        out[i].id = field(b, text, "id");
        out[i].path = path ? path : field(b, text, "source");
        out[i].env = field(b, text, "env");
        if (!out[i].id)
            return err_invalid(
                e, "--secret '%s' has no id: id=NAME,src=FILE or id=NAME,env=VARIABLE", text);
        if (!out[i].path && !out[i].env)
            out[i].env = getenv(out[i].id) ? out[i].id : NULL;
        if (!out[i].path && !out[i].env)
            out[i].path = out[i].id;
    }
    b->options.secrets = n ? out : NULL;
    return out ? 0 : err_nomem(e);
}

static int agents(struct build *b, struct wharf_error *e)
{
    size_t n = b->o->ssh ? strv_count((const char *const *)b->o->ssh) : 0;
    struct build_ssh *out = arena_array(b->arena, n + 1, sizeof(*out));

    for (size_t i = 0; out && i < n; i++) {
        const char *text = b->o->ssh[i], *equals = strchr(text, '=');

        out[i].id = equals ? arena_strn(b->arena, text, (size_t)(equals - text)) : text;
        out[i].path = equals ? equals + 1 : getenv("SSH_AUTH_SOCK");
        if (!out[i].path)
            return err_invalid(e, "--ssh %s: SSH_AUTH_SOCK is not set", text);
    }
    b->options.ssh = n ? out : NULL;
    return out ? 0 : err_nomem(e);
}

/* What concerns the commands alone is the engine's business. */
static int host_config(struct build *b, struct wharf_error *e)
{
    autojson json_t *host =
        json_pack("{s:I,s:I,s:s}", "Memory", (json_int_t)b->o->memory, "ShmSize",
                  (json_int_t)b->o->shm_size, "NetworkMode", b->o->network ? b->o->network : "");

    b->host = host ? json_write(host, JSON_COMPACT) : NULL;
    b->options.host = b->host;
    return b->host ? 0 : err_invalid(e, "--network: the name is not UTF-8");
}

static int fill_options(struct build *b, struct wharf_error *e)
{
    const struct build_command_options *o = b->o;
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    struct build_options *out = &b->options;
    int r;

    if (pairs(b, o->build_args, true, &out->args) < 0 ||
        pairs(b, o->labels, false, &out->labels) < 0 ||
        pairs(b, o->contexts, false, &out->contexts) < 0)
        return err_nomem(e);
    if (epoch && *epoch && parse_i64(epoch, 0, INT64_MAX / 1000000000, &out->source_date_epoch) < 0)
        return err_invalid(e, "invalid SOURCE_DATE_EPOCH: %s", epoch);
    out->tags = (const char *const *)o->tags;
    out->target = o->target;
    out->platform = o->platform;
    out->extra_hosts = (const char *const *)o->add_hosts;
    out->no_cache = o->no_cache;
    out->pull = o->pull;
    r = secrets(b, e);
    if (r == 0)
        r = agents(b, e);
    return r == 0 ? host_config(b, e) : r;
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static int pull(void *self, struct image_store *store, const char *reference, const char *platform,
                int (*progress)(const struct image_progress *progress, void *arg), void *arg,
                struct wharf_error *e)
{
    struct image_remote_options options = {
        .size = sizeof(options), .platform = platform, .progress = progress, .arg = arg
    };

    (void)self;
    return image_pull(store, reference, &options, NULL, e);
}

static int fetch(void *self, const char *url, int fd, struct build_fetched *ret,
                 struct wharf_error *e)
{
    (void)self;
    return fetch_url(url, fd, ret, e);
}

/* SIGINT and SIGTERM are held back and looked for: a build that is told to end keeps what it has.
 */
static int is_cancelled(void *arg)
{
    struct build *b = (struct build *)((char *)arg - offsetof(struct build, progress));
    const struct timespec now = { 0 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (!__atomic_load_n(&b->interrupted, __ATOMIC_RELAXED) && sigtimedwait(&set, NULL, &now) > 0)
        __atomic_store_n(&b->interrupted, true, __ATOMIC_RELAXED);
    return __atomic_load_n(&b->interrupted, __ATOMIC_RELAXED);
}

/* ---- context and Dockerfile ------------------------------------------------------------------ */

static bool is_remote(const char *path)
{
    return str_after(path, "http://") || str_after(path, "https://") || str_after(path, "git://") ||
           str_after(path, "git@") || str_after(path, "ssh://") || str_after(path, "github.com/");
}

static int open_context(struct build *b, const char *path, struct wharf_error *e)
{
    if (is_remote(path)) {
        b->options.remote = path;
        return 0;
    }
    b->context = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : open(path, O_RDONLY | O_CLOEXEC);
    if (b->context < 0)
        return err_sys(e, "unable to prepare context: path \"%s\"", path);
    return 0;
}

static int read_text(struct build *b, int dirfd, const char *path, struct wharf_error *e)
{
    ssize_t n;

    if (streq(path, "-")) {
        autobuf struct buf text = BUF(DOCKERFILE_SIZE_MAX);
        int r = fd_read_all(STDIN_FILENO, &text);

        n = r < 0 ? r : (ssize_t)text.len;
        b->text = r < 0 ? NULL : buf_take(&text);
    } else {
        n = file_read(dirfd, path, DOCKERFILE_SIZE_MAX, &b->text);
    }
    if (n < 0)
        return n == -ENOENT ? err_not_found(e,
                                            "unable to prepare context: unable to evaluate "
                                            "symlinks in Dockerfile path: lstat %s: no such "
                                            "file or directory",
                                            path)
                            : err_code(e, (int)n, "cannot read '%s'", path);
    b->options.dockerfile_text = b->text;
    b->options.dockerfile_len = (size_t)n;
    return 0;
}

/* With a context that is an archive or far away, -f names a member of it. */
static int find_dockerfile(struct build *b, const char *path, struct wharf_error *e)
{
    const char *file = b->o->file;
    struct stat st;

    b->dockerfile = file ? file : "Dockerfile";
    b->options.dockerfile = file;
    if (file && streq(file, "-")) {
        b->options.dockerfile = NULL;
        return streq(path, "-") ? err_invalid(e, "invalid argument: can't use stdin for both build "
                                                 "context and dockerfile")
                                : read_text(b, AT_FDCWD, file, e);
    }
    if (b->context < 0 || fstat(b->context, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    if (!file) /* the builder says in its words that there is none */
        return faccessat(b->context, "Dockerfile", F_OK, 0) < 0
                   ? 0
                   : read_text(b, b->context, "Dockerfile", e);
    const char *slash = strrchr(file, '/');
    b->options.dockerfile = slash ? slash + 1 : file;
    return read_text(b, AT_FDCWD, file, e);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int write_id(const char *path, const char *id, struct wharf_error *e)
{
    int r = path ? file_replace(AT_FDCWD, path, id, strlen(id), 0644, false) : 0;

    return r < 0 ? err_code(e, r, "cannot write '%s'", path) : 0;
}

static int build(struct build *b, const char *path, struct wharf_error *e)
{
    struct image_store *store;
    sigset_t set;
    int r = engine_images(b->cli->engine, b->cli->who, &store, e);

    if (r == 0)
        r = fill_options(b, e);
    if (r == 0)
        r = open_context(b, path, e);
    if (r == 0)
        r = find_dockerfile(b, path, e);
    if (r < 0)
        return r;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL); /* inherited by the build's threads */
    r = build_run(store, b->context, &b->options, NULL, e);
    progress_end(&b->progress);
    if (r < 0) {
        progress_show_fault(&b->progress, b->dockerfile, b->text, b->options.dockerfile_len);
        return r;
    }
    build_collect(store, 0);
    r = write_id(b->o->iidfile, b->progress.id, e);
    if (r == 0 && b->o->quiet)
        printf("%s\n", b->progress.id);
    return r;
}

static int choose_progress(struct build *b, struct wharf_error *e)
{
    const char *kind = b->o->progress ? b->o->progress : "auto";
    bool terminal = isatty(STDERR_FILENO) != 0;

    if (!streq(kind, "auto") && !streq(kind, "plain") && !streq(kind, "tty") &&
        !streq(kind, "quiet"))
        return err_invalid(e, "--progress %s: there are auto, plain, tty and quiet", kind);
    if (!streq(kind, "auto"))
        terminal = streq(kind, "tty");
    progress_begin(&b->progress, terminal, b->o->quiet || streq(kind, "quiet"));
    return 0;
}

int build_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct build b = { .cli = cli, .o = options, .context = -1, .options = BUILD_OPTIONS };
    int r;

    b.arena = arena_new(ARENA_SIZE_MAX);
    b.user = (struct build_user){ cli->engine, cli->who };
    engine_build_runner(&b.user, &b.runner);
    b.fetcher = (struct build_fetcher){ .pull = pull, .fetch = fetch };
    b.options.runner = &b.runner;
    b.options.fetcher = &b.fetcher;
    b.options.event = progress_event;
    b.options.cancelled = is_cancelled;
    b.options.arg = &b.progress;
    r = b.arena ? choose_progress(&b, &cli->e) : err_nomem(&cli->e);
    if (r == 0)
        r = build(&b, argv[0], &cli->e);
    fd_close(b.context);
    free(b.text);
    free(b.host);
    arena_free(b.arena);
    if (b.interrupted)
        return 130;
    return r < 0 ? cli_fail(cli) : 0;
}

int build_prune_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct build_prune_command_options *o = options;
    struct build_prune_options prune = {
        .size = sizeof(prune), .all = o->all, .mounts = o->all, .keep = o->keep
    };
    struct image_store *store;
    int64_t freed = 0;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (!o->all && o->keep == 0)
        prune.older = 48 * 3600; /* what docker's garbage collector takes first */
    if (r == 0)
        r = build_prune(store, &prune, &freed, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    printf("Total: %lld bytes\n", (long long)freed);
    return 0;
}
