/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in and out of containers: export, commit, cp. A copy is an archive that passes through a
 * pipe; the side that knows no container is packed and unpacked with the same functions.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "base/treetar.h"
#include "cmd/wharf/cli.h"
#include "libimage/into.h"

int export_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct save_file_options *o = options;
    autoclose int file = -1;

    if (o->output) {
        file = open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0) {
            err_sys(&cli->e, "cannot write '%s'", o->output);
            return cli_fail(cli);
        }
    } else if (isatty(STDOUT_FILENO)) {
        err_invalid(&cli->e, "cowardly refusing to save to a terminal. Use the -o flag or "
                             "redirect");
        return cli_fail(cli);
    }
    int r = engine_container_export(cli->engine, cli->who, argv[0],
                                    o->output ? file : STDOUT_FILENO, &cli->e);
    if (r < 0 && o->output)
        unlink(o->output);
    return r < 0 ? cli_fail(cli) : 0;
}

int commit_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct commit_options *o = options;
    autojson json_t *answer = NULL;
    struct engine_commit ask = { .name = argc > 1 ? argv[1] : NULL,
                                 .comment = o->message,
                                 .author = o->author,
                                 .pause = !o->no_pause,
                                 .changes = (const char *const *)o->changes };

    if (engine_container_commit(cli->engine, cli->who, argv[0], &ask, &answer, &cli->e) < 0)
        return cli_fail(cli);
    printf("%s\n", json_string_value(json_object_get(answer, "Id")));
    return 0;
}

/* ---- cp -------------------------------------------------------------------------------------- */

/* One end of a copy: a container's path, a path here, or "-". */
struct end {
    char *container; /* NULL: here */
    const char *path;
};

static int parse_end(const char *text, struct end *ret)
{
    const char *colon = strchr(text, ':');

    *ret = (struct end){ NULL, text };
    if (text[0] == '/' || text[0] == '.' || !colon || colon == text)
        return 0;
    ret->container = strndup(text, (size_t)(colon - text));
    ret->path = colon + 1;
    return ret->container ? 0 : -ENOMEM;
}

/* The archive's writer, on a thread of its own. */
struct packer {
    struct cli *cli;
    const struct end *from;
    const char *as; /* the name that the top gets */
    int fd, result;
    struct wharf_error e;
};

/* Exactly what is below the last name of a path here, under another name. */
static int pack_here(struct packer *p)
{
    autofree char *clean = path_clean(p->from->path);
    const char *slash = clean ? strrchr(clean, '/') : NULL;
    autofree char *parent =
        slash ? strndup(clean, MAX((size_t)(slash - clean), (size_t)1)) : strdup(".");
    struct treetar tar = { .fd = p->fd };

    if (!clean || !parent)
        return err_nomem(&p->e);
    autoclose int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *name = slash ? slash + 1 : clean;
    if (dir < 0)
        return err_sys(&p->e, "cannot open '%s'", parent);
    int r = treetar_add(&tar, dir, *name ? name : ".", p->as, &p->e);
    int ended = treetar_end(&tar, r == 0 ? &p->e : NULL);
    return r < 0 ? r : ended;
}

static void *pack(void *user)
{
    struct packer *p = user;

    p->result = p->from->container
                    ? engine_archive_get(p->cli->engine, p->cli->who, p->from->container,
                                         p->from->path, p->as, p->fd, &p->e)
                    : pack_here(p);
    p->fd = fd_close(p->fd);
    return NULL;
}

static const char *last_name(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    return path + len;
}

static bool ends_inside(const char *path)
{
    return str_ends(path, "/.") || streq(path, ".");
}

/* Whether the target is a directory that is there; what a container says comes as stat. */
static bool is_directory(struct cli *cli, const struct end *end)
{
    autojson json_t *stat_json = NULL;
    struct stat st;

    if (!end->container)
        return stat(end->path, &st) == 0 && S_ISDIR(st.st_mode);
    if (engine_archive_stat(cli->engine, cli->who, end->container, end->path, &stat_json, NULL) < 0)
        return false;
    return (json_integer_value(json_object_get(stat_json, "mode")) >> 31 & 1) != 0;
}

static int unpack(struct cli *cli, const struct end *to, const char *dir, int fd, bool owners)
{
    struct engine_archive_put put = { .path = dir, .fd = fd, .keep_kind = true };
    struct into into = {
        .fd = fd, .keep_kind = true, .owned = !owners, .uid = geteuid(), .gid = getegid()
    };

    if (to->container)
        return engine_archive_put(cli->engine, cli->who, to->container, &put, &cli->e);
    autoclose int here = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (here < 0)
        return err_sys(&cli->e, "cannot open '%s'", dir);
    into.dir = here;
    return archive_into(&into, &cli->e);
}

/* Docker's rule: into a directory that is there, under its own name; else the target's last name is
 * the new one, in its parent. */
static int copy(struct cli *cli, const struct cp_options *o, const struct end *from,
                const struct end *to)
{
    struct packer p = { .cli = cli, .from = from, .as = last_name(from->path) };
    bool into_it = is_directory(cli, to);
    autofree char *parent = strndup(to->path, (size_t)(last_name(to->path) - to->path));
    const char *dir = into_it ? to->path : !*parent ? (to->container ? "/" : ".") : parent;
    pthread_t thread;
    int pipe_fds[2], r;

    if (ends_inside(from->path) && into_it)
        p.as = "";
    if (!into_it)
        p.as = last_name(to->path);
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_sys(&cli->e, "cannot make a pipe");
    p.fd = pipe_fds[1];
    r = -pthread_create(&thread, NULL, pack, &p);
    if (r < 0) {
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return err_code(&cli->e, r, "cannot start a thread");
    }
    r = unpack(cli, to, dir, pipe_fds[0], o->archive || to->container);
    close(pipe_fds[0]);
    pthread_join(thread, NULL);
    if (p.result < 0) {
        cli->e = p.e;
        return p.result;
    }
    return r;
}

static int copy_ends(struct cli *cli, const struct cp_options *o, const struct end *from,
                     const struct end *to)
{
    if (!from->container == !to->container)
        return err_invalid(&cli->e, from->container ? "copying between containers is not supported"
                                                    : "must specify at least one container source");
    if (streq(from->path, "-") && !from->container)
        return unpack(cli, to, to->path, STDIN_FILENO, true);
    if (streq(to->path, "-") && !to->container)
        return engine_archive_get(cli->engine, cli->who, from->container, from->path, NULL,
                                  STDOUT_FILENO, &cli->e);
    return copy(cli, o, from, to);
}

int cp_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct end from, to;
    int r = parse_end(argv[0], &from);

    if (r == 0)
        r = parse_end(argv[1], &to);
    r = r < 0 ? err_nomem(&cli->e) : copy_ends(cli, options, &from, &to);
    free(from.container);
    free(to.container);
    return r < 0 ? cli_fail(cli) : 0;
}
