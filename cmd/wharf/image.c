/* SPDX-License-Identifier: Apache-2.0 */
/* Images, and the program itself: load, import, rmi, tag; version, info. */
#include "image.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"
#include "cmd/wharf/output.h"
#include "cmd/wharf/progress.h"

static void short_name(const char *full, char *text)
{
    struct image_reference reference;

    text[0] = '\0';
    if (image_reference_parse(&reference, full, NULL) == 0)
        image_reference_format(&reference, 1, text);
}

static int open_input(const char *path, struct wharf_error *e)
{
    int fd = !path || streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                       : open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? err_sys(e, "open %s", path ? path : "stdin") : fd;
}

int load_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct load_options *o = options;
    struct progress progress;
    struct image_load_options load = { .size = sizeof(load),
                                       .tell = progress_tell,
                                       .tell_arg = &progress,
                                       .quiet = o->quiet || !isatty(STDOUT_FILENO) };
    struct image_store *store;

    progress_init(&progress, stdout);
    if (!o->input && isatty(STDIN_FILENO)) {
        err_invalid(&cli->e, "requested load from stdin, but stdin is empty");
        return cli_fail(cli);
    }
    autoclose int fd = open_input(o->input, &cli->e);
    int r = fd < 0 ? fd : engine_images(cli->engine, cli->who, &store, &cli->e);
    if (r >= 0)
        r = image_load(store, fd, &load, &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

int import_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct import_options *o = options;
    struct image_import_options import = { .size = sizeof(import),
                                           .name = argc > 1 ? argv[1] : NULL,
                                           .changes = (const char *const *)o->changes,
                                           .comment = o->message };
    struct image_store *store;
    struct image *image;
    autoclose int fd = open_input(argv[0], &cli->e);
    int r = fd < 0 ? fd : engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r >= 0)
        r = image_import(store, fd, &import, &image, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    printf("%s\n", image_info(image)->id);
    image_free(image);
    return 0;
}

static void tell_removed(enum image_removed what, const char *name, void *arg)
{
    char text[IMAGE_REFERENCE_MAX];

    short_name(name, text);
    if (what == IMAGE_UNTAGGED)
        printf("Untagged: %s\n", text);
    else
        printf("Deleted: %s\n", name);
}

int rmi_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct rmi_options *o = options;
    struct image_remove_options remove = { .size = sizeof(remove),
                                           .force = o->force,
                                           .removed = tell_removed };
    struct image_store *store;
    int code = 0;

    if (engine_images(cli->engine, cli->who, &store, &cli->e) < 0)
        return cli_fail(cli);
    for (int i = 0; i < argc; i++) {
        cli->e = (struct wharf_error){ 0 };
        int r = image_remove(store, argv[i], &remove, &cli->e);
        if (r == -ENOENT)
            err_not_found(&cli->e, "No such image: %s", argv[i]);
        if (r < 0)
            code = cli_fail(cli);
    }
    return code;
}

int tag_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct image_store *store;
    int r = engine_images(cli->engine, cli->who, &store, &cli->e);

    if (r == 0)
        r = image_tag(store, argv[0], argv[1], &cli->e);
    return r < 0 ? cli_fail(cli) : 0;
}

int version_command(struct cli *cli, void *options, int argc, char **argv)
{
    struct version_options *o = options;
    struct utsname host;
    autojson json_t *all = NULL;

    uname(&host);
    all = json_pack("{s:s s:s s:s s:s}", "Version", WHARF_VERSION, "Os", "linux", "Arch",
                    host.machine, "KernelVersion", host.release);
    if (o->format)
        return template_print(o->format, all, &cli->e) < 0 ? cli_fail(cli) : 0;
    printf("wharf\n Version:  " WHARF_VERSION
           "\n OS/Arch:  linux/%s\n Kernel:   %s\n Engine:   embedded\n",
           host.machine, host.release);
    return 0;
}

static int count_state(void *user, struct record *r)
{
    int *counts = user;

    counts[r->state == STATE_RUNNING ? 0 : r->state == STATE_PAUSED ? 1 : 2]++;
    return 0;
}

static int count_image(const struct image *image, void *arg)
{
    ++*(int *)arg;
    return 0;
}

int info_command(struct cli *cli, void *options, int argc, char **argv)
{
    int counts[3] = { 0 }, images = 0;
    struct image_store *store;
    int r = engine_container_list(cli->engine, cli->who, count_state, counts, &cli->e);

    if (r >= 0)
        r = engine_images(cli->engine, cli->who, &store, &cli->e);
    if (r >= 0)
        r = image_list(store, count_image, &images, &cli->e);
    if (r < 0)
        return cli_fail(cli);
    printf("Containers: %d\n Running: %d\n Paused: %d\n Stopped: %d\nImages: "
           "%d\nVersion: " WHARF_VERSION "\n"
           "Root Dir: %s\n",
           counts[0] + counts[1] + counts[2], counts[0], counts[1], counts[2], images,
           engine_root(cli->engine));
    return 0;
}
