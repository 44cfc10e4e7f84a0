/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one more command in a running container, found again by its id: container-exec ID COMMAND */
#include <container.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    struct container_engine_options options = { .size = sizeof(options), .rootless = -1 };
    struct container_engine *engine = NULL;
    struct container_process *process = NULL;
    struct container *c = NULL;
    struct wharf_error e = { 0 };
    char json[4096];
    int status = 0, r;

    if (argc != 3 || strpbrk(argv[2], "\"\\")) {
        fprintf(stderr, "usage: container-exec ID 'SHELL COMMAND'\n");
        return 125;
    }
    options.root = getenv("CONTAINER_STATE");
    snprintf(json, sizeof(json),
             "{\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],\"args\":[\"/bin/sh\",\"-c\",\"%s\"]}",
             argv[2]);
    r = container_engine_open(&engine, &options, &e);
    if (r == 0)
        r = container_open(engine, argv[1], &c, &e);
    if (r == 0)
        r = container_exec(c, json, NULL, &process, &e);
    if (r == 0)
        r = container_process_wait(process, &status, -1, &e);
    container_process_close(process);
    container_close(c);
    container_engine_close(engine);
    if (r < 0) {
        fprintf(stderr, "container-exec: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
