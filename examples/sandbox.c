/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command that nobody trusts: it reads the system's programs, writes to one directory, has
 * no network, 10 seconds and 256 MiB.
 *
 *     sandbox DIRECTORY COMMAND [ARGUMENT...]
 */
#include <container.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    const char *const programs[] = { "/usr", "/bin", "/lib", "/lib64", "/etc", NULL };
    const char *writable[] = { argc > 1 ? argv[1] : NULL, NULL };
    struct container_policy policy = {
        .size = sizeof(policy),
        .read_paths = programs,
        .write_paths = writable,
        .seccomp_preset = "default",
        .cwd = writable[0],
        .stdio = { -1, -1, -1 },
        .memory = 256u << 20,
        .wall_ms = 10000,
        .pids = 64,
    };
    struct wharf_error e = { 0 };
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: sandbox DIRECTORY COMMAND [ARGUMENT...]\n");
        return 125;
    }
    if (container_sandbox_run(&policy, (const char *const *)argv + 2, &status, &e) < 0) {
        fprintf(stderr, "sandbox: %s\n", e.message);
        return wharf_error_exit(&e);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
