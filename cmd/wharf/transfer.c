/* SPDX-License-Identifier: Apache-2.0 */
/* Images that come and go: pull, push, image copy, save. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/progress.h"
#include "cmd/wharf/transfer.h"

static struct image_remote_options remote_options(const struct registry_options *o)
{
    return (struct image_remote_options){ .size = sizeof(struct image_remote_options),
                                          .insecure = (const char *const *)o->insecure,
                                          .mirrors = (const char *const *)o->mirrors,
                                          .ca_file = o->ca_file,
                                          .platform = o->platform,
                                          .all_tags = o->all_tags };
}

/* The name in full, or only its repository. */
static int full_name(const char *text, bool bare, char *name, struct wharf_error *e)
{
    struct image_reference ref;
    int r = image_reference_parse(&ref, text, e);

    if (r < 0)
        return r;
    if (bare)
        ref.tag[0] = '\0';
    image_reference_format(&ref, 0, name);
    return 0;
}

static bool is_tagged(const char *text)
{
    const char *slash = strrchr(text, '/');

    return strchr(slash ? slash : text, ':') || strchr(text, '@');
}

int pull_image(struct cli *cli, const struct registry_options *o, const char *reference, FILE *out)
{
    struct image_remote_options options = remote_options(o);
    struct progress progress;
    struct image_store *store;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    progress_init(&progress, out);
    if (!o->quiet) {
        options.tell = progress_tell;
        options.tell_arg = &progress;
    }
    return r < 0 ? r : image_pull(store, reference, &options, NULL, &cli->e);
}

int pull_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct registry_options *o = options;
    char name[IMAGE_REFERENCE_MAX];

    if (o->all_tags && is_tagged(argv[0])) {
        err_invalid(&cli->e, "tag can't be used with --all-tags/-a");
        return cli_fail(cli);
    }
    if (!o->quiet && !o->all_tags && !is_tagged(argv[0]))
        printf("Using default tag: latest\n");
    if (pull_image(cli, o, argv[0], stdout) < 0 ||
        full_name(argv[0], o->all_tags, name, &cli->e) < 0)
        return cli_fail(cli);
    printf("%s\n", name);
    return 0;
}

int push_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct registry_options *o = options;
    struct image_remote_options remote = remote_options(o);
    char name[IMAGE_REFERENCE_MAX];
    struct progress progress;
    struct image_store *store;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0 && o->all_tags && is_tagged(argv[0]))
        r = err_invalid(&cli->e, "tag can't be used with --all-tags/-a");
    if (r == 0)
        r = full_name(argv[0], o->all_tags, name, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    if (!o->quiet && !o->all_tags && !is_tagged(argv[0]))
        printf("Using default tag: latest\n");
    progress_init(&progress, stdout);
    if (!o->quiet) {
        remote.tell = progress_tell;
        remote.tell_arg = &progress;
    }
    if (image_push(store, argv[0], &remote, &cli->e) < 0)
        return cli_fail(cli);
    if (o->quiet)
        printf("%s\n", name);
    return 0;
}

int copy_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct registry_options *o = options;
    struct image_remote_options from = remote_options(o), to = from;
    struct progress progress;

    progress_init(&progress, stdout);
    if (!o->quiet) {
        to.tell = progress_tell;
        to.tell_arg = &progress;
    }
    return image_copy(argv[0], argv[1], &from, &to, &cli->e) < 0 ? cli_fail(cli) : 0;
}

/* ---- save ------------------------------------------------------------------------------------ */

/* A file appears whole or not at all; what is no file (a pipe, /dev/stdout) is written to. */
static int save_to_file(struct image_store *store, const char *const *references, const char *path,
                        struct wharf_error *e)
{
    autofree char *temporary = str_format("%s.XXXXXX", path);
    struct stat st;
    autoclose int fd = -1;
    int r;

    if (!temporary)
        return err_nomem(e);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? err_sys(e, "open %s", path) : image_save(store, references, fd, NULL, e);
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "open %s", path);
    r = image_save(store, references, fd, NULL, e);
    if (r == 0 && rename(temporary, path) < 0)
        r = err_sys(e, "cannot write '%s'", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

int save_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct save_options *o = options;
    const char *const *references = (const char *const *)argv;
    struct image_store *store;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0 && !o->output && isatty(STDOUT_FILENO))
        r = err_invalid(&cli->e,
                        "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    if (r == 0 && o->output)
        r = save_to_file(store, references, o->output, &cli->e);
    else if (r == 0)
        r = image_save(store, references, STDOUT_FILENO, NULL, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}
