/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one command in a container and gives its exit status: libcontainer in one page.
 *
 *     container-run ROOT COMMAND [ARGUMENT...]
 *     container-run -c CONFIG.JSON ROOT [COMMAND...]      the specification from a file
 */
#include <container.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const struct wharf_error *e)
{
    fprintf(stderr, "container-run: %s\n", e->message);
    return wharf_error_exit(e);
}

static int spec_from_file(struct container_spec **spec, const char *path, struct wharf_error *e)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof(text), f) : 0;

    if (f)
        fclose(f);
    return container_spec_parse(spec, text, len, e);
}

int main(int argc, char **argv)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_engine *engine = NULL;
    struct container_spec *spec = NULL;
    struct container *c = NULL;
    struct wharf_error e = { 0 };
    const char *config = NULL;
    char id[32];
    int status = 0, r;

    if (argc > 2 && strcmp(argv[1], "-c") == 0) {
        config = argv[2];
        argv += 2;
        argc -= 2;
    }
    if (argc < (config ? 2 : 3)) {
        fprintf(stderr, "usage: container-run [-c CONFIG.JSON] ROOT COMMAND [ARGUMENT...]\n");
        return 125;
    }
    options.root = getenv("CONTAINER_STATE");
    snprintf(id, sizeof(id), "example-%d", (int)getpid());

    r = container_engine_open(&engine, &options, &e);
    if (r == 0)
        r = config ? spec_from_file(&spec, config, &e) : container_spec_new(&spec, &e);
    if (r == 0)
        r = container_spec_set(spec, "root.path", argv[1], &e);
    if (r == 0 && argc > 2)
        r = container_spec_set_args(spec, (const char *const *)argv + 2, NULL, &e);
    if (r == 0)
        r = container_run(engine, id, spec, NULL, &c, &e);
    if (r == 0)
        r = container_process_wait(container_init(c), &status, -1, &e);
    if (r == 0)
        r = container_delete(c, 0, &e);
    container_close(c);
    container_spec_free(spec);
    container_engine_close(engine);
    if (r < 0)
        return fail(&e);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
