/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library - the run cycle (create, start, wait, delete) through container.h, without starting a
 * program
 *
 *     library STATE BUNDLE COUNT [CGROUPS]      CGROUPS: files (default), none
 *
 * COUNT containers one after the other from BUNDLE/config.json, in one process: what an engine pays
 * that calls the library, to be put beside `floor ROOTFS COUNT`.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "container.h"

static int die(const struct wharf_error *e)
{
    fprintf(stderr, "library: %s\n", e->message);
    return 1;
}

static struct container_spec *read_spec(int bundle, struct wharf_error *e)
{
    static char text[1 << 20];
    struct container_spec *spec = NULL;
    int fd = openat(bundle, "config.json", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text));

    close(fd);
    return n > 0 && container_spec_parse(&spec, text, (size_t)n, e) == 0 ? spec : NULL;
}

static int cycle(struct container_engine *engine, const struct container_spec *spec, int bundle,
                 const char *path, struct wharf_error *e)
{
    struct container_start_options options = CONTAINER_START_OPTIONS;
    struct container *c;
    int status, r;

    options.bundle_fd = bundle;
    options.bundle = path;
    r = container_run(engine, "bench-library", spec, &options, &c, e);
    if (r < 0)
        return r;
    r = container_process_wait(container_init(c), &status, -1, e);
    if (r == 0)
        r = container_delete(c, 0, e);
    container_close(c);
    return r;
}

static unsigned parse_count(const char *text)
{
    unsigned count = 0;

    return sscanf(text, "%u", &count) == 1 ? count : 0;
}

int main(int argc, char **argv)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_engine *engine;
    struct container_spec *spec;
    struct wharf_error e = { 0 };
    int bundle;

    if (argc < 4)
        return 2;
    options.root = argv[1];
    if (argc > 4 && strcmp(argv[4], "none") == 0)
        options.cgroups = CONTAINER_CGROUPS_NONE;
    bundle = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    spec = read_spec(bundle, &e);
    if (!spec || container_engine_open(&engine, &options, &e) < 0)
        return die(&e);
    for (unsigned n = parse_count(argv[3]); n > 0; n--) {
        if (cycle(engine, spec, bundle, argv[2], &e) < 0)
            return die(&e);
    }
    container_spec_free(spec);
    container_engine_close(engine);
    return 0;
}
